"""Prints what exuvia has to know of the interpreter that runs it, as JSON.

Runs on every CPython from 3.9 on. Usage: python -s describe.py OUTPUT
"""
import json
import os
import site
import subprocess
import sys
import sysconfig


def install_paths():
    """Where installers put purelib and scripts: what pip and uv do.

    They ask sysconfig for its preferred prefix scheme from 3.10 on, and
    distutils before, which Debian patches; a distributor may turn that round.
    """
    modern = sys.version_info >= (3, 10)
    if not getattr(sysconfig, "_PIP_USE_SYSCONFIG", modern):
        try:
            from distutils.dist import Distribution

            command = Distribution({}).get_command_obj("install", create=True)
            command.finalize_options()
            return command.install_purelib, command.install_scripts
        except ImportError:  # Debian has distutils in a package of its own
            pass
    if modern:
        scheme = sysconfig.get_preferred_scheme("prefix")
    elif "posix_local" in sysconfig.get_scheme_names():
        scheme = "posix_local"  # what Debian's distutils would say
    else:
        scheme = "posix_prefix"
    paths = sysconfig.get_paths(scheme=scheme)
    return paths["purelib"], paths["scripts"]


def frozen():
    """Modules that import from the interpreter itself, tests of freezing left out."""
    import _imp
    from importlib.machinery import FrozenImporter

    if hasattr(_imp, "_frozen_module_names"):
        names = _imp._frozen_module_names()
    else:
        names = ["_frozen_importlib", "_frozen_importlib_external", "zipimport"]
    return sorted(
        name
        for name in names
        if "hello" not in name and FrozenImporter.find_spec(name) is not None
    )


def initial():
    code = "import sys; print(*sorted(sys.modules))"
    return subprocess.check_output([sys.executable, "-s", "-c", code]).decode().split()


def search_path(here, purelib):
    """The directories of sys.path that exist, and purelib where it will be."""
    path = [os.path.abspath(p) for p in sys.path if p and os.path.isdir(p)]
    path = [p for p in path if p != here]
    if purelib not in path:
        sites = site.getsitepackages()
        later = sites[sites.index(purelib) + 1 :] if purelib in sites else []
        path.insert(min([path.index(p) for p in later if p in path], default=len(path)), purelib)
    return path


def describe():
    here = os.path.dirname(os.path.abspath(__file__))
    purelib, scripts = install_paths()
    from importlib.machinery import EXTENSION_SUFFIXES
    from importlib.util import MAGIC_NUMBER

    info = sys.version_info
    full = "%d.%d.%d" % info[:3]
    if info.releaselevel != "final":
        full += {"alpha": "a", "beta": "b", "candidate": "rc"}[info.releaselevel] + str(info.serial)
    return {
        "implementation": sys.implementation.name,
        "version": "%d.%d" % info[:2],
        "full": full,
        "cacheTag": sys.implementation.cache_tag,
        "platform": sysconfig.get_platform(),
        "magic": MAGIC_NUMBER.hex(),
        "stdlib": sysconfig.get_path("stdlib"),
        "dynLoad": os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload"),
        "site": purelib,
        "scripts": scripts,
        "path": search_path(here, purelib),
        "builtin": sorted(sys.builtin_module_names),
        "frozen": frozen(),
        "suffixes": EXTENSION_SUFFIXES,
        "initial": initial(),
    }


with open(sys.argv[1], "w") as out:
    json.dump(describe(), out, sort_keys=True)
