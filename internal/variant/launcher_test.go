package variant

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/base"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

const site = "usr/local/lib/python3.11/dist-packages"

// many is a project with an entry point of each kind, data and a C extension.
func many(t *testing.T) Input {
	t.Helper()
	own := tree.Origin{Kind: tree.Project, Name: "app"}
	dep := tree.Origin{Kind: tree.Dist, Name: "dep", Version: "1.0"}
	app, err := tree.New(
		tree.File("app/main.py", 0o644, nil, own),
		tree.File("app/src/pkg/read.py", 0o644, nil, own),
		tree.File("app/src/pkg/words.txt", 0o644, nil, own),
		tree.File("app/fast.cpython-311-x86_64-linux-gnu.so", 0o755, nil, own),
		tree.File("app/my-script.py", 0o644, nil, own),
		tree.File("app/__main__.py", 0o644, nil, own),
		tree.File(site+"/dep/x.html", 0o644, nil, dep),
		tree.File(site+"/dep/unused.html", 0o644, nil, dep),
		tree.File(site+"/dep.libs/libz.so.1", 0o755, nil, dep),
		tree.File(site+"/Dep-1.0.dist-info/METADATA", 0o644, nil, dep),
		tree.File(site+"/dep-1.0.dist-info/licenses/LICENSE", 0o644, nil, dep),
		tree.File("usr/local/bin/serve", 0o755, nil, dep),
	)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{
		Project: &project.Project{Name: "app", Entries: []project.Entry{
			{Name: "main", Kind: project.EntryModule, Module: "main", Path: "main.py", Spec: "main.py"},
			{Name: "serve", Kind: project.EntryScript, Args: []string{"pkg.read:app"}, Spec: "serve pkg.read:app"},
			{Name: "read", Kind: project.EntryFunction, Module: "pkg.read", Func: "Reader.run", Path: "src/pkg/read.py", Dir: "src", Spec: "pkg.read:Reader.run"},
			{Name: "serve", Kind: project.EntryModule, Module: "dep.serve", Spec: "-m dep.serve"},
			{Name: "app", Kind: project.EntryModule, Module: "__main__", Path: "__main__.py", Spec: "__main__.py"},
			{Name: "serve", Kind: project.EntryScript, Spec: "serve"},
		}},
		System: &base.Base{Ref: "debian:bookworm", Tree: &tree.Tree{}}, Base: base.Scratch(), App: app,
		Python: &python.Runtime{
			Version: "3.11", Platform: "linux-x86_64", Site: site, Scripts: "usr/local/bin",
			Path: []string{"usr/lib/python3.11", site}, Suffixes: []string{".cpython-311-x86_64-linux-gnu.so", ".so"},
		},
		Entrypoints: [][]string{{"/app/main"}, {"/usr/local/bin/serve", "pkg.read:app"}, {"/app/read"}, {"/app/serve"}, {"/app/app"}, {"/usr/local/bin/serve"}},
		Needs: plan.Needs{
			Modules: []string{"dep.serve", "fast", "main", "pkg.read"}, Metadata: []string{"dep"}, Data: []string{site + "/dep/x.html"},
			Libraries: []string{"usr/lib/x86_64-linux-gnu/libssl.so.3", "usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", site + "/dep.libs/libz.so.1"},
			Programs:  []string{"usr/bin/git"},
		},
		Roots: Roots{Contract: []plan.Root{{Path: "etc/passwd"}, {Path: "usr/lib/x86_64-linux-gnu/libgcc_s.so.1"}}},
	}
	for e := range app.All() {
		if e.From.Kind == tree.Project && !e.IsDir() {
			in.Roots.Own = append(in.Roots.Own, plan.Root{Path: e.Path})
		}
	}
	return in
}

// What a tool is not told, a frozen program lacks; what it is told twice, the
// image has twice.
func TestFreeze(t *testing.T) {
	f, err := freeze(many(t))
	if err != nil {
		t.Fatal(err)
	}
	want := freezer{
		Name: "main", Dir: "/opt/app", Path: []string{"/app", "/app/src"}, Excludes: []string{}, Strip: true,
		Modules: []string{"dep.serve", "fast", "main", "pkg.read"},
		Files: [][2]string{
			{"/app/my-script.py", "my-script.py"},
			{"/app/src/pkg/words.txt", "pkg/words.txt"},
			{"/" + site + "/Dep-1.0.dist-info/METADATA", "Dep-1.0.dist-info/METADATA"},
			{"/" + site + "/dep-1.0.dist-info/licenses/LICENSE", "dep-1.0.dist-info/licenses/LICENSE"},
			{"/" + site + "/dep/x.html", "dep/x.html"},
		},
		Own:         []string{"/app/__main__.py", "/app/main.py", "/app/my-script.py", "/app/src/pkg/read.py"},
		Libraries:   []string{"libgcc_s.so.1", "libssl.so.3"},
		LibraryDirs: []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib", "/lib64", "/usr/lib64"},
		Scripts:     map[string]string{"exuvia_script_0": "/usr/local/bin/serve", "exuvia_script_1": "/app/__main__.py"},
		Links:       map[string]string{"serve": "main", "read": "main", "3/serve": "../main", "app": "main"},
	}
	if diff := cmp.Diff(want, f.freezer); diff != "" {
		t.Errorf("freeze.json (-want +got):\n%s", diff)
	}
	wantArgv := [][]string{{"/opt/app/main"}, {"/opt/app/serve", "pkg.read:app"}, {"/opt/app/read"}, {"/opt/app/3/serve"}, {"/opt/app/app"}, {"/opt/app/serve"}}
	if diff := cmp.Diff(wantArgv, f.entrypoints); diff != "" {
		t.Errorf("entry points (-want +got):\n%s", diff)
	}
	var roots []string
	for _, r := range f.roots {
		roots = append(roots, r.Path)
	}
	if diff := cmp.Diff([]string{
		"etc/passwd", "usr/lib/x86_64-linux-gnu/libgcc_s.so.1", "app/my-script.py", "app/src/pkg/words.txt", "usr/bin/git", "usr/lib/x86_64-linux-gnu/libssl.so.3",
	}, roots); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
}

// The launcher does what the stubs of the unreduced app do.
func TestLauncher(t *testing.T) {
	f, err := freeze(many(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []launch{
		{Executable: "/opt/app/main", Argv0: "/app/main", Path: []string{"/app"}, Kind: "module", Module: "main"},
		{Executable: "/opt/app/serve", Argv0: "/usr/local/bin/serve", Path: []string{"/usr/local/bin"}, Kind: "script", Module: "exuvia_script_0"},
		{Executable: "/opt/app/read", Argv0: "/app/read", Path: []string{"/app/src", "/app"}, Kind: "function", Module: "pkg.read", Function: "Reader.run"},
		{Executable: "/opt/app/3/serve", Argv0: "/app/serve", Path: []string{"/app"}, Kind: "module", Module: "dep.serve"},
		{Executable: "/opt/app/app", Argv0: "/app/app", Path: []string{"/app"}, Kind: "script", Module: "exuvia_script_1"},
	}
	if diff := cmp.Diff(want, f.launches); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.OneFile = true
	text, err := f.launcher()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "ONE_FILE = True\nENTRIES = [\n    {\n") || strings.Contains(text, "null") {
		t.Errorf("launcher begins:\n%.200s", text)
	}
}

func TestFreezeKeepsSources(t *testing.T) {
	in := many(t)
	for keep, want := range map[string]bool{"main.py": true, "/app/main.py": true, "app": true, "src": false, "dep": false} {
		in.Project.Settings.KeepSource = []string{keep}
		if got := keptSource(in, "app/main.py"); got != want {
			t.Errorf("keep-source %q keeps main.py: %v", keep, got)
		}
	}
	in.Project.Settings.KeepSource = []string{"dep"}
	if !keptSource(in, site+"/dep/x.html") {
		t.Error("a distribution's files do not stay")
	}
}

// One program has one module of a name.
func TestFreezeRefusesTwoModulesOfAName(t *testing.T) {
	in := many(t)
	in.App, _ = in.App.With(tree.File("app/tools/main.py", 0o644, nil, tree.Origin{Kind: tree.Project}))
	in.Project.Entries = append(in.Project.Entries, project.Entry{Name: "run-main", Kind: project.EntryModule, Module: "main", Path: "tools/main.py", Dir: "tools", Spec: "tools/main.py"})
	in.Entrypoints = append(in.Entrypoints, []string{"/app/run-main"})
	_, err := freeze(in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Project {
		t.Errorf("got %v", err)
	}
}

func TestFreezersRefuseOtherPythons(t *testing.T) {
	for _, test := range []struct {
		v       Variant
		version string
		ok      bool
	}{
		{PyInstaller, "3.9", true}, {PyInstaller, "3.16", false}, {CxFreeze, "3.9", false}, {CxFreeze, "3.10", true}, {CxFreeze, "3.14", true},
	} {
		in := many(t)
		in.Python.Version = test.version
		_, err := test.v.Plan(t.Context(), in)
		if f, ok := errors.AsType[*fault.Error](err); (err == nil) != test.ok || !test.ok && (!ok || f.Kind != fault.Base) {
			t.Errorf("%s on %s: %v", test.v.Name, test.version, err)
		}
	}
}
