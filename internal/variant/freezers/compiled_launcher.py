import os
import sys

import exuvia_main


def chosen():
    """The entry point whose executable was called, by its path or its name."""
    for same in (lambda path: path, os.path.basename):
        for entry in ENTRIES:
            if same(entry["executable"]) == same(sys.argv[0]):
                return entry
    return ENTRIES[0]


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
        exuvia_main.run(entry["module"])
        return
    first, *more = entry["function"].split(".")
    function = getattr(__import__(entry["module"], fromlist=[first]), first)
    for name in more:
        function = getattr(function, name)
    sys.exit(function())


def spawned():
    """Lets multiprocessing's children find the parent's __main__."""
    try:
        import multiprocessing.spawn
    except ImportError:
        return
    multiprocessing.spawn._fixup_main_from_name = exuvia_main.child


as_python()
if __name__ == "__main__":
    run(chosen())
else:
    spawned()
