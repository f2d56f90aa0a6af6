package pipeline

import (
	"strings"
	"testing"

	"exuvia/internal/base"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/reduce"
	"exuvia/internal/tree"
)

var deb = tree.Origin{Kind: tree.Deb, Name: "base-passwd", Version: "3"}

func built(t *testing.T, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// The image's user has an account beside the system's own, once.
func TestContractFiles(t *testing.T) {
	for name, passwd := range map[string]string{
		"system's own":  "root:x:0:0:root:/root:/bin/sh\n",
		"has it":        "root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532::/x:/bin/sh\n",
		"no file there": "",
	} {
		system := &tree.Tree{}
		if passwd != "" {
			system = built(t, tree.File("etc/passwd", 0o644, []byte(passwd), deb))
		}
		made, err := contractFiles(system)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := made.Lookup("etc/passwd")
		if !ok {
			t.Fatalf("%s: no etc/passwd", name)
		}
		data, err := e.ReadAll(maxAccounts)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), "nonroot:x:65532:65532:"); n != 1 || !strings.HasPrefix(string(data), passwd) {
			t.Errorf("%s: etc/passwd is %q", name, data)
		}
		if home, ok := made.Lookup("home/nonroot"); !ok || home.UID != nonrootID || !home.IsDir() {
			t.Errorf("%s: the home is %+v", name, home)
		}
	}
}

// What a system has of the contract is a root; what it has not is no error.
func TestContractIsWhatIsThere(t *testing.T) {
	tr := built(t, tree.File("etc/passwd", 0o644, nil, deb), tree.File("usr/bin/python3.11", 0o755, nil, deb), tree.Dir("tmp", 0o777, deb))
	got := make(map[string]bool)
	for _, r := range append(contract(tr), pythonContract(tr, &python.Runtime{Exe: "usr/bin/python3.11"})...) {
		got[r.Path] = true
		if !strings.HasPrefix(r.Why, "runtime contract: ") {
			t.Errorf("%s is kept for %q", r.Path, r.Why)
		}
	}
	for p, want := range map[string]bool{"etc/passwd": true, "tmp": true, "usr/bin/python3.11": true, "etc/group": false} {
		if got[p] != want {
			t.Errorf("%s is a root: %v, want %v", p, got[p], want)
		}
	}
}

// A file that two passes moved is where the last one put it.
func TestNowFollowsMoves(t *testing.T) {
	x := &Explanation{moves: map[string]reduce.Move{
		"a.py":  {From: "a.py", To: "a.pyc"},
		"a.pyc": {From: "a.pyc", To: "x.pya", Member: "a.py"},
		"b.h":   {From: "b.h", Why: "headers"},
		"loop":  {From: "loop", To: "loop"},
	}}
	for p, want := range map[string]string{"a.py": "/x.pya, member a.py", "b.h": "dropped: headers", "c": "", "loop": "/loop"} {
		if got := x.now(p); got != want {
			t.Errorf("now(%q) = %q, want %q", p, got, want)
		}
	}
}

func TestLayersByRateOfChange(t *testing.T) {
	b := &build{app: app{project: &project.Project{Name: "demo"}}, plan: &plan.Plan{}}
	parts := oci.Split(built(t,
		tree.File("usr/bin/python3", 0o755, nil, deb),
		tree.File("site/click.py", 0o644, nil, tree.Origin{Kind: tree.Dist, Name: "click"}),
		tree.File("app/main.py", 0o644, nil, tree.Origin{Kind: tree.Project, Name: "demo"}),
	), b.layerOf, layerSystem, layerDependencies, layerApp)
	var got []string
	for _, p := range parts {
		got = append(got, p.Name)
	}
	if strings.Join(got, " ") != "system dependencies app" {
		t.Errorf("layers are %v", got)
	}
}

// A newer state of the suite is another build though the system has the same
// files, for the tools come from it too; where the project lies is none.
func TestBuildKey(t *testing.T) {
	fresh := func() *build {
		return &build{
			app: app{
				Pipeline: &Pipeline{}, project: &project.Project{Name: "demo", Files: &tree.Tree{}, Sources: &tree.Tree{}},
				system: &base.Base{Tree: &tree.Tree{}, Inputs: map[string]string{"bookworm InRelease": "sha256:1"}},
			},
			base: base.Scratch(),
		}
	}
	want := fresh().buildKey()
	for name, c := range map[string]struct {
		edit func(*build)
		same bool
	}{
		"nothing":    {func(*build) {}, true},
		"the place":  {func(b *build) { b.project.Dir = "/elsewhere" }, true},
		"a setting":  {func(b *build) { b.project.Settings.Optimize = 2 }, false},
		"a file":     {func(b *build) { b.project.Files = built(t, tree.File("a", 0o644, nil, deb)) }, false},
		"the suite":  {func(b *build) { b.system.Inputs["bookworm InRelease"] = "sha256:2" }, false},
		"the system": {func(b *build) { b.system.Tree = built(t, tree.File("a", 0o644, nil, deb)) }, false},
		"exuvia":     {func(b *build) { b.Version = "2" }, false},
		"an index":   {func(b *build) { b.indexes = "x" }, false},
	} {
		b := fresh()
		c.edit(b)
		if got := b.buildKey(); (got == want) != c.same {
			t.Errorf("%s: the key is the same: %v, want %v", name, got == want, c.same)
		}
	}
}

// What the project's own code starts is kept; what a dependency could start
// is not, nor what the system does not have.
func TestProgramsOfTheProject(t *testing.T) {
	tr := built(t,
		tree.Symlink("bin", "usr/bin", deb), tree.File("usr/bin/dash", 0o755, nil, deb), tree.Symlink("usr/bin/sh", "dash", deb),
		tree.File("usr/bin/ls", 0o755, nil, deb),
		tree.File("usr/local/bin/gunicorn", 0o755, nil, tree.Origin{Kind: tree.Dist, Name: "gunicorn"}),
	)
	own := tree.Origin{Kind: tree.Project, Name: "demo"}
	a := &app{project: &project.Project{Name: "demo"}}
	for _, c := range []struct {
		text string
		from tree.Origin
		want string
	}{
		{`subprocess.run("a | b", shell=True)`, own, "bin/sh"},
		{`os.system("a")`, tree.Origin{Kind: tree.Dist, Name: "demo"}, "bin/sh"},
		{`os.system("a")`, tree.Origin{Kind: tree.Dist, Name: "click"}, ""},
		{`subprocess.check_output(["ls", path])`, own, "usr/bin/ls"},
		{`await asyncio.create_subprocess_exec("ls")`, own, "usr/bin/ls"},
		{`subprocess.run(["git", "log"])`, own, "missing git"},
		{`subprocess.run(["git", "log"])`, tree.Origin{Kind: tree.Dist, Name: "click"}, ""},
		{`os.execv("/usr/bin/ls", ["ls"])`, own, "usr/bin/ls"},
		{`os.execvp("gunicorn", ["gunicorn", "app"])`, own, "usr/local/bin/gunicorn"},
		{`SERVER = ["gunicorn", "app"]; subprocess.Popen(SERVER)`, own, "usr/local/bin/gunicorn"},
		{`print("gunicorn", "ls")`, own, ""},
		{`subprocess.run("gunicorn app; ls", shell=True)`, own, "bin/sh usr/local/bin/gunicorn"},
		{`app.run(host="0.0.0.0")`, own, ""},
	} {
		edges, err := programFinder{tr, a.own}.Find(t.Context(), tree.File("app/x.py", 0o644, []byte(c.text), c.from))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range edges {
			got = append(got, e.To)
			if e.Missing != "" {
				got = []string{"missing " + e.Missing}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s of %s: starts %v, want %q", c.text, c.from.Name, got, c.want)
		}
	}
}
