"""Asks PyInstaller's hooks what modules need that their sources do not show.

usage: hooks.py TOOL LIMIT OUT
TOOL is the directory that has PyInstaller, LIMIT how many seconds a hook may
take. OUT gets hooks.json, a list of what package knowledge calls a Hook: of
every module of the app's distributions that has one. Each hook runs in a forked
child, so that none can hang or break the others, and imports there what it wants
to look at. Only what hooks say when they are loaded counts: a hook() of theirs
asks PyInstaller's own graph of a program, and there is none.

Runs on Python 3.9 and newer.
"""
import functools
import json
import logging
import os
import sys

import exuvia_forked

TOOL, LIMIT, OUT = sys.argv[1], int(sys.argv[2]), sys.argv[3]

# The tool's own dependencies come first for the tool, and last for all that is
# asked of the app.
sys.path[0] = TOOL
import altgraph.ObjectGraph  # noqa: F401
import packaging.requirements  # noqa: F401
import packaging.version  # noqa: F401
import PyInstaller
import PyInstaller.building.build_main as build_main
import PyInstaller.utils.hooks as utils
from PyInstaller.compat import importlib_metadata
from PyInstaller.config import CONF
from PyInstaller.depend.analysis import HOOK_PRIORITY_BUILTIN_HOOKS
from PyInstaller.depend.imphook import ModuleHookCache

sys.path[:] = [p for p in sys.path if p != TOOL] + [TOOL]


WHOLE = set()  # files of lists of all files of a top-level package


class Whole(str):
    """A module of a list of all modules of a top-level package."""


def marked_files(collect):
    """collect_data_files, which remembers what it gives of a whole package."""

    def collect_data_files(package, include_py_files=False, subdir=None, excludes=None, includes=None):
        found = collect(package, include_py_files, subdir, excludes, includes)
        if include_py_files and not (subdir or excludes or includes or "." in package):
            WHOLE.update(os.path.realpath(source) for source, _ in found)
        return found

    return collect_data_files


def marked_modules(collect):
    """collect_submodules, which marks what it gives of a whole package."""

    def collect_submodules(package, filter=lambda name: True, *args, **kwargs):
        refused = []

        def sift(name):
            good = filter(name)
            if not good:
                refused.append(name)
            return good

        found = collect(package, sift, *args, **kwargs)
        return found if refused or "." in package else [Whole(n) for n in found]

    return collect_submodules


class NoGraph:
    """Stands for the module graph, which nothing asks before hook() does."""


def modules(files):
    """The names of the modules that files of a distribution are."""
    for file in files:
        name = file.name.split(".")[0]
        if file.suffix in (".py", ".so"):
            yield ".".join(file.parts[:-1] if name == "__init__" else file.parts[:-1] + (name,))


def distributions():
    """The modules of the app's distributions, and the hooks that any brings to whom."""
    names, hooks = set(), {}
    for dist in importlib_metadata.distributions():
        files = dist.files or []
        if os.path.realpath(dist.locate_file("")) != os.path.realpath(TOOL):
            names.update(modules(files))
        for file in files:
            if file.name.startswith("hook-"):
                hooks.setdefault(os.path.realpath(dist.locate_file(file)), "%s %s" % (dist.metadata["Name"], dist.version))
    return names, hooks


def ask(hook):
    imports = list(hook.hiddenimports)
    files = {os.path.realpath(source) for _, source in set(hook.datas) | set(hook.binaries)}
    return {
        "imports": sorted({str(n) for n in imports if not isinstance(n, Whole)}),
        "whole": sorted({str(n) for n in imports if isinstance(n, Whole)}),
        "files": sorted(files - WHOLE),
    }


def isolated(task):
    """The task, for a process of its own, as PyInstaller has it."""

    def do():
        sys._pyi_isolated_subprocess = True  # it is: PyInstaller need not start another one
        try:
            return task()
        except BaseException as e:
            cause = e.__cause__ or e.__context__ or e
            return {"error": ("%s: %s" % (type(cause).__name__, cause))[:500]}

    return do


def run(tasks):
    """What each of the tasks gives, each done in a process of its own."""
    return exuvia_forked.run({name: isolated(task) for name, task in tasks.items()}, os.cpu_count() or 1, LIMIT, OUT)


def main():
    logging.disable(logging.CRITICAL)
    CONF.update(pathex=[], main_script="/main.py", workpath=OUT)
    utils.collect_submodules = marked_modules(utils.collect_submodules)
    utils.collect_data_files = marked_files(utils.collect_data_files)
    dirs = [(os.path.join(os.path.dirname(PyInstaller.__file__), "hooks"), HOOK_PRIORITY_BUILTIN_HOOKS)]
    found = run({"": build_main.discover_hook_directories})[""]
    if "error" in found:
        sys.exit("looking for hooks: " + found["error"])
    dirs += [(d, priority) for d, priority in found if os.path.isdir(d)]
    graph = NoGraph()
    cache = ModuleHookCache(graph, dirs)
    names, brought = distributions()
    hooks = {name: cache[name] for name in sorted(names) if name in cache}
    out = []
    for name, answer in sorted(run({name: functools.partial(ask, hook) for name, hook in hooks.items()}).items()):
        source = brought.get(os.path.realpath(hooks[name].hook_filename), "")
        out.append({"module": name, "source": source, **answer})
    with open(os.path.join(OUT, "hooks.json"), "w", encoding="ascii") as f:
        json.dump(out, f)


main()
