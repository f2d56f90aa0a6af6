"""Freezes the app by PyOxidizer.

Usage: python -s pyoxidizer.py PYOXIDIZER ARCHIVE

ARCHIVE has the Python that becomes part of the executable. Modules are
resources of it; those that ask where they lie, by __file__, are files in lib
beside it, as extension modules have to be.
"""
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig

import freeze

pyoxidizer, archive = sys.argv[1:]
SITE = f"/lib/python{sysconfig.get_python_version()}/site-packages"
MEMORY, BESIDE = freeze.WORK + "/memory", freeze.WORK + "/beside"
EXTENSIONS = (sysconfig.get_config_var("EXT_SUFFIX"), ".abi3.so")


def files(top):
    """All files at or below top."""
    if not os.path.isdir(top):
        yield top
    for directory, inner, names in os.walk(top):
        inner[:] = sorted(d for d in inner if d != "__pycache__")
        for name in sorted(names):
            yield os.path.join(directory, name)


def asks_where_it_lies(path):
    """Whether a module, or one of a package, needs to be a file."""
    for file in files(path):
        if file.endswith(".py"):
            with open(file, "rb") as f:
                if b"__file__" in f.read():
                    return True
    return False


def copy(file, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.exists(target):
        shutil.copyfile(file, target)


def lay_out(want):
    """Sorts the modules into two environments: for memory, and for files."""
    names = {m.split(".")[0] for m in want["modules"]} | set(want["scripts"])
    stdlib = os.path.realpath(sysconfig.get_path("stdlib"))
    found = {}
    for directory in sys.path:
        if not os.path.isdir(directory) or os.path.realpath(directory) == stdlib or "lib-dynload" in directory:
            continue
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            module = name.split(".")[0]
            if module not in names or not (os.path.isdir(path) or name.endswith((".py",) + EXTENSIONS)):
                continue
            if module in found and not (os.path.isdir(path) and os.path.isdir(found[module][0])):
                continue  # the first on sys.path is the one, but for the parts of a namespace
            found.setdefault(module, []).append(path)
    for module, paths in found.items():
        root = BESIDE if any(map(asks_where_it_lies, paths)) else MEMORY
        for path in paths:
            for file in files(path):
                if not file.endswith(".pyc"):
                    copy(file, root + SITE + file.removeprefix(os.path.dirname(path)))
    for source, name in want["files"]:
        if name.split("/")[0].endswith((".dist-info", ".egg-info")):
            copy(source, MEMORY + SITE + "/" + name)
    copy(freeze.LAUNCHER, MEMORY + SITE + "/exuvia_launcher.py")


def configure(want):
    with open(archive, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    with open("/run/oxidize/pyoxidizer.bzl", encoding="utf-8") as f:
        text = f.read()
    for key, value in {"ARCHIVE": archive, "SHA256": digest, "MEMORY": MEMORY, "OPTIMIZE": str(want["optimize"])}.items():
        text = text.replace("@" + key + "@", value)
    with open(freeze.WORK + "/pyoxidizer.bzl", "w", encoding="utf-8") as f:
        f.write(text)


def is_resource(file):
    """Whether PyOxidizer knows what a file of an environment is."""
    return ".so" not in os.path.basename(file) or file.endswith(EXTENSIONS)


def beside(want):
    """Puts the modules that are files in their place, as bytecode."""
    for file in files(BESIDE + SITE):
        target = want["dir"] + "/lib" + file.removeprefix(BESIDE + SITE)
        if not file.endswith(".py"):
            copy(file, target)
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        py_compile.compile(
            file, target + "c", target, doraise=True, optimize=want["optimize"], invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )


def collect(want):
    """Puts what was made in its place, with what modules look for by path."""
    made = os.path.join(freeze.WORK, "build", os.uname().machine + "-unknown-linux-gnu", "release", "install")
    shutil.copytree(made, want["dir"], dirs_exist_ok=True)
    os.rename(want["dir"] + "/launcher", want["dir"] + "/" + want["name"])
    beside(want)
    for file in files(MEMORY + SITE):
        if not is_resource(file):
            copy(file, want["dir"] + "/lib" + file.removeprefix(MEMORY + SITE))
    for source, name in want["files"]:
        top = name.split("/")[0]
        if not top.endswith((".dist-info", ".egg-info")) and not os.path.exists(MEMORY + SITE + "/" + top):
            copy(source, want["dir"] + "/lib/" + name)
    for directory, inner, names in os.walk(want["dir"]):
        for name in inner + names:  # which were made for their owner only
            path = os.path.join(directory, name)
            os.chmod(path, 0o755 if os.access(path, os.X_OK) else 0o644)
    freeze.links(want)


want = freeze.read()
sys.path[:] = want["path"] + [freeze.WORK + "/scripts"] + [p for p in sys.path if p != freeze.HERE]
lay_out(want)
configure(want)
for root in (MEMORY, BESIDE):
    os.makedirs(root + SITE, exist_ok=True)
done = subprocess.run([pyoxidizer, freeze.WORK], env={**os.environ, "PYOXIDIZER_CACHE_DIR": freeze.WORK + "/cache"})
if done.returncode:
    sys.exit(done.returncode)
collect(want)
