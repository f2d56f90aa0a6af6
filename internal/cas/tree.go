package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"unicode/utf8"

	"exuvia/internal/tree"
)

// treeVersion enters the name of every materialised tree; raise it when the
// way of writing them changes.
const treeVersion = "2"

// Keep puts the contents of every regular file of t into the store, unless
// they are there, and gives the same tree reading from the store.
func (s *Store) Keep(ctx context.Context, t *tree.Tree) (*tree.Tree, error) {
	for e := range t.All() {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if !e.IsRegular() || s.Has(Blob{e.Sum, e.Size}) {
			continue
		}
		if err := s.keep(e); err != nil {
			return nil, fmt.Errorf("keeping %s: %w", e.Path, err)
		}
	}
	return t.Map(s.attach), nil
}

func (s *Store) keep(e tree.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := s.Put(r)
	if err == nil && b.Sum != e.Sum {
		err = fmt.Errorf("contents have hash %s, not %s", b.Sum, e.Sum)
	}
	return err
}

// attach makes e read from the store.
func (s *Store) attach(e tree.Entry) tree.Entry {
	if e.IsRegular() {
		e.Open = func() (io.ReadCloser, error) { return s.Open(e.Sum) }
	}
	return e
}

// Entry makes a regular file of a blob in the store.
func (s *Store) Entry(name string, perm fs.FileMode, b Blob, from tree.Origin) tree.Entry {
	return s.attach(tree.Entry{Path: name, Mode: perm, Size: b.Size, Sum: b.Sum, From: from})
}

// PutTree keeps the contents of t and records t under the key.
func (s *Store) PutTree(ctx context.Context, kind, key string, t *tree.Tree) (*tree.Tree, error) {
	kept, err := s.Keep(ctx, t)
	if err != nil {
		return nil, err
	}
	var entries []recorded
	for e := range kept.All() {
		entries = append(entries, record(e))
	}
	return kept, s.Record(kind, key, entries)
}

// recorded is an entry as JSON can have it: links and extended attributes may
// have bytes that are no UTF-8.
type recorded struct {
	tree.Entry

	RawLink   []byte            `json:",omitempty"` // in place of Link
	RawXattrs map[string][]byte `json:",omitempty"` // beside Xattrs
}

func record(e tree.Entry) recorded {
	r := recorded{Entry: e}
	if !utf8.ValidString(e.Link) {
		r.Link, r.RawLink = "", []byte(e.Link)
	}
	for k, v := range e.Xattrs {
		if utf8.ValidString(v) {
			continue
		}
		if r.RawXattrs == nil {
			r.RawXattrs, r.Xattrs = make(map[string][]byte), maps.Clone(e.Xattrs)
		}
		r.RawXattrs[k] = []byte(v)
		delete(r.Xattrs, k)
	}
	return r
}

func (r recorded) entry() tree.Entry {
	e := r.Entry
	if r.RawLink != nil {
		e.Link = string(r.RawLink)
	}
	for k, v := range r.RawXattrs {
		if e.Xattrs == nil {
			e.Xattrs = make(map[string]string)
		}
		e.Xattrs[k] = string(v)
	}
	return e
}

// Tree gives the tree recorded under the key, if it is whole.
func (s *Store) Tree(kind, key string) (*tree.Tree, bool) {
	var list []recorded
	if !s.Lookup(kind, key, &list) {
		return nil, false
	}
	entries := make([]tree.Entry, len(list))
	for i, r := range list {
		if r.IsRegular() && !s.Has(Blob{r.Sum, r.Size}) {
			return nil, false
		}
		entries[i] = s.attach(r.entry())
	}
	t, err := tree.New(entries...)
	return t, err == nil
}

// Materialise gives directories with the files of t, for a process to run in:
// the lower directories of an overlay, none of which hides another's files.
// There is one a kind of origin (see [tree.Origin]), so a change of the project
// does not write the system again. Files are links into the store: nobody may
// write to them. Permission bits are exact; owners, extended attributes,
// setuid and setgid are not there, for an ordinary user can make none. The
// directories stay in the store.
func (s *Store) Materialise(ctx context.Context, t *tree.Tree) ([]string, error) {
	parts := make(map[string][]tree.Entry)
	for e := range t.All() {
		parts[part(e.From)] = append(parts[part(e.From)], e)
	}
	var dirs []string
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		p, err := tree.New(withParents(t, parts[name])...)
		if err != nil {
			return nil, err
		}
		dir, err := s.materialise(ctx, p)
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// part is the directory that an entry goes to. What exuvia makes changes with
// what it is made of, so each maker has one.
func part(o tree.Origin) string {
	if o.Kind == tree.Made {
		return string(o.Kind) + " " + o.Name
	}
	return string(o.Kind)
}

// withParents adds the directories above, as t has them.
func withParents(t *tree.Tree, entries []tree.Entry) []tree.Entry {
	have := make(map[string]bool, len(entries))
	for _, e := range entries {
		have[e.Path] = true
	}
	for _, e := range entries {
		for d := path.Dir(e.Path); d != "." && !have[d]; d = path.Dir(d) {
			have[d] = true
			if parent, ok := t.Lookup(d); ok {
				entries = append(entries, parent)
			}
		}
	}
	return entries
}

// materialise writes one part. A hard link is a file here: both names are
// links to one blob.
func (s *Store) materialise(ctx context.Context, t *tree.Tree) (string, error) {
	dir := filepath.Join(s.dir, "trees", t.Digest()+"-"+treeVersion)
	if s.isWhole(dir, t) {
		return dir, nil
	}
	t, err := s.Keep(ctx, t)
	if err != nil {
		return "", err
	}
	tmp, err := s.Temp("tree")
	if err != nil {
		return "", err
	}
	defer RemoveAll(tmp)
	root := filepath.Join(tmp, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return "", err
	}
	if err := s.fill(ctx, root, t); err != nil {
		return "", fmt.Errorf("writing tree: %w", err)
	}
	if err := os.Rename(root, dir); err == nil {
		return dir, nil
	}
	if s.isWhole(dir, t) { // another process was faster
		return dir, nil
	}
	if err := os.Rename(dir, filepath.Join(tmp, "damaged")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Rename(root, dir); err != nil {
		return "", fmt.Errorf("writing tree: %w", err)
	}
	return dir, nil
}

// isWhole reports whether dir holds t as it was written. It looks once a
// process.
func (s *Store) isWhole(dir string, t *tree.Tree) bool {
	if _, ok := s.whole.Load(dir); ok {
		return true
	}
	if _, err := os.Lstat(dir); err != nil {
		return false
	}
	for e := range t.All() {
		fi, err := os.Lstat(filepath.Join(dir, e.Path))
		if err != nil || fi.Mode().Type() != e.Mode.Type() || e.IsRegular() && !intact(fi, e.Size) {
			return false
		}
	}
	s.whole.Store(dir, true)
	return true
}

// fill writes t below root. Directories get their modes last, as one may be
// without write permission.
func (s *Store) fill(ctx context.Context, root string, t *tree.Tree) error {
	var dirs []tree.Entry
	for e := range t.All() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		name := filepath.Join(root, e.Path)
		var err error
		switch {
		case e.IsDir():
			err = os.Mkdir(name, 0o755)
			dirs = append(dirs, e)
		case e.IsSymlink():
			err = os.Symlink(e.Link, name)
		default:
			err = s.link(name, e)
		}
		if err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(dirs) {
		name := filepath.Join(root, d.Path)
		if err := os.Chmod(name, d.Mode.Perm()|0o700|d.Mode&fs.ModeSticky); err != nil {
			return err
		}
		if err := os.Chtimes(name, Stamp, Stamp); err != nil {
			return err
		}
	}
	return os.Chtimes(root, Stamp, Stamp)
}

// link gives the blob of e the name on disk. While another process puts an
// equal file in the blob's place, link(2) may find the old one just without a
// name, so it is tried again.
func (s *Store) link(name string, e tree.Entry) error {
	var err error
	for range 100 {
		if err = s.linkOnce(name, e); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

// linkOnce links the file with the mode of e. Blobs have mode 0644; of other
// modes there is a copy each beside it, as a link shares its mode.
func (s *Store) linkOnce(name string, e tree.Entry) error {
	perm := e.Mode.Perm() | 0o400
	file := s.path(e.Sum)
	if perm != 0o644 {
		file += "." + strconv.FormatUint(uint64(perm), 8)
		if fi, err := os.Lstat(file); err != nil || !intact(fi, e.Size) {
			if err := s.copyAs(file, e.Sum, perm); err != nil {
				return err
			}
		}
	}
	err := os.Link(file, name)
	if errors.Is(err, syscall.EMLINK) {
		// ext4 gives a file 65,000 names; an empty __init__.py gets there. A
		// copy takes its place, and trees that are there keep the old one.
		if err = s.copyAs(file, e.Sum, perm); err == nil {
			err = os.Link(file, name)
		}
	}
	return err
}

func (s *Store) copyAs(variant, sum string, perm fs.FileMode) error {
	r, err := s.Open(sum)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "blob-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return s.adopt(f.Name(), variant)
}

// RemoveAll removes dir also where directories in it cannot be written, as
// overlayfs leaves them.
func RemoveAll(dir string) {
	if root, err := os.OpenRoot(dir); err == nil {
		_ = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = root.Chmod(p, 0o700) // what cannot be removed then is reported by nobody: it is only space
			}
			return nil
		})
		_ = root.Close()
	}
	_ = os.RemoveAll(dir)
}
