package install

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/testkit/index"
	"exuvia/internal/tree"
)

const site = "usr/local/lib/python3.11/dist-packages"

func mustTree(t *testing.T, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	out, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func made(name, text string) tree.Entry {
	return tree.File(name, 0o664, []byte(text), tree.Origin{Kind: tree.Made, Name: "a step"})
}

func TestAttribute(t *testing.T) {
	record := "My_Dist/__init__.py,sha256=x,1\n\"my_dist/odd, name.py\",,\n../../../bin/tool,sha256=y,2\n../../../share/doc/x,,\n" +
		"My_Dist-1.0.dist-info/RECORD,,\nMy_Dist-1.0.dist-info/direct_url.json,sha256=z,3\nMy_Dist-1.0.dist-info/uv_cache.json,,\ngone.py,,\n"
	out := mustTree(t,
		made(site+"/My_Dist/__init__.py", "1"), made(site+"/my_dist/odd, name.py", "2"), tree.File("usr/local/bin/tool", 0o775, []byte("#!"), tree.Origin{}),
		made("usr/local/share/doc/x", ""), made(site+"/My_Dist-1.0.dist-info/RECORD", record), made(site+"/My_Dist-1.0.dist-info/direct_url.json", "{}"),
		made(site+"/My_Dist-1.0.dist-info/uv_cache.json", "{}"), made(site+"/.lock", ""), made(site+"/stray.py", "3"),
	)
	in, err := attribute(testStore(t), out)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for e := range in.tree.All() {
		if !e.IsDir() {
			got[e.Path] = e.From.String() + " " + e.Mode.String()
		}
	}
	if diff := cmp.Diff(map[string]string{
		site + "/My_Dist/__init__.py":          "dist my-dist 1.0 -rw-r--r--",
		site + "/my_dist/odd, name.py":         "dist my-dist 1.0 -rw-r--r--",
		"usr/local/bin/tool":                   "dist my-dist 1.0 -rwxr-xr-x",
		"usr/local/share/doc/x":                "dist my-dist 1.0 -rw-r--r--",
		site + "/My_Dist-1.0.dist-info/RECORD": "dist my-dist 1.0 -rw-r--r--",
		site + "/stray.py":                     "made a step -rw-r--r--",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e, _ := in.tree.Lookup(site + "/My_Dist-1.0.dist-info/RECORD")
	data, err := e.ReadAll(1 << 20)
	if err != nil || strings.Contains(string(data), "direct_url") || strings.Contains(string(data), "uv_cache") || !strings.Contains(string(data), "odd, name") {
		t.Errorf("RECORD is %q (%v)", data, err)
	}
	if len(in.dists) != 1 || in.dists[0].Name != "my-dist" || len(in.dists[0].Files) != 5 {
		t.Errorf("%+v", in.dists)
	}
	if len(in.notes) != 1 || in.notes[0].Path != site+"/gone.py" {
		t.Errorf("notes: %+v", in.notes)
	}
}

func TestRecordOutsideTheTree(t *testing.T) {
	out := mustTree(t, made(site+"/a-1.dist-info/RECORD", strings.Repeat("../", 9)+"etc/passwd,,\n"))
	_, err := attribute(testStore(t), out)
	isFault(t, err, fault.Dependency, "names the path")
}

func FuzzRecord(f *testing.F) {
	f.Add("a.py,sha256=x,1\n../../../bin/x,,\n")
	f.Add("\"a\n")
	f.Fuzz(func(t *testing.T, s string) {
		e := made(site+"/a-1.dist-info/RECORD", s)
		files, kept, err := readRecord(e)
		if err != nil {
			return
		}
		if !strings.Contains(s, string(kept)) && strings.Count(s, "\n") == strings.Count(string(kept), "\n") {
			t.Errorf("kept %q of %q", kept, s)
		}
		for _, p := range files {
			if strings.HasPrefix(p, "/") || strings.HasPrefix(p, "..") {
				t.Errorf("%q names %q", s, p)
			}
		}
	})
}

func TestStubs(t *testing.T) {
	site := mustTree(t, made(site+"/pkg/__init__.py", ""), made(site+"/mod.py", ""))
	const module = "#!/usr/bin/python3.11\nimport sys\nif sys.path[:1] != [\"%d\"]:\n    sys.path.insert(0, \"%d\")\nfrom runpy import _run_module_as_main as run_module\nrun_module(\"%m\", alter_argv=False)\n"
	for _, tt := range []struct {
		entry project.Entry
		dir   string
		run   string
		copy  bool
	}{
		{project.Entry{Kind: project.EntryModule, Module: "main", Path: "main.py"}, "/app", "main", true},
		{project.Entry{Kind: project.EntryModule, Module: "run", Path: "tools/run.py", Dir: "tools"}, "/app/tools", "run", true},
		{project.Entry{Kind: project.EntryModule, Module: "own", Path: "own/__main__.py"}, "/app", "own.__main__", true},
		{project.Entry{Kind: project.EntryModule, Module: "pkg"}, "/app", "pkg.__main__", false},
		{project.Entry{Kind: project.EntryModule, Module: "mod", Path: "src/mod.py", Dir: "src"}, "/app", "mod", false},
		{project.Entry{Kind: project.EntryModule, Module: "http.server"}, "/app", "http.server", false},
	} {
		got := stubFor(tt.entry, site, runtime311)
		want := strings.NewReplacer("%d", tt.dir, "%m", tt.run).Replace(module)
		if diff := cmp.Diff(want, got.text); diff != "" || got.copy != tt.copy {
			t.Errorf("%+v: copy %v (-want +got):\n%s", tt.entry, got.copy, diff)
		}
	}
	got := stubFor(project.Entry{Kind: project.EntryFunction, Module: "pkg.cli", Func: "App.main"}, site, runtime311).text
	if !strings.HasSuffix(got, "from pkg.cli import App\nif __name__ == \"__main__\":\n    sys.exit(App.main())\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestEntrypoint(t *testing.T) {
	for _, tt := range []struct {
		entry project.Entry
		want  []string
	}{
		{project.Entry{Name: "main", Kind: project.EntryModule, Module: "main"}, []string{"/app/main"}},
		{project.Entry{Name: "uvicorn", Kind: project.EntryScript, Args: []string{"a:b"}}, []string{"/usr/local/bin/uvicorn", "a:b"}},
	} {
		got, err := Entrypoint(tt.entry, runtime311)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	for _, bad := range []string{"", "../x"} {
		if got, err := Entrypoint(project.Entry{Name: bad}, runtime311); err == nil {
			t.Errorf("%q starts %v", bad, got)
		}
	}
}

func TestUVFaults(t *testing.T) {
	for _, tt := range []struct {
		out  string
		kind fault.Kind
		what string
	}{
		{
			"warning: x\nerror: No solution found when resolving dependencies\n  cause: Because nosuch was not found in the package registry and you require nosuch, we can conclude that your requirements are unsatisfiable.\n", fault.Dependency,
			"resolving: Because nosuch was not found in the package registry and you require nosuch, we can conclude that your requirements are unsatisfiable",
		},
		{"  × No solution found when resolving dependencies:\n  ╰─▶ Because a has no usable wheels\n", fault.Dependency, "Because a has no usable wheels"},
		{"error: Failed to fetch: `https://u:pw@host.example/simple/x/`\n  cause: dns error\n", fault.Network, "cannot be reached (host.example)"},
		{"error: Network connectivity is disabled, but x\n", fault.Network, "cannot be reached"},
		{"error: Failed\n cause: HTTP status client error (401 Unauthorized) for url (https://host/x)", fault.Network, "401"},
		{"error: Hash mismatch for `a==1`\n", fault.Integrity, "Hash mismatch"},
		{"error: x\nhint: Wheels are required for `docopt` because building is disabled (i.e., with `--no-build`)", fault.Dependency, "x"},
	} {
		c := user{env: map[string]string{"UV_INDEX_URL": "https://u:pw-long@host.example/simple"}}.config(t, "")
		err := uvFault(&engine.StepError{Output: c.clean(tt.out)}, "resolving")
		isFault(t, err, tt.kind, tt.what)
		if strings.Contains(err.Error(), "u:pw") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
	for out, kind := range map[string]fault.Kind{
		"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.":                             fault.Integrity,
		"ERROR: Could not find a version\nERROR: No matching distribution found for uv==1":                      fault.Dependency,
		"WARNING: Retrying: Failed to establish a new connection\nERROR: No matching distribution found for uv": fault.Network,
		"401 Client Error: Unauthorized for url: https://h/x":                                                   fault.Network,
	} {
		isFault(t, pipFault(&engine.StepError{Output: out}), kind, "uv")
	}
}

func TestMemberOf(t *testing.T) {
	name, data := index.Sdist(t, "my-dist", "1.0", index.Files{"pyproject.toml": "top", "sub/pyproject.toml": "sub", "x/y/pyproject.toml": "no"})
	e := made(name, string(data))
	for member, want := range map[string]string{"pyproject.toml": "top", "sub/pyproject.toml": "sub", "setup.py": ""} {
		got, err := memberOf(e, member)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", member, got, err)
		}
	}
	wheel, data := index.Wheel(t, "zipped", "1", index.Files{"top/pyproject.toml": "zip"})
	if got, err := memberOf(made(strings.TrimSuffix(wheel, ".whl")+".zip", string(data)), "pyproject.toml"); err != nil || string(got) != "zip" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"a.tar.gz", "a.zip", "a.rar", "a.tar.xz"} {
		if got, err := memberOf(made(bad, "junk"), "pyproject.toml"); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func TestBackendOf(t *testing.T) {
	for text, want := range map[string]backend{
		"": {Requires: []string{"setuptools>=40.8.0"}, Backend: "setuptools.build_meta:__legacy__"},
		"[build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n": {Requires: []string{"hatchling"}, Backend: "hatchling.build"},
		"[build-system]\nrequires = []\nbuild-backend = \"b\"\nbackend-path = [\".\"]\n":    {Requires: []string{}, Backend: "b", Path: []string{"."}},
	} {
		got, err := backendOf("x", []byte(text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	_, err := backendOf("x", []byte("["))
	isFault(t, err, fault.Dependency, "pyproject.toml of x")
	for _, bad := range []string{"-r /etc/passwd", "x\n--index-url https://evil"} {
		_, err := backendOf("x", fmt.Appendf(nil, "[build-system]\nrequires = [%q]\n", bad))
		isFault(t, err, fault.Dependency, "no requirement")
	}
}
