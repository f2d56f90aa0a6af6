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
