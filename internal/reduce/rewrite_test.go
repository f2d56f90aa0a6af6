package reduce

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/elffile"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

// toolbox is an engine that has no tools: tool makes a file of another, and
// loads says why a file, at a path of a tree, does not load. A reason that
// begins with "!" is one for which the interpreter does not start.
type toolbox struct {
	tool  func(data []byte) ([]byte, error)
	loads func(root *tree.Tree, path string) string
	steps []string
}

var line = regexp.MustCompile(`>(\S+)\.log `)

func (b *toolbox) Run(_ context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	b.steps = append(b.steps, s.Name)
	if s.System == "tools" {
		return b.rewrite(trees["files"])
	}
	list, _ := trees["loadcheck"].Lookup("jobs.json")
	data, err := list.ReadAll(1 << 20)
	if err != nil {
		return nil, err
	}
	var jobs struct{ Files []loadJob }
	if err := json.Unmarshal(data, &jobs); err != nil {
		return nil, err
	}
	result := make(map[string]string)
	for e := range trees["system"].All() {
		if why, ok := strings.CutPrefix(b.loads(trees["system"], e.Path), "!"); ok {
			return nil, &engine.StepError{Step: s.Name, Exit: 139, Output: why}
		}
	}
	for _, j := range jobs.Files {
		result[j.Path] = b.loads(trees["system"], j.Path[1:])
	}
	if data, err = json.Marshal(result); err != nil {
		return nil, err
	}
	return tree.New(tree.File(loadOut[1:]+"/result.json", 0o644, data, tree.Origin{}))
}

func (b *toolbox) rewrite(files *tree.Tree) (*tree.Tree, error) {
	script, _ := files.Lookup("script")
	text, err := script.ReadAll(1 << 20)
	if err != nil {
		return nil, err
	}
	var out []tree.Entry
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		key := strings.TrimPrefix(m[1], rewriteOut+"/")
		in, ok := files.Lookup(key)
		if !ok {
			return nil, errors.New("the script names " + key)
		}
		data, err := in.ReadAll(1 << 20)
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(rewriteOut, "/") + "/" + key
		made, err := b.tool(data)
		if err != nil {
			out = append(out, tree.File(name+".log", 0o644, []byte("strip: "+rewriteDir+"/"+key+": "+err.Error()+"\n"), tree.Origin{}))
			continue
		}
		out = append(out, tree.File(name, 0o644, made, tree.Origin{}), tree.File(name+".ok", 0o644, nil, tree.Origin{}))
	}
	return tree.New(out...)
}

// has reports whether the file at p in root has the library's soname and no
// symbols: it is the stripped one.
func stripped(root *tree.Tree, p string) bool {
	e, ok := root.Lookup(p)
	if !ok {
		return false
	}
	f, _, err := readELF(e)
	return err == nil && f != nil && !f.Symbols
}

// strip does what strip does to what elfgen makes: the same library without
// the symbol table.
func strip(data []byte) ([]byte, error) {
	f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	switch f.Soname {
	case "libfails.so":
		return nil, errors.New("file format not recognized")
	case "libdamaged.so":
		return elfgen.Library{Soname: "libdamagex.so"}.Bytes(), nil
	case "libgarbage.so":
		return []byte("\x7fELF and then nothing"), nil
	case "liblarger.so":
		return append(bytes.Clone(data), make([]byte, 100)...), nil
	}
	return library(f.Soname, false), nil
}

func library(soname string, symbols bool) []byte {
	return elfgen.Library{Soname: soname, Symbols: symbols}.Bytes()
}

func stripInput(t *testing.T, b *toolbox) Input {
	t.Helper()
	deb, dist := tree.Origin{Kind: tree.Deb, Name: "x"}, tree.Origin{Kind: tree.Dist, Name: "d"}
	var entries []tree.Entry
	for _, n := range []string{"good", "fails", "damaged", "garbage", "larger", "breaks", "never", "core"} {
		entries = append(entries, tree.File("usr/lib/lib"+n+".so", 0o755, library("lib"+n+".so", true), deb))
	}
	good := entries[0]
	second, hard := good, good
	second.Path, second.From = "usr/site/libgood.so", dist
	hard.Path, hard.Link = "usr/lib/libgood.so.1", good.Path
	entries = append(entries, second, hard,
		tree.File("usr/lib/libplain.so", 0o644, library("libplain.so", false), deb),
		tree.File("usr/lib/libtail.so", 0o644, append(library("libtail.so", true), "archive"...), deb),
		tree.File("usr/lib/libscript.so", 0o644, []byte(strings.Repeat("INPUT(-lgood)\n", 9)), deb),
		tree.File("usr/lib/libbad.so", 0o644, append([]byte("\x7fELF"), make([]byte, 99)...), deb),
		tree.File("usr/share/libdata", 0o644, library("data", true), deb),
	)
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Input{Tree: tr, Store: store, Engine: b, Python: &python.Runtime{Exe: "usr/bin/python3"}, Systems: Systems{Python: tr, Tools: &tree.Tree{}}}
}

func TestStrip(t *testing.T) {
	b := &toolbox{tool: strip, loads: func(root *tree.Tree, p string) string {
		switch {
		case p == "usr/lib/libcore.so" && stripped(root, p):
			return "!Segmentation fault"
		case p == "usr/lib/libbreaks.so" && stripped(root, p):
			return "OSError: ELF load command address/offset not properly aligned"
		case p == "usr/lib/libnever.so":
			return "OSError: libcuda.so.1: cannot open shared object file"
		}
		return ""
	}}
	in := stripInput(t, b)
	out, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, c := range tree.Diff(in.Tree, out.Tree) {
		changed = append(changed, c.Path)
		if c.New == nil || c.New.Size >= c.Old.Size || c.New.Mode != c.Old.Mode || c.New.From != c.Old.From || c.New.Link != c.Old.Link {
			t.Errorf("%s became %+v", c.Path, c.New)
		}
	}
	want := []string{"usr/lib/libgood.so", "usr/lib/libgood.so.1", "usr/lib/libnever.so", "usr/site/libgood.so"}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	notes := make(map[string]string)
	for _, n := range out.Notes {
		if n.Where != "strip" {
			t.Errorf("a note is of %q", n.Where)
		}
		notes[n.Path] = n.Text
	}
	for p, text := range map[string]string{
		"usr/lib/libfails.so":   "file format not recognized",
		"usr/lib/libdamaged.so": "has other contents",
		"usr/lib/libgarbage.so": "after stripping",
		"usr/lib/libbreaks.so":  "not properly aligned",
		"usr/lib/libcore.so":    "Python does not run",
		"usr/lib/libbad.so":     "left as it was",
	} {
		if !strings.Contains(notes[p], text) {
			t.Errorf("the note on %s is %q, want %q in it", p, notes[p], text)
		}
		if strings.Contains(notes[p], rewriteDir) {
			t.Errorf("the note on %s speaks of our own directories: %q", p, notes[p])
		}
		delete(notes, p)
	}
	if len(notes) > 0 {
		t.Errorf("further notes: %v", notes)
	}
}

// A second build of the same files runs nothing, and comes to the same end.
func TestStripOnce(t *testing.T) {
	b := &toolbox{tool: strip, loads: func(*tree.Tree, string) string { return "" }}
	in := stripInput(t, b)
	first, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stripping", "loading changed files"}, b.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	b.steps = nil
	second, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.steps) > 0 {
		t.Errorf("a second build runs %q", b.steps)
	}
	if d := tree.Diff(first.Tree, second.Tree); len(d) > 0 {
		t.Errorf("a second build differs in %s", d[0].Path)
	}
	if diff := cmp.Diff(first.Notes, second.Notes); diff != "" {
		t.Errorf("notes of the second build (-first +second):\n%s", diff)
	}
	in.Systems.Tools, err = tree.New(tree.File("usr/bin/strip", 0o755, []byte("other"), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Strip.Run(t.Context(), in); err != nil || len(b.steps) == 0 {
		t.Errorf("other tools run nothing: %v", err)
	}
}

func TestNothingToDoRunsNothing(t *testing.T) {
	b := &toolbox{}
	tr, err := tree.New(tree.File("usr/lib/libplain.so", 0o644, library("libplain.so", false), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Pass{Strip, RPath} {
		out, err := p.Run(t.Context(), Input{Tree: tr, Engine: b, Systems: Systems{Python: tr}})
		if err != nil || len(b.steps) > 0 || out.Tree.Digest() != tr.Digest() {
			t.Errorf("%s: %v, steps %q", p.Name, err, b.steps)
		}
	}
}

// A defect of the sandbox is no verdict on a file.
func TestStripFailsWithItsEngine(t *testing.T) {
	in := stripInput(t, nil)
	in.Engine = failing{}
	if _, err := Strip.Run(t.Context(), in); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Run(context.Context, plan.Step, engine.Trees) (*tree.Tree, error) {
	return nil, os.ErrPermission
}

func TestRPath(t *testing.T) {
	deb := tree.Origin{Kind: tree.BaseFile, Name: "base"}
	lib := func(p string, l elfgen.Library) tree.Entry { return tree.File(p, 0o755, l.Bytes(), deb) }
	tr, err := tree.New(
		lib("usr/local/bin/prog", elfgen.Library{Interp: "/lib64/ld.so", Needed: []string{"libx.so"}}),
		lib("usr/local/lib/libx.so", elfgen.Library{Soname: "libx.so"}),
		lib("usr/lib/old.so", elfgen.Library{Needed: []string{"libx.so"}, RPath: "/opt"}),
		lib("usr/lib/new.so", elfgen.Library{Needed: []string{"libx.so"}, RunPath: "/opt"}),
		lib("usr/lib/bad.so", elfgen.Library{Soname: "bad.so", Needed: []string{"libx.so"}}),
		lib("opt/app/onefile", elfgen.Library{Interp: "/lib64/ld.so", Needed: []string{"libx.so"}, Trailing: []byte("archive")}),
	)
	if err != nil {
		t.Fatal(err)
	}
	full, err := tr.With(tree.File("etc/ld.so.conf", 0o644, []byte("/usr/local/lib\n"), deb))
	if err != nil {
		t.Fatal(err)
	}
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &toolbox{
		tool: func(data []byte) ([]byte, error) {
			f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				return nil, err
			}
			l := elfgen.Library{Soname: f.Soname, Interp: f.Interp, Needed: f.Needed, RunPath: "$ORIGIN/../lib:/opt"}
			if f.Soname == "bad.so" {
				l.RunPath = ""
			}
			return l.Bytes(), nil
		},
		loads: func(*tree.Tree, string) string { return "" },
	}
	in := Input{Tree: tr, Store: store, Engine: b, Python: &python.Runtime{Exe: "usr/bin/python3"}, Systems: Systems{Python: full, Tools: &tree.Tree{}}}
	out, err := RPath.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, c := range tree.Diff(tr, out.Tree) {
		changed = append(changed, c.Path)
	}
	if diff := cmp.Diff([]string{"usr/lib/new.so", "usr/lib/old.so", "usr/local/bin/prog"}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	want := []report.Note{
		{Where: "rpath", Path: "opt/app/onefile", Text: "left as it was: it carries an archive, which it would not find any more"},
		{Where: "rpath", Path: "usr/lib/bad.so", Text: "left as it was: after setting search paths it has no other search path"},
	}
	if diff := cmp.Diff(want, out.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if slices.Contains(b.steps, "stripping") || len(b.steps) != 2 {
		t.Errorf("steps %q", b.steps)
	}
	b.steps = nil
	in.Options = map[string]string{"mode": "ld-library-path"}
	out, err = RPath.Run(t.Context(), in)
	if diff := cmp.Diff([]string{"LD_LIBRARY_PATH=/usr/local/lib"}, out.Env); err != nil || diff != "" || len(b.steps) > 0 || out.Tree.Digest() != tr.Digest() {
		t.Errorf("by the environment: %v, steps %q (-want +got)\n%s", err, b.steps, diff)
	}
	in.Options["mode"] = "none"
	_, err = RPath.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage {
		t.Errorf("an unknown mode: %v", err)
	}
}

func TestSearchPath(t *testing.T) {
	file := func(p string) sharedlib.Cached {
		return sharedlib.Cached{File: tree.Entry{Path: p}, Dirs: []string{"usr/local/lib", "usr/lib/x"}}
	}
	for _, test := range []struct {
		name  string
		path  string
		elf   elffile.File
		want  []string
		force bool
	}{
		{"none", "usr/local/bin/python3", elffile.File{}, []string{"$ORIGIN/../lib", "$ORIGIN/../../lib/x"}, false},
		{"beside", "usr/local/lib/a.so", elffile.File{}, []string{"$ORIGIN", "$ORIGIN/../../lib/x"}, false},
		{"below", "usr/lib/x.so", elffile.File{}, []string{"$ORIGIN/../local/lib", "$ORIGIN/x"}, false},
		{"kept", "usr/lib/x/a.so", elffile.File{RunPath: []string{"/opt"}, RPath: []string{"/old"}}, []string{"/opt", "$ORIGIN/../../local/lib", "$ORIGIN"}, false},
		{"old kind", "usr/lib/x/a.so", elffile.File{RPath: []string{"/old"}}, []string{"/old", "$ORIGIN/../../local/lib", "$ORIGIN"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, force := searchPath(file(test.path), &test.elf)
			if diff := cmp.Diff(test.want, got); diff != "" || force != test.force {
				t.Errorf("force %t (-want +got):\n%s", force, diff)
			}
		})
	}
}

func TestSameMemory(t *testing.T) {
	whole := library("liba.so", true)
	if err := sameMemory(whole, library("liba.so", false)); err != nil {
		t.Errorf("without symbols: %v", err)
	}
	f, err := elf.NewFile(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	end := f.Progs[0].Off + f.Progs[0].Filesz
	for name, change := range map[string]func([]byte) []byte{
		"a byte":   func(b []byte) []byte { b[end-1] ^= 1; return b },
		"cut":      func(b []byte) []byte { return b[:end-1] },
		"no file":  func([]byte) []byte { return nil },
		"a header": func(b []byte) []byte { b[64+4] ^= 2; return b }, // p_flags of the first segment
	} {
		if err := sameMemory(whole, change(bytes.Clone(whole))); err == nil {
			t.Errorf("%s: no difference seen", name)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"$ORIGIN/../a b": `'$ORIGIN/../a b'`, "it's": `'it'\''s'`, "": "''"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzSameMemory(f *testing.F) {
	whole := library("liba.so", true)
	f.Add(whole, whole)
	f.Add(whole, library("liba.so", false))
	f.Add(whole, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if _, err := elffile.Read(bytes.NewReader(a), int64(len(a))); err != nil {
			return // rewrite takes only what can be read
		}
		if err := sameMemory(a, a); err != nil {
			t.Skip("it cannot be mapped at all: " + err.Error())
		}
		if sameMemory(a, b) == nil && sameMemory(b, a) != nil {
			t.Error("a is like b, and b not like a")
		}
	})
}
