package pipeline

import (
	"slices"
	"testing"

	"exuvia/internal/tree"
)

// What the app has too is not lent to it, though tests bring more of it.
func TestLent(t *testing.T) {
	made := func(paths ...string) *tree.Tree {
		t.Helper()
		var entries []tree.Entry
		for _, p := range paths {
			entries = append(entries, tree.File("site/"+p, 0o644, nil, tree.Origin{}))
		}
		out, err := tree.New(entries...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	full := made("google/auth.py", "click.py")
	beside := made("google/cloud.py", "py.py", "_cffi.cpython-313-x86_64-linux-gnu.so", "pytest/__init__.py", "pytest/main.py", "pytest-9.1.dist-info/METADATA")
	got := lent(full, beside, "site")
	if want := []string{"_cffi", "py", "pytest", "pytest-9.1.dist-info"}; !slices.Equal(got, want) {
		t.Errorf("lent %q, want %q", got, want)
	}
}
