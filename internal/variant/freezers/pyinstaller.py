"""Freezes the app by PyInstaller. Usage: python -s pyinstaller.py TOOL

TOOL is the directory that has PyInstaller and what it needs.
"""
import os
import sys

tool = sys.argv[1]
sys.path.insert(1, tool)

import altgraph.ObjectGraph  # noqa: F401
import packaging.requirements  # noqa: F401
import PyInstaller.__main__
import PyInstaller.utils.hooks  # noqa: F401

import freeze

freeze.want = freeze.read()
freeze.want["excludes"] += [n for n in freeze.search(freeze.want, tool) if n != "PyInstaller"]
sys.path.append(tool)  # for the processes that hooks are asked in

out = freeze.want["dir"]
PyInstaller.__main__.run([
    "--noconfirm",
    "--log-level=WARN",
    "--workpath=" + freeze.WORK + "/build",
    "--distpath=" + (out if freeze.want["onefile"] else os.path.dirname(out)),
    freeze.HERE + "/pyinstaller.spec",
])
freeze.links(freeze.want)
