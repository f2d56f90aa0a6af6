// Arrow keys go from cell to cell of a map, Escape goes out of it, and what a
// link leads to is opened and has the focus.
const cellsOf = (map) => [...map.querySelectorAll(".cells a")];

const middle = (cell) => {
  const box = cell.getBoundingClientRect();
  return {x: box.x + box.width / 2, y: box.y + box.height / 2};
};

// nearest is the cell next to one in a direction: far to the side counts more
// than far ahead.
const nearest = (cells, from, dx, dy) => {
  const at = middle(from);
  let best = null;
  let least = Infinity;
  for (const cell of cells) {
    const to = middle(cell);
    const ahead = (to.x - at.x) * dx + (to.y - at.y) * dy;
    const aside = Math.abs((to.x - at.x) * dy) + Math.abs((to.y - at.y) * dx);
    if (cell !== from && ahead > 1 && ahead + 2 * aside < least) {
      best = cell;
      least = ahead + 2 * aside;
    }
  }
  return best;
};

const arrows = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1]};

// One cell of a map can be reached with the tab key, which leads past the map
// then; the arrow keys say which.
const choose = (map, cell) => cellsOf(map).forEach((c) => c.setAttribute("tabindex", c === cell ? "0" : "-1"));

document.querySelectorAll(".map").forEach((map) => {
  choose(map, cellsOf(map)[0]);
  map.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".cells a");
    const up = [...map.querySelectorAll(".up")].pop();
    if (event.key === "Escape" && up) {
      location.hash = up.hash;
    } else if (cell && event.key in arrows && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const to = nearest(cellsOf(map), cell, ...arrows[event.key]);
      if (to) {
        choose(map, to);
        to.focus();
      }
    } else {
      return;
    }
    event.preventDefault();
  });
});

const arrive = (event) => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target) return;
  const hidden = target.closest("details");
  if (hidden && !hidden.open) {
    hidden.open = true;
    target.scrollIntoView();
  }
  if (!target.classList.contains("map")) return;
  const from = event ? new URL(event.oldURL).hash : "";
  const cells = cellsOf(target);
  const cell = cells.find((c) => c.getAttribute("href") === from) ?? cells[0]; // back to where one was
  if (!cell) return;
  choose(target, cell);
  cell.focus({preventScroll: true});
};

document.querySelector(".hint").hidden = false;
addEventListener("hashchange", arrive);
arrive();
