"""Imports modules one by one and says which fail, for exuvia to compare.

Runs on Python 3.9 and newer, in the app and in the image. Standard input has
the modules' names, one a line. A child imports them, so that one that ends or
blocks the process costs itself only; a new child goes on behind it.
"""
import os
import sys

MARK = "exuvia:imports:begin"
LIMIT = 20  # seconds a module


def child(names, first, w):
    import _signal

    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for i in range(first, len(names)):
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
        _signal.alarm(LIMIT)
        status = "ok"
        try:
            __import__(names[i])
        except BaseException as e:
            status = "%s: %s" % (type(e).__name__, e)
        os.write(w, ("%d\t%s\n" % (i, ascii(status[:300])[1:-1])).encode())


def follow(names, first):
    """Gives the statuses from first on, and how the child ended."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            child(names, first, w)
        finally:
            os._exit(0)
    os.close(w)
    with open(r, encoding="ascii") as f:
        said = [line.rstrip("\n").split("\t", 1)[1] for line in f if line.endswith("\n")]
    return said, os.waitpid(pid, 0)[1]


def main():
    names = sys.stdin.read().split()
    statuses = []
    while len(statuses) < len(names):
        said, end = follow(names, len(statuses))
        statuses += said
        if len(statuses) < len(names):
            statuses.append("the process ends with status %d" % end)
    sys.stdout.write(MARK + "\n")
    for name, status in zip(names, statuses):
        if status != "ok":
            sys.stdout.write("%s\t%s\n" % (name, status))


main()
