package reduce

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/variant"
)

func TestEveryPassSaysWhatItDoes(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range All() {
		if !regexp.MustCompile(`^[a-z]+$`).MatchString(p.Name) || seen[p.Name] {
			t.Errorf("a pass is called %q", p.Name)
		}
		seen[p.Name] = true
		if len(p.Doc) < 40 || p.Run == nil {
			t.Errorf("%s lacks a description or a body", p.Name)
		}
		if got, err := Named(p.Name); err != nil || got.Name != p.Name {
			t.Errorf("Named(%q) = %q, %v", p.Name, got.Name, err)
		}
	}
}

func TestUnknownPass(t *testing.T) {
	_, err := Named("upx")
	f, ok := err.(*fault.Error) //nolint:errorlint // it has to be one itself
	if !ok || f.Kind != fault.Usage || !strings.Contains(f.What, `"upx"`) {
		t.Fatalf("got %v", err)
	}
	for _, p := range All() {
		if !strings.Contains(f.Hint, p.Name) {
			t.Errorf("%q does not name %s", f.Hint, p.Name)
		}
	}
}

// Every pass that some variant names has to exist, or builds end half way.
func TestVariantsNamePassesThatExist(t *testing.T) {
	in := variant.Input{Project: &project.Project{Name: "app", Entries: []project.Entry{{Spec: "app"}}}, Entrypoints: [][]string{{"/usr/bin/app"}}}
	for _, v := range variant.All() {
		p, err := v.Plan(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range p.Passes {
			pass, err := Named(named.Name)
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
