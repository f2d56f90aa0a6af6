//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"exuvia/internal/fault"
	"exuvia/internal/testkit/index"
)

// hooked is a distribution that brings hooks of its own. It imports a module
// and reads a table by names that it computes, and has a package that it never
// imports. One of its hooks is broken.
var hooked = index.Files{
	"hooked/__init__.py": `import importlib
import pathlib

import hooked.broken

def driver():
    try:
        return importlib.import_module("_".join(["hidden", "driver"])).NAME
    except ImportError:
        return "no driver"

def table():
    path = pathlib.Path(__file__).parents[1] / "_".join(["hidden", "tables"]) / "one.txt"
    return path.read_text() if path.exists() else "no table"
`,
	"hooked/broken.py":         "",
	"hooked/unused.py":         "",
	"hidden_driver.py":         "NAME = 'the driver'\n",
	"hidden_tables/one.txt":    "the table\n",
	"hooked_hooks/__init__.py": "def dirs():\n    return list(__path__)\n",
	"hooked_hooks/hook-hooked.py": `from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = ["hidden_driver", "pysqlite2"] + collect_submodules("hooked")
datas = collect_data_files("hidden_tables")
`,
	"hooked_hooks/hook-hooked.broken.py":    "raise ValueError('no, not today')\n",
	"hooked-1.0.dist-info/entry_points.txt": "[pyinstaller40]\nhook-dirs = hooked_hooks:dirs\n",
}

// A project with the distribution, and with one of the names of what PyInstaller
// itself needs, which must not stand in for that.
func hookedProject(t *testing.T) string {
	t.Helper()
	server := index.New(t)
	lock := "lock-version = \"1.0\"\ncreated-by = \"a test\"\n"
	for name, files := range map[string]index.Files{"hooked": hooked, "packaging": {"packaging/__init__.py": "", "packaging/version.py": "Version = None\n"}} {
		file, data := index.Wheel(t, name, "1.0", files)
		server.Add(name, file, data)
		lock += fmt.Sprintf("[[packages]]\nname = %q\nversion = \"1.0\"\nwheels = [{name = %q, url = %q, hashes = {sha256 = %q}}]\n",
			name, file, server.FileURL(name, file), index.Sum(data))
	}
	return project(t, map[string]string{
		"main.py":     "import hooked\nimport packaging.version\nprint(hooked.driver(), hooked.table(), packaging.version.Version)\n",
		"pylock.toml": lock,
	})
}

// What only a hook knows is kept because of it, and exuvia says so.
func TestHooks(t *testing.T) {
	m := newMachine(t)
	dir := hookedProject(t)
	b := m.build("--python", "3.11", "--heal=false", "--name", "hooked", dir)
	if !b.Verified {
		t.Error("not verified")
	}
	for what, want := range map[string]string{
		"hidden_driver": "hook: ",
		"/usr/local/lib/python3.11/dist-packages/hidden_tables/one.txt": "hook: ",
	} {
		if chain := m.must("why", "--image", b.Reference, what); !strings.Contains(chain, want) || !strings.Contains(chain, "(hook-hooked of hooked 1.0)") {
			t.Errorf("why %s says:\n%s", what, chain)
		}
	}
	if out := m.must("why", "--image", b.Reference, "--not", "hooked.unused"); !strings.Contains(out, "lists all of a package") {
		t.Errorf("why --not hooked.unused says:\n%s", out)
	}
	var notes []string
	for _, n := range b.Notes {
		if n.Where == "hooks" {
			notes = append(notes, n.Text)
		}
	}
	if want := "hook-hooked.broken of hooked 1.0 says nothing: ValueError: no, not today"; len(notes) != 1 || notes[0] != want {
		t.Errorf("notes are %q, want %q", notes, want)
	}
	if r := m.run("build", "--python", "3.11", "--heal=false", "--hooks=false", "--name", "without", dir); r.code != int(fault.Differs) {
		t.Errorf("without hooks: exit code %d\n%s", r.code, r.stderr)
	}
}

// Freezers are told what hooks name for themselves anyway; they must take it
// twice.
func TestHooksOfFreezers(t *testing.T) {
	m := newMachine(t)
	if b := m.build("--python", "3.11", "--variant", "cx_freeze", "--heal=false", hookedProject(t)); !b.Verified {
		t.Error("not verified")
	}
}
