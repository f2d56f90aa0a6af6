//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"
)

// script is a program that exits by itself, and says what it runs on.
const script = `import sys

import idna

print("idna", idna.encode("ä.de").decode(), "on", "%d.%d" % sys.version_info[:2])
`

// locked is a project with a uv.lock that fits every Python.
func locked(t *testing.T, python string) string {
	t.Helper()
	dir := copyOf(t, "testdata/locked")
	if err := os.WriteFile(dir+"/.python-version", []byte(python+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every form of a project, on an old, a middle and a new Python, becomes a
// lean image that answers as the project does.
func TestForms(t *testing.T) {
	for _, python := range []string{"3.9", "3.11", "3.13"} {
		for form, f := range map[string]struct {
			dir  string
			args []string
			want string // check that has to be there
		}{
			"requirements.txt": {dir: project(t, map[string]string{"requirements.txt": "idna\n", "main.py": script}), want: "main runs"},
			"script":           {dir: project(t, map[string]string{"tool.py": "# /// script\n# dependencies = [\"idna\"]\n# ///\n" + script}) + "/tool.py", want: "tool runs"},
			"uv.lock":          {dir: locked(t, python), want: "GET /"},
			"project.scripts": {dir: project(t, map[string]string{
				"pyproject.toml": "[project]\nname = \"hail\"\nversion = \"1\"\ndependencies = [\"idna\"]\n[project.scripts]\nhail = \"hail:main\"\n" +
					"[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n[tool.setuptools]\npackages = [\"hail\"]\n",
				"hail/__init__.py": "import argparse\nimport importlib.metadata\nimport idna\n\ndef main():\n    argparse.ArgumentParser(prog='hail').parse_args()\n    print('hail', importlib.metadata.version('hail'))\n",
			}), want: "hail --help"},
		} {
			t.Run(form+" on "+python, func(t *testing.T) {
				m := newMachine(t)
				b := m.build(append(f.args, "--python", python, f.dir)...)
				if !b.Verified || !strings.HasPrefix(b.Python, python+".") {
					t.Errorf("verified %v on %s", b.Verified, b.Python)
				}
				if err := checked(b, f.want); err != nil {
					t.Error(err)
				}
				t.Logf("%.1f MB, %.1f MB to download, on %s", float64(b.Size)/1e6, float64(b.Download)/1e6, b.System)
			})
		}
	}
}
