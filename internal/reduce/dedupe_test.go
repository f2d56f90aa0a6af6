package reduce

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

func TestDedupe(t *testing.T) {
	var (
		deb   = tree.Origin{Kind: tree.Deb, Name: "tzdata"}
		other = tree.Origin{Kind: tree.Made, Name: "archive"}
		dist  = tree.Origin{Kind: tree.Dist, Name: "tzdata"}
		app   = tree.Origin{Kind: tree.Project, Name: "app"}
	)
	file := func(p, data string, from tree.Origin) tree.Entry { return tree.File(p, 0o644, []byte(data), from) }
	owned := file("usr/z/owned", "UTC", deb)
	owned.UID = 7
	attr := file("usr/z/attr", "UTC", deb)
	attr.Xattrs = map[string]string{"user.a": "b"}
	exec := tree.File("usr/z/exec", 0o755, []byte("UTC"), deb)
	linked := file("usr/z/linked", "UTC", deb)
	linked.Link = "usr/z/UTC"
	// Its first name comes first in the tree and is another layer's.
	across := file("usr/z/across", "wheel", dist)
	across.Link = "usr/a/wheel"
	in, err := tree.New(
		file("usr/a/UTC", "UTC", deb), file("usr/z/UTC", "UTC", deb), file("usr/z/Zulu", "UTC", other),
		owned, attr, exec, linked, across,
		file("usr/a/wheel", "wheel", app), file("usr/z/wheel", "wheel", dist),
		file("usr/site/UTC", "UTC", dist), file("usr/site/Zulu", "UTC", dist),
		file("app/a", "UTC", app), file("app/b", "UTC", app),
		file("usr/empty/a", "", deb), file("usr/empty/b", "", deb),
		file("etc/passwd", "root", deb), file("etc/passwd-", "root", deb),
		tree.Symlink("usr/z/link", "UTC", deb),
	)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Dedupe.Run(t.Context(), Input{Tree: in})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for e := range out.Tree.All() {
		if e.IsRegular() && e.Link != "" {
			got[e.Path] = e.Link
		}
	}
	want := map[string]string{
		"usr/z/UTC": "usr/a/UTC", "usr/z/Zulu": "usr/a/UTC", "usr/z/linked": "usr/a/UTC",
		"usr/site/Zulu": "usr/site/UTC", "app/b": "app/a", "usr/z/wheel": "usr/z/across",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hard links (-want +got):\n%s", diff)
	}
	for p, l := range got {
		if e, ok := out.Tree.Lookup(l); !ok || e.Link != "" {
			t.Errorf("%s is a link of %s, which is no file", p, l)
		}
	}
	if out.Tree.Len() != in.Len() {
		t.Errorf("%d entries became %d", in.Len(), out.Tree.Len())
	}
	if saved := in.Size() - out.Tree.Size(); saved <= 0 {
		t.Errorf("saved %d bytes", saved)
	}
	again, err := Dedupe.Run(t.Context(), Input{Tree: out.Tree})
	if err != nil {
		t.Fatal(err)
	}
	if d := tree.Diff(out.Tree, again.Tree); len(d) > 0 {
		t.Errorf("a second run changes %s", strconv.Quote(d[0].Path))
	}
}
