package variant

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/base"
	"exuvia/internal/ldcache"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

// What was added to the system is in no base, also where that has the Python.
func TestPlainTakesWhatWasAdded(t *testing.T) {
	deb := func(p, name string) tree.Entry {
		return tree.File(p, 0o755, []byte(p), tree.Origin{Kind: tree.Deb, Name: name})
	}
	built := func(entries ...tree.Entry) *tree.Tree {
		tr, err := tree.New(entries...)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	python, libc := deb("usr/bin/python3.11", "python3.11"), deb("usr/lib/libc.so.6", "libc6")
	cache := tree.File(ldcache.Path, 0o644, []byte("cache"), tree.Origin{Kind: tree.Made})
	for name, c := range map[string]struct {
		more []tree.Entry
		want []string
	}{
		"nothing":   {nil, nil},
		"a library": {[]tree.Entry{deb("usr/lib/libmagic.so.1", "libmagic1")}, []string{"usr/lib/libmagic.so.1", ldcache.Path}},
	} {
		in := input(project.Settings{})
		in.Python.Exe = python.Path
		in.Base = &base.Base{Ref: "debian:bookworm-slim", Tree: built(python, libc, cache)}
		in.System.Tree = built(append([]tree.Entry{python, libc, cache}, c.more...)...)
		p, err := Slim.Plan(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range p.Roots[len(in.Roots.Contract):] {
			got = append(got, r.Path)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
