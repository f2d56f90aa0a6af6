//go:build e2e

package e2e

import (
	"bytes"
	"strings"
	"testing"
)

// The demo, its interpreter inside the executable, answers as the unreduced
// app does; and what a package looks for beside itself is there.
func TestPyOxidizer(t *testing.T) {
	m := newMachine(t)
	b := m.build("--variant", "pyoxidizer", demo)
	for _, want := range []string{"main runs", "main --help"} {
		if err := checked(b, want); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%.1f MB, %.1f MB to download, %d files", float64(b.Size)/1e6, float64(b.Download)/1e6, b.Files)
}

// Entry points of every kind are one executable, by a name for each.
func TestPyOxidizerEntries(t *testing.T) {
	m := newMachine(t)
	b := m.build("--variant", "pyoxidizer", "--python", "3.11", project(t, map[string]string{
		"requirements.txt": "idna\nclick\ncertifi\n",
		"main.py": "import sys\nfrom importlib.metadata import version\nfrom pathlib import Path\nimport certifi, idna, pkg\n\nif __name__ == '__main__':\n" +
			"    print(sys.argv, version('idna') == idna.__version__, __spec__.name, open('data.txt').read(), pkg.text(), len(certifi.contents()) > 1000)\n",
		"data.txt":     "data",
		"tools/run.py": "import sys, beside\nprint(beside.word, sys.argv)\n", "tools/beside.py": "word = 'beside'\n",
		"pkg/__init__.py": "from pathlib import Path\n\ndef text():\n    return Path(__file__).with_name('text.txt').read_text()\n", "pkg/text.txt": "text",
		"pkg/cli.py":     "import sys\ndef main():\n    print(sys.argv)\n    return 3\n",
		"pyproject.toml": "[tool.exuvia]\nentry = [\"main.py\", \"tools/run.py\", \"pkg.cli:main\", \"idna\"]\n",
	}))
	for _, want := range []string{"main runs", "run --help", "cli --help", "idna --help"} {
		if err := checked(b, want); err != nil {
			t.Error(err)
		}
	}
}

// The same project gives the same bytes, and a Python that PyOxidizer does not
// know gives a reason.
func TestPyOxidizerElsewhere(t *testing.T) {
	m := newMachine(t)
	r := m.run("build", "--variant", "pyoxidizer", "--python", "3.13", project(t, map[string]string{"main.py": "print(1)\n"}))
	if r.code == 0 || !strings.Contains(r.stderr, "PyOxidizer 0.24") || bytes.Contains([]byte(r.stderr), []byte("panic")) {
		t.Errorf("exit code %d:\n%s", r.code, r.stderr)
	}
}
