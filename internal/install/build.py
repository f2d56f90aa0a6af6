"""Builds a wheel by uv from a copy of sources, or asks their build backend.

Usage: python -s build.py CONFIG. Runs on every CPython from 3.9 on, without
network; wheels of all that the backend needs are in a directory.
"""
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

COPY = "/tmp/source"
ENV = "/tmp/backend"

HOOK = """
import importlib, json, sys
backend, out = sys.argv[1:3]
sys.path[:0] = sys.argv[3:]
name, _, attributes = backend.partition(":")
found = importlib.import_module(name)
for part in attributes.split(".") if attributes else []:
    found = getattr(found, part)
hook = getattr(found, "get_requires_for_build_wheel", None)
with open(out, "w") as f:
    json.dump(list(hook()) if hook else [], f)
"""


def writable(root):
    for at, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode | 0o600 | (0o100 if name in dirs else 0))


def copy(c):
    """Puts the sources where they may be written to, and gives their directory."""
    if not c["archive"]:
        shutil.copytree(c["source"], COPY, symlinks=True)
        os.chmod(COPY, 0o755)
        writable(COPY)
        return os.path.join(COPY, c["sub"])
    os.mkdir(COPY)
    archive = os.path.join(c["source"], c["archive"])
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as z:
            z.extractall(COPY)
    else:
        with tarfile.open(archive) as t:
            if hasattr(tarfile, "data_filter"):
                t.extractall(COPY, filter="data")
            else:
                t.extractall(COPY)
    writable(COPY)
    top = os.listdir(COPY)
    if len(top) != 1:
        sys.exit("%s does not hold one directory, but %s" % (c["archive"], sorted(top)))
    return os.path.join(COPY, top[0], c["sub"])


def main():
    with open(sys.argv[1]) as f:
        c = json.load(f)
    source = os.path.normpath(copy(c))
    found = ["--offline", "--no-index", "--find-links", c["wheels"], "--no-config", "--no-sources"]
    if c["mode"] == "wheel":
        command = [c["uv"], "build", "--wheel", "--no-create-gitignore", "--python", c["python"], "--out-dir", c["out"]]
        return subprocess.call(command + found + [source])
    subprocess.check_call([c["uv"], "venv", "--no-config", "--quiet", "--python", c["python"], ENV])
    if c["backend"]["requires"]:
        install = [c["uv"], "pip", "install", "--quiet", "--python", ENV]
        subprocess.check_call(install + found + c["backend"]["requires"])
    backend = c["backend"]
    paths = [os.path.join(source, p) for p in backend.get("path") or []]
    hook = [ENV + "/bin/python", "-c", HOOK, backend["backend"], c["out"] + "/requires.json"]
    return subprocess.call(hook + paths, cwd=source)


sys.exit(main())
