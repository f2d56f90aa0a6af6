"""What pyinstaller.py and cx_freeze.py share: what there is to freeze."""
import importlib.machinery
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = "/tmp/exuvia"  # always the same: paths get into what is made
LAUNCHER = HERE + "/exuvia_launcher.py"


def read():
    """Reads freeze.json, and puts scripts where they are found as modules."""
    with open(HERE + "/freeze.json", encoding="utf-8") as f:
        want = json.load(f)
    os.makedirs(WORK + "/scripts")
    for name, script in want["scripts"].items():
        with open(script, "rb") as f:
            text = f.read()
        if not script.endswith(".py") and not (text.startswith(b"#!") and b"python" in text.split(b"\n", 1)[0]):
            sys.exit(script + " is not a Python script, so it cannot be frozen")
        with open(f"{WORK}/scripts/{name}.py", "wb") as f:
            f.write(text)
    return want


def search(want, tool):
    """Makes sys.path the app's.

    Gives the names that only the tool has: what it has imported it keeps, but
    the app must not find what it lacks.
    """
    sys.path[:] = want["path"] + [WORK + "/scripts"] + [p for p in sys.path if p != HERE and p != tool and not p.startswith(tool + "/")]
    top = {name.split(".")[0] for name in os.listdir(tool)}
    return sorted(n for n in top if n.isidentifier() and importlib.machinery.PathFinder.find_spec(n, sys.path) is None)


def links(want):
    """Makes the names of the other entry points."""
    for name, target in want["links"].items():
        path = os.path.join(want["dir"], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
