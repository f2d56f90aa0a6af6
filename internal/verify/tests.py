"""Lets tests run on an image that has nothing of what tests need.

It is found as sitecustomize, and gives way to the one that the app has: give_way() is
from package python. What the image has is taken from the image, also where the
project's directory, in which tests run, has it too. What only tests bring is there for
all, as it is where the project is developed. What the app has and the image lacks is
there for tests alone, and for what came with them: the image's own code is told that
there is no such module, as it would be without tests. (A module that tests have
imported before it does is there for all: to hide that would take frames of ours in
every traceback.)
"""
import os
import sys
import _imp
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader, PathFinder

BESIDE = os.environ["EXUVIA_BESIDE"]  # the unreduced app with what tests need
SOURCES = os.environ["EXUVIA_SOURCES"].split(":")  # directories of the project that are on sys.path; the first has all others
OWN = set(os.environ["EXUVIA_OWN"].split(":"))  # top-level modules of the project
LENT = set(os.environ["EXUVIA_LENT"].split(":"))  # top-level modules that only tests bring, and directories of metadata
MACHINERY = ("importlib", "runpy", "pkgutil", "unittest", "pluggy")  # import for others: what they are told to


def below(file, top):
    return file == top or file.startswith(top + "/")


def is_test(name):
    """Reports whether a module of the project is one of its tests."""
    return any(p in ("test", "tests", "conftest") or p.startswith("test_") or p.endswith(("_test", "_tests")) for p in name.split("."))


def of_image(file):
    """Reports whether code of this file is the image's own."""
    return os.path.isabs(file) and not below(file, BESIDE) and not below(file, SOURCES[0]) and file != __file__


def asked_by_image():
    """Reports whether the import at hand is made by code of the image."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_globals.get("__file__") or frame.f_code.co_filename
        top = frame.f_globals.get("__name__", "").partition(".")[0]
        if os.path.isabs(file) and file != __file__ and top not in MACHINERY:
            return of_image(file)
        frame = frame.f_back
    return False


def spec_beside(name, places):
    spec = PathFinder.find_spec(name, places)
    if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
        spec.loader = Extension(spec.name, spec.origin)
    return spec


class FromImage:
    """Finds the project's own modules in the image, its tests in its directory, and
    modules of packages from beside with their packages."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if any(below(p, BESIDE) for p in path or ()):
            return spec_beside(name, path)
        top = name.partition(".")[0]
        if is_test(name):
            if path is not None and top in OWN:
                parent = name.rpartition(".")[0].replace(".", "/")
                return PathFinder.find_spec(name, [os.path.join(s, parent) for s in SOURCES])
        elif path is None and top in OWN:
            return PathFinder.find_spec(name, image_path)
        return None


class Extension(ExtensionFileLoader):
    """Loads an extension module, and first the libraries of it that the image lacks."""

    def create_module(self, spec):
        while True:
            try:
                return super().create_module(spec)
            except ImportError as e:
                if not load(missing_library(e)):
                    raise


def missing_library(error):
    name, _, what = str(error).partition(": ")
    return name if what.startswith("cannot open shared object file") else None


def load(library):
    """Reports whether a library could be loaded from beside; the loader finds it then by its soname."""
    multiarch = getattr(sys.implementation, "_multiarch", "")
    for directory in ("/usr/lib/" + multiarch, "/usr/lib", "/usr/local/lib", "/lib/" + multiarch):
        file = BESIDE + os.path.join(directory, library or "")
        while library and os.path.exists(file):
            try:
                _imp.create_dynamic(ModuleSpec(library, None, origin=file))
            except ImportError as e:
                needed = missing_library(e)
                if needed is None:
                    return True  # it is loaded, and no module
                if not load(needed):
                    return False
    return False


class FromBeside:
    """Finds what only tests bring, and for all but the image's own code what else the image lacks."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in LENT and asked_by_image():
            return None
        return spec_beside(name, [BESIDE + p for p in (image_path if path is None else path) if not below(p, BESIDE)])

    @staticmethod
    def find_distributions(context):
        from importlib.metadata import MetadataPathFinder

        all_of_it = not asked_by_image()
        have = {d.metadata["Name"] for d in MetadataPathFinder.find_distributions(type(context)(path=image_path))}
        for d in MetadataPathFinder.find_distributions(type(context)(path=[BESIDE + p for p in image_path], name=context.name)):
            if d.metadata["Name"] not in have and (all_of_it or d._path.name in LENT):
                yield d


image_path = [p for p in sys.path if p != os.path.dirname(__file__)]
give_way()
sys.meta_path.insert(0, FromImage)
sys.meta_path.append(FromBeside)
