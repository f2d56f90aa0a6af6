package base

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// made makes a tree of lines: "dir/", "dir/ 0700", "link > target",
// "name = first name", "file: contents".
func made(t testing.TB, lines ...string) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	from := tree.Origin{Kind: tree.BaseFile, Name: "test"}
	for _, l := range lines {
		if name, target, ok := strings.Cut(l, " > "); ok {
			entries = append(entries, tree.Symlink(name, target, from))
		} else if name, first, ok := strings.Cut(l, " = "); ok {
			first, data, _ := strings.Cut(first, ": ")
			e := tree.File(name, 0o644, []byte(data), from)
			e.Link = first
			entries = append(entries, e)
		} else if name, data, ok := strings.Cut(l, ": "); ok {
			entries = append(entries, tree.File(name, 0o644, []byte(data), from))
		} else {
			name, mode, _ := strings.Cut(l, "/ ")
			perm := fs.FileMode(0o755)
			if mode != "" {
				if _, err := fmt.Sscanf(mode, "%o", &perm); err != nil {
					t.Fatal(err)
				}
			}
			entries = append(entries, tree.Dir(strings.TrimSuffix(name, "/"), perm, from))
		}
	}
	out, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lines is the reverse of made, without implied directories.
func lines(t testing.TB, tr *tree.Tree) []string {
	t.Helper()
	var out []string
	for e := range tr.All() {
		switch {
		case e.IsDir() && (len(tr.Children(e.Path)) == 0 || e.Mode.Perm() != 0o755):
			s := e.Path + "/"
			if e.Mode.Perm() != 0o755 {
				s += fmt.Sprintf(" %o", e.Mode.Perm())
			}
			out = append(out, s)
		case e.IsDir():
		case e.IsSymlink():
			out = append(out, e.Path+" > "+e.Link)
		default:
			data, err := e.ReadAll(100)
			if err != nil {
				t.Fatal(err)
			}
			s := e.Path + ": " + string(data)
			if e.Link != "" {
				s = e.Path + " = " + e.Link + ": " + string(data)
			}
			out = append(out, s)
		}
	}
	return out
}

func TestOnto(t *testing.T) {
	for _, c := range []struct {
		name             string
		base, ours, want []string
	}{
		{"nothing in common", []string{"etc/passwd: root"}, []string{"app/main.py: x"}, []string{"app/main.py: x"}},
		{"the same file", []string{"a: 1", "b: 1"}, []string{"a: 1", "b: 2"}, []string{"b: 2"}},
		{"the same link", []string{"a > b"}, []string{"a > b"}, nil},
		{"another link", []string{"a > b", "b: 1", "c: 2"}, []string{"a > c", "c: 2"}, []string{"a > c"}},
		{"a link to a directory", []string{"lib > usr/lib", "usr/lib/y: 2"}, []string{"lib/x: 1", "lib/y: 2"}, []string{"usr/lib/x: 1"}},
		{"its own directory is nothing new", []string{"lib > usr/lib", "usr/lib/"}, []string{"lib/"}, nil},
		{"a link to nothing", []string{"var/run > /run"}, []string{"var/run/app/pid: 1"}, []string{"run/app/pid: 1"}},
		{"a directory for a link to nothing", []string{"var/run > /run"}, []string{"var/run/ 0711"}, []string{"run/ 711"}},
		{"a link out of the root", []string{"lib > ../../../usr/lib"}, []string{"lib/x: 1"}, []string{"usr/lib/x: 1"}},
		{"our link, their directory", []string{"lib/ 0700", "lib/y: 1"}, []string{"lib > usr/lib", "usr/lib/x: 2"}, []string{"usr/lib/x: 2"}},
		{"our dangling link, their directory", []string{"certs/a: 1"}, []string{"certs > /etc/certs"}, nil},
		{"two links to directories", []string{"l > a", "a/x: 1"}, []string{"l > b", "b/y: 1"}, []string{"b/y: 1"}},
		{"the base's mode", []string{"home/me/ 0700"}, []string{"home/me/", "home/me/x: 1"}, []string{"home/me/ 700", "home/me/x: 1"}},
		{"an empty directory of both", []string{"tmp/ 0777"}, []string{"tmp/"}, nil},
		{"an empty directory of ours", nil, []string{"data/ 0750"}, []string{"data/ 750"}},
		{"a file for a link", []string{"a > b", "b: 1"}, []string{"a: 2"}, []string{"a: 2"}},
		{"a hard link whose file is there", []string{"a: 1"}, []string{"a: 1", "b = a: 1", "c = a: 1"}, []string{"b: 1", "c = b: 1"}},
		{"a hard link that moves", []string{"lib > usr/lib"}, []string{"lib/a: 1", "lib/b = lib/a: 1"}, []string{"usr/lib/a: 1", "usr/lib/b = usr/lib/a: 1"}},
		{"two names that become one", []string{"lib > usr/lib"}, []string{"lib/a: 1", "usr/lib/a = lib/a: 1"}, []string{"usr/lib/a: 1"}},
		{"a link that becomes its file", []string{"lib > usr/lib"}, []string{"lib/a > ../usr/lib/a", "usr/lib/a: 1"}, []string{"usr/lib/a: 1"}},
		{"a relative link that moves", []string{"lib > usr/lib"}, []string{"lib/a > ../opt/a", "opt/a: 1", "lib/b > a"}, []string{"opt/a: 1", "usr/lib/a > /opt/a", "usr/lib/b > a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Onto(made(t, c.base...), made(t, c.ours...))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, lines(t, got)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOntoConflicts(t *testing.T) {
	for _, c := range []struct {
		name       string
		base, ours []string
	}{
		{"a file for a directory", []string{"a/b: 1"}, []string{"a: 1"}},
		{"a file for a link to a directory", []string{"a > b", "b/"}, []string{"a: 1"}},
		{"a link to a file for a directory", []string{"a/b: 1"}, []string{"a > c", "c: 1"}},
		{"a directory for a file", []string{"a: 1"}, []string{"a/b: 1"}},
		{"a directory for a link to a file", []string{"a > b", "b: 1"}, []string{"a/c: 1"}},
		{"two files that would be one", []string{"lib > usr/lib"}, []string{"lib/a: 1", "usr/lib/a: 2"}},
		{"links that go round", []string{"a > b", "b > a"}, []string{"a/c: 1"}},
		{"a link that takes the way to a file", []string{"a > b", "b > c"}, []string{"a/f: 1", "b > d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Onto(made(t, c.base...), made(t, c.ours...))
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base {
				t.Errorf("got %v, error %v", lines(t, got), err)
			}
		})
	}
}

// Ownership counts: a file that is the same but somebody else's is another.
func TestOntoOwner(t *testing.T) {
	theirs, mine := tree.File("a", 0o644, []byte("1"), tree.Origin{}), tree.File("a", 0o644, []byte("1"), tree.Origin{})
	mine.UID = 65532
	under, err := tree.New(theirs)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := tree.New(mine)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Onto(under, ours)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := got.Lookup("a"); !ok || e.UID != 65532 {
		t.Errorf("got %v", lines(t, got))
	}
}

// Whatever the two are: an error, or layers in which no path goes through a
// link of the base, and which leave the base's other files as they were.
func FuzzOnto(f *testing.F) {
	f.Add("lib > usr/lib\nusr/lib/x: 1", "lib/x: 2\nlib/y > x")
	f.Add("a > b\nb > c", "a/f: 1\nb > d")
	f.Add("a/ 0700\na/b: 1", "a/b: 1\na/c = a/b: 1")
	f.Fuzz(func(t *testing.T, base, ours string) {
		under, mine := parsed(base), parsed(ours)
		if under == nil || mine == nil {
			t.Skip()
		}
		layers, err := Onto(under, mine)
		if err != nil {
			return
		}
		for e := range layers.All() {
			for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
				if d, ok := under.Lookup(dir); ok && !d.IsDir() {
					t.Errorf("%s is below %s, which is no directory", e.Path, dir)
				}
			}
		}
		sum, err := tree.Overlay(under, layers)
		if err != nil {
			t.Fatal(err)
		}
		for e := range under.All() {
			if _, ok := layers.Lookup(e.Path); ok {
				continue
			}
			if have, ok := sum.Lookup(e.Path); !ok || !identical(have, e) {
				t.Errorf("%s is no longer what it was", e.Path)
			}
		}
	})
}

// parsed makes a tree of what a fuzzer wrote; nil where it is none.
func parsed(text string) *tree.Tree {
	var entries []tree.Entry
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if name, target, ok := strings.Cut(l, " > "); ok {
			entries = append(entries, tree.Symlink(name, target, tree.Origin{}))
		} else if name, data, ok := strings.Cut(l, ": "); ok {
			entries = append(entries, tree.File(name, 0o644, []byte(data), tree.Origin{}))
		} else {
			entries = append(entries, tree.Dir(strings.TrimSuffix(l, "/"), 0o755, tree.Origin{}))
		}
	}
	t, err := tree.New(entries...)
	if err != nil {
		return nil
	}
	return t
}
