package reduce_test

import (
	"slices"
	"testing"

	"exuvia/internal/base"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/reduce"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
)

// Every pass that some variant names has to exist, or builds end half way.
func TestVariantsNamePassesThatExist(t *testing.T) {
	in := variant.Input{
		Project: &project.Project{Name: "app", Entries: []project.Entry{{Name: "app", Kind: project.EntryScript, Spec: "app"}}}, Entrypoints: [][]string{{"/usr/bin/app"}},
		System: &base.Base{Ref: "debian:bookworm", Tree: &tree.Tree{}}, Base: base.Scratch(), App: &tree.Tree{},
		Python: &python.Runtime{Version: "3.11", Full: "3.11.2", Site: "usr/lib/python3/dist-packages"},
	}
	for _, v := range variant.All() {
		p, err := v.Plan(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range p.Passes {
			pass, err := reduce.Named(named.Name)
			if err != nil {
				t.Errorf("variant %s: %v", v.Name, err)
			}
			for option := range named.Options {
				if !slices.Contains(pass.Options, option) {
					t.Errorf("variant %s gives %s the option %q, which it does not know", v.Name, named.Name, option)
				}
			}
		}
	}
}
