"""Compiles what an installer would: every .py below the given directories.

Usage: python -s compile.py DIR... Runs on every CPython from 3.9 on. Files that
cannot be compiled are passed over, as installers do; so are those that have
their bytecode. Processes are forked by hand: the pools of the standard library
want shared memory, which a sandbox need not have.
"""
import importlib.util
import os
import py_compile
import sys

PARTS = min(os.cpu_count() or 1, 8)


def sources():
    for root in sys.argv[1:]:
        for at, dirs, files in os.walk(root):
            dirs[:] = sorted(d for d in dirs if d != "__pycache__")
            for name in sorted(files):
                if name.endswith(".py"):
                    yield os.path.join(at, name)


def compile_part(files):
    for name in files:
        cached = importlib.util.cache_from_source(name)
        if os.path.exists(cached):
            continue
        try:
            py_compile.compile(name, cached, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
        except (py_compile.PyCompileError, ValueError, RecursionError, MemoryError):
            pass


def main():
    files = list(sources())
    for name in files:  # before the fork: two processes may want the same one
        os.makedirs(os.path.dirname(importlib.util.cache_from_source(name)), exist_ok=True)
    children = []
    for part in range(PARTS):
        pid = os.fork()
        if pid == 0:
            try:
                compile_part(files[part::PARTS])
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(pid)
    failed = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
    return 1 if failed else 0


sys.exit(main())
