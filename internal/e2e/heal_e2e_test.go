//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"exuvia/internal/report"
)

// The app leans on a plugin that it loads by a name it computes, a template, a
// codec, a time zone and a library that it opens by name.
var leaning = map[string]string{
	"pyproject.toml": "[project]\nname = \"leaning\"\nversion = \"1\"\n[tool.exuvia]\nentry = [\"main.py\"]\n",
	"main.py": `import ctypes
import datetime
import importlib
import pathlib
import pkgutil
import zoneinfo

import helper
import listed

print(helper.NAME)
print([importlib.import_module("listed." + m.name).NAME for m in pkgutil.iter_modules(listed.__path__)])
print(pathlib.Path(__file__).with_name("templates").joinpath("page.html").read_text())
print("ab".encode("cp037"))
print(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("America/Boise")).utcoffset())
try:
    print(ctypes.CDLL("libsqlite3.so.0").sqlite3_libversion_number() > 0)
except OSError:
    print("works without it, and otherwise")
try:
    print(importlib.import_module("plugins.one").NAME)
except ImportError:
    print("no plugins")
`,
	"helper.py":           "NAME = 'helper'\n",
	"templates/page.html": "<p>page</p>\n",
	"listed/__init__.py":  "",
	"listed/one.py":       "NAME = 'listed one'\n",
	"plugins/__init__.py": "",
	"plugins/one.py":      "NAME = 'plugin one'\n",
}

// Whatever the analysis misses, the image gets it in the end, and the report
// says what and why.
func TestHeals(t *testing.T) {
	for name, cut := range map[string]string{
		"module":             "app/helper.py",
		"module in silence":  "app/plugins/one.py",
		"listed":             "app/listed/one.py",
		"template":           "app/templates/page.html",
		"codec":              "usr/lib/python3.11/encodings/cp037.py",
		"time zone":          "usr/share/zoneinfo/America/Boise",
		"library in silence": "usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.overlook = func(p string) bool { return p == cut || strings.HasPrefix(p, cut+".") }
			b := m.build("--python", "3.11", project(t, leaning))
			if !b.Verified || len(b.Healed) == 0 {
				t.Fatalf("verified: %v, healed: %+v", b.Verified, b.Healed)
			}
			for _, h := range b.Healed {
				t.Logf("%+v", h)
				if h.Path != cut && !strings.HasPrefix(h.Path, cut+".") {
					t.Errorf("%s was added too", h.Path)
				}
			}
		})
	}
}

// Names that no analysis sees, and what the report proposes for the next build.
func TestHealsComputedNames(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{"main.py": `import ctypes
import importlib

print(importlib.import_module("".join(["plist", "lib"])).dumps({}))
try:
    print(ctypes.CDLL("lib" + "sqlite" + "3.so.0").sqlite3_libversion_number() > 0)
except OSError:
    print("works without it, and otherwise")
`})
	b := m.build("--python", "3.11", dir)
	var args []string
	for _, h := range b.Healed {
		t.Logf("%+v", h)
		args = append(args, "--"+h.Setting, h.Value)
		if chain := m.must("why", "--image", b.Reference, h.Path); !strings.Contains(chain, "healed") {
			t.Errorf("why says:\n%s", chain)
		}
	}
	if len(args) == 0 {
		t.Error("nothing was healed")
	}
	again := m.build(append(args, "--python", "3.11", dir)...)
	if len(again.Healed) > 0 {
		t.Errorf("healed again: %+v", again.Healed)
	}
	if again.Size != b.Size {
		t.Errorf("%d bytes where these are kept, healed %d", again.Size, b.Size)
	}
}

// What was healed is written to the project's settings, so that the next build
// keeps it from the start. A build that fails, or heals nothing, writes nothing.
func TestWritesHealed(t *testing.T) {
	m := newMachine(t)
	missed := []string{"app/helper.py", "app/templates/page.html"}
	m.overlook = func(p string) bool { return slices.Contains(missed, p) }
	dir := project(t, leaning)
	file := filepath.Join(dir, "pyproject.toml")
	text := func() string {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if r := m.run("build", "--python", "3.11", "--write-healed", "--heal=false", dir); r.code != 9 || text() != leaning["pyproject.toml"] {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stderr, text())
	}
	first := m.build("--python", "3.11", "--write-healed", dir)
	var kept []string
	for _, h := range first.Healed {
		kept = append(kept, h.Path)
		if !strings.Contains(text(), strconv.Quote(h.Value)) {
			t.Errorf("%+v is not in\n%s", h, text())
		}
	}
	if slices.Sort(kept); !slices.Equal(kept, missed) || !strings.HasPrefix(text(), leaning["pyproject.toml"]) {
		t.Fatalf("healed: %q\n%s", kept, text())
	}
	wrote := text()
	second := m.build("--python", "3.11", "--write-healed", dir)
	more := int64(len(wrote) - len(leaning["pyproject.toml"])) // the project's files are in the image
	if second.Cached || !second.Verified || len(second.Healed) > 0 || second.Size != first.Size+more {
		t.Errorf("cached: %v, verified: %v, healed: %+v, %d bytes, then %d", second.Cached, second.Verified, second.Healed, first.Size, second.Size)
	}
	if text() != wrote {
		t.Errorf("it was %s\nand is %s", wrote, text())
	}
}

// A module that only a subcommand of a subcommand imports is missed by its help
// alone, and that is where both are observed.
func TestHealsSubcommands(t *testing.T) {
	m := newMachine(t)
	m.overlook = func(p string) bool { return p == "app/numbers_of.py" }
	dir := project(t, map[string]string{
		"pyproject.toml": "[project]\nname = \"counting\"\nversion = \"1\"\n[tool.exuvia]\nentry = [\"main.py\"]\n",
		"main.py": `import argparse
import sys

parser = argparse.ArgumentParser()
subs = parser.add_subparsers()
subs.add_parser("hello", help="say hello")
show = subs.add_parser("show", help="show things").add_subparsers()
numbers = show.add_parser("numbers", help="show numbers")
if sys.argv[1:3] == ["show", "numbers"]:
    import numbers_of

    numbers.add_argument("kind", choices=numbers_of.KINDS)
parser.parse_args()
`,
		"numbers_of.py": "KINDS = ['even', 'odd']\n",
	})
	r := m.run("build", "--python", "3.11", "--heal=false", dir)
	if r.code != 9 || !strings.Contains(r.stderr, "main show numbers --help: ") || !strings.Contains(r.stderr, "missing module numbers_of") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	b := m.build("--python", "3.11", dir)
	if !b.Verified || len(b.Healed) != 1 || b.Healed[0].Path != "app/numbers_of.py" {
		t.Errorf("verified: %v, healed: %+v", b.Verified, b.Healed)
	}
	var asked []string
	for _, c := range b.Checks {
		if strings.HasSuffix(c.Name, "--help") {
			asked = append(asked, c.Name)
		}
	}
	if want := []string{"main --help", "main hello --help", "main show --help", "main show numbers --help"}; !slices.Equal(asked, want) {
		t.Errorf("asked: %q, want %q", asked, want)
	}
}

// A freezer is told what its image turned out to lack.
func TestHealsFrozen(t *testing.T) {
	m := newMachine(t)
	b := m.build("--python", "3.11", "--variant", "pyinstaller", project(t, map[string]string{
		"main.py": "import importlib\nprint(importlib.import_module(''.join(['plist', 'lib'])).dumps({}))\n",
	}))
	if len(b.Healed) != 1 || b.Healed[0].Value != "plistlib" {
		t.Errorf("healed: %+v", b.Healed)
	}
}

// What observing does not explain, or may not mend, is refused.
func TestDoesNotHeal(t *testing.T) {
	m := newMachine(t)
	m.overlook = func(p string) bool { return p == "app/helper.py" }
	dir := project(t, leaning)
	r := m.run("build", "--python", "3.11", "--heal=false", dir)
	if r.code != 9 || !strings.Contains(r.stderr, "missing module helper") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	if out := m.must("images", "--json"); strings.Contains(out, "leaning") {
		t.Errorf("it has a name:\n%s", out)
	}
	m.overlook = nil
	r = m.run("build", "--python", "3.11", project(t, map[string]string{
		"main.py": "import os\nprint(os.path.getsize('/usr/bin/python3.11') and len(os.listdir('/usr/bin')))\n",
	}))
	if r.code != 9 {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// Observations of two runs unite, hold nothing of this machine, and make a
// build that is the same each time.
func TestObserve(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{
		"pyproject.toml": leaning["pyproject.toml"], "main.py": "import hidden\nprint('hello')\n",
		"hidden.py":       "def load(name):\n    return __import__(name[::-1])\n",
		"tests/test_a.py": "import unittest\n\nimport hidden\n\n\nclass A(unittest.TestCase):\n    def test(self):\n        self.assertTrue(hidden.load('biltsilp'))\n",
	})
	file := filepath.Join(dir, "observed.json")
	m.must("observe", "-o", file, "--python", "3.11", dir, "--", "python3", "-m", "unittest", "discover", "-s", "tests")
	m.must("observe", "-o", file, "--python", "3.11", dir, "--", "python3", "-c", "import hidden; hidden.load('evaw')")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct{ Runs, Modules, Files []string }
	if err := json.Unmarshal(data, &seen); err != nil {
		t.Fatal(err)
	}
	modules := strings.Join(seen.Modules, " ") + " "
	if len(seen.Runs) != 2 || !strings.Contains(modules, "plistlib ") || !strings.Contains(modules, "wave ") || strings.Contains(modules, "sunau ") {
		t.Errorf("seen: %q %s", seen.Runs, modules)
	}
	if strings.Contains(string(data), dir) || strings.Contains(string(data), m.cache) {
		t.Errorf("a path of this machine is in it:\n%s", data)
	}
	var builds [2]report.Build
	for i := range builds {
		builds[i] = m.build("--python", "3.11", "--observations", "observed.json", "--disable", "archive", "--pull", dir)
	}
	if builds[0].Digest != builds[1].Digest || builds[1].Cached {
		t.Errorf("%s, and then %s", builds[0].Digest, builds[1].Digest)
	}
	if why := m.must("why", "--image", builds[0].Reference, "wave"); !strings.Contains(why, "observed") {
		t.Errorf("why says:\n%s", why)
	}
	if r := m.run("why", "--image", builds[0].Reference, "sunau"); r.code == 0 {
		t.Errorf("sunau is kept:\n%s", r.stdout)
	}
	r := m.run("observe", "--python", "3.11", dir, "--", "python3", "-c", "raise SystemExit('no')")
	if r.code == 0 || !strings.Contains(r.stderr, "exit code 1") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// With -OO an API loses the texts that it makes of docstrings. Those of the one
// distribution that show are kept, and the report says so.
func TestKeepsDocstringsThatShow(t *testing.T) {
	m := newMachine(t)
	dir := copyOf(t, demo)
	if err := os.Remove(filepath.Join(dir, "uv.lock")); err != nil {
		t.Fatal(err)
	}
	write := func(name, old, replacement string) {
		t.Helper()
		file := filepath.Join(dir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s lacks %q", name, old)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, replacement, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("pyproject.toml", `"click"`, `"click", "anyio", "opentelemetry-api", "opentelemetry-sdk"`)
	write("app/main.py", "app = FastAPI()\n", `app = FastAPI()
import anyio
from opentelemetry import trace

app.add_api_route("/backends", anyio.get_all_backends)
tracer = trace.get_tracer("app")
`)
	b := m.build("--optimize", "2", dir)
	var docs []string
	for _, h := range b.Healed {
		t.Logf("%+v", h)
		if h.Setting == report.SettingDocstrings {
			docs = append(docs, h.Value)
		}
	}
	if err := checked(b, "GET /openapi.json"); err != nil {
		t.Error(err)
	}
	if len(docs) != 1 || docs[0] != "anyio" {
		t.Errorf("the docstrings of %q are kept", docs)
	}
}
