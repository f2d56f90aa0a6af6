package dockerfile

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/base"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const site = "usr/local/lib/python3.11/dist-packages"

func newTree(t *testing.T, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	out, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// input is a small project with one dependency, a module and a console script.
func input(t *testing.T, name, onto string) Input {
	t.Helper()
	own := tree.Origin{Kind: tree.Project, Name: "app"}
	leaf := tree.Origin{Kind: tree.Dist, Name: "leaf", Version: "1.0"}
	files := newTree(t, tree.File("main.py", 0o644, nil, own), tree.File("it's data/a.csv", 0o644, nil, own))
	in := variant.Input{
		Project: &project.Project{
			Name: "app", Files: files,
			Entries: []project.Entry{{Name: "main", Kind: project.EntryModule, Module: "main", Path: "main.py", Spec: "main.py"}, {Name: "leaf", Kind: project.EntryScript, Spec: "leaf"}},
			Settings: project.Settings{
				Env: map[string]string{"GREETING": `say "$HOME"`}, Ports: []int{80}, Labels: map[string]string{"team": "x"},
			},
		},
		System: &base.Base{Ref: "debian:bookworm", Tree: &tree.Tree{}}, Base: &base.Base{Ref: onto, Tree: &tree.Tree{}},
		Python: &python.Runtime{
			Exe: "usr/bin/python3.11", Version: "3.11", Platform: "linux-x86_64", Site: site, Scripts: "usr/local/bin", Stdlib: "usr/lib/python3.11",
			Path: []string{"usr/lib/python3.11", site}, Suffixes: []string{".so"},
		},
		App: newTree(t,
			tree.File("app/main", 0o755, []byte("#!/usr/bin/python3.11\nprint('it''s')\n"), tree.Origin{Kind: tree.Made, Name: "entry point"}),
			tree.File("app/main.py", 0o644, nil, own), tree.File("app/it's data/a.csv", 0o644, nil, own),
			tree.File(site+"/leaf.py", 0o644, nil, leaf), tree.File(site+"/leaf.dat", 0o644, nil, leaf), tree.File(site+"/leaf-1.0.dist-info/METADATA", 0o644, nil, leaf),
			tree.File("usr/local/bin/leaf", 0o755, []byte("#!/usr/bin/python3.11\n"), leaf),
		),
		Entrypoints: [][]string{{"/app/main"}, {"/usr/local/bin/leaf"}},
		Needs:       plan.Needs{Modules: []string{"leaf", "main", "os"}, Data: []string{site + "/leaf.dat"}, Metadata: []string{"leaf"}},
	}
	v, err := variant.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Plan(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Systems {
		p.Systems[i].Lock = "tool==1.0 ; python_version >= '3.9' \\\n    --hash=sha256:aa\n" // so that a new lock changes no golden file
	}
	return Input{Input: in, Plan: p, Files: []report.Input{{Name: "uv 1", Digest: "no"}, {Name: "leaf-1.0-py3-none-any.whl", Digest: "abc"}}}
}

// A Dockerfile is for people: what changes in one shows here.
func TestDockerfiles(t *testing.T) {
	for name, onto := range map[string]string{
		"regular": "debian:bookworm-full", "slim": "debian:bookworm-slim", "shiv": "debian:bookworm-slim", "pex": "debian:bookworm-slim",
		"pyinstaller": "debian:bookworm-distroless", "pyinstaller-onefile": "team/base:1", "lean": "scratch",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Write(input(t, name, onto))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".dockerfile")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Packages of the settings are there when dependencies are built and when the
// app runs; those to build with only then.
func TestPackages(t *testing.T) {
	for _, name := range []string{"slim", "pex", "pyinstaller"} {
		in := input(t, name, "debian:bookworm-slim")
		in.Project.Settings.Packages = []string{"git", "libmagic1"}
		in.Project.Settings.BuildPackages = []string{"libpq-dev"}
		text, err := Write(in)
		if err != nil {
			t.Fatal(err)
		}
		for i, stage := range strings.Split(text, "\nFROM ")[1:] {
			if !strings.Contains(stage, "apt-get install -y --no-install-recommends git libmagic1 ") {
				t.Errorf("%s: stage %d goes without:\n%s", name, i+1, stage)
			}
			if builds := i == 0; strings.Contains(stage, "libpq-dev") != builds {
				t.Errorf("%s: stage %d has what is for building: %v, want %v", name, i+1, !builds, builds)
			}
		}
	}
}

// Each variant has a Dockerfile, or says that it has none; what cannot be done is told.
func TestEveryVariantSaysSomething(t *testing.T) {
	for _, v := range variant.All() {
		text, err := Write(Input{Input: input(t, "slim", "debian:bookworm-slim").Input, Plan: &plan.Plan{Variant: v.Name + " of another kind"}})
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage || text != "" {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	for name, change := range map[string]func(*Input){
		"from scratch":        func(in *Input) { in.Base = base.Scratch() },
		"several lines":       func(in *Input) { in.Plan.Config.Env = []string{"A=b\nRUN evil"} },
		"from a directory of": func(in *Input) { in.Files = nil },
	} {
		in := input(t, "slim", "debian:bookworm-slim")
		change(&in)
		if _, err := Write(in); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDistOf(t *testing.T) {
	for file, want := range map[string]string{
		"Leaf_Tree-1.0-py3-none-any.whl": "leaf-tree 1.0", "zope.interface-5.0.tar.gz": "zope-interface 5.0", "a-b-1.zip": "a-b 1", "uv 0.13.9": " ", "x.whl": " ", ".tar.gz": " ",
	} {
		name, version, ok := distOf(file)
		if got := name + " " + version; got != want || ok != (want != " ") {
			t.Errorf("%s is %q, %v", file, got, ok)
		}
	}
}
