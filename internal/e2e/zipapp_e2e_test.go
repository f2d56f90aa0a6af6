//go:build e2e

package e2e

import (
	"testing"
)

// Whatever the kind of an entry point, an archive starts it as it starts
// beside its sources; also where the Python has to come along.
func TestZipapps(t *testing.T) {
	files := map[string]string{
		"requirements.txt": "idna\nclick\n",
		"main.py": "import os, subprocess, sys\nfrom importlib.metadata import version\nimport idna, near\n\nif __name__ == '__main__':\n" +
			"    print(sys.argv, near.word, version('idna') == idna.__version__, __spec__.name, open('data.txt').read(), open(os.path.join(os.path.dirname(__file__), 'data.txt')).read())\n" +
			"    print(subprocess.run([sys.executable, '-c', 'import idna, near; print(near.word)'], capture_output=True, text=True).stdout)\n",
		"near.py": "word = 'near'\n", "data.txt": "data",
		"tools/run.py": "import sys, beside\nprint(beside.word, sys.argv)\n", "tools/beside.py": "word = 'beside'\n",
		"pkg/__init__.py": "", "pkg/cli.py": "import sys\ndef main():\n    print(sys.argv)\n    return 3\n",
		"pyproject.toml": "[tool.exuvia]\nentry = [\"main.py\", \"tools/run.py\", \"pkg.cli:main\", \"idna\"]\n",
	}
	for _, variant := range []string{"shiv", "pex"} {
		for _, base := range []string{"", "scratch"} {
			t.Run(variant+" on "+base, func(t *testing.T) {
				m := newMachine(t)
				args := []string{"--variant", variant, "--python", "3.11", project(t, files)}
				if base != "" {
					args = append(args, "--base", base)
				}
				b := m.build(args...)
				for _, want := range []string{"main runs", "run --help", "cli --help", "idna --help"} {
					if err := checked(b, want); err != nil {
						t.Error(err)
					}
				}
				t.Logf("%.1f MB, %.1f MB to download", float64(b.Size)/1e6, float64(b.Download)/1e6)
			})
		}
	}
}
