package sharedlib

import (
	"debug/elf"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/ldcache"
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

// A base with an older C library does not do, nor one with a part of it; what
// a wheel brings for itself stays whatever the base has.
func TestSubtract(t *testing.T) {
	ours := system(t,
		elfAt(lib+"libz.so.1.2.13", elfgen.Library{Soname: "libz.so.1"}, tree.Origin{}), tree.Symlink(lib+"libz.so.1", "libz.so.1.2.13", tree.Origin{}),
		elfAt(lib+"libown.so.1", elfgen.Library{Soname: "libown.so.1"}, tree.Origin{}),
		elfAt("site/numpy.libs/libwheel.so.1", elfgen.Library{Soname: "libwheel.so.1"}, numpy),
	)
	part := func(soname string, versions ...string) tree.Entry {
		return elfAt(lib+soname, elfgen.Library{Soname: soname, Defines: versions}, tree.Origin{})
	}
	loader := tree.Symlink("lib64/ld-linux-x86-64.so.2", "../"+lib+"ld-linux-x86-64.so.2", tree.Origin{})
	for _, tt := range []struct {
		name string
		base []tree.Entry
		want []string
	}{
		{"the same", []tree.Entry{part("libc.so.6", "GLIBC_2.34"), part("ld-linux-x86-64.so.2"), loader}, []string{
			"usr/lib64/ld-linux-x86-64.so.2", lib + "ld-linux-x86-64.so.2", lib + "libc.so.6",
		}},
		{"an older one", []tree.Entry{part("libc.so.6", "GLIBC_2.28"), part("ld-linux-x86-64.so.2"), loader}, nil},
		{"without its loader", []tree.Entry{part("libc.so.6", "GLIBC_2.34")}, nil},
		{"with its loader elsewhere", []tree.Entry{part("libc.so.6", "GLIBC_2.34"), part("ld-linux-x86-64.so.2")}, nil},
		{"another library", []tree.Entry{part("libz.so.1"), part("libwheel.so.1")}, []string{lib + "libz.so.1", lib + "libz.so.1.2.13"}},
		{"another soname", []tree.Entry{elfAt(lib+"libown.so.1", elfgen.Library{Soname: "libown.so.2"}, tree.Origin{})}, nil},
		{"another machine", []tree.Entry{elfAt(lib+"libown.so.1", elfgen.Library{Soname: "libown.so.1", Machine: elf.EM_AARCH64}, tree.Origin{})}, nil},
	} {
		base, err := tree.New(tt.base...)
		if err != nil {
			t.Fatal(err)
		}
		left, dropped, err := Subtract(ours, base)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(dropped)
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, dropped); diff != "" {
			t.Errorf("%s: dropped (-want +got):\n%s", tt.name, diff)
		}
		for _, p := range dropped {
			if _, ok := left.Lookup(p); ok {
				t.Errorf("%s: %s was dropped and is there", tt.name, p)
			}
		}
	}
}

// Of what follows, a loader finds a part only after something else happened.
func TestWalkFindsWhatLoadsByOtherWays(t *testing.T) {
	other := tree.Origin{Kind: tree.Dist, Name: "other"}
	wrong := elfgen.Library{Soname: "libwrong.so"}.Bytes()
	wrong[4] = 1 // ELFCLASS32
	broken := elfgen.Library{Soname: "libbroken.so", Needed: []string{"libz.so"}}.Bytes()
	tr := system(t,
		// DT_RPATH counts for the libraries of libraries, DT_RUNPATH does not.
		elfAt("site/a.so", elfgen.Library{Needed: []string{"liba1.so"}, RPath: "$ORIGIN/deep"}, numpy),
		elfAt("site/deep/liba1.so", elfgen.Library{Needed: []string{"liba2.so"}}, tree.Origin{}),
		elfAt("site/deep/liba2.so", elfgen.Library{}, tree.Origin{}),
		elfAt("site/b.so", elfgen.Library{Needed: []string{"libb1.so"}, RunPath: "$ORIGIN/run"}, numpy),
		elfAt("site/run/libb1.so", elfgen.Library{Needed: []string{"libb2.so"}}, tree.Origin{}),
		elfAt("site/run/libb2.so", elfgen.Library{}, tree.Origin{}),
		// One wheel loads what another needs.
		elfAt("site/c.so", elfgen.Library{Needed: []string{"libcuda.so.12"}}, numpy),
		elfAt("site/nvidia/libcuda.so.12", elfgen.Library{}, other),
		// A version that is not there.
		elfAt("site/d.so", elfgen.Library{Needed: []string{"libc.so.6"}, Versions: map[string][]string{"libc.so.6": {"GLIBC_2.99", "GLIBC_2.34"}}}, numpy),
		// Forms for newer processors.
		elfAt(lib+"libfast.so.1", elfgen.Library{}, tree.Origin{}),
		elfAt(lib+"glibc-hwcaps/x86-64-v3/libfast.so.1", elfgen.Library{}, tree.Origin{}),
		elfAt("site/e.so", elfgen.Library{Needed: []string{"libfast.so.1"}}, numpy),
		// Other machines, and what nothing can load.
		elfAt("site/arm.so", elfgen.Library{Needed: []string{"libarm.so"}, Machine: elf.EM_AARCH64}, numpy),
		tree.File("site/wrong.so", 0o755, wrong, numpy), tree.File("site/broken.so", 0o755, broken[:300], numpy),
		// What functions load.
		elfAt("site/xml.so", elfgen.Library{Imports: []string{"iconv_open"}}, numpy),
		tree.File(lib+"gconv/EUC-JP.so", 0o644, nil, tree.Origin{}),
		elfAt("site/tls.so", elfgen.Library{Exports: []string{"OSSL_PROVIDER_load"}, Soname: "libtls.so"}, numpy),
		tree.File(lib+"ossl-modules/legacy.so", 0o644, nil, tree.Origin{}),
		tree.File("app/main.py", 0o644, []byte("ctypes.util.find_library('m'); CDLL('libmagic.so.1'); CDLL('libplain.so'); ffi.dlopen('fast'); ffi.dlopen('libfast.so.1')"), tree.Origin{}),
		tree.File("usr/sbin/ldconfig", 0o755, nil, tree.Origin{}), tree.Symlink("sbin", "usr/sbin", tree.Origin{}),
		tree.File("etc/ld.so.cache", 0o644, nil, tree.Origin{}),
	)
	g := walk(t, tr, "site/a.so", "site/b.so", "site/c.so", "site/d.so", "site/e.so", "site/arm.so", "site/wrong.so", "site/broken.so", "site/xml.so", "site/tls.so", "app/main.py")
	for p, want := range map[string]bool{
		"site/deep/liba2.so": true, "site/run/libb1.so": true, "site/run/libb2.so": true, "site/nvidia/libcuda.so.12": true,
		lib + "glibc-hwcaps/x86-64-v3/libfast.so.1": true, lib + "gconv/EUC-JP.so": true, lib + "ossl-modules/legacy.so": false,
		"usr/sbin/ldconfig": true, "etc/ld.so.cache": true,
	} {
		if g.Has(p) != want {
			t.Errorf("%s is kept: %v, want %v", p, g.Has(p), want)
		}
	}
	for p, note := range map[string]string{"site/deep/liba2.so": "liba2.so", "site/run/libb2.so": "libb2.so, loaded before it"} {
		chain := g.Why(p)
		if len(chain) == 0 || chain[len(chain)-1].Note != note {
			t.Errorf("%s is there because of %+v, want the note %q", p, chain, note)
		}
	}
	var missing []string
	for _, m := range g.Missing() {
		missing = append(missing, m.From+" needs "+m.Missing)
	}
	if len(missing) != 4 || missing[0] != "site/d.so needs libc.so.6 with GLIBC_2.99" || missing[1] != "app/main.py needs libm.so" ||
		missing[2] != "app/main.py needs libmagic.so.1" || !strings.HasPrefix(missing[3], "site/broken.so needs what its headers say: ") {
		t.Errorf("missing: %q", missing)
	}
	lines, err := Missing(tr)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "site/broken.so cannot be loaded: ") }) {
		t.Errorf("%q does not name the broken file", lines)
	}
}

func TestHas(t *testing.T) {
	tr := system(t, tree.File(lib+"libmagic.so.1", 0o644, nil, tree.Origin{}))
	for name, want := range map[string]bool{"libmagic.so": true, "libmagic.so.1": true, "libmagic.so.2": false, "libmag.so": false} {
		if got := Has(tr, name); got != want {
			t.Errorf("has %s: %v, want %v", name, got, want)
		}
	}
}

func TestContractRoots(t *testing.T) {
	nss := elfAt(lib+"libnss_files.so.2", elfgen.Library{}, tree.Origin{})
	paths := func(tr *tree.Tree) []string {
		var out []string
		for _, r := range ContractRoots(tr) {
			out = append(out, r.Path)
		}
		return out
	}
	files := []tree.Entry{
		tree.File("etc/hosts", 0o644, nil, tree.Origin{}), tree.File("etc/shadow", 0o644, nil, tree.Origin{}),
		tree.File("usr/share/zoneinfo/Europe/Berlin", 0o644, nil, tree.Origin{}), tree.File("usr/share/zoneinfo/right/Europe/Berlin", 0o644, nil, tree.Origin{}),
		tree.File("usr/lib/locale/C.utf8/LC_CTYPE", 0o644, nil, tree.Origin{}),
	}
	want := []string{lib + "libgcc_s.so.1", "usr/lib/locale/C.utf8/LC_CTYPE", "etc/hosts", "usr/share/zoneinfo/Europe/Berlin"}
	if diff := cmp.Diff(want, paths(system(t, append(files, nss)...))); diff != "" {
		t.Errorf("glibc 2.34 (-want +got):\n%s", diff)
	}
	old, err := system(t, append(files, nss)...).With(elfAt(lib+"libc.so.6", elfgen.Library{Soname: "libc.so.6", Defines: []string{"GLIBC_2.31"}}, tree.Origin{Kind: tree.Deb, Name: "libc6"}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]string{lib + "libnss_files.so.2"}, want...), paths(old)); diff != "" {
		t.Errorf("glibc 2.31 (-want +got):\n%s", diff)
	}
}

// A library that is too large for memory is read all the same, and a tree that
// is wrong about a size is found out.
func TestSpool(t *testing.T) {
	for _, size := range []int64{10, inMemory + 10} {
		at, done, err := spool(io.LimitReader(zeros{}, size), size)
		if err != nil {
			t.Fatal(err)
		}
		last := []byte{1}
		if n, err := at.ReadAt(last, size-1); n != 1 || last[0] != 0 {
			t.Errorf("reading the last of %d bytes gives %d, %v", size, n, err)
		}
		done()
		for _, wrong := range []int64{size - 1, size + 1} {
			if _, _, err := spool(io.LimitReader(zeros{}, wrong), size); !errors.Is(err, errSize) {
				t.Errorf("%d bytes in place of %d: %v", wrong, size, err)
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func FuzzConfigured(f *testing.F) {
	f.Add("include /etc/ld.so.conf.d/*.conf\n/opt/lib # here\n", "/usr/local/lib\ninclude ld.so.conf\ninclude [\n")
	f.Fuzz(func(t *testing.T, conf, part string) {
		tr, err := tree.New(tree.File("etc/ld.so.conf", 0o644, []byte(conf), tree.Origin{}), tree.File("etc/ld.so.conf.d/a.conf", 0o644, []byte(part), tree.Origin{}))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range ldcache.Configured(tr) {
			if strings.HasPrefix(dir, "/") || strings.HasPrefix(dir, "../") {
				t.Errorf("%q is no path in a tree", dir)
			}
		}
	})
}
