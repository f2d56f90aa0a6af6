package tree

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	debA = Origin{Kind: Deb, Name: "a", Version: "1"}
	debB = Origin{Kind: Deb, Name: "b", Version: "2"}
)

func file(name, data string, from Origin) Entry { return File(name, 0o644, []byte(data), from) }

func build(t *testing.T, entries ...Entry) *Tree {
	t.Helper()
	tr, err := New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func paths(t *Tree) []string {
	var out []string
	for e := range t.All() {
		out = append(out, e.Path)
	}
	return out
}

func TestNewAddsParents(t *testing.T) {
	tr := build(t, file("usr/lib/x", "", debA), Dir("usr", 0o700, debA))
	if diff := cmp.Diff([]string{"usr", "usr/lib", "usr/lib/x"}, paths(tr)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if e, _ := tr.Lookup("usr"); e.Mode.Perm() != 0o700 {
		t.Errorf("declared directory has mode %v", e.Mode)
	}
}

// Whatever an archive claims, no entry leaves the root or is a device.
func TestNewRefuses(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"absolute":       {file("/etc/passwd", "", debA)},
		"dot-dot":        {file("../etc/passwd", "", debA)},
		"root":           {Dir(".", 0o755, debA)},
		"NUL":            {file("a\x00b", "", debA)},
		"device":         {{Path: "dev/null", Mode: fs.ModeDevice | fs.ModeCharDevice}},
		"below a file":   {file("a", "", debA), file("a/b", "", debB)},
		"below a link":   {Symlink("a", "/etc", debA), file("a/passwd", "", debB)},
		"two for a path": {file("a", "1", debA), file("a", "2", debB)},
	} {
		if tr, err := New(entries...); err == nil {
			t.Errorf("%s: got a tree with %v", name, paths(tr))
		}
	}
}

func TestConflictNamesBothOrigins(t *testing.T) {
	_, err := Merge(build(t, file("a", "1", debA)), build(t, file("a", "2", debB)))
	conflict, ok := errors.AsType[*ConflictError](err)
	if !ok || !strings.Contains(conflict.Error(), "deb a 1") || !strings.Contains(conflict.Error(), "deb b 2") {
		t.Errorf("error is %v", err)
	}
}

// bookworm's packages ship lib/x and usr/lib/x; with a merged /usr both are one.
func TestMergeFollowsDirectoryLinks(t *testing.T) {
	merged, err := Merge(
		build(t, Symlink("lib", "usr/lib", debA), Dir("usr/lib", 0o755, debA)),
		build(t, file("lib/libc.so", "elf", debB)),
		build(t, file("usr/lib/libc.so", "elf", debB)),
	)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lib", "usr", "usr/lib", "usr/lib/libc.so"}, paths(merged)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestOverlayReplaces(t *testing.T) {
	got, err := Overlay(build(t, file("a", "1", debA), Dir("d", 0o700, debA)), build(t, file("a", "2", debB), file("d/x", "", debB)))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := got.Lookup("a")
	if data, err := a.ReadAll(10); err != nil || string(data) != "2" {
		t.Errorf("a holds %q, %v", data, err)
	}
	if d, _ := got.Lookup("d"); d.Mode.Perm() != 0o700 {
		t.Errorf("a directory nobody declared took the place of one with mode 0700: %v", d.Mode)
	}
}

func TestResolve(t *testing.T) {
	tr := build(t,
		file("usr/bin/python3.11", "elf", debA), Symlink("usr/bin/python3", "python3.11", debA),
		Symlink("bin", "usr/bin", debA), Symlink("abs", "/bin/python3", debA),
		Symlink("loop", "loop2", debA), Symlink("loop2", "loop", debA), Symlink("up", "../../usr", debA),
	)
	for name, want := range map[string]string{
		"bin/python3": "usr/bin/python3.11", "/abs": "usr/bin/python3.11", "up/bin/python3": "usr/bin/python3.11",
		"usr/../bin/python3.11": "usr/bin/python3.11", "loop": "", "none": "", "usr/bin/python3/x": "",
	} {
		e, ok := tr.Resolve(name)
		if ok != (want != "") || ok && e.Path != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", name, e.Path, ok, want)
		}
	}
	if got := tr.Real("bin/new/file"); got != "usr/bin/new/file" {
		t.Errorf("Real(bin/new/file) = %q", got)
	}
}

func TestUnderIsNotFooledByOrder(t *testing.T) {
	tr := build(t, file("a/x", "", debA), file("a-b/y", "", debA), file("a.c", "", debA))
	var got []string
	for e := range tr.Under("a") {
		got = append(got, e.Path)
	}
	if diff := cmp.Diff([]string{"a", "a/x"}, got); diff != "" {
		t.Errorf("under a (-want +got):\n%s", diff)
	}
}

// The bytes of a hard-linked file must not go with its first name.
func TestFilterKeepsHardLinkedContents(t *testing.T) {
	first := file("a", "data", debA)
	second, third := first, first
	second.Path, second.Link = "b", "a"
	third.Path, third.Link = "c", "a"
	tr := build(t, first, second, third)
	if tr.Size() != 4 {
		t.Errorf("size is %d, want 4", tr.Size())
	}
	got := tr.Filter(func(e Entry) bool { return e.Path != "a" })
	b, _ := got.Lookup("b")
	c, _ := got.Lookup("c")
	if b.Link != "" || c.Link != "b" || got.Size() != 4 {
		t.Errorf("b links to %q, c to %q, size %d", b.Link, c.Link, got.Size())
	}
}

func TestDiff(t *testing.T) {
	a := build(t, file("same", "", debA), file("old", "", debA), file("changed", "1", debA))
	b := build(t, file("same", "", debB), file("new", "", debA), file("changed", "2", debA))
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.Path)
	}
	if diff := cmp.Diff([]string{"changed", "new", "old"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// Whatever paths and links there are: a tree is sorted, closed under parents,
// and Resolve ends.
func FuzzTree(f *testing.F) {
	f.Add("a/b", "b", "a/c", "../x")
	f.Add("lib", "usr/lib", "lib/x", "/")
	f.Fuzz(func(t *testing.T, link, target, name, query string) {
		one, err := New(Symlink(link, target, debA))
		if err != nil {
			return
		}
		two, err := New(file(name, "x", debB))
		if err != nil {
			return
		}
		tr, err := Merge(one, two)
		if (tr == nil) == (err == nil) {
			t.Fatalf("tree %v and error %v", tr, err)
		}
		if err != nil {
			return
		}
		ps := paths(tr)
		if !slices.IsSorted(ps) {
			t.Errorf("not sorted: %q", ps)
		}
		if e, ok := tr.Resolve(query); ok && e.IsSymlink() {
			t.Errorf("Resolve(%q) stopped at the link %s", query, e.Path)
		}
	})
}
