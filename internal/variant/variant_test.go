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
	"github.com/google/go-cmp/cmp/cmpopts"

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
		"passes":   {Passes: []string{"bytecode"}},
		"switches": {Bytecode: "pycache", Optimize: 2, Strip: new(false), UPX: "all", RPath: new(false)},
	} {
		for _, v := range All() {
			t.Run(v.Name+" "+name, func(t *testing.T) {
				p, err := v.Plan(t.Context(), input(s))
				if err != nil {
					t.Fatal(err)
				}
				for i := range p.Files {
					if p.Files[i].Tree != "" { // the same for all, and long
						p.Files[i].Text = ""
					}
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

// Whatever list a variant has, switches take effect, and passes run in an
// order in which none spoils what another needs.
func TestPasses(t *testing.T) {
	for _, test := range []struct {
		name  string
		list  string
		s     project.Settings
		want  string
		check func(map[string]string) bool // of all options, "pass option"
	}{
		{"none", "", project.Settings{}, "", nil},
		{
			"all on", "",
			project.Settings{Bytecode: "legacy", Strip: new(true), UPX: "executables", RPath: new(true)},
			"bytecode strip rpath upx",
			func(o map[string]string) bool {
				return o["bytecode mode"] == "" && o["upx libraries"] == "" && o["rpath mode"] == ""
			},
		},
		{"all off", "docs bytecode strip upx archive dedupe", project.Settings{Bytecode: "none", Strip: new(false), UPX: "no"}, "docs dedupe", nil},
		{
			"pycache", "docs bytecode archive dedupe",
			project.Settings{Bytecode: "pycache", Optimize: 1},
			"docs bytecode dedupe",
			func(o map[string]string) bool {
				return o["bytecode mode"] == "pycache" && o["bytecode optimize"] == "1"
			},
		},
		{"pycache where there was none", "docs dedupe", project.Settings{Bytecode: "pycache"}, "docs bytecode dedupe", nil},
		{
			"libraries", "docs rpath archive dedupe",
			project.Settings{UPX: "all"},
			"docs rpath upx archive dedupe",
			func(o map[string]string) bool { return o["upx libraries"] == "true" },
		},
		{
			"search paths", "strip dedupe",
			project.Settings{RPath: new(false)},
			"strip rpath dedupe",
			func(o map[string]string) bool { return o["rpath mode"] == "ld-library-path" },
		},
		{"the user's own", "docs strip", project.Settings{Passes: []string{"dedupe", "unknown"}, UPX: "all"}, "upx dedupe unknown", nil},
		{"disabled", "docs strip", project.Settings{UPX: "all", Disable: []string{"upx"}}, "docs strip", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := strings.Fields(test.list)
			var got []string
			options := make(map[string]string)
			for _, p := range passes(list, &project.Project{Settings: test.s}) {
				got = append(got, p.Name)
				for k, v := range p.Options {
					options[p.Name+" "+k] = v
				}
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("passes (-want +got):\n%s", diff)
			}
			if test.check != nil && !test.check(options) {
				t.Errorf("options are %v", options)
			}
			if diff := cmp.Diff(strings.Fields(test.list), list, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the variant's list changed (-want +got):\n%s", diff)
			}
		})
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
