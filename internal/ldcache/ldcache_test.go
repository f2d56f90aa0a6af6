package ldcache

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

const arch = "usr/lib/x86_64-linux-gnu/"

func lib(p string, l elfgen.Library) tree.Entry {
	return tree.File(p, 0o644, l.Bytes(), tree.Origin{})
}

func built(t *testing.T, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// read gives the names and paths of a cache, as the loader reads them.
func read(t *testing.T, cache []byte) [][2]string {
	t.Helper()
	if !strings.HasPrefix(string(cache), "glibc-ld.so.cache1.1") || cache[28] != 2 {
		t.Fatalf("not a cache: %q", cache[:min(len(cache), 32)])
	}
	text := func(at uint32) string {
		s, _, _ := strings.Cut(string(cache[at:]), "\x00")
		return s
	}
	n := int(binary.LittleEndian.Uint32(cache[20:]))
	if got, want := binary.LittleEndian.Uint32(cache[24:]), uint32(len(cache)-48-24*n); got != want {
		t.Errorf("the header says %d bytes of strings, there are %d", got, want)
	}
	var out [][2]string
	for i := range n {
		e := cache[48+24*i:]
		if f := binary.LittleEndian.Uint32(e); f != 0x0303 {
			t.Errorf("flags %#x", f)
		}
		out = append(out, [2]string{text(binary.LittleEndian.Uint32(e[4:])), text(binary.LittleEndian.Uint32(e[8:]))})
	}
	return out
}

func TestMake(t *testing.T) {
	tr := built(t,
		tree.Symlink("lib", "usr/lib", tree.Origin{}),
		tree.File("etc/ld.so.conf", 0o644, []byte("include /etc/ld.so.conf.d/*.conf\n"), tree.Origin{}),
		tree.File("etc/ld.so.conf.d/a.conf", 0o644, []byte("# ours\n/usr/local/lib\n"), tree.Origin{}),
		lib("usr/local/lib/libours.so.1", elfgen.Library{Soname: "libours.so.1"}),
		lib(arch+"libours.so.1", elfgen.Library{Soname: "libours.so.1"}),
		lib(arch+"libmagic.so.1.0.0", elfgen.Library{Soname: "libmagic.so.1"}),
		tree.Symlink(arch+"libmagic.so.1", "libmagic.so.1.0.0", tree.Origin{}),
		lib(arch+"libmagic.so.10", elfgen.Library{Soname: "libmagic.so.10"}),
		lib(arch+"libmagic.so.2", elfgen.Library{Soname: "libmagic.so.2"}),
		lib(arch+"libarm.so.1", elfgen.Library{Soname: "libarm.so.1", Machine: elf.EM_AARCH64}),
		lib(arch+"libfast.so.1", elfgen.Library{Soname: "libfast.so.1"}),
		lib(arch+"glibc-hwcaps/x86-64-v3/libfast.so.1", elfgen.Library{Soname: "libfast.so.1"}),
		lib(arch+"plugin.so", elfgen.Library{}),
		lib(arch+"sub/libhidden.so.1", elfgen.Library{Soname: "libhidden.so.1"}),
		tree.File(arch+"libscript.so", 0o644, []byte("INPUT(libmagic.so.1)"), tree.Origin{}),
		tree.Symlink(arch+"libgone.so.1", "libgone.so.1.0", tree.Origin{}),
	)
	cache, err := Make(tr, elf.EM_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{
		{"libours.so.1", "/usr/local/lib/libours.so.1"},
		{"libmagic.so.10", "/lib/x86_64-linux-gnu/libmagic.so.10"},
		{"libmagic.so.2", "/lib/x86_64-linux-gnu/libmagic.so.2"},
		{"libmagic.so.1", "/lib/x86_64-linux-gnu/libmagic.so.1"},
	}
	if diff := cmp.Diff(want, read(t, cache)); diff != "" {
		t.Errorf("cache (-want +got):\n%s", diff)
	}
	if other, err := Make(tr, elf.EM_RISCV); other != nil || err != nil {
		t.Errorf("for a machine without a form: %q, %v", other, err)
	}
}

// The loader finds a name by a binary search: an order that is not its own
// hides libraries from it.
func TestCompare(t *testing.T) {
	sorted := []string{"ld-linux.so.2", "libX.so", "liba", "liba.so.9", "liba.so.10", "liba.so.010.1", "libab.so.1", "libz.so", "libz.so.1", "libz1.so"}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, compare)
	if diff := cmp.Diff(sorted, shuffled); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if compare("libc.so.6", "libc.so.6") != 0 {
		t.Error("a name differs from itself")
	}
}
