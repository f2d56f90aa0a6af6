package reduce

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/elffile"
	"exuvia/internal/fault"
	"exuvia/internal/python"
	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

// upx does what upx does to what elfgen makes: a program becomes another one
// without a loader, a library stays what it was; both get smaller.
func upx(data []byte) ([]byte, error) {
	f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	switch f.Soname {
	case "libsmall.so":
		return nil, errors.New("NotCompressibleException")
	case "libpatched.so":
		return nil, errors.New("CantPackException: DT_GNU_HASH above stub")
	case "libother.so":
		return library("libchanged.so", false), nil
	}
	if f.Interp != "" {
		return elfgen.Library{NoTable: true}.Bytes(), nil
	}
	return elfgen.Library{Soname: f.Soname, Needed: f.Needed, NoTable: true}.Bytes(), nil
}

// packed reports whether the file at p in root is what upx made.
func packed(root *tree.Tree, p string) bool {
	e, ok := root.Lookup(p)
	if !ok {
		return false
	}
	f, data, err := readELF(e)
	return err == nil && f != nil && bytes.Equal(data[40:48], make([]byte, 8)) // e_shoff: it has no section headers
}

func upxInput(t *testing.T, b *toolbox) Input {
	t.Helper()
	from := tree.Origin{Kind: tree.Deb, Name: "x"}
	file := func(p string, l elfgen.Library) tree.Entry {
		l.Strings = []string{strings.Repeat("x", 999)}
		return tree.File(p, 0o755, l.Bytes(), from)
	}
	const interp = "/lib64/ld-linux-x86-64.so.2"
	setuid := file("usr/bin/su", elfgen.Library{Interp: interp})
	setuid.Mode |= fs.ModeSetuid
	musl := file("usr/bin/musl", elfgen.Library{Interp: "/lib/ld-musl-x86_64.so.1"})
	tr, err := tree.New(setuid, musl,
		file("usr/bin/python3", elfgen.Library{Interp: interp, Needed: []string{"libc.so.6"}}),
		file("usr/bin/onefile", elfgen.Library{Interp: interp, Trailing: []byte("PK")}),
		file("usr/bin/bootloader", elfgen.Library{Interp: interp, Payload: []byte("MEI")}),
		file("usr/bin/breaks", elfgen.Library{Interp: interp, Needed: []string{"libbreaks.so"}}),
		file("usr/lib/libc.so.6", elfgen.Library{Soname: "libc.so.6", Interp: interp}),
		file("usr/lib/ld-linux-x86-64.so.2", elfgen.Library{Soname: "ld-linux-x86-64.so.2"}),
		file("usr/lib/libm.so.6", elfgen.Library{Soname: "libm.so.6"}),
		file("usr/lib/libgood.so", elfgen.Library{Soname: "libgood.so"}),
		file("usr/lib/libsmall.so", elfgen.Library{Soname: "libsmall.so"}),
		file("usr/lib/libpatched.so", elfgen.Library{Soname: "libpatched.so"}),
		file("usr/lib/libother.so", elfgen.Library{Soname: "libother.so"}),
		file("usr/lib/libbreaks.so", elfgen.Library{Soname: "libbreaks.so"}),
		file("usr/lib/libuser.so", elfgen.Library{Soname: "libuser.so", Needed: []string{"libbreaks.so"}}),
		file("usr/lib/libnever.so", elfgen.Library{Soname: "libnever.so"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Tree: tr, Store: store, Engine: b, Options: map[string]string{},
		Python: &python.Runtime{Exe: "usr/bin/python3"}, Systems: Systems{Python: tr, UPX: &tree.Tree{}},
	}
}

// loadsPacked has libbreaks.so break when it is packed, and all that need it.
func loadsPacked(root *tree.Tree, p string) string {
	users := []string{"usr/lib/libbreaks.so", "usr/lib/libuser.so", "usr/bin/breaks"}
	switch {
	case p == "usr/lib/libnever.so":
		return "OSError: libcuda.so.1: cannot open shared object file"
	case slices.Contains(users, p) && packed(root, "usr/lib/libbreaks.so"):
		return "the process was killed by signal 5"
	}
	return ""
}

func TestUPX(t *testing.T) {
	for _, test := range []struct {
		name      string
		libraries string
		want      []string
		note      string
	}{
		{"executables", "", []string{"usr/bin/breaks", "usr/bin/python3"}, `4 files stay as they were: usr/bin/bootloader, usr/bin/onefile (it carries an archive, which it would not find any more); ` +
			`usr/bin/musl (its loader cannot try it without starting it); usr/bin/su (it may run with other rights than its user's)`},
		{"all", "true", []string{"usr/bin/breaks", "usr/bin/python3", "usr/lib/libgood.so", "usr/lib/libuser.so"}, `12 files stay as they were: ` +
			`usr/bin/bootloader, usr/bin/onefile (it carries an archive, which it would not find any more); ` +
			`usr/bin/musl (its loader cannot try it without starting it); usr/bin/su (it may run with other rights than its user's); ` +
			`usr/lib/ld-linux-x86-64.so.2, usr/lib/libc.so.6, usr/lib/libm.so.6 (it is a part of the C library); ` +
			`usr/lib/libbreaks.so (after packing it does not load: the process was killed by signal 5); ` +
			`usr/lib/libnever.so (after packing it does not load: neither did it before, so it cannot be tried: OSError: libcuda.so.1: cannot open shared object file); ` +
			`usr/lib/libother.so (after packing it is another library); ` +
			`usr/lib/libpatched.so (UPX refuses it: DT_GNU_HASH above stub); usr/lib/libsmall.so (too small to gain)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &toolbox{tool: upx, loads: loadsPacked}
			in := upxInput(t, b)
			in.Options["libraries"] = test.libraries
			out, err := UPX.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			var changed []string
			for _, c := range tree.Diff(in.Tree, out.Tree) {
				changed = append(changed, c.Path)
				if c.New == nil || c.New.Size >= c.Old.Size || c.New.Mode != c.Old.Mode || c.New.From != c.Old.From {
					t.Errorf("%s became %+v", c.Path, c.New)
				}
			}
			if diff := cmp.Diff(test.want, changed); diff != "" {
				t.Errorf("packed (-want +got):\n%s", diff)
			}
			if len(out.Notes) != 1 || out.Notes[0].Where != "upx" {
				t.Fatalf("notes %v", out.Notes)
			}
			if diff := cmp.Diff(test.note, out.Notes[0].Text); diff != "" {
				t.Errorf("note (-want +got):\n%s", diff)
			}
		})
	}
}

// A second build packs nothing again.
func TestUPXOnce(t *testing.T) {
	b := &toolbox{tool: upx, loads: func(*tree.Tree, string) string { return "" }}
	in := upxInput(t, b)
	first, err := UPX.Run(t.Context(), in)
	if err != nil || len(b.steps) != 2 {
		t.Fatalf("%v, steps %q", err, b.steps)
	}
	b.steps = nil
	second, err := UPX.Run(t.Context(), in)
	if err != nil || len(b.steps) > 0 || len(tree.Diff(first.Tree, second.Tree)) > 0 {
		t.Errorf("%v, steps %q", err, b.steps)
	}
	if diff := cmp.Diff(first.Notes, second.Notes); diff != "" {
		t.Errorf("notes (-first +second):\n%s", diff)
	}
}

func TestUPXRefuses(t *testing.T) {
	in := upxInput(t, &toolbox{})
	in.Options["libraries"] = "all"
	_, err := UPX.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage {
		t.Errorf("got %v, want a usage fault", err)
	}
	in.Options["libraries"], in.Systems.UPX = "false", nil
	if _, err := UPX.Run(t.Context(), in); err == nil {
		t.Error("it packs without upx")
	}
}
