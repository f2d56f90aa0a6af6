"""What compile_nuitka.py and compile_cython.py share: what there is to compile, and how."""
import ast
import json
import os
import subprocess
import sys

from freeze import HERE, WORK

# What it costs to compile one file: the most that gcc was seen to take.
MEMORY = 1500 << 20


def read():
    """Reads compile.json."""
    with open(HERE + "/compile.json", encoding="utf-8") as f:
        return json.load(f)


def jobs():
    """How many compilers may run at once, by the cores and the memory there are."""
    cores = len(os.sched_getaffinity(0))
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return max(1, min(cores, int(line.split()[1]) * 1024 // MEMORY))
    return cores


def as_main(source):
    """A module's source with a line that lets it be __main__.

    It goes before the first statement, where tracebacks begin to count anew.
    """
    first = 0
    body = ast.parse(source).body
    for i, statement in enumerate(body):
        string = i == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
        if not string and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            first = min([statement.lineno] + [d.lineno for d in getattr(statement, "decorator_list", ())])
            break
    if not first:
        return source
    lines = source.splitlines(True)
    start = lines[first - 1]
    # In one line with the statement where that is one of its own, so that
    # lines keep their numbers.
    hook = '__name__ = __import__("exuvia_main").name(__name__)'
    compound = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
    together = not isinstance(statement, compound) and not getattr(statement, "cases", None) and statement.col_offset == 0
    lines[first - 1] = hook + ("; " if together else "\n") + start
    return "".join(lines)


def run(command, **options):
    """Runs a compiler; ends with what it said where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        sys.exit(why(done) or 1)
    return done.stdout


def why(done):
    """Says so where memory ran out, which compilers tell of in passing."""
    killed = done.returncode in (-9, 137) or "Killed signal terminated program" in done.stdout or "MemoryError" in done.stdout
    if killed or "out of memory" in done.stdout or "Cannot allocate memory" in done.stdout:
        return "the compiler was killed: there is too little memory for it"
    return None

