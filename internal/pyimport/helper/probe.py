"""Imports extension modules, each in a forked child, and says what that adds to
sys.modules. A child is forked from one that has imported the module's package,
which mostly takes far longer than the module. It uses built-in modules only
until the last child is done: what is loaded already cannot be seen to be added.

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
OUT = sys.argv[2]


def probe(name, before):
    """What importing a module has added to sys.modules since before."""
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


def probe_below(below, workers, limit, before):
    """What each of the modules in a tree of names adds, their packages with them;
    nothing of those that hang or die.
    """
    answers = {}
    tasks = {n: lambda n=n: {"answers": probe_tree(n, below[n], limit, before)} for n in below}
    for result in exuvia_forked.run(tasks, workers, limit, OUT).values():
        answers.update(result.get("answers", {}))
    return answers


def probe_tree(name, below, limit, before):
    result = probe(name, before)
    answers, rest, todo = {name: result}, {}, list(below.items())
    for child, its in todo:
        if child in sys.modules or "error" in result:  # as its package
            answers[child] = result
            todo.extend(its.items())
        else:
            rest[child] = its
    answers.update(probe_below(rest, 1, limit, before))
    return answers


def main():
    task = {"path": [], "module": [], "limit": []}
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f.read().splitlines():
            kind, _, value = line.partition(" ")
            task[kind].append(value)
    sys.path[0:1] = task["path"]
    limit, names = int(task["limit"][0]), {}
    for name in task["module"]:
        below, parts = names, name.split(".")
        for i in range(len(parts)):
            below = below.setdefault(".".join(parts[: i + 1]), {})
    before = set(sys.modules)
    answers = probe_below(names, WORKERS, limit, before)
    # A package may have started threads, and its forks hang for that: their
    # modules get a child each that has imported nothing.
    alone = {n: lambda n=n: probe(n, before) for n in task["module"] if n not in answers}
    answers.update(exuvia_forked.run(alone, WORKERS, limit, OUT))
    import json
    with open(os.path.join(OUT, "probe.json"), "w", encoding="ascii") as f:
        json.dump({n: answers[n] for n in task["module"]}, f)


main()
