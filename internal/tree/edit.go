package tree

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// ConflictError is two different files for one path.
type ConflictError struct{ A, B Entry }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s comes both from %s and, with other contents or mode, from %s", e.A.Path, e.A.From, e.B.From)
}

// mergeable reports whether a and b may stand for each other.
func mergeable(a, b Entry) bool {
	return a.IsDir() && b.IsDir() || a.same(b)
}

// prefer chooses between two mergeable entries: the first, unless nobody
// declared it.
func prefer(a, b Entry) Entry {
	if a.From.Kind == Implicit {
		return b
	}
	return a
}

// Merge unites trees. Directory links of the trees before are followed, so
// that lib/x.so of a later tree lands in usr/lib where lib is a link to it.
// Equal entries are no conflict; of two directories the first that some source
// declared is taken. Anything else twice is a [*ConflictError].
func Merge(trees ...*Tree) (*Tree, error) {
	return unite(false, trees)
}

// Overlay unites trees as Merge does, but a later file takes the place of an
// earlier one, and a later declared directory gives its mode and owner.
func Overlay(trees ...*Tree) (*Tree, error) {
	return unite(true, trees)
}

func unite(replace bool, trees []*Tree) (*Tree, error) {
	sum := &Tree{}
	for _, t := range trees {
		if t.Len() == 0 {
			continue
		}
		byPath := make(map[string]Entry, sum.Len()+t.Len())
		for e := range sum.All() {
			byPath[e.Path] = e
		}
		for e := range t.All() {
			e.Path = sum.Real(e.Path)
			if e.IsRegular() && e.Link != "" {
				e.Link = sum.Real(e.Link)
			}
			old, ok := byPath[e.Path]
			switch {
			case !ok:
			case old.IsSymlink() && e.IsDir():
				if r, ok := sum.Resolve(e.Path); ok && r.IsDir() {
					continue
				}
				return nil, &ConflictError{A: old, B: e}
			case replace && old.IsDir() == e.IsDir():
				if e.From.Kind == Implicit {
					e = old
				}
			case !mergeable(old, e):
				return nil, &ConflictError{A: old, B: e}
			default:
				e = prefer(old, e)
			}
			byPath[e.Path] = e
		}
		next, err := fromMap(byPath)
		if err != nil {
			return nil, err
		}
		sum = next.relinked()
	}
	return sum, nil
}

// Filter keeps the entries that keep says, and the directories above them. If
// the first name of a hard-linked file goes, its first survivor becomes the
// file.
func (t *Tree) Filter(keep func(Entry) bool) *Tree {
	kept := make(map[string]Entry)
	for e := range t.All() {
		if !keep(e) {
			continue
		}
		kept[e.Path] = e
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if _, ok := kept[dir]; ok {
				break
			}
			parent, _ := t.Lookup(dir)
			kept[dir] = parent
		}
	}
	out := &Tree{entries: make([]Entry, 0, len(kept))}
	for e := range t.All() {
		if k, ok := kept[e.Path]; ok {
			out.entries = append(out.entries, k)
		}
	}
	return out.relinked()
}

// relinked mends hard links whose first name is gone or was replaced.
func (t *Tree) relinked() *Tree {
	first := make(map[string]string) // name that is gone → its first survivor
	for i, e := range t.entries {
		if !e.IsRegular() || e.Link == "" {
			continue
		}
		if target, ok := t.Lookup(e.Link); ok && target.IsRegular() && target.Link == "" && target.Sum == e.Sum {
			continue
		}
		if heir, ok := first[e.Link]; ok {
			t.entries[i].Link = heir
			continue
		}
		first[e.Link] = e.Path
		t.entries[i].Link = ""
	}
	return t
}

// With gives a tree in which entries are added, or stand in place of those
// with the same paths.
func (t *Tree) With(entries ...Entry) (*Tree, error) {
	over, err := New(entries...)
	if err != nil {
		return nil, err
	}
	return Overlay(t, over)
}

// Map gives a tree in which every entry is what f makes of it. f must leave
// paths and types alone.
func (t *Tree) Map(f func(Entry) Entry) *Tree {
	out := &Tree{entries: make([]Entry, 0, t.Len())}
	for e := range t.All() {
		m := f(e)
		m.Path, m.Mode = e.Path, m.Mode&^fs.ModeType|e.Mode.Type()
		out.entries = append(out.entries, m)
	}
	return out
}

// Change is one difference between two trees.
type Change struct {
	Path     string
	Old, New *Entry // nil where the path does not exist
}

// Diff lists what has to change in a to make it b, in order of path.
func Diff(a, b *Tree) []Change {
	var out []Change
	for x := range a.All() {
		y, ok := b.Lookup(x.Path)
		switch {
		case !ok:
			out = append(out, Change{x.Path, &x, nil})
		case !x.same(y):
			out = append(out, Change{x.Path, &x, &y})
		}
	}
	for y := range b.All() {
		if _, ok := a.Lookup(y.Path); !ok {
			out = append(out, Change{y.Path, nil, &y})
		}
	}
	slices.SortFunc(out, func(c, d Change) int { return cmp.Compare(c.Path, d.Path) })
	return out
}
