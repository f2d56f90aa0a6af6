"""Puts a CSV into SQLite and serves it with Datasette."""
import csv
import sqlite3
import sys
from pathlib import Path

from datasette.cli import cli

DATABASE = Path("/tmp/parts.db")


def fill():
    with sqlite3.connect(DATABASE) as db, open(Path(__file__).with_name("parts.csv")) as rows:
        db.execute("create table parts (id integer primary key, name text, price real, link text)")
        db.executemany("insert into parts values (:id, :name, :price, :link)", csv.DictReader(rows))


if __name__ == "__main__":
    if "--help" not in sys.argv:
        fill()
    cli(["serve", str(DATABASE), "--host", "0.0.0.0", "--port", "8001", *sys.argv[1:]])
