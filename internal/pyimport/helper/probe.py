"""Imports extension modules, each in a forked child of its own, and says what
that adds to sys.modules. It uses built-in modules only until the last child
is done: what is loaded already cannot be seen to be added.

usage: probe.py LIST OUT
LIST has a line "path DIR" for each directory before sys.path, a line "limit
SECONDS", and a line "module NAME" for each module. OUT gets probe.json:
{name: {"files": {module: file or ""}, "error": text}}. Runs on Python 3.9 and
newer.
"""
import marshal
import os
import sys
import time

WORKERS = 2
SIGKILL = 9


def child(name, part):
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
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
    with open(part, "wb") as f:
        f.write(marshal.dumps(result))


def start(name, part):
    pid = os.fork()
    if pid == 0:
        try:
            child(name, part)
        finally:
            os._exit(0)  # skip the module's exit handlers
    return pid


def finish(status, part):
    try:
        with open(part, "rb") as f:
            return marshal.loads(f.read())
    except (OSError, EOFError, ValueError, TypeError):
        signal = status & 127
        return {"error": "died of signal %d" % signal if signal else "ended without an answer"}
    finally:
        if os.path.exists(part):
            os.unlink(part)


def run(modules, limit, out):
    waiting, running, results = list(reversed(modules)), {}, {}
    while waiting or running:
        while waiting and len(running) < WORKERS:
            name = waiting.pop()
            part = os.path.join(out, "part-%d" % len(waiting))
            running[start(name, part)] = (name, part, time.monotonic())
        for pid, (name, part, begin) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                results[name] = finish(status, part)
            elif time.monotonic() - begin > limit:
                os.kill(pid, SIGKILL)
                os.waitpid(pid, 0)
                finish(0, part)
                results[name] = {"error": "not done after %d s" % limit}
            else:
                continue
            del running[pid]
        time.sleep(0.003)
    return results


def main():
    task = {"path": [], "module": [], "limit": ["20"]}
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f.read().splitlines():
            kind, _, value = line.partition(" ")
            task[kind].append(value)
    sys.path[0:1] = task["path"]
    results = run(task["module"], int(task["limit"][-1]), sys.argv[2])
    import json
    with open(os.path.join(sys.argv[2], "probe.json"), "w", encoding="ascii") as f:
        json.dump(results, f)


main()
