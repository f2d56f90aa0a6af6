//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"exuvia/internal/report"
)

// A library that is found by name and reads data of another package, a locale,
// descriptions of terminals, a table of the system and a program: none of them
// is in a small system, or linked to, or healed. Each line would be another
// without it.
func TestDataOfTheSystem(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{
		"pyproject.toml": "[project]\nname = \"leaning\"\nversion = \"1\"\n[tool.exuvia]\nentry = [\"main.py\"]\npackages = [\"hello\", \"locales-all\"]\n",
		"main.py": `import ctypes
import ctypes.util
import curses
import locale
import mimetypes
import subprocess

magic = ctypes.CDLL(ctypes.util.find_library("magic"))
magic.magic_open.restype = ctypes.c_void_p
magic.magic_buffer.restype = ctypes.c_char_p
cookie = ctypes.c_void_p(magic.magic_open(0))
print(magic.magic_load(cookie, None), magic.magic_buffer(cookie, b"%PDF-1.4\n", ctypes.c_size_t(9)).decode())
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
print(locale.localeconv()["decimal_point"])
curses.setupterm("xterm-256color", 1)
print(curses.tigetnum("colors"))
print(mimetypes.guess_type("a.djvu")[0])
print(subprocess.run(["hello"], capture_output=True, text=True).stdout)
`,
	})
	b := m.build("--python", "3.11", dir)
	if !b.Verified || len(b.Healed) > 0 {
		t.Errorf("verified: %v, healed: %+v", b.Verified, b.Healed)
	}
	if !slices.ContainsFunc(b.Notes, func(n report.Note) bool { return n.Text == "opens libmagic.so, which was added to the system" }) {
		t.Errorf("the report does not say that a library was added: %+v", b.Notes)
	}
	out := m.must("run", "leaning")
	for _, want := range []string{"0 PDF document", "\n,\n", "\n256\n", "\nimage/vnd.djvu\n", "\nHello, world!\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what it prints: %q", want, out)
		}
	}
}

// What has no wheel is built with the packages that the project names: the image
// gets the libraries that it then needs, and nothing of the rest.
func TestBuildPackages(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{
		"requirements.txt": "psycopg2\n",
		"main.py":          "import psycopg2\ntry:\n    psycopg2.connect('host=127.0.0.1 port=1')\nexcept psycopg2.OperationalError as e:\n    print('refused' in str(e))\n",
	})
	if r := m.run("build", dir); r.code == 0 || !strings.Contains(r.stderr, "build-packages") {
		t.Errorf("without them, exit code %d:\n%s", r.code, r.stderr)
	}
	m.build("--name", "postgres", "--build-packages", "libpq-dev", dir)
	if out := m.must("run", "postgres"); out != "True\n" {
		t.Errorf("it prints %q", out)
	}
	m.must("why", "libpq.so.5")
	if r := m.run("why", "/usr/bin/pg_config"); r.code != 14 {
		t.Errorf("the image has what it was built with: exit code %d, %s", r.code, r.stdout)
	}
}
