"""Freezes the app by cx_Freeze. Usage: python -s cx_freeze.py TOOL

TOOL is the directory that has cx_Freeze and what it needs.
"""
import os
import pathlib
import sys

tool = sys.argv[1]
sys.path.insert(1, tool)
os.environ["PATH"] = tool + "/bin:" + os.environ["PATH"]

import cx_Freeze
import cx_Freeze.finder
import cx_Freeze.hooks._ssl_
import cx_Freeze.hooks._zoneinfo_
import packaging.requirements  # noqa: F401

import freeze

want = freeze.read()
only = freeze.search(want, tool)
path = list(sys.path)
sys.path.append(tool)

# The image has certificates and time zones where programs look for them;
# copies would be asked in place of what the user mounts there.
cx_Freeze.hooks._ssl_.Hook.ssl = cx_Freeze.hooks._zoneinfo_.Hook.zoneinfo = lambda *_: None

load = cx_Freeze.finder.ModuleFinder._load_module_code


def load_code(self, module, deferred):
    """Compiles as wanted, but leaves the project its docstrings."""
    before = self.optimize
    self.optimize = min(want["optimize"], 1 if str(module.file) in want["own"] else 2)
    try:
        return load(self, module, deferred)
    finally:
        self.optimize = before


cx_Freeze.finder.ModuleFinder._load_module_code = load_code


class Constants(cx_Freeze.ConstantsModule):
    """The module BUILD_CONSTANTS, without the time, host and directory of this run."""

    def create(self, tmp_path, modules):
        path = pathlib.Path(freeze.WORK, self.module_name + ".py")
        path.write_text("".join(f"{name} = {self.values[name]!r}\n" for name in sorted(self.values)))
        return path


freezer = cx_Freeze.Freezer(
    [cx_Freeze.Executable(freeze.LAUNCHER, target_name=want["name"])],
    constants_module=Constants(),
    excludes=want["excludes"] + only,
    path=path,
    target_dir=want["dir"],
    include_files=[(source, "lib/" + name) for source, name in want["files"]],
    bin_includes=["libpython3*.so*"],  # the image's system has none
    optimize=want["optimize"],
    compress=False,
    silent=2,
)
for name in want["modules"] + sorted(want["scripts"]):
    try:
        freezer.finder.include_module(name)
    except ImportError as e:
        print(f"left out: {name}: {e}", file=sys.stderr)
freezer.freeze()
for directory, _, names in os.walk(want["dir"]):
    for name in names:
        if name.endswith(".pyc"):  # without the time and the size of the source, which is not there
            with open(os.path.join(directory, name), "r+b") as f:
                f.seek(4)
                f.write(bytes(12))
freeze.links(want)
