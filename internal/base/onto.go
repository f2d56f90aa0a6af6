package base

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// Onto gives what has to lie in layers on top of a base, so that base and
// layers together have every file of ours under its name.
//
//   - What the base has just so is left out.
//   - Below a link to a directory of the base (lib → usr/lib), files go where
//     it leads.
//   - A directory, or a link to one, of the base stays also where ours has a
//     link of that name. A directory of both has the base's mode and owner.
//   - Any other file or link of ours takes the place of the base's.
//
// Directories of the base are in the result where something lies below them,
// as they are in the base. A file that is a directory on the other side is a
// fault of kind Base.
func Onto(under, ours *tree.Tree) (*tree.Tree, error) {
	var entries []tree.Entry
	for e := range ours.All() {
		placed, keep, err := onto(under, ours, e)
		if err != nil {
			return nil, err
		}
		if keep {
			entries = append(entries, placed)
		}
	}
	t, err := tree.New(append(entries, parents(under, entries)...)...)
	if err != nil {
		return nil, unfit(err)
	}
	t = t.Filter(func(tree.Entry) bool { return true }) // the first name of a hard link may be the base's
	return t, holds(under, t, ours)
}

// onto gives an entry of ours as it is on top of the base, and whether it is
// needed there.
func onto(under, ours *tree.Tree, e tree.Entry) (tree.Entry, bool, error) {
	from := e.Path
	if e.IsDir() {
		e.Path = directory(under, from)
	} else {
		e.Path = under.Real(from)
	}
	have, there := under.Lookup(e.Path)
	target, leads := under.Resolve(e.Path)
	switch {
	case e.IsDir():
		return e, !there, conflict(e, have, there && !have.IsDir())
	case leads && target.IsDir():
		own, ok := ours.Resolve(from)
		return e, false, conflict(e, target, !e.IsSymlink() || ok && !own.IsDir())
	case e.IsSymlink() && e.Path != from:
		if own, ok := ours.Resolve(from); ok && under.Real(own.Path) == e.Path {
			return e, false, nil // it has become the file that it leads to
		}
		if slices.Contains(strings.Split(e.Link, "/"), "..") && !path.IsAbs(e.Link) {
			e.Link = "/" + ours.Real(path.Dir(from)+"/"+e.Link)
		}
	case e.Link != "" && !e.IsSymlink():
		if e.Link = under.Real(e.Link); e.Link == e.Path {
			return e, false, nil // both names are one now
		}
	}
	return e, !there || !identical(have, e), nil
}

// directory is where a directory lies whose path the base leads elsewhere.
func directory(under *tree.Tree, name string) string {
	return path.Dir(under.Real(name + "/\x00")) // no entry has such a name
}

func conflict(e, have tree.Entry, is bool) error {
	if !is {
		return nil
	}
	return unfit(&tree.ConflictError{A: e, B: have})
}

func unfit(err error) error {
	return fault.Wrap(err, fault.Base, "choose another base with --base", "the app cannot be put on this base")
}

// identical reports whether a and b look the same to a program. Whether they
// have other names does not count.
func identical(a, b tree.Entry) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Sum == b.Sum && maps.Equal(a.Xattrs, b.Xattrs) &&
		(!a.IsSymlink() || a.Link == b.Link)
}

// parents are the base's directories above entries.
func parents(under *tree.Tree, entries []tree.Entry) []tree.Entry {
	found := make(map[string]tree.Entry)
	for _, e := range entries {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if d, ok := under.Lookup(dir); ok {
				found[dir] = d
			}
		}
	}
	return slices.Collect(maps.Values(found))
}

// holds checks that base and layers together have all files of ours. Links of
// the two sides may contradict each other in more ways than one can name.
func holds(under, layers, ours *tree.Tree) error {
	for e := range layers.All() {
		if have, ok := under.Lookup(path.Dir(e.Path)); ok && !have.IsDir() {
			return unfit(&tree.ConflictError{A: e, B: have})
		}
	}
	sum, err := tree.Overlay(under, layers)
	if err != nil {
		return unfit(err)
	}
	for e := range ours.All() {
		if !e.IsRegular() {
			continue
		}
		if have, ok := sum.Resolve(e.Path); !ok || have.Sum != e.Sum || have.Mode.Type() != fs.FileMode(0) {
			return unfit(&tree.ConflictError{A: e, B: have})
		}
	}
	return nil
}
