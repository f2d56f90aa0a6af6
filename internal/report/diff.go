package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Snapshot is an image as far as it is compared with another.
type Snapshot struct {
	Side
	Layers []Layer
	Config []Setting // sorted by name
	Owners []Owner   // without files where what they are of is not known
	Files  []File    // as a container sees them; modules in archives count as files
	// Attributed says that the owners have sizes. Of an image that was not
	// built here only the names and versions of its packages are known.
	Attributed bool
}

// Side is one of two images.
type Side struct {
	Reference string `json:"reference"` // as it was asked for
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`     // unpacked bytes, as in Build
	Download  int64  `json:"download"` // bytes of the compressed layers
	Files     int    `json:"files"`    // entries that are not directories
}

// Setting is one of how an image runs: "env PATH", "user".
type Setting struct{ Name, Value string }

// Change is what became of something.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Diff is what is different in two images. Of what is the same nothing is in
// it, but for the layers.
type Diff struct {
	Before Side           `json:"before"`
	After  Side           `json:"after"`
	Owners []OwnerChange  `json:"distributions"` // what grew most first
	Files  []FileChange   `json:"files"`         // the largest difference first
	Layers []LayerChange  `json:"layers"`        // in order
	Config []ConfigChange `json:"config"`        // by name
	// Attributed says that the sizes of distributions are known; else only
	// their versions are.
	Attributed bool `json:"attributed"`
}

// OwnerChange is a distribution or a package that is not as it was.
type OwnerChange struct {
	Name       string    `json:"name"`
	Kind       OwnerKind `json:"kind"`
	Change     Change    `json:"change"`
	OldVersion string    `json:"oldVersion,omitempty"`
	NewVersion string    `json:"newVersion,omitempty"`
	Before     int64     `json:"before"` // bytes
	After      int64     `json:"after"`
}

// FileChange is a file, or a module in an archive, that is not as it was.
type FileChange struct {
	Path   string `json:"path"`
	In     string `json:"in,omitempty"` // the archive that it lies in
	Change Change `json:"change"`
	Before int64  `json:"before"` // bytes
	After  int64  `json:"after"`
}

// LayerChange is a layer before and after. One that is the same has the same
// digest.
type LayerChange struct {
	Name   string `json:"name"`
	Same   bool   `json:"same"`
	Before *Layer `json:"before,omitempty"`
	After  *Layer `json:"after,omitempty"`
}

// ConfigChange is a setting that is not as it was; "" is not there.
type ConfigChange struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Difference compares two images.
func Difference(before, after Snapshot) Diff {
	d := Diff{Before: before.Side, After: after.Side, Attributed: before.Attributed && after.Attributed}
	d.Owners = ownerChanges(before.Owners, after.Owners, d.Attributed)
	d.Files = fileChanges(before.Files, after.Files)
	d.Layers = layerChanges(before.Layers, after.Layers)
	d.Config = configChanges(before.Config, after.Config)
	return d
}

// Files are those of all owners as a container sees them.
func (c Contents) Files() []File {
	var out []File
	for _, o := range c.Owners {
		for _, f := range o.Files {
			if !f.Covered {
				out = append(out, f)
			}
		}
	}
	return out
}

// pair is something before and after; nil is not there.
type pair[T any] struct{ before, after *T }

// change tells how the two differ, unless they are the same.
func (p pair[T]) change(same func(a, b *T) bool) (Change, bool) {
	switch {
	case p.before == nil:
		return Added, true
	case p.after == nil:
		return Removed, true
	}
	return Changed, !same(p.before, p.after)
}

// pairs puts what has the same key together.
func pairs[K comparable, T any](before, after []T, key func(T) K) map[K]pair[T] {
	out := make(map[K]pair[T])
	for i := range before {
		k := key(before[i])
		p := out[k]
		p.before = &before[i]
		out[k] = p
	}
	for i := range after {
		k := key(after[i])
		p := out[k]
		p.after = &after[i]
		out[k] = p
	}
	return out
}

// ownerName is by what an owner is found on the other side: distributions are
// called the same however their name is spelt (PEP 503).
type ownerName struct {
	kind OwnerKind
	name string
}

func nameOf(o Owner) ownerName {
	if o.Kind == OwnerDist {
		o.Name = strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(o.Name))
	}
	return ownerName{o.Kind, o.Name}
}

// ownerChanges compares owners by size and version. Where sizes are not known
// on both sides, only packages can be compared, and only by version.
func ownerChanges(before, after []Owner, sized bool) []OwnerChange {
	out := []OwnerChange{}
	for k, p := range pairs(united(before), united(after), nameOf) {
		if !sized && k.kind != OwnerDist && k.kind != OwnerDebian {
			continue
		}
		change, differs := p.change(func(a, b *Owner) bool { return a.Version == b.Version && (!sized || a.Size == b.Size) })
		if !differs {
			continue
		}
		c := OwnerChange{Change: change, Kind: k.kind}
		if p.before != nil {
			c.Name, c.OldVersion, c.Before = p.before.Name, p.before.Version, p.before.Size
		}
		if p.after != nil {
			c.Name, c.NewVersion, c.After = p.after.Name, p.after.Version, p.after.Size
		}
		if !sized {
			c.Before, c.After = 0, 0
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b OwnerChange) int {
		return cmp.Or(cmp.Compare(b.After-b.Before, a.After-a.Before), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// united makes one of the owners of one name, which may have files in several
// parts of an image.
func united(owners []Owner) []Owner {
	sums := make(map[ownerName]Owner)
	for _, o := range owners {
		k := nameOf(o)
		o.Size += sums[k].Size
		sums[k] = o
	}
	return slices.Collect(maps.Values(sums))
}

func fileChanges(before, after []File) []FileChange {
	out := []FileChange{}
	for path, p := range pairs(before, after, func(f File) string { return f.Path }) {
		change, differs := p.change(func(a, b *File) bool { return a.Sum == b.Sum && a.Size == b.Size })
		if !differs {
			continue
		}
		c := FileChange{Path: path, Change: change}
		if p.before != nil {
			c.In, c.Before = p.before.In, p.before.Size
		}
		if p.after != nil {
			c.In, c.After = p.after.In, p.after.Size
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b FileChange) int {
		return cmp.Or(cmp.Compare(abs(b.After-b.Before), abs(a.After-a.Before)), cmp.Compare(a.Path, b.Path))
	})
	return out
}

func abs(n int64) int64 { return max(n, -n) }

// layerChanges puts layers of the same name beside each other, of several the
// first by the first.
func layerChanges(before, after []Layer) []LayerChange {
	out := []LayerChange{}
	left := slices.Clone(before)
	for i := range after {
		c := LayerChange{Name: after[i].Name, After: &after[i]}
		if j := slices.IndexFunc(left, func(l Layer) bool { return l.Name == c.Name }); j >= 0 {
			l := left[j]
			c.Before, c.Same = &l, l.Digest == c.After.Digest
			left = slices.Delete(left, j, j+1)
		}
		out = append(out, c)
	}
	for i := range left {
		out = append(out, LayerChange{Name: left[i].Name, Before: &left[i]})
	}
	return out
}

func configChanges(before, after []Setting) []ConfigChange {
	out := []ConfigChange{}
	for name, p := range pairs(before, after, func(s Setting) string { return s.Name }) {
		if _, differs := p.change(func(a, b *Setting) bool { return a.Value == b.Value }); !differs {
			continue
		}
		c := ConfigChange{Name: name}
		if p.before != nil {
			c.Before = p.before.Value
		}
		if p.after != nil {
			c.After = p.after.Value
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b ConfigChange) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
