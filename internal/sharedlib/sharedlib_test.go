package sharedlib

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/plan"
	"exuvia/internal/reach"
	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

const lib = "usr/lib/x86_64-linux-gnu/"

var numpy = tree.Origin{Kind: tree.Dist, Name: "numpy"}

func elfAt(p string, l elfgen.Library, from tree.Origin) tree.Entry {
	return tree.File(p, 0o755, l.Bytes(), from)
}

func system(t *testing.T, more ...tree.Entry) *tree.Tree {
	t.Helper()
	tr, err := tree.New(append([]tree.Entry{
		tree.Symlink("lib", "usr/lib", tree.Origin{}), tree.Symlink("lib64", "usr/lib64", tree.Origin{}),
		tree.Symlink("usr/lib64/ld-linux-x86-64.so.2", "../../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", tree.Origin{}),
		elfAt(lib+"ld-linux-x86-64.so.2", elfgen.Library{Soname: "ld-linux-x86-64.so.2"}, tree.Origin{}),
		elfAt(lib+"libc.so.6", elfgen.Library{Soname: "libc.so.6", Defines: []string{"GLIBC_2.2.5", "GLIBC_2.34"}, Strings: []string{"libgcc_s.so.1"}}, tree.Origin{}),
		elfAt(lib+"libgcc_s.so.1", elfgen.Library{Soname: "libgcc_s.so.1"}, tree.Origin{}),
		elfAt("usr/bin/python3", elfgen.Library{Interp: "/lib64/ld-linux-x86-64.so.2", Needed: []string{"libc.so.6"}, Versions: map[string][]string{"libc.so.6": {"GLIBC_2.34"}}}, tree.Origin{}),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func walk(t *testing.T, tr *tree.Tree, roots ...string) *reach.Graph {
	t.Helper()
	var rs []plan.Root
	for _, r := range roots {
		rs = append(rs, plan.Root{Path: r, Why: "test"})
	}
	g, err := reach.Walk(t.Context(), tr, rs, New(tr))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWalkFollowsTheLoader(t *testing.T) {
	tr := system(t,
		tree.Symlink(lib+"libz.so.1", "libz.so.1.2.13", tree.Origin{}),
		elfAt(lib+"libz.so.1.2.13", elfgen.Library{Soname: "libz.so.1", Needed: []string{"libc.so.6"}}, tree.Origin{}),
		elfAt("site/numpy/core.so", elfgen.Library{Needed: []string{"libblas.so.3", "libz.so.1", "libearlier.so"}, RunPath: "$ORIGIN/../numpy.libs"}, numpy),
		elfAt("site/numpy.libs/libblas.so.3", elfgen.Library{Soname: "libblas.so.3"}, numpy),
		elfAt("site/numpy/deep/libearlier.so", elfgen.Library{Soname: "libearlier.so"}, numpy),
		elfAt(lib+"libunused.so.1", elfgen.Library{}, tree.Origin{}),
		elfAt(lib+"libvips.so.42", elfgen.Library{}, tree.Origin{}),
		tree.File("etc/ld.so.conf", 0o644, []byte("include /etc/ld.so.conf.d/*.conf\n"), tree.Origin{}),
		tree.File("etc/ld.so.conf.d/x.conf", 0o644, []byte("# here\n/opt/lib\n"), tree.Origin{}),
		elfAt("opt/lib/libopt.so", elfgen.Library{}, tree.Origin{}),
		elfAt("site/opt.so", elfgen.Library{Needed: []string{"libopt.so", "libnone.so.9"}}, numpy),
		tree.File("app/main.py", 0o644, []byte("ctypes.CDLL('libvips.so.42')"), tree.Origin{}),
	)
	g := walk(t, tr, "usr/bin/python3", "site/numpy/core.so", "site/opt.so", "app/main.py")
	for p, want := range map[string]bool{
		lib + "libc.so.6": true, lib + "libgcc_s.so.1": true, lib + "ld-linux-x86-64.so.2": true, "usr/lib64/ld-linux-x86-64.so.2": true,
		"lib64": true, lib + "libz.so.1": true, lib + "libz.so.1.2.13": true, "site/numpy.libs/libblas.so.3": true,
		"site/numpy/deep/libearlier.so": true, "opt/lib/libopt.so": true, lib + "libvips.so.42": true, lib + "libunused.so.1": false,
	} {
		if g.Has(p) != want {
			t.Errorf("%s is kept: %v, want %v", p, g.Has(p), want)
		}
	}
	var missing []string
	for _, m := range g.Missing() {
		missing = append(missing, m.Missing)
	}
	if diff := cmp.Diff([]string{"libnone.so.9"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	if lines, err := Missing(system(t)); err != nil || len(lines) != 0 {
		t.Errorf("a whole system lacks %q, %v", lines, err)
	}
	tr := system(t,
		elfAt("site/a.so", elfgen.Library{Needed: []string{"libgone.so.1"}}, tree.Origin{}),
		elfAt("site/new.so", elfgen.Library{Needed: []string{"libc.so.6"}, Versions: map[string][]string{"libc.so.6": {"GLIBC_2.38"}}}, tree.Origin{}),
	)
	got, err := Missing(tr)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"site/a.so needs libgone.so.1", "site/new.so needs libc.so.6 with GLIBC_2.38"}, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

// A base with an older library of the same name does not do.
func TestSubtract(t *testing.T) {
	ours := system(t, elfAt(lib+"libz.so.1", elfgen.Library{Soname: "libz.so.1"}, tree.Origin{}))
	base := func(version string) *tree.Tree {
		tr, err := tree.New(elfAt(lib+"libc.so.6", elfgen.Library{Soname: "libc.so.6", Defines: []string{version}}, tree.Origin{}))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	for version, want := range map[string][]string{"GLIBC_2.34": {lib + "libc.so.6"}, "GLIBC_2.28": nil} {
		left, dropped, err := Subtract(ours, base(version))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, dropped); diff != "" {
			t.Errorf("base with %s: dropped (-want +got):\n%s", version, diff)
		}
		if _, ok := left.Lookup(lib + "libz.so.1"); !ok {
			t.Error("a library that the base lacks was dropped")
		}
	}
}
