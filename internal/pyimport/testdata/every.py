"""a.docstring names no module"""
from __future__ import annotations

import os, sys
import sys as _sys
import typing as t
from importlib import import_module
from typing import TYPE_CHECKING
from . import sibling
from ..up import name as other

if TYPE_CHECKING:
    import only_types
if t.TYPE_CHECKING:
    import only_types_too
if TYPE_CHECKING or not sys.flags.optimize:
    import eager
if sys.platform == "win32":
    import winonly
elif os.name == "posix":
    import posixonly
else:
    import neither
if _sys.version_info >= (3, 0) and not _sys.version_info[0] < 3:
    import modern
else:
    import ancient
WIN = sys.platform.startswith("win")
if WIN:
    import winonly_by_name
FLAG = False
try:
    import maybe
    FLAG = True
except ImportError:
    import instead
if FLAG:
    import when_flag
try:
    import not_optional
except ValueError:
    pass


def function(x: "type.only", *, d="default.value"):
    import inside
    if sys.platform != "win32":
        return import_module("called")
    import never_reached


class C(object):
    import in_class
    pattern = f"backends._{os}"
    percent = "percent.%s" % os
    added = "added." + os.name
    formatted = "formatted.{}.x".format(os)
    own = f"{__name__}.own"


import_module("." + os.name, package=__name__)
__import__("dynamic" + os.name)
__import__("region_%s" % os.name, globals(), locals(), level=1)
importlib.metadata.version("some-dist")
pkgutil.walk_packages(C.__path__)
files("package.with.data")
for plugin in entry_points(group="some_group"):
    pass
manager.load_setuptools_entrypoints("plug")
ExtensionManager(namespace="plug.ins")
with contextlib.suppress(ImportError):
    import suppressed
LISTED = ["listed_app", "a-b"]
LISTED += ("added_app",)
unlisted = ["no_app"]
__all__ = ["exported"] + ["too"]
where = os.path.dirname(__file__)
if __name__ == "__main__":
    import main_only
    raise SystemExit
import after_main
if sys.version_info < (3,):
    raise ImportError
sys.exit()
import dead
