//go:build e2e

package reduce

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/engine/sandbox"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/sharedlib"
	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

// TestMain is the sandbox's own processes, or the tests.
func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// real is what the pipeline hands to the passes: bookworm's Python, the tools
// and the sandbox.
func real(t *testing.T) Input {
	t.Helper()
	in, _ := realSystems(t)
	return in
}

// upxSystem is the system that UPX is run in: older suites have none that
// packs libraries well.
func upxSystem(t *testing.T, archive *debian.Archive) *tree.Tree {
	t.Helper()
	b, err := archive.System(t.Context(), "trixie", []string{"upx-ucl"}, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return b.Tree
}

// realSystems is real, and where more systems come from.
func realSystems(t *testing.T) (Input, *debian.Archive) {
	t.Helper()
	dir := os.Getenv("EXUVIA_E2E_CACHE")
	if dir == "" {
		dir = t.TempDir()
	}
	store, err := cas.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	archive, err := debian.New(debian.Options{
		Cache: store, Root: "/", Now: time.Now, Progress: t.Logf, Client: &http.Client{}, Log: log, Mirror: os.Getenv("EXUVIA_DEBIAN_MIRROR"),
	})
	if err != nil {
		t.Fatal(err)
	}
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	sys, err := archive.Base(t.Context(), "debian:bookworm", platform)
	if err != nil {
		t.Fatal(err)
	}
	tools, err := archive.System(t.Context(), "bookworm", []string{"binutils", "patchelf"}, platform)
	if err != nil {
		t.Fatal(err)
	}
	eng, err := sandbox.New(sandbox.Options{Cache: store, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := python.Describe(t.Context(), eng, sys.Tree, "usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	// Results of this test are its own: a new store beside the shared one.
	own, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Input{Tree: sys.Tree, Python: rt, Engine: eng, Store: own, Systems: Systems{Python: sys.Tree, Tools: tools.Tree}}, archive
}

// wheel downloads a wheel for CPython 3.11 and gives its files below the
// interpreter's site.
func wheel(t *testing.T, in Input, requirement string) []tree.Entry {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "python3", "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
		"--python-version", "3.11", "--platform", "manylinux2014_x86_64", "-d", dir, requirement)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var out []tree.Entry
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tree.File(path.Join(in.Python.Site, f.Name), 0o755, data, tree.Origin{Kind: tree.Dist, Name: requirement}))
	}
	return out
}

// counting counts the steps.
type counting struct {
	engine.Engine
	steps []string
}

func (c *counting) Run(ctx context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	c.steps = append(c.steps, s.Name)
	start := time.Now()
	defer func() { c.steps[len(c.steps)-1] += " " + time.Since(start).Round(time.Millisecond).String() }()
	return c.Engine.Run(ctx, s, trees)
}

// runPython runs a program on a tree.
func runPython(t *testing.T, in Input, root *tree.Tree, program string) {
	t.Helper()
	try(t, in, root, nil, program)
}

func TestStripOfWheels(t *testing.T) {
	in := real(t)
	in.Systems.Python = add(t, in.Systems.Python, slices.Concat(wheel(t, in, "PyYAML==6.0.2"), wheel(t, in, "numpy==1.26.4"))...)
	in.Tree = in.Systems.Python
	steps := &counting{Engine: in.Engine}
	in.Engine = steps
	out, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	smaller := 0
	for _, c := range tree.Diff(in.Tree, out.Tree) {
		smaller++
		if c.New == nil || c.New.Size >= c.Old.Size || c.New.Mode != c.Old.Mode || c.New.From != c.Old.From {
			t.Errorf("%s: %+v", c.Path, c.New)
		}
	}
	t.Logf("%d files changed, %d → %d bytes, steps %q", smaller, in.Tree.Size(), out.Tree.Size(), steps.steps)
	for _, n := range out.Notes {
		t.Logf("note: %+v", n)
	}
	yaml, ok := out.Tree.Lookup(in.Python.Site + "/yaml/_yaml.cpython-311-x86_64-linux-gnu.so")
	if f, _, err := readELF(yaml); !ok || err != nil || f.Symbols {
		t.Errorf("_yaml still has symbols: %v", err)
	}
	runPython(t, in, out.Tree, `
import numpy as n, yaml
assert n.linalg.inv(n.eye(3) * 2)[0][0] == 0.5
assert abs(n.fft.fft(n.ones(8))[0] - 8) < 1e-9 and n.random.default_rng(1).random() < 1
assert yaml.load('a: [1]', yaml.CSafeLoader) == {'a': [1]}
`)
	steps.steps = nil
	again, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if d := tree.Diff(out.Tree, again.Tree); len(d) > 0 || len(steps.steps) > 0 && len(out.Notes) == 0 {
		t.Errorf("the second time: %d differences, steps %q", len(d), steps.steps)
	}
}

// A library that only etc/ld.so.conf leads to is found in an image without it.
func TestRPathOfDebian(t *testing.T) {
	in := real(t)
	const lib = "usr/lib/x86_64-linux-gnu/libffi.so.8"
	ffi, ok := in.Tree.Resolve(lib)
	if !ok {
		t.Fatal("no libffi")
	}
	moved := ffi
	moved.Path = "opt/lib/libffi.so.8"
	lean := add(t, in.Tree.Filter(func(e tree.Entry) bool {
		return !strings.HasPrefix(e.Path, "usr/lib/x86_64-linux-gnu/libffi") && !strings.HasPrefix(e.Path, "etc/ld.so")
	}), moved)
	in.Tree = lean
	in.Systems.Python = add(t, lean, tree.File("etc/ld.so.conf", 0o644, []byte("/opt/lib\n"), ffi.From))
	steps := &counting{Engine: in.Engine}
	in.Engine = steps
	out, err := RPath.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, c := range tree.Diff(lean, out.Tree) {
		changed = append(changed, c.Path)
	}
	t.Logf("changed %v, steps %q, notes %v", changed, steps.steps, out.Notes)
	ctypes := slices.IndexFunc(changed, func(p string) bool { return strings.Contains(p, "_ctypes.") })
	if ctypes < 0 {
		t.Fatalf("_ctypes is as it was; changed: %v", changed)
	}
	e, _ := out.Tree.Lookup(changed[ctypes])
	f, _, err := readELF(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"$ORIGIN/../../../../opt/lib"}, f.RunPath); diff != "" {
		t.Errorf("search path (-want +got):\n%s", diff)
	}
	runPython(t, in, out.Tree, "import ctypes; assert ctypes.CDLL(None)")
	if missing, err := sharedlib.NeedCache(out.Tree, in.Systems.Python); err != nil || len(missing) > 0 {
		t.Errorf("still in need of the cache: %v, %v", missing, err)
	}
}

// The check must see a file that is broken in the ways in which tools break
// files, and must not blame one that never loaded.
func TestLoadCheck(t *testing.T) {
	in := real(t)
	const libs = "usr/lib/x86_64-linux-gnu/"
	z, _ := in.Systems.Python.Resolve(libs + "libz.so.1")
	c, _ := in.Systems.Python.Resolve(libs + "libc.so.6")
	exe, _ := in.Systems.Python.Resolve("usr/bin/python3")
	dash, _ := in.Systems.Python.Resolve("usr/bin/dash")
	broken := func(e tree.Entry) tree.Entry {
		data, err := e.ReadAll(maxELF)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		d := f.Section(".dynsym")
		for i := range data[d.Offset : d.Offset+d.Size] {
			data[d.Offset+uint64(i)] = 0xff
		}
		b := tree.File(e.Path, e.Mode.Perm(), data, e.From)
		return b
	}
	plain := tree.File("opt/a.so", 0o755, elfgen.Library{Soname: "a.so", Needed: []string{"nowhere.so"}}.Bytes(), z.From)
	for _, test := range []struct {
		name  string
		files []tree.Entry
		want  []string
	}{
		{"whole", []tree.Entry{z, c, exe, dash}, nil},
		{"library", []tree.Entry{broken(z), dash}, []string{z.Path}},
		{"program", []tree.Entry{z, broken(dash)}, []string{dash.Path}},
		{"C library", []tree.Entry{z, dash, broken(c)}, []string{c.Path}},
		{"interpreter", []tree.Entry{broken(exe), z}, []string{exe.Path}},
		{"lacking", []tree.Entry{z, plain}, []string{plain.Path}},
	} {
		t.Run(test.name, func(t *testing.T) {
			failed, err := loads(t.Context(), in, test.files, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(failed)
			if diff := cmp.Diff(test.want, slices.Sorted(maps.Keys(failed))); diff != "" {
				t.Errorf("do not load (-want +got):\n%s", diff)
			}
		})
	}
}

func add(t *testing.T, tr *tree.Tree, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	out, err := tr.With(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
