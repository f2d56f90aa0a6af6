"""Imports extension modules, each in a forked child of its own, and says what
that adds to sys.modules. It uses built-in modules only until the last child
is done: what is loaded already cannot be seen to be added.

usage: probe.py LIST OUT
LIST has a line "path DIR" for each directory before sys.path, a line "limit
SECONDS", and a line "module NAME" for each module. OUT gets probe.json:
{name: {"files": {module: file or ""}, "error": text}}. Runs on Python 3.9 and
newer.
"""
import os
import sys

import exuvia_forked

WORKERS = 2


def probe(name):
    before = set(sys.modules)
    result = {}
    try:
        __import__(name)
    except BaseException as e:
        result["error"] = ("%s: %s" % (type(e).__name__, e))[:500]
    result["files"] = {}
    for m in sorted(set(sys.modules) - before):
        origin = getattr(getattr(sys.modules[m], "__spec__", None), "origin", None)
        result["files"][m] = origin if isinstance(origin, str) and origin.startswith("/") else ""
    return result


def main():
    task = {"path": [], "module": [], "limit": ["20"]}
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f.read().splitlines():
            kind, _, value = line.partition(" ")
            task[kind].append(value)
    sys.path[0:1] = task["path"]
    tasks = {name: lambda name=name: probe(name) for name in task["module"]}
    results = exuvia_forked.run(tasks, WORKERS, int(task["limit"][-1]), sys.argv[2])
    import json
    with open(os.path.join(sys.argv[2], "probe.json"), "w", encoding="ascii") as f:
        json.dump(results, f)


main()
