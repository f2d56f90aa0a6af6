"""Exercises what an importer may get wrong, and prints what it saw as JSON.

Runs in the tree with sources, with loose bytecode and with archives; the three
have to say the same. Values are normalised where sourceless Python differs by
nature (module.pyc for module.py).
"""
import json
import os
import sys

results = {}


def check(f):
    try:
        value = f()
    except BaseException as e:
        value = "%s: %s" % (type(e).__name__, e)
    results[f.__name__] = value


def plain(path):
    return path[:-1] if isinstance(path, str) and path.endswith(".pyc") else path


@check
def attributes():
    import demo
    import demo.sub.deep as deep
    import json.decoder

    return [
        [m.__name__, plain(m.__file__), m.__package__, plain(m.__spec__.origin), m.__spec__.has_location,
         list(getattr(m, "__path__", [])), m.__doc__ and m.__doc__[:20], m.__spec__.parent]
        for m in (demo, deep, json, json.decoder)
    ]


@check
def code_names():
    import demo.sub.deep as deep

    return [deep.where.__code__.co_filename, deep.where.__code__.co_firstlineno]


@check
def data_beside_modules():
    import demo

    return open(os.path.join(os.path.dirname(demo.__file__), "data.txt")).read()


@check
def resources():
    from importlib import resources
    import demo

    files = resources.files(demo)
    return [files.joinpath("data.txt").read_text(), files.joinpath("sub").is_dir(),
            resources.files("demo.sub").joinpath("nothing").is_file(),
            [p.name for p in files.iterdir() if p.name == "data.txt"],
            resources.files("nspkg.a").joinpath("a.txt").read_text()]


@check
def pkgutil_data():
    import pkgutil

    return pkgutil.get_data("demo", "data.txt").decode()


@check
def get_data_missing():
    import demo

    return demo.__loader__.get_data("/nowhere")


@check
def namespace():
    import nspkg
    import nspkg.a
    import nspkg.b
    import nspkg.a.inner

    return [sorted(nspkg.__path__), type(nspkg.__path__).__name__, nspkg.__spec__.origin, nspkg.a.A, nspkg.b.B, nspkg.a.inner.I,
            getattr(nspkg, "__file__", None)]


@check
def extended_path():
    import ext.one
    import ext.two

    return [sorted(ext.__path__), ext.one.N, ext.two.N]


@check
def extension_beats_source():
    import demo._json

    return demo._json.__file__


@check
def walk():
    import pkgutil
    import demo
    import nspkg

    return [
        [[m.name, m.ispkg] for m in pkgutil.iter_modules(demo.__path__, "x.")],
        [[m.name, m.ispkg] for m in pkgutil.walk_packages(nspkg.__path__, "nspkg.")],
        [m.name for m in pkgutil.iter_modules() if m.name in ("json", "this", "demo", "nspkg", "application", "_exuvia_no")],
        sorted(m.name for m in pkgutil.iter_modules(__import__("encodings").__path__))[:5],
    ]


@check
def loaders():
    import demo
    import importlib.machinery as m
    import inspect
    import linecache

    l = demo.__loader__
    return [l.is_package("demo"), plain(l.get_filename("demo")), l.get_code("demo").co_filename,
            l.name, isinstance(l, (m.SourceFileLoader, m.SourcelessFileLoader)),
            isinstance(sys.path_importer_cache[os.path.dirname(demo.__path__[0])], m.FileFinder),
            inspect.getsourcefile(demo.f), hasattr(l, "archive")]


@check
def wrong_name():
    import demo

    return demo.__loader__.get_code("other")


@check
def metadata():
    import importlib.metadata as md

    eps = md.entry_points()
    group = eps.select(group="demo.group") if hasattr(eps, "select") else eps.get("demo.group", ())
    return [md.version("demo"), [e.load().__name__ for e in group], md.packages_distributions()["demo"] if hasattr(md, "packages_distributions") else ["demo"]]


@check
def missing():
    import demo.nothing


@check
def missing_top():
    import nothing_at_all


@check
def raises():
    import traceback

    try:
        import demo.broken
    except ZeroDivisionError as e:
        return [[f.filename, f.lineno, f.name] for f in traceback.extract_tb(e.__traceback__)][1:]


@check
def reload():
    import importlib
    import demo.counter

    before = demo.counter.COUNT
    demo.counter.marker = 1
    importlib.invalidate_caches()
    again = importlib.reload(demo.counter)
    return [before, again.COUNT, again is demo.counter, again.marker]


@check
def find_spec():
    import importlib.util as u

    s = u.find_spec("demo.sub")
    return [s.name, plain(s.origin), s.submodule_search_locations, u.find_spec("demo.none"), u.find_spec("none_at_all")]


@check
def pickles():
    import pickle
    import demo

    return pickle.loads(pickle.dumps(demo.C(3))).n


@check
def python_m():
    import subprocess

    run = lambda *a, **k: subprocess.run([sys.executable, *a], capture_output=True, text=True, **k)
    out = []
    for args in (["-m", "demo", "x"], ["-m", "demo.tool"], ["-m", "json.tool", "--help"], ["-c", "import demo; print(demo.V)"],
                 ["-I", "-c", "import demo; print(demo.V)"], ["-S", "-I", "-E", "-c", "import json, sys; print(json.dumps([1]), sys.flags.isolated)"],
                 ["-O", "-c", "import demo; print(demo.f())"], ["-X", "dev", "-c", "import asyncio; print(1)"], ["-v", "-c", "pass"],
                 ["-m", "demo.missing"], ["-X", "importtime", "-c", "import demo"], ["/app"], ["-m", "nspkg.b"]):
        r = run(*args)
        verbose = args[0] in ("-v", "-X")
        out.append([args, r.returncode, r.stdout, r.stderr.count("Traceback") if verbose else r.stderr.replace(".pyc", ".py")])
    return out


@check
def environments():
    import subprocess

    code = "import sys, json, demo, locale, time; print(sys.stdout.encoding, demo.V, chr(233).encode('cp1252'))"
    out = []
    for env in ({"LC_ALL": "C"}, {"PYTHONDEVMODE": "1"}, {"PYTHONVERBOSE": ""}, {"PYTHONUTF8": "0", "LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "latin-1"},
                {"PYTHONPATH": "/app/lib//"}, {"PYTHONDONTWRITEBYTECODE": ""}, {"PYTHONCASEOK": "1"}, {"PYTHONSAFEPATH": "1"}):
        r = subprocess.run([sys.executable, "-c", code], capture_output=True, env=dict(os.environ, **env))
        out.append([env, r.returncode, r.stdout.decode("latin-1"), r.stderr.decode("latin-1")])
    return out


@check
def zipapp():
    import subprocess
    import zipfile

    with zipfile.ZipFile("/tmp/x.pyz", "w") as z:
        z.writestr("__main__.py", "import zipped, demo; print(zipped.Z, demo.V)")
        z.writestr("zipped.py", "Z = 5")
    r = subprocess.run([sys.executable, "/tmp/x.pyz"], capture_output=True, text=True)
    return [r.stdout, r.stderr]


@check
def links_and_odd_paths():
    import subprocess

    os.symlink("/app/lib", "/tmp/link")
    out = []
    for d in ("/tmp/link", "/tmp/../app/./lib", "/app/lib/", "lib", "/lib64/../app/lib"):
        code = "import sys; sys.path.insert(0, %r); import inlib; print(inlib.__file__.replace('.pyc', '.py'), inlib.f.__code__.co_filename, inlib.f())" % d
        r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/app")
        out.append([d, r.stdout, r.stderr])
    return out


@check
def mounted_over():
    """A file that appears in the image's directory later counts, as it does
    without archives."""
    import importlib

    out = []
    for name, text in (("demo/late.py", "X = 1"), ("demo/sub2/__init__.py", "X = 2"), ("demo/counter.py", "COUNT = 99")):
        path = os.path.join(os.path.dirname(os.path.dirname(sys.modules["demo"].__file__)), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:  # a new file: the old one may be linked elsewhere
            f.write(text)
        os.replace(path + ".new", path)
    importlib.invalidate_caches()
    import demo.late
    import demo.sub2
    import demo.counter

    out = [demo.late.X, demo.sub2.X, importlib.reload(demo.counter).COUNT, demo.counter.__file__]
    os.unlink(os.path.join(os.path.dirname(demo.__file__), "late.py"))
    return out


@check
def closed_descriptors():
    import subprocess

    code = "import os; os.closerange(3, 200); fds = [os.open('/dev/null', os.O_RDONLY) for _ in range(20)]; import demo.sub.deep, xml.dom.minidom; print(demo.V)"
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return [r.stdout, r.stderr]


@check
def threads():
    import subprocess

    code = """
import threading, importlib
names = ['json.tool', 'xml.dom.minidom', 'email.message', 'demo.sub.deep', 'http.client', 'csv', 'demo.tool', 'asyncio', 'logging.config'] * 4
errors = []
def work(n):
    try: importlib.import_module(n)
    except BaseException as e: errors.append(repr(e))
ts = [threading.Thread(target=work, args=(n,)) for n in names]
[t.start() for t in ts]; [t.join() for t in ts]
print(errors)
"""
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return [r.stdout, r.stderr]


@check
def forked():
    pid = os.fork()
    if pid == 0:
        try:
            import demo.afterfork

            os._exit(demo.afterfork.N)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@check
def spawned():
    import subprocess

    r = subprocess.run([sys.executable, "-m", "application.spawn"], capture_output=True, text=True, cwd="/app")
    return [r.stdout, r.stderr]


@check
def pth():
    import demo

    return [demo.PTH, "/app/lib" in sys.path]


@check
def codecs_all():
    import encodings.aliases
    import codecs

    bad = []
    for name in sorted(set(encodings.aliases.aliases.values())):
        try:
            codecs.lookup(name)
        except LookupError:
            bad.append(name)
    return bad


@check
def stdlib_all():
    """Every module of the standard library imports, or fails, the same."""
    import subprocess

    names = "ast asyncio bz2 cmd concurrent.futures ctypes dataclasses decimal email.mime.text fractions glob hashlib html.parser http.server imaplib ipaddress locale logging.handlers lzma mailbox mimetypes numbers optparse pathlib pickle platform plistlib poplib pprint queue random sched secrets selectors shelve shlex shutil sqlite3 ssl statistics string tarfile tempfile textwrap tomllib turtledemo typing unittest urllib.request uuid wave weakref xmlrpc.client zipapp zipfile zoneinfo venv ensurepip curses readline".split()
    code = """
import importlib, sys
for n in sys.argv[1:]:
    try: importlib.import_module(n)
    except ImportError as e: print(n, e)
"""
    r = subprocess.run([sys.executable, "-W", "ignore", "-c", code, *names], capture_output=True, text=True)
    return [r.stdout, r.stderr]


@check
def old_pkg_resources_way():
    """pkg_resources dispatches on the classes of finder and loader."""
    import pkgutil
    import inspect
    import importlib.machinery as m
    import demo

    finder = pkgutil.get_importer(os.path.dirname(demo.__path__[0]))
    return [any(c is m.FileFinder for c in inspect.getmro(type(finder))), finder.path]


json.dump(results, sys.stdout, indent=1)
