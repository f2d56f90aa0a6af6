package variant

import (
	"encoding/json"
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
	"exuvia/internal/tree"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// input is a small project on a small system.
func input(s project.Settings) Input {
	return Input{
		Project: &project.Project{
			Name: "app", Settings: s,
			Entries: []project.Entry{{Name: "main", Kind: project.EntryModule, Module: "main", Spec: "main.py"}},
		},
		System: &base.Base{Ref: "debian:bookworm", Tree: &tree.Tree{}}, Base: base.Scratch(), Python: &python.Runtime{Version: "3.11"},
		App: &tree.Tree{}, Entrypoints: [][]string{{"/app/main"}},
		Roots: Roots{
			Entries:  []plan.Root{{Path: "app/main", Why: "entry point main.py"}},
			Contract: []plan.Root{{Path: "etc/passwd", Why: "runtime contract: who the user is"}},
		},
	}
}

// A plan is data that one can review: what changes in it shows here.
func TestPlans(t *testing.T) {
	for name, s := range map[string]project.Settings{
		"default": {},
		"settings": {
			Env: map[string]string{"B": "2", "A": "1"}, Labels: map[string]string{"team": "x"}, User: "1000", Ports: []int{80, 443},
			Writable: []string{"/data"}, Disable: []string{"strip"}, Optimize: 2, KeepSource: []string{"anyio", "app/x.py"},
		},
		"passes": {Passes: []string{"bytecode"}},
	} {
		for _, v := range All() {
			t.Run(v.Name+" "+name, func(t *testing.T) {
				p, err := v.Plan(t.Context(), input(s))
				if err != nil {
					t.Fatal(err)
				}
				got, err := json.MarshalIndent(p, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, '\n')
				file := filepath.Join("testdata", v.Name+"-"+name+".json")
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("plan (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestVariantsAreComplete(t *testing.T) {
	for _, v := range All() {
		if v.Name == "" || v.Short == "" || v.Doc == "" || v.Base == "" || v.Plan == nil {
			t.Errorf("variant %+v lacks something", v)
		}
		if got, err := Named(v.Name); err != nil || got.Name != v.Name {
			t.Errorf("Named(%q) = %q, %v", v.Name, got.Name, err)
		}
	}
	_, err := Named("leen")
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage || !strings.Contains(f.Hint, "lean") {
		t.Errorf("an unknown variant: %v", err)
	}
}
