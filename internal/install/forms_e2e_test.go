//go:build e2e

package install

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/testkit/index"
	"exuvia/internal/tree"
)

const password = "correct-horse-battery"

// shelf is an index with a few distributions: top needs leaf; pure is only
// there as sources.
type shelf struct {
	*index.Server
	sum map[string]string // file → SHA-256
}

func newShelf(t *testing.T, private bool) *shelf {
	t.Helper()
	s := &shelf{Server: index.New(t), sum: make(map[string]string)}
	if private {
		s.User, s.Password = "reader", password
	}
	add := func(name, file string, data []byte) {
		s.Add(name, file, data)
		s.sum[file] = index.Sum(data)
	}
	for _, version := range []string{"1.0", "2.0"} {
		file, data := index.Wheel(t, "leaf", version, nil)
		add("leaf", file, data)
	}
	file, data := index.Wheel(t, "top", "1.0", index.Files{"top/__init__.py": "def main():\n    print('top')\n", "top-1.0.dist-info/entry_points.txt": "[console_scripts]\ntop-tool = top:main\n"}, "leaf<2")
	add("top", file, data)
	src := index.Sources("pure", "1.0", s.Port())
	src["pkg/pure.py"] = "x = 1\n"
	file, data = index.Sdist(t, "pure", "1.0", src)
	add("pure", file, data)
	return s
}

// pylock is a lock of PEP 751 that names files of the shelf.
func (s *shelf) pylock(files ...string) string {
	var b strings.Builder
	b.WriteString("lock-version = \"1.0\"\ncreated-by = \"test\"\n")
	for _, f := range files {
		name, rest, _ := strings.Cut(f, "-")
		version, _, _ := strings.Cut(strings.TrimSuffix(rest, ".tar.gz"), "-")
		entry := fmt.Sprintf("{ url = %q, hashes = { sha256 = %q } }", s.FileURL(name, f), s.sum[f])
		if strings.HasSuffix(f, ".whl") {
			entry = "wheels = [" + entry + "]"
		} else {
			entry = "sdist = " + entry
		}
		fmt.Fprintf(&b, "[[packages]]\nname = %q\nversion = %q\n%s\n", name, version, entry)
	}
	return b.String()
}

func (s *shelf) uvLock() string {
	return fmt.Sprintf(`version = 1
revision = 3
requires-python = ">=3.9"

[manifest]
members = ["demo", "member"]

[[package]]
name = "demo"
version = "1.0"
source = { virtual = "." }
dependencies = [{ name = "leaf" }, { name = "member" }]

[package.metadata]
requires-dist = [{ name = "leaf" }, { name = "member", editable = "libs/member" }]

[[package]]
name = "member"
version = "1.0"
source = { editable = "libs/member" }

[[package]]
name = "leaf"
version = "1.0"
source = { registry = %q }
wheels = [{ url = %q, hash = "sha256:%s" }]
`, s.URL(), s.FileURL("leaf", "leaf-1.0-py3-none-any.whl"), s.sum["leaf-1.0-py3-none-any.whl"])
}

// env is how a user names the index.
func (s *shelf) env() map[string]string {
	url := s.URL()
	if s.User != "" {
		url = s.PrivateURL()
	}
	return map[string]string{"UV_DEFAULT_INDEX": url, "PIP_FIND_LINKS": ""}
}

func write(t *testing.T, files index.Files) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func merged(a, b index.Files) index.Files {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func dists(r *Result) []string {
	var out []string
	for _, d := range r.Dists {
		out = append(out, d.Name+" "+d.Version)
	}
	return out
}

func TestForms(t *testing.T) {
	s := onDebian(t, "bookworm")
	shelf := newShelf(t, false)
	leaf1, top := "leaf-1.0-py3-none-any.whl", "top-1.0-py3-none-any.whl"
	py := index.Files{"main.py": "import leaf\nprint(leaf.name, __name__, __spec__.name)\nif __name__ == '__main__':\n    pass\n"}
	member := index.Sources("member", "1.0", shelf.Port())
	withMember := maps.Clone(py)
	for p, text := range member {
		withMember["libs/member/"+p] = text
	}
	withMember["libs/member/pkg/member.py"] = "y = 2\n"
	poetry := fmt.Sprintf("[[package]]\nname = \"leaf\"\nversion = \"1.0\"\noptional = false\npython-versions = \"*\"\ngroups = [\"main\"]\nfiles = [{file = %q, hash = \"sha256:%s\"}]\n[[package]]\nname = \"top\"\nversion = \"1.0\"\noptional = false\npython-versions = \"*\"\ngroups = [\"dev\"]\nfiles = []\n[metadata]\nlock-version = \"2.1\"\n", leaf1, shelf.sum[leaf1])
	own := merged(index.Sources("demo", "3.0", shelf.Port(), "leaf<2"), index.Files{"pkg/demo/__init__.py": "", "pkg/demo/__main__.py": "import leaf\nprint(leaf.name, __name__)\n", "demo/__main__.py": ""})
	script := "# /// script\n# dependencies = [\"leaf\"]\n# ///\nimport leaf\nprint(leaf.name, __name__, __spec__.name)\n"
	dynamic := merged(own, nil)
	dynamic["pyproject.toml"] = strings.Replace(dynamic["pyproject.toml"], "dependencies = [\"leaf<2\"]", "dynamic = [\"dependencies\"]", 1)
	tests := []struct {
		name  string
		files index.Files
		path  string
		entry []string
		want  []string
		says  string
	}{
		{
			"uv.lock with a member of the workspace", merged(withMember, index.Files{
				"uv.lock":        shelf.uvLock(),
				"pyproject.toml": "[project]\nname = \"demo\"\nversion = \"1.0\"\nrequires-python = \">=3.9\"\ndependencies = [\"leaf\", \"member\"]\n[tool.uv.sources]\nmember = { workspace = true }\n[tool.uv.workspace]\nmembers = [\"libs/*\"]\n",
			}),
			"", nil,
			[]string{"leaf 1.0", "member 1.0"},
			"leaf __main__ main",
		},
		{"pylock with sources", merged(py, index.Files{"pylock.toml": shelf.pylock(leaf1, "pure-1.0.tar.gz")}), "", nil, []string{"leaf 1.0", "pure 1.0"}, "leaf __main__ main"},
		{"poetry.lock", merged(py, index.Files{"poetry.lock": poetry}), "", nil, []string{"leaf 1.0"}, "leaf __main__ main"},
		{"requirements.txt", merged(py, index.Files{"requirements.txt": "-r base.txt\n", "base.txt": "top\nleaf; python_version < '3'\n"}), "", nil, []string{"leaf 1.0", "top 1.0"}, "leaf __main__ main"},
		{"requirements.txt with hashes", merged(py, index.Files{"requirements.txt": "leaf==1.0 \\\n  --hash=sha256:" + shelf.sum[leaf1] + "\n"}), "", nil, []string{"leaf 1.0"}, "leaf __main__ main"},
		{"requirements.txt with a directory", merged(withMember, index.Files{"requirements.txt": "-e ./libs/member\nleaf\n"}), "", nil, []string{"leaf 2.0", "member 1.0"}, "leaf __main__ main"},
		{"sources that nobody locked", merged(py, index.Files{"requirements.txt": "leaf\npure\n"}), "", nil, []string{"leaf 2.0", "pure 1.0"}, "leaf __main__ main"},
		{"pyproject.toml", merged(py, index.Files{"pyproject.toml": "[project]\nname = \"demo\"\nversion = \"1\"\ndependencies = [\"leaf\"]\n"}), "", nil, []string{"leaf 2.0"}, "leaf __main__ main"},
		{"a script", index.Files{"job.py": script}, "job.py", nil, []string{"leaf 2.0"}, "leaf __main__ job"},
		{"a build system", own, "", []string{"-m demo"}, []string{"demo 3.0", "leaf 1.0"}, "leaf __main__"},
		{"a build system that alone knows the dependencies", dynamic, "", []string{"-m demo"}, []string{"demo 3.0", "leaf 1.0"}, "leaf __main__"},
		{"a console script of a dependency", merged(py, index.Files{"pylock.toml": shelf.pylock(leaf1, top)}), "", []string{"top-tool"}, []string{"leaf 1.0", "top 1.0"}, "top"},
		{"a bare file", index.Files{"main.py": "print('hello', __name__)\n"}, "", nil, nil, "hello __main__"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, p, err := s.install(t, filepath.Join(write(t, tt.files), tt.path), project.Settings{Entry: tt.entry}, shelf.env())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, dists(r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			argv, err := Entrypoint(p.Entries[0], s.rt)
			if err != nil {
				t.Fatal(err)
			}
			if code, out := s.boot(t, r, argv...); code != 0 || strings.TrimSpace(out) != tt.says {
				t.Errorf("exit code %d, %q, want %q", code, out, tt.says)
			}
			if p.BuildSystem {
				if _, ok := r.App.Lookup("app/pyproject.toml"); ok {
					t.Error("a project that is a wheel was copied too")
				}
			}
		})
	}
}

// Sources are built without network and without a word of the user's
// credentials, and no trace of them stays anywhere.
func TestCredentialsReachNobody(t *testing.T) {
	s := onDebian(t, "bookworm")
	private := newShelf(t, true)
	for name, tt := range map[string]struct {
		env   map[string]string
		netrc string
	}{
		"in the URL": {private.env(), ""},
		"in .netrc":  {map[string]string{"UV_DEFAULT_INDEX": private.URL()}, "machine 127.0.0.1 login reader password " + password + "\n"},
		"of pip":     {map[string]string{"PIP_INDEX_URL": private.PrivateURL()}, ""},
		"by name":    {map[string]string{"UV_INDEX": "mine=" + private.URL(), "UV_INDEX_MINE_USERNAME": "reader", "UV_INDEX_MINE_PASSWORD": password}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(tt.env)
			env["PIP_FIND_LINKS"] = ""
			if tt.netrc != "" {
				env["NETRC"] = filepath.Join(t.TempDir(), "netrc")
				if err := os.WriteFile(env["NETRC"], []byte(tt.netrc), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files := index.Files{"main.py": "print(1)\n", "requirements.txt": "top\n"}
			r, _, err := s.install(t, write(t, files), project.Settings{}, env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"leaf 1.0", "top 1.0"}, dists(r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			files = index.Files{"main.py": "print(1)\n", "pylock.toml": private.pylock("pure-1.0.tar.gz")}
			if r, _, err = s.install(t, write(t, files), project.Settings{}, env); err != nil {
				t.Fatal(err)
			}
			e, ok := r.App.Lookup(s.rt.Site + "/pure_build.py")
			if !ok {
				t.Fatal("the module that tells what the build saw is not there")
			}
			data, err := e.ReadAll(64 << 20)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), password) {
				t.Error("the build saw the password")
			}
			if !strings.Contains(string(data), "'network': 'none'") {
				t.Error("the build reached the network")
			}
			searchCache(t, s)
		})
	}
	// Where resolving would have to build, it does not.
	_, _, err := s.install(t, write(t, index.Files{"main.py": "", "requirements.txt": "pure\n"}), project.Settings{}, private.env())
	wantFault(t, err, fault.Dependency, "pure", "uv lock")
}

// searchCache looks for the password in every file of the cache.
func searchCache(t *testing.T, s *realSystem) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(s.cache.Dir(), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() || strings.Contains(p, "/trees/") {
			return err
		}
		if fi, err := d.Info(); err != nil || fi.Size() > 8<<20 {
			return err
		}
		data, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(data), password) {
			t.Errorf("%s holds the password", p)
		}
		n++
		return err
	})
	if err != nil || n < 100 {
		t.Errorf("looked into %d files: %v", n, err)
	}
}

func TestBadDependencies(t *testing.T) {
	s := onDebian(t, "bookworm")
	shelf := newShelf(t, false)
	lock := shelf.pylock("leaf-2.0-py3-none-any.whl")
	lock = strings.ReplaceAll(lock, shelf.sum["leaf-2.0-py3-none-any.whl"], index.Sum([]byte("another")))
	private := newShelf(t, true)
	file, data := index.Wheel(t, "hidden", "1.0", nil)
	private.Add("hidden", file, data)
	private.sum[file] = index.Sum(data)
	hidden := private.pylock(file)
	// A shelf that is gone: as if there were no network.
	gone := newShelf(t, false)
	evil := newShelf(t, false)
	file, _ = index.Wheel(t, "leaf", "1.0", nil)
	_, other := index.Wheel(t, "leaf", "1.0", index.Files{"leaf.py": "import os\n"})
	evilLock := strings.ReplaceAll(evil.pylock(file), evil.sum[file], index.Sum([]byte("what was locked")))
	if !evil.Replace("leaf", file, other) {
		t.Fatal("nothing to replace")
	}
	goneLock := strings.ReplaceAll(gone.pylock("top-1.0-py3-none-any.whl"), gone.sum["top-1.0-py3-none-any.whl"], index.Sum([]byte("never seen")))
	gone.Close()
	broken := index.Sources("broken", "1.0", 1)
	broken["backend.py"] = "def build_wheel(*a):\n    raise SystemExit('no compiler here')\n"
	bad, data := index.Sdist(t, "broken", "1.0", broken)
	shelf.Add("broken", bad, data)
	shelf.sum[bad] = index.Sum(data)
	tests := []struct {
		name  string
		files index.Files
		env   map[string]string
		kind  fault.Kind
		what  string
		hint  string
	}{
		{"unknown", index.Files{"requirements.txt": "nosuch\n"}, shelf.env(), fault.Dependency, "nosuch was not found", ""},
		{"unsatisfiable", index.Files{"requirements.txt": "leaf>=9\n"}, shelf.env(), fault.Dependency, "leaf", "requirement"},
		{"conflict", index.Files{"requirements.txt": "top\nleaf>=2\n"}, shelf.env(), fault.Dependency, "top", "requirement"},
		{"replaced file", index.Files{"pylock.toml": evilLock}, nil, fault.Integrity, file, "do not trust"},
		{"hash that no file has", index.Files{"requirements.txt": "leaf==1.0 --hash=sha256:" + index.Sum(nil) + "\n"}, shelf.env(), fault.Integrity, "leaf 1.0", ""},
		{"file that is gone", index.Files{"pylock.toml": strings.Replace(lock, "/leaf-2.0", "/leaf-2.1", 1)}, nil, fault.Dependency, "leaf-2.1-py3-none-any.whl is not at", "lock"},
		{"no network for a file", index.Files{"pylock.toml": goneLock}, nil, fault.Network, "top-1.0-py3-none-any.whl has to be downloaded from 127.0.0.1", "network"},
		{"no network to resolve", index.Files{"requirements.txt": "top\n"}, gone.env(), fault.Network, "index", "network"},
		{"no credentials", index.Files{"pylock.toml": hidden}, nil, fault.Network, "credentials", ".netrc"},
		{"no credentials to resolve", index.Files{"requirements.txt": "top\n"}, map[string]string{"UV_DEFAULT_INDEX": private.URL()}, fault.Network, "top", ".netrc"},
		{"git", index.Files{"pylock.toml": "lock-version = \"1.0\"\n[[packages]]\nname = \"x\"\n[packages.vcs]\ntype = \"git\"\nurl = \"https://u:p@host/x.git\"\ncommit-id = \"abc\"\n"}, nil, fault.Dependency, "x comes from version control (https://host/x.git)", "release"},
		{"broken build", index.Files{"pylock.toml": shelf.pylock(bad)}, nil, fault.Dependency, "broken 1.0 cannot be built: ", "wheel"},
		{"no such script", index.Files{"pylock.toml": shelf.pylock("leaf-2.0-py3-none-any.whl"), "pyproject.toml": "[tool.exuvia]\nentry = [\"gunicorn x:y\"]\n"}, nil, fault.Project, "no script gunicorn", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := merged(tt.files, index.Files{"main.py": "print(1)\n"})
			env := map[string]string{"PIP_FIND_LINKS": ""}
			maps.Copy(env, tt.env)
			_, _, err := s.install(t, write(t, files), project.Settings{}, env)
			wantFault(t, err, tt.kind, tt.what, tt.hint)
			if err != nil {
				t.Log(err)
			}
		})
	}
}

func wantFault(t *testing.T, err error, kind fault.Kind, what, hint string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("error is %v (%T), want a fault", err, err)
	}
	if f.Kind != kind || !strings.Contains(err.Error(), what) || !strings.Contains(f.Hint, hint) {
		t.Errorf("fault %d\n  %s\n  %s\nwant %d with\n  %s\n  %s", f.Kind, err, f.Hint, kind, what, hint)
	}
}

// A module that spawns children, and a click command, see what they would see
// beside their sources.
func TestStubsBehaveLikeScripts(t *testing.T) {
	s := onDebian(t, "bookworm")
	files := index.Files{
		"main.py":   "import multiprocessing, sys\nimport helper\n\ndef work(n):\n    return helper.double(n), __name__\n\nif __name__ == '__main__':\n    ctx = multiprocessing.get_context('spawn')\n    with ctx.Pool(1) as pool:\n        print(pool.map(work, [21]), sys.argv, sys.path[0], __file__, __package__ == '')\n",
		"helper.py": "def double(n):\n    return 2 * n\n", "tools/run.py": "import sys, near\nprint(near.x, sys.path[0])\n", "tools/near.py": "x = 7\n",
		"pkg/__init__.py": "", "pkg/cli.py": "import sys\ndef main():\n    print(sys.argv)\n    return 3\n",
	}
	r, p, err := s.install(t, write(t, files), project.Settings{Entry: []string{"main.py a 'b c'", "tools/run.py", "pkg.cli:main"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		code int
		out  string
	}{
		{0, "[(42, '__mp_main__')] ['/app/main', 'a', 'b c'] /app /app/main.py True"},
		{0, "7 /app/tools"},
		{3, "['/app/cli']"},
	}
	for i, w := range want {
		argv, err := Entrypoint(p.Entries[i], s.rt)
		if err != nil {
			t.Fatal(err)
		}
		if code, out := s.boot(t, r, argv...); code != w.code || strings.TrimSpace(out) != w.out {
			t.Errorf("%s: exit code %d, %q, want %d, %q", p.Entries[i].Spec, code, out, w.code, w.out)
		}
	}
	for e := range r.App.All() {
		if e.From.Kind == tree.Project && e.From.Name != "demo" {
			t.Errorf("%s is of %s", e.Path, e.From)
		}
	}
}

// Every Python that Debian has released installs by the same rules, also what
// comes as sources for setuptools, from the index of this machine.
func TestSuites(t *testing.T) {
	for suite, version := range map[string]string{"bullseye": "3.9", "trixie": "3.13"} {
		t.Run(suite, func(t *testing.T) {
			s := onDebian(t, suite)
			files := index.Files{
				"requirements.txt": "docopt==0.6.2\nmarkupsafe\n",
				"main.py":          "import docopt, markupsafe, sys\nfrom markupsafe import _speedups\nprint(docopt.__version__, '%d.%d' % sys.version_info[:2])\n",
			}
			r, p, err := s.install(t, write(t, files), project.Settings{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			argv, err := Entrypoint(p.Entries[0], s.rt)
			if err != nil {
				t.Fatal(err)
			}
			if code, out := s.boot(t, r, argv...); code != 0 || !strings.HasPrefix(out, "0.6.2 "+version+"\n") {
				t.Errorf("exit code %d: %s", code, out)
			}
			setuptools := false
			for _, in := range r.Inputs {
				setuptools = setuptools || strings.HasPrefix(in.Name, "setuptools-")
			}
			if !setuptools {
				t.Errorf("the build backend is not among the inputs: %v", r.Inputs)
			}
			full, err := tree.Overlay(s.base.Tree, r.App)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := WithPycache(t.Context(), s.eng, full, s.rt); err != nil {
				t.Error(err)
			}
		})
	}
}
