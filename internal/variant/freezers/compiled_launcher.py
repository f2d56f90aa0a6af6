import os
import sys

import exuvia_main


# Nuitka sets __compiled__, and has in sys.argv[0] where links lead;
# compile_cython.py makes it None.
by_nuitka = __compiled__ is not None
called = __compiled__.original_argv0 if by_nuitka else sys.argv[0]


def chosen():
    """The entry point whose executable was called, by its path or its name."""
    for same in (lambda path: path, os.path.basename):
        for entry in ENTRIES:
            if same(entry["executable"]) == same(called):
                return entry
    return ENTRIES[0]


def run_module(name):
    """Runs a module in __main__, whether it is compiled or bytecode."""
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import find_spec

    if by_nuitka or isinstance(find_spec(name).loader, ExtensionFileLoader):
        exuvia_main.run(name)
    else:
        import runpy

        runpy._run_module_as_main(name, alter_argv=False)


def as_python():
    """Does what python does at its start and a program without site does not."""
    import builtins

    if not hasattr(builtins, "exit"):
        import site

        site.setquit()
        site.setcopyright()
        site.sethelper()
        sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(":"))


def run(entry):
    """Runs it in __main__, and exits as it does."""
    sys.argv[0] = entry["argv0"]
    sys.path[:0] = entry["path"]
    if entry["kind"] != "function":
        run_module(entry["module"])
        return
    first, *more = entry["function"].split(".")
    function = getattr(__import__(entry["module"], fromlist=[first]), first)
    for name in more:
        function = getattr(function, name)
    sys.exit(function())


def for_multiprocessing():
    """Gives what multiprocessing has its processes run, as python -c would.

    It calls the executable as if that were python. The processes find the
    parent's __main__ in what was compiled.
    """
    for i, arg in enumerate(sys.argv[1:-1], 1):
        if arg == "-c" and sys.argv[i + 1].startswith("from multiprocessing."):
            code = sys.argv[i + 1]
            sys.argv = sys.argv[i:i + 1] + sys.argv[i + 2:]
            return code
        if not arg.startswith("-"):
            break
    return None


entry = chosen()
sys.executable = entry["executable"]
as_python()
code = for_multiprocessing()
if code:
    import multiprocessing.spawn

    multiprocessing.spawn._fixup_main_from_name = exuvia_main.child
    exec(code, {"__name__": "__main__"})
else:
    run(entry)
