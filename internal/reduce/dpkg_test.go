package reduce

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

// A scanner that reads a paragraph of a package that is not there reports
// holes which are not there either.
func TestDPKGLeavesWhatIsLeft(t *testing.T) {
	deb := func(name string) tree.Origin { return tree.Origin{Kind: tree.Deb, Name: name} }
	in, err := tree.New(
		tree.File("var/lib/dpkg/status", 0o644, []byte("Package: bash\nVersion: 5\n\nPackage: libc6\nVersion: 2.36\n\n"), tree.Origin{Kind: tree.Made, Name: "dpkg"}),
		tree.File("var/lib/dpkg/info/libc6.list", 0o644, []byte("/.\n"), tree.Origin{Kind: tree.Made, Name: "dpkg"}),
		tree.File("usr/lib/libc.so.6", 0o755, []byte("elf"), deb("libc6")),
		tree.File("usr/share/doc/bash/copyright", 0o644, []byte("GPL"), deb("bash")),
	)
	if err != nil {
		t.Fatal(err)
	}
	out, err := DPKG.Run(t.Context(), Input{Tree: in})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := out.Tree.Lookup("var/lib/dpkg/status")
	got, err := e.ReadAll(maxStatus)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("Package: libc6\nVersion: 2.36\n\n", string(got)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if _, ok := out.Tree.Lookup("var/lib/dpkg/info/libc6.list"); ok {
		t.Error("the list of files is still there")
	}
}

// A base's records stay, and those of what comes on top come after them.
func TestRecordsOfBothSides(t *testing.T) {
	status := func(text string) *tree.Tree {
		tr, err := tree.New(tree.File(dpkgStatus, 0o644, []byte(text), tree.Origin{Kind: tree.Made}))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	base := status("Package: libc6\nVersion: 1\n\nPackage: bash\nVersion: 5\n")
	got, err := Records(base, status("Package: python3\nVersion: 3\n\nPackage: libc6\nVersion: 2\n\n"))
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	data, err := got[0].ReadAll(maxStatus)
	want := "Package: libc6\nVersion: 1\n\nPackage: bash\nVersion: 5\n\nPackage: python3\nVersion: 3\n\n"
	if err != nil || string(data) != want {
		t.Errorf("records are %q, %v", data, err)
	}
	for name, top := range map[string]*tree.Tree{"the same": base, "none": {}} {
		if got, err := Records(base, top); err != nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
