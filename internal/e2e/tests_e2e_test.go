//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tests use unittest, sqlite3 and a plugin of pytest, none of which the app needs.
// Code of the app that only tests call uses a package with an extension module that
// wants a library, which only tests bring. The app has the loader of plugins that
// pytest uses, and leans on a module by a name that it computes.
var tested = map[string]string{
	"pyproject.toml": `[project]
name = "tested"
version = "1"
dependencies = ["click", "pluggy"]

[dependency-groups]
dev = ["pydantic", "pytest", "pytest-asyncio"]

[tool.exuvia]
entry = ["main.py"]
tests = ["python -m pytest tests"]
`,
	"main.py": `import click
import pluggy


@click.command()
def main():
    click.echo(pluggy.PluginManager("hello").project_name)


def number(text):
    from importlib.metadata import version

    import pydantic

    assert version("pydantic") == pydantic.VERSION
    return pydantic.TypeAdapter(int).validate_python(text)


def hidden():
    name = "scitsitats"[::-1]
    return __import__(name).mean([1, 3])


if __name__ == "__main__":
    main()
`,
	"tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef three():\n    return 3\n",
	"tests/test_main.py": `import sqlite3
import unittest.mock

import main
import pytest
from click.testing import CliRunner


def test_it_is_the_installed_one(three):
    open("left", "x").close()
    assert main.__file__.startswith("/app/")
    assert three == 3
    assert main.number("3") == 3


@pytest.mark.asyncio
async def test_run():
    assert CliRunner().invoke(main.main).output == "hello\n"
    assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
`,
}

// Tests run against the image with all that they need, and nothing of it gets
// into the image.
func TestTestsPass(t *testing.T) {
	m := newMachine(t)
	dir := project(t, tested)
	b := m.build(dir)
	if err := checked(b, "tests: python -m pytest tests"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"left", ".pytest_cache"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("tests left %s in the project: %v", name, err)
		}
	}
	if len(b.Healed) > 0 {
		t.Errorf("healed: %+v", b.Healed)
	}
	if r := m.run("why", "pytest"); r.code != 14 {
		t.Errorf("the image has pytest: exit code %d, %s", r.code, r.stdout)
	}
}

// A test that passes in the unreduced app only shows what the image lacks.
func TestTestsHeal(t *testing.T) {
	files := maps.Clone(tested)
	files["tests/test_hidden.py"] = "import main\n\n\ndef test_hidden():\n    assert main.hidden() == 2\n"
	dir := project(t, files)
	m := newMachine(t)
	r := m.run("build", "-q", "--heal=false", dir)
	if r.code == 0 || !strings.Contains(r.stderr, "statistics") {
		t.Fatalf("exit code %d:\n%s", r.code, r.stderr)
	}
	b := m.build(dir)
	if len(b.Healed) == 0 {
		t.Fatal("nothing was healed")
	}
	for _, h := range b.Healed {
		if !slices.Contains([]string{"statistics", "fractions", "numbers"}, h.Value) {
			t.Errorf("%+v was added", h)
		}
	}
}
