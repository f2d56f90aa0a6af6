"""Prints what any Python process may lean on, for exuvia to compare.

Runs on Python 3.9 and newer, in the app and in the image. It imports nothing
that the image may do without, except to look at that very thing; so it writes
lines of its own form: group, item, status and value, split by tabs. Standard
input has the names of the distributions whose metadata is there.
"""
import os
import sys

MARK = "exuvia:contract:begin"
lines = []


class Absent(Exception):
    pass


def module(name):
    """Imports a module that an image may do without."""
    try:
        __import__(name)
    except ModuleNotFoundError as e:
        if e.name and (name == e.name or name.startswith(e.name + ".")):
            raise Absent from None
        raise
    return sys.modules[name]


def say(group, item, ask):
    try:
        status, value = "ok", ask()
    except Absent:
        status, value = "absent", ""
    except BaseException as e:
        status, value = "error", "%s: %s" % (type(e).__name__, e)
    if not isinstance(value, str):
        value = repr(value)
    lines.append("\t".join([group, item, status, ascii(value[:2000])[1:-1]]))


def start(args, env):
    """Starts this interpreter; collect() gives what it did."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(w, 1)
            os.dup2(w, 2)
            os.execve(sys.executable, [sys.executable] + args, dict(os.environ, **env))
        finally:
            os._exit(127)
    os.close(w)
    return pid, r


def collect(pid, r):
    out = b""
    while len(out) < 65536:
        part = os.read(r, 65536)
        if not part:
            break
        out += part
    os.close(r)
    code = os.waitpid(pid, 0)[1]
    return "%d %s" % (code, out.decode("utf-8", "replace"))


LOCALE = "import sys, _locale; print(_locale.setlocale(_locale.LC_ALL, ''), sys.getfilesystemencoding(), sys.stdout.encoding)"
STARTS = [
    ("LC_ALL=C", ["-c", LOCALE], {"LC_ALL": "C"}),
    ("LC_ALL=POSIX", ["-c", LOCALE], {"LC_ALL": "POSIX"}),
    ("LC_ALL=C.UTF-8", ["-c", LOCALE], {"LC_ALL": "C.UTF-8"}),
    ("PYTHONDEVMODE=1", ["-c", "pass"], {"PYTHONDEVMODE": "1"}),
    ("-X utf8 -I", ["-X", "utf8", "-I", "-c", "import sys; print(sys.flags.utf8_mode, sys.flags.isolated)"], {}),
    ("-m", ["-m", "encodings.punycode"], {}),
]


def starts():
    for i in range(0, len(STARTS), 2):  # two at a time, as many as exuvia counts on cores
        some = [(name, start(args, env)) for name, args, env in STARTS[i:i + 2]]
        for name, started in some:
            say("starts", name, lambda: collect(*started))


def interpreter():
    say("interpreter", "version", lambda: sys.version)
    say("interpreter", "executable", lambda: sys.executable)
    say("interpreter", "prefix", lambda: sys.prefix)
    say("interpreter", "flags", lambda: sys.flags)
    say("interpreter", "filesystem encoding", sys.getfilesystemencoding)
    say("interpreter", "cpu count", os.cpu_count)
    say("interpreter", "directory", os.getcwd)


def codecs():
    import encodings.aliases

    names = set(encodings.aliases.aliases.values())
    names |= {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "utf_8_sig", "utf_32", "charmap", "palmos"}
    for name in sorted(names):
        say("codecs", name, lambda: __import__("_codecs").lookup(name).name)
    say("codecs", "idna of a name", lambda: "b\xfccher.example".encode("idna"))


def times():
    import time

    say("time", "strptime", lambda: tuple(time.strptime("29 Feb 2024", "%d %b %Y")))
    before = os.environ.get("TZ")
    for zone in ("America/New_York", "Europe/Berlin", "Asia/Kolkata"):
        os.environ["TZ"] = zone
        say("time", "TZ=" + zone, lambda: (time.tzset(), time.tzname, time.localtime(0)[:6])[1:])
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()
    say("time", "zoneinfo", lambda: str(module("zoneinfo").ZoneInfo("Asia/Kolkata")))


def names():
    say("names", "localhost", lambda: sorted({(a[0], a[4][0]) for a in module("_socket").getaddrinfo("localhost", 80)}))
    say("names", "service http", lambda: module("_socket").getservbyname("http"))
    say("names", "user", lambda: tuple(__import__("pwd").getpwuid(os.getuid())))
    say("names", "group", lambda: tuple(module("grp").getgrgid(os.getgid()))[:3])
    say("names", "home", lambda: os.path.expanduser("~"))


def system():
    def temp():
        f = module("tempfile").NamedTemporaryFile()
        f.write(b"x")
        return os.path.dirname(f.name)

    def authorities():
        return len(module("ssl").create_default_context().get_ca_certs())

    def release():
        with open("/etc/os-release", encoding="utf-8") as f:
            return f.read()

    say("system", "temporary file", temp)
    say("system", "/tmp", lambda: "%o" % os.stat("/tmp").st_mode)
    say("system", "random", lambda: len(os.urandom(8)))
    say("system", "CA certificates", authorities)
    say("system", "hashes", lambda: sorted(module("hashlib").algorithms_available))
    say("system", "os-release", release)


def metadata():
    for name in sys.stdin.read().split():
        say("metadata", name, lambda: module("importlib.metadata").version(name))


def main():
    interpreter()
    codecs()
    times()
    names()
    system()
    metadata()
    starts()
    sys.stdout.write(MARK + "\n" + "\n".join(lines) + "\n")


main()
