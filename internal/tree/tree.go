// Package tree is the one currency of exuvia: an immutable file tree, sorted
// by path, whose contents are read lazily and whose every entry knows where it
// came from. It does no I/O of its own; contents live wherever Entry.Open
// finds them (usually the cas).
package tree

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Kind is the sort of source that an entry came from.
type Kind string

// The kinds of origin.
const (
	Implicit Kind = ""        // a parent directory that no source declared
	Deb      Kind = "deb"     // a Debian binary package
	Dist     Kind = "dist"    // a Python distribution (wheel or sdist)
	Project  Kind = "project" // a file of the user's project
	BaseFile Kind = "base"    // a base that is an image, a directory or a tarball
	Made     Kind = "made"    // made by exuvia; Name says by what
)

// Origin says where an entry came from.
type Origin struct {
	Kind    Kind   `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`    // package, distribution or pass
	Version string `json:"version,omitempty"` // "" where there is none
}

func (o Origin) String() string {
	if o.Kind == Implicit {
		return "nothing in particular"
	}
	s := string(o.Kind) + " " + o.Name
	if o.Version != "" {
		s += " " + o.Version
	}
	return s
}

// Entry is one file, directory or symbolic link.
type Entry struct {
	Path   string      // slash-separated, relative to the root, as fs.ValidPath wants it
	Mode   fs.FileMode // type, permission, setuid, setgid and sticky bits
	UID    int
	GID    int
	Size   int64             // bytes of a regular file, else 0
	Link   string            // target of a symbolic link; path of the first name of a hard-linked file
	Xattrs map[string]string // extended attributes, raw values
	Sum    string            // SHA-256 of a regular file's contents, hex
	From   Origin
	Open   func() (io.ReadCloser, error) `json:"-"` // contents of a regular file; the caller closes
}

// IsDir reports whether e is a directory.
func (e Entry) IsDir() bool { return e.Mode.IsDir() }

// IsRegular reports whether e is a regular file (hard links included).
func (e Entry) IsRegular() bool { return e.Mode.IsRegular() }

// IsSymlink reports whether e is a symbolic link.
func (e Entry) IsSymlink() bool { return e.Mode.Type() == fs.ModeSymlink }

// same reports whether e and f are the same file in an image. Where an entry
// came from does not count.
func (e Entry) same(f Entry) bool {
	return e.Path == f.Path && e.Mode == f.Mode && e.UID == f.UID && e.GID == f.GID &&
		e.Link == f.Link && e.Sum == f.Sum && maps.Equal(e.Xattrs, f.Xattrs)
}

// ReadAll reads the contents of a regular file of at most limit bytes.
func (e Entry) ReadAll(limit int64) ([]byte, error) {
	if !e.IsRegular() || e.Open == nil {
		return nil, fmt.Errorf("reading %s: not a regular file", e.Path)
	}
	if e.Size > limit {
		return nil, fmt.Errorf("reading %s: %d bytes are more than the limit of %d", e.Path, e.Size, limit)
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.Path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("reading %s: more than the limit of %d bytes", e.Path, limit)
	}
	return b, nil
}

// File makes a regular file of root's with the given permission bits. Its
// contents stay in memory, so it is for small files.
func File(name string, perm fs.FileMode, data []byte, from Origin) Entry {
	sum := sha256.Sum256(data)
	return Entry{
		Path: name, Mode: perm, Size: int64(len(data)), Sum: hex.EncodeToString(sum[:]), From: from,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

// Dir makes a directory of root's.
func Dir(name string, perm fs.FileMode, from Origin) Entry {
	return Entry{Path: name, Mode: fs.ModeDir | perm, From: from}
}

// Symlink makes a symbolic link of root's.
func Symlink(name, target string, from Origin) Entry {
	return Entry{Path: name, Mode: fs.ModeSymlink | 0o777, Link: target, From: from}
}

// Tree is an immutable set of entries. Every entry's parent is a directory
// of the tree; the root itself is not an entry. The zero value is empty.
type Tree struct {
	entries []Entry
	digest  atomic.Pointer[string] // of [Tree.Digest], once it was asked for
}

// New makes a tree of entries, in any order. Missing parent directories are
// added with mode 0755 and an Implicit origin. Two entries with one path, an
// invalid path, or a parent that is no directory are errors.
func New(entries ...Entry) (*Tree, error) {
	byPath := make(map[string]Entry, len(entries))
	for _, e := range entries {
		if !fs.ValidPath(e.Path) || e.Path == "." || strings.ContainsRune(e.Path, 0) {
			return nil, fmt.Errorf("invalid path %q from %s", e.Path, e.From)
		}
		if t := e.Mode.Type(); t != 0 && t != fs.ModeDir && t != fs.ModeSymlink {
			return nil, fmt.Errorf("%s from %s is neither file, directory nor link (%s)", e.Path, e.From, e.Mode)
		}
		if old, ok := byPath[e.Path]; ok && !mergeable(old, e) {
			return nil, &ConflictError{A: old, B: e}
		} else if ok {
			e = prefer(old, e)
		}
		byPath[e.Path] = e
	}
	return fromMap(byPath)
}

// fromMap checks and completes what New and Merge have gathered.
func fromMap(byPath map[string]Entry) (*Tree, error) {
	for _, p := range slices.Sorted(maps.Keys(byPath)) {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			parent, ok := byPath[dir]
			if !ok {
				byPath[dir] = Dir(dir, 0o755, Origin{})
				continue
			}
			if !parent.IsDir() {
				return nil, fmt.Errorf("%s from %s is below %s from %s, which is not a directory", p, byPath[p].From, dir, parent.From)
			}
			break
		}
	}
	return &Tree{entries: slices.SortedFunc(maps.Values(byPath), byName)}, nil
}

func byName(a, b Entry) int { return cmp.Compare(a.Path, b.Path) }

// All walks the entries in order of their paths, byte by byte. A directory
// comes before what is in it.
func (t *Tree) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if t == nil {
			return
		}
		for _, e := range t.entries {
			if !yield(e) {
				return
			}
		}
	}
}

// Len is the number of entries.
func (t *Tree) Len() int {
	if t == nil {
		return 0
	}
	return len(t.entries)
}

// Lookup finds the entry with exactly this path; no link is followed.
func (t *Tree) Lookup(name string) (Entry, bool) {
	if t == nil {
		return Entry{}, false
	}
	i, ok := slices.BinarySearchFunc(t.entries, name, func(e Entry, p string) int { return cmp.Compare(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return t.entries[i], true
}

// Resolve finds what name means to a process whose root the tree is: symbolic
// links are followed, in every component, and ".." stops at the root. It
// reports false for what does not exist and for loops.
func (t *Tree) Resolve(name string) (Entry, bool) {
	p, ok := t.resolve(name, true)
	if !ok {
		return Entry{}, false
	}
	if p == "." {
		return Dir(".", 0o755, Origin{}), true
	}
	return t.Lookup(p)
}

// Real gives the path of name with all links in its directories followed; its
// last component may be a link and need not exist.
func (t *Tree) Real(name string) string {
	if p, ok := t.resolve(name, false); ok {
		return p
	}
	return path.Clean(strings.TrimPrefix(name, "/"))
}

// resolve follows links. With last, the last component has to exist and is
// followed too.
func (t *Tree) resolve(name string, last bool) (string, bool) {
	if e, ok := t.Lookup(name); ok && (!last || !e.IsSymlink()) {
		return name, true // mostly: what is above an entry is no link
	}
	rest := strings.Split(strings.Trim(name, "/"), "/")
	at := "."
	for hops := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		e, ok := t.Lookup(next)
		if !ok {
			if last {
				return "", false
			}
			return path.Join(append([]string{next}, rest...)...), true
		}
		if !e.IsSymlink() || (len(rest) == 0 && !last) {
			at = next
			continue
		}
		if hops++; hops > 40 { // as Linux has it: path_resolution(7)
			return "", false
		}
		if path.IsAbs(e.Link) {
			at = "."
		}
		rest = append(strings.Split(strings.Trim(e.Link, "/"), "/"), rest...)
	}
	return at, true
}

// Under walks dir and all entries below it.
func (t *Tree) Under(dir string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if t == nil {
			return
		}
		i, _ := slices.BinarySearchFunc(t.entries, dir, func(e Entry, p string) int { return cmp.Compare(e.Path, p) })
		for _, e := range t.entries[i:] {
			if e.Path != dir && !strings.HasPrefix(e.Path, dir+"/") {
				if strings.HasPrefix(e.Path, dir) { // "a-b" sorts between "a" and "a/b"
					continue
				}
				return
			}
			if !yield(e) {
				return
			}
		}
	}
}

// Children lists the entries directly in dir ("." for the root), in order.
func (t *Tree) Children(dir string) []Entry {
	var out []Entry
	all := t.Under(dir)
	if dir == "." {
		all = t.All()
	}
	for e := range all {
		if e.Path != dir && path.Dir(e.Path) == dir {
			out = append(out, e)
		}
	}
	return out
}

// Size is the sum of the regular files' sizes, in bytes, hard links counted
// once and symbolic links by the length of their target.
func (t *Tree) Size() int64 {
	var n int64
	for e := range t.All() {
		switch {
		case e.IsSymlink():
			n += int64(len(e.Link))
		case e.IsRegular() && e.Link == "":
			n += e.Size
		}
	}
	return n
}

// Digest is the SHA-256, in hex, of everything in the tree that would show in
// an image. Origins do not enter it.
func (t *Tree) Digest() string {
	if t == nil {
		t = &Tree{}
	}
	if d := t.digest.Load(); d != nil {
		return *d
	}
	h := sha256.New()
	var line []byte
	for _, e := range t.entries {
		line = strconv.AppendQuote(line[:0], e.Path)
		line = fmt.Appendf(line, " %o %d %d ", e.Mode, e.UID, e.GID)
		line = strconv.AppendQuote(line, e.Link)
		line = append(append(line, ' '), e.Sum...)
		for _, k := range slices.Sorted(maps.Keys(e.Xattrs)) {
			line = fmt.Appendf(line, " %q=%q", k, e.Xattrs[k])
		}
		h.Write(append(line, '\n'))
	}
	d := hex.EncodeToString(h.Sum(nil))
	t.digest.Store(&d)
	return d
}
