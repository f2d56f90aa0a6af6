"""Compiles Python sources to bytecode, each in a child of its own.

Marshalled code depends on how many references a string or number has at that
moment, so on what was compiled before in the same process. A child forked for
each file starts from the same state every time; the parent does nothing
between two forks that would show in it. Sets of constants depend on the hash
seed, which is 0.

Usage: PYTHONHASHSEED=0 python -s -S -B -W ignore compile.py JOBS SOURCES OUT
A line of JOBS is "KEY SUM OPTIMIZE FLAGS HOOK FILENAME"; KEY.pyc or, with the
reason, KEY.err appears in OUT. SUM is the name of the source in SOURCES; FLAGS those of PEP 552; HOOK is 1 where the
module shall import _exuvia first. FILENAME is in UTF-8 and has no line breaks.
"""
import _ast
import _imp
import marshal
import os
import sys

from _frozen_importlib_external import MAGIC_NUMBER


def first_statement(body):
    """The index in body behind the docstring and the __future__ imports."""
    at = 0
    for node in body:
        docstring = (
            at == 0
            and isinstance(node, _ast.Expr)
            and isinstance(node.value, _ast.Constant)
            and isinstance(node.value.value, str)
        )
        future = isinstance(node, _ast.ImportFrom) and node.module == "__future__"
        if not docstring and not future:
            break
        at += 1
    return at


def hooked(source, filename):
    module = compile(source, filename, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    at = first_statement(module.body)
    line = module.body[at].lineno if at < len(module.body) else 1
    place = {"lineno": line, "end_lineno": line, "col_offset": 0, "end_col_offset": 0}
    name = _ast.alias(name="_exuvia", asname=None, **(place if sys.version_info >= (3, 10) else {}))
    module.body.insert(at, _ast.Import(names=[name], **place))
    return module


def compile_one(line, sources, out):
    key, sum_, optimize, flags, hook, filename = line.decode("utf-8", "surrogateescape").split(" ", 5)
    with open(os.path.join(sources, sum_), "rb") as f:
        data = f.read()
    try:
        source = hooked(data, filename) if hook == "1" else data
        code = compile(source, filename, "exec", dont_inherit=True, optimize=int(optimize))
    except Exception as e:
        with open(os.path.join(out, key + ".err"), "w", encoding="utf-8", errors="replace") as f:
            f.write("%s: %s" % (type(e).__name__, e))
        return
    with open(os.path.join(out, key + ".pyc"), "wb") as f:
        f.write(MAGIC_NUMBER)
        f.write(int(flags).to_bytes(4, "little"))
        f.write(_imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), data))
        f.write(marshal.dumps(code))


def reap(running, out):
    """Waits for a child. One that was killed tells of its file, not of us."""
    child, status = os.wait()
    line = running.pop(child)
    if os.WIFSIGNALED(status):
        name = os.path.join(out, line.split(b" ", 1)[0].decode())
        if os.path.exists(name + ".pyc"):
            os.unlink(name + ".pyc")
        with open(name + ".err", "w") as f:
            f.write("the compiler was killed by signal %d" % os.WTERMSIG(status))
    elif status:
        sys.exit(1)


def main(jobs, sources, out):
    if sys.flags.hash_randomization:
        sys.exit("PYTHONHASHSEED must be 0, else the bytecode differs from run to run")
    with open(jobs, "rb") as f:
        lines = f.read().splitlines()
    limit = len(os.sched_getaffinity(0))
    running = {}
    for line in lines:
        if len(running) == limit:
            reap(running, out)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                compile_one(line, sources, out)
                status = 0
            except BaseException as e:
                os.write(2, ("%s: %r\n" % (line, e)).encode("utf-8", "replace"))
            finally:
                os._exit(status)
        running[child] = line
    while running:
        reap(running, out)


main(*sys.argv[1:])
