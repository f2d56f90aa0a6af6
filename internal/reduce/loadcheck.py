"""Loads files, each in a fresh process, and says which do not load.

Usage: loadcheck.py JOBS RESULT. JOBS is JSON: {"limit": seconds, "loader":
the interpreter's own dynamic loader or "", "files": [{"path", "loader",
"unpack"}]}. A file with a loader is a program: it is relocated and not started;
one to unpack starts itself, as far as to its loader. RESULT is JSON: path -> reason, "" for what loads. Runs on Python 3.9 and newer.
"""
import importlib.machinery
import json
import os
import signal
import sys
import time

try:
    import ctypes
except ImportError:
    ctypes = None

LIMIT = 4000  # bytes of a reason: less than a pipe always takes


def relocate(loader, path):
    """Lets the loader map and relocate path, as `ldd -r` does.

    glibc's --list does not relocate; its variable for tracing does. musl knows
    --list alone, and always relocates.
    """
    if "musl" in loader:
        run([loader, "--list", path], {})
    else:
        run([loader, path], TRACING)


def unpack(path):
    """Lets a packed program unpack itself and glibc's loader relocate it."""
    run([path], TRACING)


TRACING = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_BIND_NOW": "1", "LD_WARN": "1"}


def run(args, env):
    said = "/tmp/loadcheck.%d" % os.getpid()
    pid = os.fork()
    if pid == 0:
        fd = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        try:
            os.execve(args[0], args, dict(env, LC_ALL="C"))
        finally:
            os._exit(127)
    status = os.waitpid(pid, 0)[1]
    with open(said, errors="replace") as f:
        text = f.read(1 << 20)
    os.unlink(said)
    for line in text.splitlines():
        if "not found" in line or "undefined symbol" in line or "error" in line:
            raise OSError(line.strip())
    if status != 0:
        raise OSError("the loader ended with status %#x" % status)


def load(path):
    if ctypes is None:
        if not jobs["loader"]:
            raise OSError("this Python has no ctypes to load it with")
        relocate(jobs["loader"], path)
        return
    ctypes.CDLL(path)


def module(path):
    """The name under which path is imported, or None."""
    for d in sorted(sys.path, key=len, reverse=True):
        d = os.path.abspath(d).rstrip("/") + "/"
        if not path.startswith(d):
            continue
        for suffix in sorted(importlib.machinery.EXTENSION_SUFFIXES, key=len, reverse=True):
            if path.endswith(suffix):
                parts = path[len(d):-len(suffix)].split("/")
                return ".".join(parts) if all(p.isidentifier() for p in parts) else None
    return None


def bring_in(path):
    """Imports an extension module: its package may load libraries before."""
    import site

    site.main()
    name = module(path)
    if name is None:
        raise OSError("it is no extension module on the search path")
    importlib.import_module(name)
    with open("/proc/self/maps", errors="surrogateescape") as f:
        if not any(os.path.realpath(path) == line.rstrip("\n").split(None, 5)[-1] for line in f):
            raise OSError("importing %s does not load it" % name)


def attempt(work):
    """Runs work in a child and gives "" or why it failed."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "?"
        try:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            work()
            said = "ok"
        except BaseException as e:
            said = "%s: %s" % (type(e).__name__, e)
        finally:
            os.write(w, said.encode("utf-8", "replace")[:LIMIT])
            os._exit(0)
    os.close(w)
    end = time.monotonic() + jobs["limit"]
    pause = 0.0005
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done or time.monotonic() > end:
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    if not done:
        for kill, target in ((os.killpg, pid), (os.kill, pid)):
            try:
                kill(target, signal.SIGKILL)
            except OSError:
                pass
        os.waitpid(pid, 0)
    os.set_blocking(r, False)  # a grandchild may still hold the other end
    try:
        said = os.read(r, LIMIT).decode("utf-8", "replace")
    except BlockingIOError:
        said = ""
    os.close(r)
    if said == "ok":
        return ""
    if not done:
        return "it did not load within %d s" % jobs["limit"]
    if os.WIFSIGNALED(status):
        return "the process was killed by signal %d" % os.WTERMSIG(status)
    return said or "the process ended with status %#x" % status


with open(sys.argv[1]) as f:
    jobs = json.load(f)
result = {}
for job in jobs["files"]:
    at = job["path"]
    if job["unpack"]:
        result[at] = attempt(lambda: unpack(at))
        continue
    if job["loader"]:
        result[at] = attempt(lambda: relocate(job["loader"], at))
        continue
    why = attempt(lambda: load(at))
    if why and attempt(lambda: bring_in(at)) == "":
        why = ""
    result[at] = why
with open(sys.argv[2], "w") as f:
    json.dump(result, f)
