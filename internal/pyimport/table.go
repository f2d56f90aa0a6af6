package pyimport

import "strings"

// developer are modules that the standard library imports for people at a
// terminal, or for its own tests, and that no program needs unless it imports
// them itself. An edge from the standard library to one of them, or to a
// module in it, is cut, unless it is of another that is in and imports it
// whenever it is imported; the reason is what `exuvia why --not` says.
var developer = map[string]string{
	"_pyrepl":          "the interactive prompt; only a terminal starts it",
	"antigravity":      "opens a web page",
	"bdb":              "the base of debuggers",
	"code":             "an interactive prompt inside a program",
	"distutils":        "builds packages; nothing is built in the image",
	"doctest":          "runs the examples in docstrings; modules call it when run as scripts",
	"ensurepip":        "installs pip",
	"idlelib":          "an editor",
	"lib2to3":          "translates Python 2",
	"pdb":              "a debugger; only breakpoint() and a developer start it",
	"profile":          "measures programs",
	"cProfile":         "measures programs",
	"pstats":           "prints what was measured",
	"pydoc":            "prints documentation; only help() starts it",
	"pydoc_data":       "texts of help()",
	"readline":         "edits lines of the interactive prompt",
	"rlcompleter":      "completes names at the interactive prompt",
	"tabnanny":         "checks indentation",
	"test":             "the interpreter's own tests",
	"this":             "a poem",
	"tkinter":          "windows; there is no display",
	"trace":            "traces programs",
	"turtle":           "draws in a window",
	"turtledemo":       "draws in a window",
	"unittest":         "runs tests",
	"venv":             "makes virtual environments",
	"_testcapi":        "the interpreter's own tests",
	"_testbuffer":      "the interpreter's own tests",
	"asyncio.__main__": "the interactive prompt of asyncio",
}

// edge is an import of one module by another.
type edge struct{ from, to string }

// selfTests are single imports of the standard library that only its own
// self-tests, command lines or platform probes run.
var selfTests = map[edge]string{
	{"random", "statistics"}:            "random's self-test",
	{"_sitebuiltins", "pydoc"}:          "only help() starts it",
	{"platform", "plistlib"}:            "reads the version of macOS",
	{"zipfile", "py_compile"}:           "PyZipFile compiles packages, which needs their sources",
	{"sysconfig", "_osx_support"}:       "macOS only",
	{"_aix_support", "_bootsubprocess"}: "AIX only",
}

// cut says why an import from the standard library does not count.
func cut(from, to string) (string, bool) {
	if why, ok := selfTests[edge{from, to}]; ok {
		return why, true
	}
	for name := to; name != ""; name, _, _ = cutLast(name) {
		if why, ok := developer[name]; ok && !strings.HasPrefix(from+".", name+".") {
			return name + " is a developer module: " + why, true
		}
	}
	return "", false
}

// isDeveloper reports whether a module is a developer module, or in one.
func isDeveloper(module string) bool {
	for name := module; name != ""; name, _, _ = cutLast(name) {
		if developer[name] != "" {
			return true
		}
	}
	return false
}

// implicit are imports that no Python source shows: made in C, from strings
// that are put together, or by a child process. A name that ends in ".*"
// stands for all modules in the package, one that ends in "*" for all modules
// of the same directory that begin so.
var implicit = map[string][]string{
	"_asyncio":        {"asyncio", "asyncio.base_futures", "asyncio.base_tasks", "asyncio.coroutines", "asyncio.events", "asyncio.exceptions", "traceback"},
	"_codecs":         {"encodings"},
	"_ctypes":         {"ctypes"},
	"_curses":         {"curses"},
	"_datetime":       {"_strptime", "time"},
	"_decimal":        {"collections", "decimal", "numbers"},
	"_elementtree":    {"copy", "pyexpat", "xml.etree.ElementPath", "xml.etree.ElementTree"},
	"_functools":      {"copyreg", "functools"},
	"_interpreters":   {"concurrent.interpreters"},
	"_io":             {"_bootlocale", "io", "locale", "warnings"},
	"_json":           {"json.decoder", "json.scanner"},
	"_pickle":         {"_compat_pickle", "copyreg", "functools"},
	"_queue":          {"queue"},
	"_sqlite3":        {"collections.abc", "sqlite3.dump"},
	"_ssl":            {"socket"},
	"_socket":         {"socket"},
	"_thread":         {"threading"},
	"_tracemalloc":    {"tracemalloc"},
	"_typing":         {"annotationlib", "typing"},
	"_warnings":       {"warnings"},
	"_zoneinfo":       {"weakref", "zoneinfo._common", "zoneinfo._tzpath"},
	"array":           {"collections.abc", "copyreg"},
	"ctypes":          {"ctypes._endian"},
	"datetime":        {"_strptime"},
	"multiprocessing": {"multiprocessing.forkserver", "multiprocessing.popen_fork", "multiprocessing.popen_forkserver", "multiprocessing.popen_spawn_posix", "multiprocessing.resource_sharer", "multiprocessing.resource_tracker", "multiprocessing.spawn", "runpy"},
	"pyexpat":         {"xml.parsers.expat"},
	"string":          {"string.templatelib"},
	"sysconfig":       {"_sysconfigdata_*", "_sysconfig"},
	"time":            {"_strptime"},
	"xml.sax":         {"xml.sax.expatreader"},
	"dbm":             {"dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3"},
	"zoneinfo":        {"tzdata", "zoneinfo._zoneinfo"},
	"encodings":       {"encodings.*"},
}

// unseen are imports of single packages that no rule can see and no hook that
// counts names (PyInstaller's for Django lists all of Django, see package
// knowledge), by the module that makes them, with the words that follow its name in `exuvia why`. Names
// are as in [implicit].
var unseen = map[string]struct {
	why   string
	names []string
}{
	"django.utils.formats":     {"imports the formats of a language by its code", []string{"django.conf.locale.*"}},
	"django.utils.translation": {"reads the texts of a language by its code", []string{"django.conf.locale.*"}},
}

// always are modules that every process may come to import without naming
// them, and the part of the contract that asks for them.
var always = []struct{ why, names string }{
	{"imported in C", "_bootlocale _pylong _strptime copyreg io warnings abc codecs"},
	{"errors and warnings", "linecache traceback tokenize _colorize"},
	{"python -m", "runpy pkgutil importlib.util importlib.machinery"},
	{"python -X dev, PYTHONDEVMODE", "faulthandler tracemalloc warnings"},
	{"the start of the interpreter", "site sitecustomize usercustomize os encodings"},
	{"threads", "threading"},
}
