"""Compiles the app by Cython. Usage: python -s compile_cython.py TOOL

TOOL is the directory that has Cython. Modules become extension modules beside
their sources, of which they take the place; the launcher becomes a program
that has the interpreter as a library beside it.
"""
import concurrent.futures
import glob
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig

import compiling
import freeze

tool = sys.argv[1]
want = freeze.read()
settings = compiling.read()
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
GCC = ["gcc", "-O2", "-g0", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-DNDEBUG", "-w", "-I" + sysconfig.get_path("include"), "-I" + sysconfig.get_path("platinclude")]
ENV = dict(os.environ, PYTHONPATH=":".join(want["path"] + [freeze.WORK + "/scripts", tool]))


class Failed(Exception):
    """A compiler did not take a module; its message is what it said."""


def call(command):
    done = subprocess.run(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode != 0:
        raise Failed(compiling.why(done) or done.stdout)


def translate(name, source, *flags):
    """Makes C of a module; gives the C file."""
    c = "%s/c/%s.c" % (freeze.WORK, name)
    # Signatures and annotations stay what they are to whoever inspects them.
    options = ["binding=True", "annotation_typing=False", "language_level=3"]
    command = [sys.executable, "-s", "-m", "cython", "--module-name", name, "-o", c]
    for o in options:
        command += ["-X", o]
    call(command + list(flags) + [source])
    return c


def compiled(name, source, to):
    """Makes an extension module of a source."""
    if name in settings["mains"]:
        with open(source, encoding="utf-8-sig") as f:
            text = compiling.as_main(f.read())
        source = "%s/mains/%s.py" % (freeze.WORK, name)
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    call(GCC + ["-shared", "-o", to, translate(name, source)])
    return to


def module(name):
    """Compiles a module of the app, or leaves it bytecode where that may be.

    The project's own are compiled; one that cannot be is an error. Of a
    dependency some read their own source or do what only bytecode does.
    """
    source = settings["sources"][name]
    stem = source[: -len(".py")]
    try:
        made = compiled(name, source, stem + SUFFIX)
        if name not in settings["own"]:
            call([sys.executable, "-s", "-c", "import sys; sys.path.remove(sys.argv[2]); __import__(sys.argv[1])", name, tool])
    except Failed as e:
        if name in settings["own"]:
            sys.exit("%s: %s" % (source, e))
        if os.path.exists(stem + SUFFIX):
            os.remove(made)
        py_compile.compile(source, stem + ".pyc", source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def library():
    """Copies the interpreter as a library beside the program; gives its name."""
    name = sysconfig.get_config_var("INSTSONAME")
    for d in [sysconfig.get_config_var("LIBDIR")] + glob.glob("/usr/lib/*-linux-gnu"):
        if ".so" in name and os.path.exists(os.path.join(d, name)):
            shutil.copy(os.path.join(d, name), want["dir"])
            return name
    sys.exit("this Python has no %s, which a program that embeds it needs" % name)


def program():
    """Makes the executable."""
    launcher = freeze.WORK + "/exuvia_launcher.py"
    with open(freeze.LAUNCHER, encoding="utf-8") as f:
        text = f.read()
    with open(launcher, "w", encoding="utf-8") as f:
        f.write("import sys\n\nsys.path.append(%r)\n__compiled__ = None\n" % want["dir"] + text)
    c = translate("exuvia_launcher", launcher, "--embed")
    libs = sysconfig.get_config_var("LIBS").split() + sysconfig.get_config_var("SYSLIBS").split()
    call(GCC + ["-o", want["dir"] + "/" + want["name"], c, want["dir"] + "/" + library(), "-Wl,-rpath,$ORIGIN", "-Wl,--as-needed"] + libs)


for d in ("c", "mains"):
    os.makedirs(freeze.WORK + "/" + d)
os.makedirs(want["dir"], exist_ok=True)
with concurrent.futures.ThreadPoolExecutor(compiling.jobs()) as pool:
    work = [pool.submit(module, name) for name in sorted(settings["sources"])]
    for name in sorted(want["scripts"]):
        work.append(pool.submit(compiled, name, "%s/scripts/%s.py" % (freeze.WORK, name), want["dir"] + "/" + name + SUFFIX))
    work.append(pool.submit(compiled, "exuvia_main", freeze.HERE + "/exuvia_main.py", want["dir"] + "/exuvia_main" + SUFFIX))
    work.append(pool.submit(program))
    for w in work:
        try:
            w.result()
        except Failed as e:
            sys.exit(str(e))
freeze.links(want)
