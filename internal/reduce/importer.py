"""Imports the modules that exuvia has put into archives.

Lies beside the standard library as _exuvia and is imported first by the
package encodings, which every interpreter loads before anything else. The
archives hold bytecode only; files that are on disk in the same directories
(extension modules, data, what was mounted over the image) are found as
always, and come before archived modules where Python's own order says so.

A module's __file__ is that of its source, as it was before it was archived,
and so is the file name in its code.
"""
import marshal
import posix
import sys

import _frozen_importlib
import _frozen_importlib_external as _external
import _imp

_DIR = b"/usr/lib/exuvia/"
_NAMES = (b"system.pya", b"dependencies.pya", b"app.pya")
_HEAD = 28  # bytes before the index

_FLAGS = posix.O_RDONLY | posix.O_CLOEXEC

# As FileFinder looks for files: extension modules, sources, bytecode.
_LOADERS = (
    (_external.ExtensionFileLoader, _imp.extension_suffixes()),
    (_external.SourceFileLoader, _external.SOURCE_SUFFIXES),
    (_external.SourcelessFileLoader, _external.BYTECODE_SUFFIXES),
)
_SUFFIXES = tuple(suffix for _, suffixes in _LOADERS for suffix in suffixes)
_INITS = frozenset("__init__" + suffix for suffix in _SUFFIXES)


class _Archive:
    """A file of deflated modules, each on its own, and an index of them.

    No descriptor stays open: programs close those that they do not know.
    """

    def __init__(self, path):
        self.path = path
        fd = posix.open(path, _FLAGS)
        try:
            head = posix.pread(fd, 1 << 16, 0)
            size = int.from_bytes(head[20:24], "little")
            if len(head) < _HEAD + size:
                head = posix.pread(fd, _HEAD + size, 0)
        finally:
            posix.close(fd)
        if head[:8] != b"\x93exuvia\n" or head[12:16] != b"\3\0\0\0":
            raise ImportError("%s is no archive of exuvia's that this importer can read" % path.decode())
        if head[8:12] != _external.MAGIC_NUMBER:
            raise ImportError(
                "the modules in %s were compiled for another Python (bytecode magic %s, not %s)"
                % (path.decode(), head[8:12].hex(), _external.MAGIC_NUMBER.hex())
            )
        if head[16] & 1:  # deflated, without the checksums of zlib, as .pyc files have none
            from zlib import decompress

            self.decompress = decompress
        else:
            self.decompress = None
        self.base = _HEAD + size
        index = head[_HEAD : self.base]
        if self.decompress:
            index = self.decompress(index, -15, int.from_bytes(head[24:28], "little"))
        self.dirs = marshal.loads(index)  # directory: {module: (offset, size, size unpacked)}

    def read(self, at, size, unpacked):
        fd = posix.open(self.path, _FLAGS)
        try:
            data = posix.pread(fd, size, self.base + at)
        finally:
            posix.close(fd)
        if len(data) != size:
            raise EOFError("%s ends early" % self.path.decode())
        if size == unpacked:  # stored: deflate would not have saved enough
            return data
        return self.decompress(data, -15, unpacked)


_archives = []


def _known(directory):
    for archive in _archives:
        if directory in archive.dirs:
            return True
    return False


def _member(directory, name):
    for archive in _archives:
        place = archive.dirs.get(directory, _NOTHING).get(name)
        if place is not None:
            return archive, place
    return None


_NOTHING = {}


def _real(path):
    """The path without links, as the archives have it."""
    if not path.startswith("/"):
        path = posix.getcwd() + "/" + path
    todo = path.split("/")[::-1]
    real = ""
    links = 0
    while todo:
        part = todo.pop()
        if part == "" or part == ".":
            continue
        if part == "..":
            real = real.rpartition("/")[0]
            continue
        try:
            target = posix.readlink(real + "/" + part)
        except (OSError, ValueError):
            real += "/" + part
            continue
        links += 1
        if links > 40:
            return path
        if target.startswith("/"):
            real = ""
        todo.extend(target.split("/")[::-1])
    return real


class ArchiveLoader(_external.SourcelessFileLoader):
    """Loads one module from an archive; data files are read from the disk."""

    def __init__(self, fullname, path, member):
        super().__init__(fullname, path)
        self._member = member

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        archive, place = self._member
        code = marshal.loads(archive.read(*place))
        _imp._fix_co_filename(code, path)  # differs where the path leads through a link
        return code


class _PkgutilLoader(ArchiveLoader):
    """Loads pkgutil and tells it how to list archived modules."""

    def exec_module(self, module):
        super().exec_module(module)
        listing = module.iter_importer_modules
        on_disk = listing.dispatch(_external.FileFinder)

        def iter_modules(finder, prefix=""):
            found = dict(on_disk(finder, ""))
            for name, is_package in finder._archived():
                found[name] = is_package or found.get(name, False)
            for name in sorted(found):
                yield prefix + name, found[name]

        listing.register(ArchiveFinder, iter_modules)


class ArchiveFinder(_external.FileFinder):
    """Finds modules in one directory, on the disk and in the archives."""

    def __init__(self, path, real):
        super().__init__(path, *_LOADERS)
        self._prefix = self.path.rstrip("/") + "/"
        self._real = real
        self._stamp = None
        self._names = ()

    def invalidate_caches(self):
        super().invalidate_caches()
        self._stamp = None

    def _on_disk(self):
        """Names in the directory, as fresh as FileFinder's."""
        try:
            stamp = posix.stat(self.path).st_mtime
        except OSError:
            stamp = -1
        if stamp != self._stamp:
            try:
                self._names = frozenset(posix.listdir(self.path))
            except (FileNotFoundError, PermissionError, NotADirectoryError):
                self._names = frozenset()
            self._stamp = stamp
        return self._names

    def _archived(self):
        """Pairs of a module's name and whether it is a package."""
        inside = self._real + "/"
        for archive in _archives:
            for name in archive.dirs.get(self._real, ()):
                if name != "__init__":
                    yield name, False
            for directory, members in archive.dirs.items():
                if "__init__" in members and directory.startswith(inside):
                    name = directory[len(inside) :]
                    if "/" not in name:
                        yield name, True

    def find_spec(self, fullname, target=None):
        tail = fullname.rpartition(".")[2]
        names = self._on_disk()
        inner = self._real + "/" + tail
        member = _member(inner, "__init__")
        if member is not None:
            if tail in names and not _INITS.isdisjoint(_finder(self._prefix + tail, inner)._on_disk()):
                return super().find_spec(fullname, target)
            return self._spec(fullname, self._prefix + tail + "/__init__.py", member, [self._prefix + tail])
        member = _member(self._real, tail)
        if tail in names or _has_module(names, tail):
            spec = super().find_spec(fullname, target)
            if spec is not None and (spec.loader is not None or member is None):
                return spec
        if member is not None:
            return self._spec(fullname, self._prefix + tail + ".py", member, None)
        if _known(inner):  # part of a namespace package
            spec = _frozen_importlib.ModuleSpec(fullname, None)
            spec.submodule_search_locations = [self._prefix + tail]
            return spec
        return None

    def _spec(self, fullname, path, member, locations):
        loader = _PkgutilLoader if fullname == "pkgutil" else ArchiveLoader
        return _external.spec_from_file_location(
            fullname, path, loader=loader(fullname, path, member), submodule_search_locations=locations
        )


def _has_module(names, tail):
    for suffix in _SUFFIXES:
        if tail + suffix in names:
            return True
    return False


def _finder(path, real):
    """The finder that PathFinder will ask for this directory."""
    finder = sys.path_importer_cache.get(path)
    if not isinstance(finder, ArchiveFinder):
        finder = ArchiveFinder(path, real)
        sys.path_importer_cache[path] = finder
    return finder


def _hook(path):
    """For sys.path_hooks: a finder for directories that an archive has modules of."""
    if isinstance(path, str):
        if _known(path):
            return ArchiveFinder(path, path)
        real = _real(path)
        if _known(real):
            return ArchiveFinder(path, real)
    raise ImportError("not a directory with archived modules", path=path)


def _install():
    for name in _NAMES:
        try:
            _archives.append(_Archive(_DIR + name))
        except FileNotFoundError:
            continue
    if _archives:
        sys.path_hooks.insert(0, _hook)
        sys.path_importer_cache.clear()


_install()
