package project

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// files are a project: path → contents. A path with a slash at its end is a
// directory, contents "→x" a symbolic link to x.
type files map[string]string

func (f files) write(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	for name, text := range f {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutPrefix(text, "→"); ok {
			err = os.Symlink(link, p)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(p, 0o755)
		} else {
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func store(t testing.TB) *cas.Store {
	t.Helper()
	s, err := cas.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f files) detect(t *testing.T, s Settings) (*Project, error) {
	t.Helper()
	return Detect(t.Context(), f.write(t), Options{Cache: store(t), Overrides: s})
}

// paths lists the files of a tree, without directories.
func paths(t *tree.Tree) []string {
	var out []string
	for e := range t.All() {
		if !e.IsDir() {
			out = append(out, e.Path)
		}
	}
	return out
}

// wantFault checks the kind of an error and words in its two lines.
func wantFault(t *testing.T, err error, kind fault.Kind, what, hint string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("error is %v (%T), want a fault", err, err)
	}
	if f.Kind != kind || !strings.Contains(f.What, what) || !strings.Contains(f.Hint, hint) || f.Hint == "" {
		t.Errorf("fault %d\n  %s\n  %s\nwant %d with\n  %s\n  %s", f.Kind, f.What, f.Hint, kind, what, hint)
	}
	if strings.Contains(f.What, "\n") || strings.Contains(f.Hint, "\n") {
		t.Errorf("the error has more than two lines: %q, %q", f.What, f.Hint)
	}
}

const main = "if __name__ == \"__main__\":\n    print(1)\n"

func TestForms(t *testing.T) {
	py := "[project]\nname = \"My_App\"\nversion = \"1.2\"\nrequires-python = \">=3.11\"\ndependencies = [\"click\"]\n"
	tests := []struct {
		name  string
		files files
		want  Project
	}{
		{
			"uv.lock comes first",
			files{"main.py": main, "pyproject.toml": py, "uv.lock": "version = 1\n", "requirements.txt": "", "pylock.toml": ""},
			Project{Name: "my-app", Version: "1.2", Form: UVLock, DependencyFile: "uv.lock", RequiresPython: ">=3.11"},
		},
		{
			"pylock",
			files{"main.py": main, "pylock.toml": "lock-version = \"1.0\"\n", "poetry.lock": ""},
			Project{Name: "demo", Form: PyLock, DependencyFile: "pylock.toml"},
		},
		{
			"named pylock",
			files{"main.py": main, "pylock.prod.toml": "lock-version = \"1.0\"\n"},
			Project{Name: "demo", Form: PyLock, DependencyFile: "pylock.prod.toml"},
		},
		{
			"poetry",
			files{"main.py": main, "poetry.lock": "", "pyproject.toml": "[tool.poetry]\nname = \"pp\"\nversion = \"2\"\npackage-mode = false\n[tool.poetry.dependencies]\npython = \"^3.9\"\n[build-system]\nrequires = [\"poetry-core\"]\n"},
			Project{Name: "pp", Version: "2", Form: PoetryLock, DependencyFile: "poetry.lock", RequiresPython: ">=3.9,<4"},
		},
		{
			"requirements",
			files{"main.py": main, "requirements.txt": "click\n", "pyproject.toml": py},
			Project{Name: "my-app", Version: "1.2", Form: Requirements, DependencyFile: "requirements.txt", RequiresPython: ">=3.11"},
		},
		{
			"PEP 621 without a lock",
			files{"main.py": main, "pyproject.toml": py, ".python-version": "3.12.4\n"},
			Project{Name: "my-app", Version: "1.2", Form: PyProject, DependencyFile: "pyproject.toml", RequiresPython: ">=3.11", PythonPin: "3.12"},
		},
		{
			"build system",
			files{"src/my_app/__main__.py": "", "pyproject.toml": py + "[build-system]\nrequires = [\"hatchling\"]\n"},
			Project{Name: "my-app", Version: "1.2", Form: PyProject, DependencyFile: "pyproject.toml", RequiresPython: ">=3.11", BuildSystem: true},
		},
		{
			"Poetry without a lock",
			files{"pp/__main__.py": "", "pyproject.toml": "[tool.poetry]\nname = \"pp\"\n[tool.poetry.dependencies]\nclick = \"*\"\n[build-system]\nrequires = [\"poetry-core\"]\n"},
			Project{Name: "pp", Form: PyProject, DependencyFile: "pyproject.toml", BuildSystem: true, Dynamic: true},
		},
		{
			"no package says uv",
			files{"main.py": main, "pyproject.toml": py + "[tool.uv]\npackage = false\n[build-system]\nrequires = [\"hatchling\"]\n"},
			Project{Name: "my-app", Version: "1.2", Form: PyProject, DependencyFile: "pyproject.toml", RequiresPython: ">=3.11"},
		},
		{
			"setup.py alone",
			files{"setup.py": "from setuptools import setup\nsetup(\n  name='Old_One')\n", "demo/__main__.py": ""},
			Project{Name: "old-one", Form: PyProject, DependencyFile: "setup.py", BuildSystem: true, Dynamic: true},
		},
		{
			"setup.cfg",
			files{"setup.py": "from setuptools import setup\nsetup()\n", "setup.cfg": "[metadata]\nauthor = x\nname = cfg.name\n[options]\nname = no\n", "demo/__main__.py": ""},
			Project{Name: "cfg-name", Form: PyProject, DependencyFile: "setup.py", BuildSystem: true, Dynamic: true},
		},
		{"bare", files{"main.py": main}, Project{Name: "demo", Form: Bare}},
		{"settings alone state no dependencies", files{"main.py": main, "pyproject.toml": "[tool.exuvia]\n"}, Project{Name: "demo", Form: Bare}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.files.detect(t, Settings{})
			if err != nil {
				t.Fatal(err)
			}
			ignore := cmpopts.IgnoreFields(Project{}, "Dir", "Entries", "Files", "Observations", "Sources", "Tests", "Settings", "Notes")
			if diff := cmp.Diff(&tt.want, got, ignore); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestScripts(t *testing.T) {
	const meta = "#!/usr/bin/env -S uv run\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n#   \"click\",\n# ]\n#\n# [tool.exuvia]\n# ports = [80]\n# ///\nprint(1)\n"
	dir := files{"my-tool.py": meta, "plain.py": "print(1)\n", "other.py": "", ".env": "x", "locked.py": meta, "locked.py.lock": "version = 1\n"}.write(t)
	tests := []struct {
		file string
		want Project
	}{
		{"my-tool.py", Project{
			Name: "my-tool", Form: Script, DependencyFile: "my-tool.py", ScriptFile: "my-tool.py", RequiresPython: ">=3.11",
			Entries:  []Entry{{Name: "my-tool", Kind: EntryModule, Module: "my-tool", Path: "my-tool.py", Spec: "my-tool.py"}},
			Settings: Settings{Entry: []string{"my-tool.py"}, Ports: []int{80}},
		}},
		{"locked.py", Project{
			Name: "locked", Form: Script, DependencyFile: "locked.py.lock", ScriptFile: "locked.py", RequiresPython: ">=3.11",
			Entries:  []Entry{{Name: "locked", Kind: EntryModule, Module: "locked", Path: "locked.py", Spec: "locked.py"}},
			Settings: Settings{Entry: []string{"locked.py"}, Ports: []int{80}},
		}},
		{"plain.py", Project{
			Name: "plain", Form: Bare, ScriptFile: "plain.py",
			Entries:  []Entry{{Name: "plain", Kind: EntryModule, Module: "plain", Path: "plain.py", Spec: "plain.py"}},
			Settings: Settings{Entry: []string{"plain.py"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			got, err := Detect(t.Context(), tt.file, Options{Cache: store(t), Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.file}, paths(got.Files)); diff != "" {
				t.Errorf("a script alone goes into the image (-want +got):\n%s", diff)
			}
			tt.want.Dir = dir
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(Project{}, "Files", "Observations", "Sources", "Tests", "Notes")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntries(t *testing.T) {
	app := files{
		"main.py": main, "pkg/__init__.py": "", "pkg/__main__.py": "", "pkg/cli.py": "", "app/main.py": "", "tools/run.py": "", "tools/helper.py": "",
		"lib/__init__.py": "", "pyproject.toml": "[project]\nname = \"demo\"\nversion = \"1\"\n[project.scripts]\nserve = \"pkg.cli:serve\"\n",
	}
	tests := []struct {
		spec  string
		build bool
		want  Entry
	}{
		{"main.py", false, Entry{Name: "main", Kind: EntryModule, Module: "main", Path: "main.py"}},
		{"./main.py --port 80", false, Entry{Name: "main", Kind: EntryModule, Module: "main", Path: "main.py", Args: []string{"--port", "80"}}},
		{"python main.py 'a b' ''", false, Entry{Name: "main", Kind: EntryModule, Module: "main", Path: "main.py", Args: []string{"a b", ""}}},
		{"pkg/cli.py", false, Entry{Name: "cli", Kind: EntryModule, Module: "pkg.cli", Path: "pkg/cli.py"}},
		{"tools/run.py", false, Entry{Name: "run", Kind: EntryModule, Module: "run", Path: "tools/run.py", Dir: "tools"}},
		{"pkg", false, Entry{Name: "run-pkg", Kind: EntryModule, Module: "pkg", Path: "pkg/__main__.py"}},
		{"pkg/__main__.py", false, Entry{Name: "run-pkg", Kind: EntryModule, Module: "pkg", Path: "pkg/__main__.py"}},
		{"pkg.cli", false, Entry{Name: "cli", Kind: EntryModule, Module: "pkg.cli", Path: "pkg/cli.py"}},
		{"pkg.cli:main", false, Entry{Name: "cli", Kind: EntryFunction, Module: "pkg.cli", Func: "main", Path: "pkg/cli.py"}},
		{"pkg.cli:serve", false, Entry{Name: "serve", Kind: EntryFunction, Module: "pkg.cli", Func: "serve", Path: "pkg/cli.py"}},
		{"serve --all", false, Entry{Name: "serve", Kind: EntryFunction, Module: "pkg.cli", Func: "serve", Path: "pkg/cli.py", Args: []string{"--all"}}},
		{"serve --all", true, Entry{Name: "serve", Kind: EntryScript, Args: []string{"--all"}}},
		{"uvicorn app.main:app", false, Entry{Name: "uvicorn", Kind: EntryScript, Args: []string{"app.main:app"}}},
		{"python -m uvicorn app.main:app", false, Entry{Name: "uvicorn", Kind: EntryModule, Module: "uvicorn", Args: []string{"app.main:app"}}},
		{"-m http.server", false, Entry{Name: "server", Kind: EntryModule, Module: "http.server"}},
		{"app.main", false, Entry{Name: "main", Kind: EntryModule, Module: "app.main", Path: "app/main.py"}},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			f := app
			if tt.build {
				f = files{"pyproject.toml": app["pyproject.toml"] + "[build-system]\nrequires = []\n", "pkg/cli.py": ""}
			}
			got, err := f.detect(t, Settings{Entry: []string{tt.spec}})
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Spec = tt.spec
			if diff := cmp.Diff([]Entry{tt.want}, got.Entries); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadEntries(t *testing.T) {
	app := files{"main.py": main, "lib/__init__.py": "", "a.b.py": "", "x/main.py": "", "x/main2.py": ""}
	for spec, want := range map[string]string{
		"":               "it is empty",
		"manin.py":       "no file manin.py, but a.b.py, main.py",
		"../main.py":     "no file",
		"-m lib":         "no __main__.py",
		"-m 'a b'":       "no name of a module",
		"'unclosed":      "quote is not closed",
		"a.b.py":         "cannot be run",
		"uvi/corn a:app": "no name of a module or a script",
		"--flag":         "no name of a module or a script",
	} {
		_, err := app.detect(t, Settings{Entry: []string{spec}})
		wantFault(t, err, fault.Project, want, "")
	}
	_, err := app.detect(t, Settings{Entry: []string{"main.py", "main.py --x", "main:f", "main:g"}})
	wantFault(t, err, fault.Project, "would both be called", "leave one")
}

func TestSeveralEntriesGetNamesOfTheirOwn(t *testing.T) {
	p, err := files{"main.py": main, "app/main.py": ""}.detect(t, Settings{Entry: []string{"main.py", "app.main", "uvicorn a:b", "uvicorn c:d"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range p.Entries {
		got = append(got, e.Name)
	}
	if diff := cmp.Diff([]string{"main", "run-main", "uvicorn", "uvicorn"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGuess(t *testing.T) {
	api := "from fastapi import FastAPI\napp = FastAPI()\n"
	scripts := "[project]\nname = \"demo\"\nversion = \"1\"\n[project.scripts]\n"
	tests := []struct {
		name     string
		files    files
		want     string // the entry's Spec
		question []string
	}{
		{"one script", files{"pyproject.toml": scripts + "run = \"a:b\"\n", "a.py": "", "main.py": main}, "run", nil},
		{"the script of the project's name", files{"pyproject.toml": scripts + "other = \"a:b\"\ndemo = \"a:c\"\n", "a.py": ""}, "demo", nil},
		{"several scripts", files{"pyproject.toml": scripts + "x = \"a:b\"\ny = \"a:c\"\n", "a.py": ""}, "", []string{`"x", "y"`, "--entry"}},
		{"main.py beside a module", files{"main.py": main, "util.py": "", "app/main.py": api}, "main.py", nil},
		{"main.py without a guard", files{"main.py": "print(1)\n", "util.py": ""}, "main.py", nil},
		{"guard decides among customs", files{"main.py": main, "app.py": "x = 1\n"}, "main.py", nil},
		{"two customs", files{"main.py": main, "app.py": main}, "", []string{`"app.py", "main.py"`}},
		{"a custom name before a guarded one", files{"manage.py": "", "tool.py": main}, "manage.py", nil},
		{"the only guarded one", files{"serve.py": main, "util.py": "", "setup.py": main}, "serve.py", nil},
		{"two guarded ones", files{"serve.py": main, "load.py": main}, "", []string{`"load.py", "serve.py"`}},
		{"the only file", files{"job.py": "print(1)\n"}, "job.py", nil},
		{"a name with a blank", files{"my job.py": main}, "", []string{"rename the file"}},
		{"a package", files{"pkg/__main__.py": "", "pkg/__init__.py": ""}, "pkg", nil},
		{"a web app does not start itself", files{"main.py": api}, "", []string{`"uvicorn main:app"`}},
		{"a nested web app", files{"app/main.py": api, "x.py": "", "y.py": ""}, "", []string{`"uvicorn app.main:app"`}},
		{"a Flask app", files{"app.py": "import flask\napi: flask.Flask = flask.Flask(__name__)\n"}, "", []string{`"gunicorn app:api"`}},
		{"nothing to go by", files{"a.py": "", "b.py": ""}, "", []string{"--entry"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := tt.files.detect(t, Settings{})
			if tt.question != nil {
				for _, q := range tt.question {
					wantFault(t, err, fault.Project, "", q)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Entries[0].Spec != tt.want {
				t.Errorf("entry %q, want %q", p.Entries[0].Spec, tt.want)
			}
		})
	}
}

func TestFilesThatGoIn(t *testing.T) {
	f := files{
		"main.py": main, "data/a.csv": "1", "static/x.html": "<p>", "README.md": "", "empty/": "", "link": "→data/a.csv",
		".gitignore": "*.log\n/out/\n", "data/.gitignore": "secret*\n!secret-not\n", "data/secret1": "", "data/secret-not": "", "a.log": "", "data/b.log": "",
		"out/x": "", "data/out/x": "", ".dockerignore": "# comment\n**/*.psd\n", "static/y.psd": "",
		".git/config": "", ".venv/x": "", "env/pyvenv.cfg": "", "env/lib/x.py": "", "__pycache__/main.pyc": "", "pkg/__pycache__/x.pyc": "", "pkg/x.py": "",
		".mypy_cache/x": "", "node_modules/x/y.js": "", "build/lib/x.py": "", "dist/x.whl": "", "pkg.egg-info/PKG-INFO": "", "pkg/build/keep.txt": "",
		".env": "A=1", ".env.example": "A=", "deploy/.netrc": "", "id_rsa": "", "server.pem": "-----BEGIN RSA PRIVATE KEY-----\n", "ca.pem": "-----BEGIN CERTIFICATE-----\n",
		"tests/test_x.py": "", "test_main.py": "", "conftest.py": "", "pkg/tests/test_y.py": "", ".aws/credentials": "",
	}
	keep := []string{
		".env.example", "README.md", "ca.pem", "data/a.csv", "data/out/x", "data/secret-not", "link", "main.py", "pkg/build/keep.txt", "pkg/tests/test_y.py", "pkg/x.py", "static/x.html",
	}
	tests := []struct {
		name     string
		settings Settings
		add      []string
	}{
		{"plain", Settings{}, nil},
		{
			"included by name",
			Settings{Include: []string{".env", "out", "tests", "node_modules/**", "data/b.log"}},
			[]string{".env", "data/b.log", "node_modules/x/y.js", "out/x", "tests/test_x.py"},
		},
		{"never, by any name", Settings{Include: []string{".git", ".venv", "**/__pycache__"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := f.detect(t, tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			want := unique(append(append([]string{}, keep...), tt.add...))
			if diff := cmp.Diff(want, paths(p.Files)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	p, err := f.detect(t, Settings{Exclude: []string{"static", "*.md"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(p.Files); len(got) != len(keep)-2 {
		t.Errorf("with exclude there are %v", got)
	}
	var noted []string
	for _, n := range p.Notes {
		noted = append(noted, n.Path)
	}
	want := []string{".aws/credentials", ".env", "deploy/.netrc", "id_rsa", "server.pem", "conftest.py", "test_main.py", "tests"}
	if diff := cmp.Diff(want, noted); diff != "" {
		t.Errorf("what was left out is said (-want +got):\n%s", diff)
	}
}

func TestImportedTestsStay(t *testing.T) {
	p, err := files{"main.py": "from tests.fakes import x\n" + main, "tests/__init__.py": "", "tests/fakes.py": "", "test_other.py": ""}.detect(t, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"test_other.py"}, paths(p.Tests)); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"main.py", "tests/__init__.py", "tests/fakes.py"}, paths(p.Files)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is excluded from the image still states the dependencies.
func TestSourcesAreKeptApart(t *testing.T) {
	p, err := files{
		"main.py": main, "requirements.txt": "-r req/base.txt\nclick\n", "req/base.txt": "--requirement=more.txt\n-c c.txt\n", "req/more.txt": "-r base.txt\n", "req/c.txt": "",
		".dockerignore": "*\n!main.py\n",
	}.detect(t, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"main.py"}, paths(p.Files)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"req/base.txt", "req/c.txt", "req/more.txt", "requirements.txt"}, paths(p.Sources)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestFilesDoNotDependOnUmaskOrTime(t *testing.T) {
	digest := func(file, script os.FileMode) string {
		dir := files{"main.py": main, "run.sh": "#!/bin/sh\n"}.write(t)
		for name, mode := range map[string]os.FileMode{"main.py": file, "run.sh": script} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Detect(t.Context(), dir, Options{Cache: store(t)})
		if err != nil {
			t.Fatal(err)
		}
		return p.Files.Digest()
	}
	if a, b := digest(0o644, 0o755), digest(0o600, 0o700); a != b {
		t.Error("the umask shows in the image")
	}
	if a, b := digest(0o644, 0o755), digest(0o644, 0o644); a == b {
		t.Error("the executable bit is lost")
	}
}

func TestBadProjects(t *testing.T) {
	py := "[project]\nname = \"demo\"\nversion = \"1\"\n"
	tests := []struct {
		name       string
		files      files
		settings   Settings
		kind       fault.Kind
		what, hint string
	}{
		{"nothing", files{"x/": ""}, Settings{}, fault.Project, "no Python project", "pyproject.toml"},
		{"syntax", files{"pyproject.toml": "[project]\nname = \"demo\nversion = 1\n"}, Settings{}, fault.Project, `pyproject.toml:2: `, "correct this line"},
		{"line shown", files{"pyproject.toml": "[project]\nname = demo\n"}, Settings{}, fault.Project, `name = demo`, "correct"},
		{"wrong type", files{"pyproject.toml": "[project]\nname = 3\n"}, Settings{}, fault.Project, "pyproject.toml:2", "correct"},
		{"unknown setting", files{"pyproject.toml": py + "[tool.exuvia]\nentrypoint = \"x\"\n"}, Settings{}, fault.Project, `pyproject.toml:5: unknown setting "tool.exuvia.entrypoint"`, "entry, env, exclude"},
		{"unknown probe setting", files{"pyproject.toml": "[tool.exuvia.probe]\nhttps = 1\n"}, Settings{}, fault.Project, `pyproject.toml:2: unknown setting "tool.exuvia.probe.https"`, "args, commands, env"},
		{"unknown request key", files{"pyproject.toml": "[[tool.exuvia.probe.http]]\nurl = \"/\"\n"}, Settings{}, fault.Project, "unknown setting", "body, headers, method, path"},
		{"setting of another type", files{"pyproject.toml": "[tool.exuvia]\nports = \"80\"\n"}, Settings{}, fault.Project, "pyproject.toml:2", "correct"},
		{"port", files{"main.py": main}, Settings{Ports: []int{70000}}, fault.Usage, "70000", "--ports"},
		{"platform", files{"main.py": main}, Settings{Platform: "windows"}, fault.Usage, "windows", "linux/amd64"},
		{"lock without project", files{"main.py": main, "uv.lock": ""}, Settings{}, fault.Project, "uv.lock has no pyproject.toml", "add"},
		{"Poetry, no package, no lock", files{"main.py": main, "pyproject.toml": "[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nclick = \"*\"\n"}, Settings{}, fault.Project, "poetry.lock", "poetry lock"},
		{"two locks", files{"main.py": main, "pylock.a.toml": "", "pylock.b.toml": ""}, Settings{}, fault.Project, "pylock.a.toml, pylock.b.toml", "pylock.toml"},
		{"Pipfile", files{"main.py": main, "Pipfile": ""}, Settings{}, fault.Project, "Pipfile", "pipenv requirements"},
		{"requirements elsewhere", files{"main.py": main, "requirements/prod.txt": "", "requirements-dev.txt": ""}, Settings{}, fault.Project, "requirements-dev.txt, requirements/prod.txt", "-r "},
		{"missing -r", files{"main.py": main, "requirements.txt": "\n-r base.txt\n"}, Settings{}, fault.Project, "requirements.txt:2: there is no file base.txt", ""},
		{"-r outside", files{"main.py": main, "requirements.txt": "-r ../base.txt\n"}, Settings{}, fault.Project, "outside the project", ""},
		{"-r with a password", files{"main.py": main, "requirements.txt": "-r https://u:hunter2@host/r.txt\n"}, Settings{}, fault.Project, "https://host/r.txt", ""},
		{"python", files{"main.py": main, "pyproject.toml": py + "requires-python = \"fish\"\n"}, Settings{}, fault.Project, "fish", "requires-python"},
		{"pin", files{"main.py": main, ".python-version": "pypy3.10\n"}, Settings{}, fault.Project, "pypy3.10", "--python"},
		{"pin against requires", files{"main.py": main, ".python-version": "3.9\n", "pyproject.toml": py + "requires-python = \">=3.11\"\n"}, Settings{}, fault.Project, `.python-version wants Python 3.9, requires-python is ">=3.11"`, "--python"},
		{"link outside", files{"main.py": main, "data": "→/etc"}, Settings{}, fault.Project, "the link data leaves the project: /etc", "exclude"},
		{"link up", files{"main.py": main, "x/data": "→../../y"}, Settings{}, fault.Project, "the link x/data leaves", "exclude"},
		{"link of a link", files{"main.py": main, "a": "→b", "b": "→../.."}, Settings{}, fault.Project, "leaves the project", "exclude"},
		{"group", files{"main.py": main, "pyproject.toml": py + "[dependency-groups]\ndev = []\nProd_X = []\n"}, Settings{Groups: []string{"nope"}}, fault.Project, `no group is called "nope"`, "dev, prod-x"},
		{"extra", files{"main.py": main, "pyproject.toml": py}, Settings{Extras: []string{"nope"}}, fault.Project, "no extra", "no extras"},
		{"test group", files{"main.py": main, "pyproject.toml": py + "[dependency-groups]\ndev = []\n"}, Settings{TestGroups: []string{"nope"}}, fault.Project, `no test-group is called "nope"`, "--test-groups from: dev"},
		{"test extra of a script", files{"main.py": main}, Settings{TestExtras: []string{"nope"}}, fault.Project, "no test-extra", "no test-extras"},
		{"tests", files{"main.py": main}, Settings{Tests: []string{"'"}}, fault.Usage, "tests", "command lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.files.detect(t, tt.settings)
			wantFault(t, err, tt.kind, tt.what, tt.hint)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows a password")
			}
		})
	}
}

func TestPathsThatAreNoProject(t *testing.T) {
	dir := files{"x.txt": ""}.write(t)
	for path, want := range map[string]string{"missing": "does not exist", "x.txt": "neither a directory nor"} {
		_, err := Detect(t.Context(), filepath.Join(dir, path), Options{Cache: store(t)})
		wantFault(t, err, fault.Project, want, ".py file")
	}
}

// Opening a pipe would wait for ever.
func TestPipeIsRefused(t *testing.T) {
	dir := files{"main.py": main}.write(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Detect(t.Context(), dir, Options{Cache: store(t)})
	wantFault(t, err, fault.Project, "pipe is neither file", "exclude")
}

func TestWorkspaceMember(t *testing.T) {
	dir := files{
		"pyproject.toml": "[tool.uv.workspace]\nmembers = [\"libs/*\"]\n", "uv.lock": "",
		"libs/one/pyproject.toml": "[project]\nname = \"one\"\nversion = \"1\"\ndependencies = []\n", "libs/one/main.py": main,
	}.write(t)
	_, err := Detect(t.Context(), filepath.Join(dir, "libs/one"), Options{Cache: store(t)})
	wantFault(t, err, fault.Project, "is a member of the uv workspace", "uv export --package one")
}

// Resolving again because a line of code changed would cost a minute.
func TestSourcesOfAScriptAreItsMetadata(t *testing.T) {
	digest := func(code string) string {
		dir := files{"job.py": "#!/usr/bin/python\n# /// script\n# dependencies = []\n# ///\n" + code}.write(t)
		p, err := Detect(t.Context(), filepath.Join(dir, "job.py"), Options{Cache: store(t)})
		if err != nil {
			t.Fatal(err)
		}
		return p.Sources.Digest()
	}
	if digest("print(1)\n") != digest("print(2)\n") {
		t.Error("code counts as a statement of dependencies")
	}
}

// What only tests need is uv's default group, unless the settings say more.
func TestTestGroups(t *testing.T) {
	py := "[project]\nname = \"demo\"\nversion = \"1\"\n[project.optional-dependencies]\ntest = []\n[dependency-groups]\ndev = []\nci = []\n"
	for _, tt := range []struct {
		settings       Settings
		groups, extras []string
	}{
		{Settings{}, nil, nil},
		{Settings{Tests: []string{"pytest"}}, []string{"dev"}, nil},
		{Settings{Tests: []string{"pytest"}, TestGroups: []string{"ci"}}, []string{"ci"}, nil},
		{Settings{Tests: []string{"pytest"}, TestExtras: []string{"test"}}, nil, []string{"test"}},
	} {
		p, err := files{"main.py": "", "pyproject.toml": py}.detect(t, tt.settings)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.TestGroups, tt.groups) || !slices.Equal(p.TestExtras, tt.extras) {
			t.Errorf("%+v: groups %q, extras %q", tt.settings, p.TestGroups, p.TestExtras)
		}
	}
}
