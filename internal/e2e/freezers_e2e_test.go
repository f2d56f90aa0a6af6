//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"
)

var freezers = []string{"pyinstaller", "pyinstaller-onefile", "cx_freeze", "nuitka", "cython"}

// frozen builds a project with each tool that freezes; the comparison with the
// unreduced app is part of each build.
func frozen(t *testing.T, dir string, want ...string) {
	for _, v := range freezers {
		t.Run(v, func(t *testing.T) {
			m := newMachine(t)
			b := m.build("--variant", v, "--python", "3.11", dir)
			if !b.Verified {
				t.Error("it was not verified")
			}
			for _, name := range want {
				if err := checked(b, name); err != nil {
					t.Error(err)
				}
			}
			t.Logf("%.1f MB, %.1f MB to download", float64(b.Size)/1e6, float64(b.Download)/1e6)
		})
	}
}

// Modules that only a string names, a script of a dependency with fixed
// arguments, processes that are spawned: all that the tools do not see.
func TestFrozenDemo(t *testing.T) {
	dir := copyOf(t, demo)
	stated, err := os.ReadFile(dir + "/pyproject.toml")
	if err != nil {
		t.Fatal(err)
	}
	stated = append(stated, `
[tool.exuvia]
entry = ["uvicorn app.main:app", "main.py", "-m uvicorn"]
[tool.exuvia.probe]
args = ["--workers", "2"]
`...)
	if err := os.WriteFile(dir+"/pyproject.toml", stated, 0o644); err != nil {
		t.Fatal(err)
	}
	frozen(t, dir, "uvicorn runs", "GET /openapi.json", "main --help")
}

// Plugins by entry point, versions, package data in both ways, results of
// functions as exit codes.
func TestFrozenScripts(t *testing.T) {
	frozen(t, project(t, map[string]string{
		"pyproject.toml": `[project]
name = "my-tool"
version = "2.5"
dependencies = ["click"]
[project.scripts]
mytool = "mytool.cli:main"
[project.entry-points."mytool.plugins"]
up = "mytool.plug_up:run"
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
packages = ["mytool"]
package-data = { mytool = ["words.txt"] }
[tool.exuvia]
entry = ["mytool", "mytool.cli:other", "-m mytool"]
[tool.exuvia.probe]
args = ["up", "hello"]
commands = [["cli", "x"], ["mytool", "no"]]
`,
		"mytool/__init__.py": "",
		"mytool/words.txt":   "one two\n",
		"mytool/plug_up.py":  "def run(text):\n    return text.upper()\n",
		"mytool/__main__.py": "import sys\nfrom .cli import other\nif __name__ == '__main__':\n    print(__package__, __spec__.name)\n    sys.exit(other())\n",
		"mytool/cli.py": `import importlib.metadata
import os
import sys
from importlib.resources import files

import click


@click.command()
@click.argument("plugin")
@click.argument("text")
def main(plugin, text):
    """My tool."""
    plugins = {e.name: e for e in importlib.metadata.entry_points(group="mytool.plugins")}
    click.echo(plugins[plugin].load()(text))
    click.echo(importlib.metadata.version("my-tool"))
    click.echo(files("mytool").joinpath("words.txt").read_text())
    click.echo(open(os.path.join(os.path.dirname(__file__), "words.txt")).read())
    click.echo(sys.argv[0])


def other():
    print("other", sys.argv)
    return 7
`,
	}), "mytool runs", "mytool --help", "cli --help", "cli x")
}

// Processes that are spawned or come from a server start the executable anew,
// and find what was defined in __main__.
func TestFrozenProcesses(t *testing.T) {
	frozen(t, project(t, map[string]string{
		"helper.py": "def double(x):\n    return 2 * x\n",
		"main.py": `import concurrent.futures
import multiprocessing
import pathlib
import sys

import helper


class Thing:
    def __init__(self, n):
        self.n = n


def square(t):
    return t.n * t.n


if __name__ == "__main__":
    print(pathlib.Path(__file__).with_name("data.txt").read_text(), pathlib.Path("data.txt").read_text())
    for method in ("spawn", "forkserver", "fork"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(method, pool.map(square, [Thing(i) for i in range(3)]), flush=True)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            print(list(pool.map(helper.double, range(3))), flush=True)
    print(sys.argv[0])
    exit()
`,
		"data.txt": "data",
	}), "main runs")
}

// The tools' results are the same bytes each time, with nothing cached.
func TestFrozenTwice(t *testing.T) {
	dir := project(t, map[string]string{"main.py": "print('hello')\n"}) // its name is the project's
	elsewhere := t.TempDir()
	seed(t, cacheDir(t), elsewhere)
	for _, v := range freezers {
		t.Run(v, func(t *testing.T) {
			m := newMachine(t)
			first := m.build("--variant", v, "--python", "3.11", "--no-verify", dir)
			m.cache = elsewhere
			second := m.build("--variant", v, "--python", "3.11", "--no-verify", dir)
			if first.Digest != second.Digest {
				t.Errorf("%s, and then %s", first.Digest, second.Digest)
			}
		})
	}
}

// A Python that a tool does not know is refused before anything is made.
func TestFrozenRefusesOldPython(t *testing.T) {
	m := newMachine(t)
	r := m.run("build", "--variant", "cx_freeze", "--python", "3.9", project(t, map[string]string{"main.py": "print('hello')\n"}))
	if r.code != 7 || !strings.Contains(r.stderr, "cx_Freeze 8.7 knows Python 3.10 to 3.15") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}
