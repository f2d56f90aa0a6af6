package reduce

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/elffile"
	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

// What strip drops is where a debugger looks for it, once for all copies, and
// not in the image.
func TestSymbols(t *testing.T) {
	b := &toolbox{loads: func(*tree.Tree, string) string { return "" }}
	b.tool = func(data []byte) ([]byte, error) {
		if b.steps[len(b.steps)-1] == "keeping symbols" {
			return append([]byte("\x7fELF symbols of "), data[:16]...), nil
		}
		f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, err
		}
		id := []byte{0xab, 0xcd, 0xef}
		if f.BuildID == "" {
			id = nil
		}
		return elfgen.Library{Soname: f.Soname, BuildID: id}.Bytes(), nil
	}
	in := stripInput(t, b)
	from := tree.Origin{Kind: tree.Deb, Name: "x"}
	withID := elfgen.Library{Soname: "liba.so", BuildID: []byte{0xab, 0xcd, 0xef}, Symbols: true}.Bytes()
	var err error
	in.Tree, err = tree.New(
		tree.File("usr/lib/liba.so", 0o755, withID, from), tree.File("opt/liba.so", 0o755, withID, from),
		tree.File("usr/lib/libnoid.so", 0o755, library("libnoid.so", true), from),
		tree.File("usr/lib/libplain.so", 0o755, elfgen.Library{BuildID: []byte{1, 2, 3}}.Bytes(), from),
	)
	if err != nil {
		t.Fatal(err)
	}
	in.Systems.Python = in.Tree
	without, err := Strip.Run(t.Context(), in)
	if err != nil || without.Symbols != nil {
		t.Fatalf("without the option: %v, %v", without.Symbols, err)
	}
	in.Options = map[string]string{"symbols": "true"}
	out, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if d := tree.Diff(without.Tree, out.Tree); len(d) > 0 {
		t.Errorf("the image differs in %s", d[0].Path)
	}
	var names []string
	for e := range out.Symbols.All() {
		if e.IsRegular() {
			names = append(names, e.Path)
			if e.From != from || e.Mode != 0o644 {
				t.Errorf("%+v", e)
			}
		}
	}
	if diff := cmp.Diff([]string{"usr/lib/debug/.build-id/ab/cdef.debug"}, names); diff != "" {
		t.Errorf("symbols (-want +got):\n%s", diff)
	}
	if len(out.Notes) != 1 || out.Notes[0].Path != "usr/lib/libnoid.so" || !strings.Contains(out.Notes[0].Text, "no build id") {
		t.Errorf("notes %v", out.Notes)
	}
	b.steps = nil
	again, err := Strip.Run(t.Context(), in)
	if err != nil || len(b.steps) > 0 || again.Symbols.Digest() != out.Symbols.Digest() {
		t.Errorf("a second build: %v, steps %q", err, b.steps)
	}
}

func TestDebugName(t *testing.T) {
	for id, want := range map[string]string{
		"": "", "ab": "", "abcd": "usr/lib/debug/.build-id/ab/cd.debug", strings.Repeat("a", 130): "",
	} {
		if got := debugName(id); got != want {
			t.Errorf("debugName(%q) = %q, want %q", id, got, want)
		}
	}
}
