package reduce

import (
	"regexp"
	"strings"
	"testing"

	"exuvia/internal/fault"
)

func TestEveryPassSaysWhatItDoes(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range All() {
		if !regexp.MustCompile(`^[a-z]+$`).MatchString(p.Name) || seen[p.Name] {
			t.Errorf("a pass is called %q", p.Name)
		}
		seen[p.Name] = true
		if len(p.Doc) < 40 || p.Short == "" || p.Run == nil {
			t.Errorf("%s lacks a description or a body", p.Name)
		}
		if got, err := Named(p.Name); err != nil || got.Name != p.Name {
			t.Errorf("Named(%q) = %q, %v", p.Name, got.Name, err)
		}
	}
}

func TestUnknownPass(t *testing.T) {
	_, err := Named("zip")
	f, ok := err.(*fault.Error) //nolint:errorlint // it has to be one itself
	if !ok || f.Kind != fault.Usage || !strings.Contains(f.What, `"zip"`) {
		t.Fatalf("got %v", err)
	}
	for _, p := range All() {
		if !strings.Contains(f.Hint, p.Name) {
			t.Errorf("%q does not name %s", f.Hint, p.Name)
		}
	}
}
