"""Compiles the app by Nuitka. Usage: python -s compile_nuitka.py TOOL

TOOL is the directory that has Nuitka and what it needs.
"""
import os
import shutil
import sys

import compiling
import freeze

tool = sys.argv[1]
want = freeze.read()
path = want["path"] + [freeze.WORK + "/scripts", tool]
flags = []
if want["onefile"]:
    flags.append("--onefile-tempdir-spec={TEMP}/onefile_{PID}_{TIME_US}_{RANDOM}")
if want["optimize"] > 0:
    flags.append("--python-flag=no_asserts")
if want["optimize"] > 1:
    flags.append("--python-flag=no_docstrings")
os.makedirs(freeze.WORK + "/main")
main = freeze.WORK + "/main/exuvia_launcher.py"
PROGRAM = "exuvia.bin"  # no package has its name, of which there is a directory beside it
shutil.copyfile(freeze.LAUNCHER, main)
shutil.copy(freeze.HERE + "/exuvia_main.py", freeze.WORK + "/main")
compiling.run(
    [
        sys.executable, "-s", "-m", "nuitka",
        "--mode=" + ("onefile" if want["onefile"] else "standalone"),
        "--user-plugin=" + freeze.HERE + "/nuitka_plugin.py",
        # It leaves modules out, and makes others of them.
        "--disable-plugins=anti-bloat",
        # Its processes are told their work in another way than Python's own.
        "--disable-plugins=multiprocessing",
        "--deployment",
        "--assume-yes-for-downloads",
        "--no-progressbar",
        "--lto=no",
        "--jobs=%d" % compiling.jobs(),
        "--output-dir=" + freeze.WORK + "/out",
        "--output-filename=" + PROGRAM,
    ]
    + flags
    + ["--noinclude-dlls=" + name for name in want["libraries"] if not name.startswith("libpython")]
    + [main],
    env=dict(os.environ, PYTHONPATH=":".join(path), NUITKA_CACHE_DIR=freeze.WORK + "/cache"),
    cwd=freeze.WORK,
)
os.makedirs(want["dir"], exist_ok=True)
program = want["dir"] + "/" + want["name"]
if want["onefile"]:
    shutil.copy2(freeze.WORK + "/out/" + PROGRAM, program)
else:
    shutil.copytree(freeze.WORK + "/out/exuvia_launcher.dist", want["dir"] + "/dist", symlinks=True)
    os.symlink("dist/" + PROGRAM, program)
freeze.links(want)
