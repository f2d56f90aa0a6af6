"""Makes a distribution archive for PyOxidizer of Debian's Python.

PyOxidizer takes a Python only as an archive in the form of the project
python-build-standalone: python/PYTHON.json, version 7, says what is where.
Here it is written for the interpreter that runs this file, from its static
library, its extension modules and its standard library.

    distribution.py ARCHIVE.tar.zst
"""

import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

# Of the standard library these are no part of a Python as it is shipped:
# tests, what builds Python, and what only Debian's system has a use for.
TESTS = ("test", "idlelib.idle_test", "lib2to3.tests", "ctypes.test", "distutils.tests", "sqlite3.test", "tkinter.test", "unittest.test")
SKIPPED_DIRS = {"__pycache__", "lib-dynload", "dist-packages", "site-packages"}
SKIPPED_FILES = {"sitecustomize.py", "EXTERNALLY-MANAGED"}
SKIPPED_EXTENSIONS = re.compile(r"_test|_xxtest|xxlimited|_ctypes_test")

INITTAB = re.compile(r'\{\s*"(\w+)"\s*,\s*(\w+)\s*\}')


def copy_stdlib(source, target):
    """Copies the standard library without links that lead out of it."""
    config = os.path.basename(sysconfig.get_config_var("LIBPL"))
    for where, dirs, files in os.walk(source):
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED_DIRS and d != config)
        here = os.path.join(target, os.path.relpath(where, source))
        os.makedirs(here, exist_ok=True)
        for name in sorted(files):
            path = os.path.join(where, name)
            if name not in SKIPPED_FILES and not name.endswith(".pyc"):
                shutil.copyfile(os.path.realpath(path), os.path.join(here, name))


def copy_includes(target):
    """Copies the headers; Debian keeps pyconfig.h in a directory by platform."""
    shutil.copytree(sysconfig.get_path("include"), target)


def objects(static, build):
    """Unpacks the static library and names its files, relative to python/."""
    where = os.path.join(build, "core")
    os.makedirs(where)
    subprocess.run(["ar", "x", static], cwd=where, check=True)
    return ["build/core/" + name for name in sorted(os.listdir(where))]


def extension(init, in_core, shared=None, links=()):
    return [{
        "in_core": in_core,
        "init_fn": init,
        "links": [{"name": name, "system": True} for name in links],
        "objs": [],
        "required": in_core,
        "shared_lib": shared,
        "variant": "default",
    }]


def extensions(config_c, dynload, build):
    """Describes what is built in, by the table of config.c, and what is not."""
    with open(config_c, encoding="utf-8") as f:
        table = f.read().partition("_PyImport_Inittab[]")[2]
    found = {name: extension(init, True) for name, init in INITTAB.findall(table)}
    where = os.path.join(build, "shared")
    os.makedirs(where)
    for file in sorted(os.listdir(dynload)):
        name, _, rest = file.partition(".")
        if not rest.endswith("so") or SKIPPED_EXTENSIONS.search(name) or name in found:
            continue
        shutil.copyfile(os.path.join(dynload, file), os.path.join(where, file))
        found[name] = extension("PyInit_" + name, False, "build/shared/" + file)
    return found


def libraries():
    """Names the system's libraries that the static one is linked with."""
    flags = " ".join(str(sysconfig.get_config_var(v) or "") for v in ("LIBS", "MODLIBS", "SYSLIBS"))
    return sorted(set(re.findall(r"(?:^|\s)-l(\w+)", flags)))


def describe(objs, exts):
    version = sys.version.split()[0]
    short = sysconfig.get_python_version()
    suffixes = importlib.machinery
    return {
        "version": "7",
        "target_triple": os.uname().machine + "-unknown-linux-gnu",
        "optimizations": "pgo+lto",
        "python_tag": "cp" + short.replace(".", ""),
        "python_abi_tag": "cp" + short.replace(".", ""),
        "python_config_vars": {k: str(v) for k, v in sorted(sysconfig.get_config_vars().items())},
        "python_platform_tag": sysconfig.get_platform(),
        "python_implementation_cache_tag": sys.implementation.cache_tag,
        "python_implementation_hex_version": sys.implementation.hexversion,
        "python_implementation_name": sys.implementation.name,
        "python_implementation_version": [str(v) for v in sys.implementation.version],
        "python_version": version,
        "python_major_minor_version": short,
        "python_paths": {"include": f"install/include/python{short}", "stdlib": f"install/lib/python{short}"},
        "python_paths_abstract": {},
        "python_exe": f"install/bin/python{short}",
        "python_stdlib_test_packages": list(TESTS),
        "python_suffixes": {
            "source": suffixes.SOURCE_SUFFIXES,
            "bytecode": suffixes.BYTECODE_SUFFIXES,
            "debug_bytecode": suffixes.DEBUG_BYTECODE_SUFFIXES,
            "optimized_bytecode": suffixes.OPTIMIZED_BYTECODE_SUFFIXES,
            "extension": suffixes.EXTENSION_SUFFIXES,
        },
        "python_bytecode_magic_number": importlib.util.MAGIC_NUMBER.hex(),
        "python_symbol_visibility": "global-default",
        "python_extension_module_loading": ["builtin", "shared-library"],
        "libpython_link_mode": "static",
        "crt_features": ["glibc-dynamic"],
        "run_tests": "",
        "licenses": ["Python-2.0"],
        "license_path": "licenses/LICENSE.cpython.txt",
        "build_info": {
            "core": {
                "objs": objs,
                "links": [{"name": name, "system": True} for name in libraries()],
            },
            "extensions": exts,
            "inittab_object": "build/core/config.o",
            "inittab_source": "build/config.c",
            "inittab_cflags": ["-DNDEBUG"],
            "object_file_format": "elf",
        },
    }


def make(root):
    short = sysconfig.get_python_version()
    build, install = os.path.join(root, "build"), os.path.join(root, "install")
    config = sysconfig.get_config_var("LIBPL")
    exe = os.path.join(install, "bin", "python" + short)
    os.makedirs(os.path.dirname(exe))
    shutil.copy(os.path.realpath(sys.executable), exe)
    copy_stdlib(sysconfig.get_path("stdlib"), os.path.join(install, "lib", "python" + short))
    copy_includes(os.path.join(install, "include", "python" + short))
    os.makedirs(os.path.join(root, "licenses"))
    shutil.copyfile(f"/usr/share/doc/python{short}/copyright", os.path.join(root, "licenses", "LICENSE.cpython.txt"))

    objs = objects(os.path.join(config, f"libpython{short}-pic.a"), build)
    config_c = os.path.join(config, "config.c")
    shutil.copyfile(config_c, os.path.join(build, "config.c"))
    dynload = os.path.join(sysconfig.get_path("stdlib"), "lib-dynload")
    with open(os.path.join(root, "PYTHON.json"), "w", encoding="utf-8") as f:
        json.dump(describe(objs, extensions(config_c, dynload, build)), f, indent=1, sort_keys=True)


def main():
    archive = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as tmp:
        make(os.path.join(tmp, "python"))
        tar = os.path.join(tmp, "python.tar")
        subprocess.run(["tar", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-C", tmp, "-cf", tar, "python"], check=True)
        subprocess.run(["zstd", "-q", "-1", "-T1", "-f", tar, "-o", archive], check=True)


main()
