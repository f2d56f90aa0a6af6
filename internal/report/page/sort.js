"use strict";
// Sorts each sortable table by the column whose head is pressed. Without this
// script the tables are there all the same, in the order that they came in.
const value = (row, column, numeric) => {
  const cell = row.cells[column];
  if (!numeric) return cell.dataset.value ?? cell.textContent.trim();
  return cell.dataset.value ? Number(cell.dataset.value) : null;
};

const compare = (a, b, numeric) => numeric ? a - b : a.localeCompare(b, undefined, {numeric: true});

const sortable = (table) => {
  const body = table.tBodies[0];
  const status = table.querySelector("[role=status]");
  const heads = [...table.tHead.rows[0].cells];

  const sortBy = (column) => {
    const head = heads[column];
    const numeric = head.dataset.kind === "number";
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    const rows = [...body.rows].map((row) => ({row, key: value(row, column, numeric)}));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null); // what was not measured stays last
      return ascending ? compare(a.key, b.key, numeric) : compare(b.key, a.key, numeric);
    });
    body.append(...rows.map((r) => r.row));
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    status.textContent = `Sorted by ${head.textContent.trim()}, ${ascending ? "ascending" : "descending"}.`;
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(column));
    head.append(button);
  });
};

document.querySelectorAll("table.sortable").forEach(sortable);
