import builtins
import os
import sys

# multiprocessing calls the executable for processes of its own.
if "--multiprocessing-fork" in sys.argv or "-c" in sys.argv:
    import multiprocessing.spawn

    multiprocessing.freeze_support()


def chosen():
    """The entry point whose executable was called, by its path or its name."""
    for same in (lambda path: path, os.path.basename):
        for entry in ENTRIES:
            if same(entry["executable"]) == same(sys.argv[0]):
                return entry
    return ENTRIES[0]


def as_python():
    """Does what python does at its start and a frozen program does not."""
    if not hasattr(builtins, "exit"):
        import site

        site.setquit()
        site.setcopyright()
        site.sethelper()
    # PyInstaller takes it away; what has "" in sys.path gives its children this.
    process = sys.modules.get("multiprocessing.process")
    if process and process.ORIGINAL_DIR is None:
        process.ORIGINAL_DIR = os.getcwd()
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(":"))
    if os.environ.get("PYTHONUNBUFFERED"):
        import io

        for name in ("stdout", "stderr"):
            old = getattr(sys, name)
            if old is not None:
                raw = open(old.fileno(), "wb", 0, closefd=False)
                setattr(sys, name, io.TextIOWrapper(raw, old.encoding, old.errors, write_through=True))


def as_first_process():
    """Has the signals ignored that the first process of a container ignores.

    That is the parent here: the one that unpacked the executable, and waits. A
    handler, unlike SIG_IGN, is not passed on to programs.
    """
    import signal

    def ignore(number, frame):
        pass

    # A signal to a child that has not yet forgotten waits until it has.
    def hold():
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ignored))

    def release():
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def forget():
        for number in ignored:
            if signal.getsignal(number) is ignore:
                signal.signal(number, signal.SIG_DFL)
        release()

    masks = []
    ignored = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in ignored:
        signal.signal(number, ignore)
    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=forget)


def run(entry):
    """Runs it in __main__, and exits as it does."""
    sys.argv[0] = entry["argv0"]
    sys.path[:0] = entry["path"]
    names = sys.modules["__main__"].__dict__
    if entry["kind"] == "module":
        import runpy

        runpy._run_module_as_main(entry["module"], alter_argv=False)
        return
    names["__spec__"] = None
    if entry["kind"] == "function":
        first, *more = entry["function"].split(".")
        function = getattr(__import__(entry["module"], fromlist=[first]), first)
        for name in more:
            function = getattr(function, name)
        sys.exit(function())
    from importlib.util import find_spec

    exec(find_spec(entry["module"]).loader.get_code(entry["module"]), names)


as_python()
if ONE_FILE and os.getppid() == 1:
    as_first_process()
run(chosen())
