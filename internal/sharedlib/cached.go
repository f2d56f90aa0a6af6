package sharedlib

import (
	"maps"
	"path"
	"slices"

	"exuvia/internal/tree"
)

// Cached is a file of which the loader finds a library by its cache only.
type Cached struct {
	File tree.Entry
	Dirs []string // where the libraries are, as paths of the tree, in order and without duplicates
}

// NeedCache lists the files of t, an image without a loader's cache, whose
// libraries are in t, but where only etc/ld.so.conf of the system full says to
// look. What the loader would not find with its cache either is not its
// subject: another file brings it along.
func NeedCache(t, full *tree.Tree) ([]Cached, error) {
	extra := configured(full)
	if len(extra) == 0 {
		return nil, nil
	}
	all, err := objects(t)
	if err != nil {
		return nil, err
	}
	with, without := search{t, extra}, search{t: t}
	var out []Cached
	for _, p := range slices.Sorted(maps.Keys(all)) {
		o := all[p]
		c := Cached{File: o.entry}
		for _, name := range o.Needed {
			if _, _, ok := without.find(o, name); ok {
				continue
			}
			if _, at, ok := with.find(o, name); ok && !slices.Contains(c.Dirs, path.Dir(at)) {
				c.Dirs = append(c.Dirs, path.Dir(at))
			}
		}
		if len(c.Dirs) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}
