package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// Bounds of an image that is read. The largest Python images in use have some
// 10 GB and 400,000 entries; overlayfs takes 127 layers.
const (
	maxLayers  = 127
	maxEntries = 2_000_000 // directories that no layer declares included
	maxBytes   = 64 << 30  // of all tar streams together
	maxNames   = 1 << 30   // of all paths, link targets and extended attributes together
	maxPath    = 4096      // PATH_MAX of Linux
	maxOwner   = math.MaxUint32 - 1
)

// Whiteouts, see "layer.md" of the OCI image specification.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// flattenVersion enters the key of every flattened image.
const flattenVersion = 3

// Flatten reads an image back: what a container of it would see, with
// whiteouts applied, and how it runs. Contents go into the cache. Every layer
// is read and has to be what the manifest and the config say; one that was
// damaged is [cas.ErrCorrupt]. What no container runtime would make of a layer
// (a path that leaves the root, a device), and what is larger than any image
// in use, is an error.
func Flatten(ctx context.Context, store *cas.Store, img v1.Image) (*tree.Tree, plan.Config, error) {
	c, err := Config(img)
	if err != nil {
		return nil, c, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, c, fmt.Errorf("reading image: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, c, fmt.Errorf("reading image: %w", err)
	}
	if len(layers) > maxLayers {
		return nil, c, fmt.Errorf("reading image: %d layers are more than the limit of %d", len(layers), maxLayers)
	}
	key := cas.Key(flattenVersion, digest.String())
	if t, ok := store.Tree("image", key); ok {
		// What is in it is known, but not that it is still what it was.
		for i, l := range layers {
			if err := checkLayer(ctx, l); err != nil {
				return nil, c, unreadable(err, i, digest)
			}
		}
		return t, c, nil
	}
	f := newFlattener(store)
	weights := make([]weight, len(layers))
	for i, l := range layers {
		if err := f.layer(ctx, l); err != nil {
			return nil, c, unreadable(err, i, digest)
		}
		weights[i] = f.weigh()
	}
	t, err := f.tree()
	if err != nil {
		return nil, c, fmt.Errorf("reading image: %w", err)
	}
	if err := store.Record("image-weights", key, weights); err != nil {
		return nil, c, err
	}
	t, err = store.PutTree(ctx, "image", key, t)
	return t, c, err
}

// Flattened gives what [Flatten] gave of the image with this digest, if it is
// known. No layer is read.
func Flattened(store *cas.Store, d v1.Hash) (*tree.Tree, bool) {
	return store.Tree("image", cas.Key(flattenVersion, d.String()))
}

// weight is how large a layer is, as in [report.Layer].
type weight struct {
	Size  int64 `json:"size"`
	Files int   `json:"files"`
}

// weigh sums what the layer that was read last has. Docker counts the same
// with its overlay2 store.
func (f *flattener) weigh() weight {
	var w weight
	var walk func(n *node)
	walk = func(n *node) {
		for _, c := range n.children {
			walk(c)
			if c.layer != f.at || c.isDir() {
				continue
			}
			w.Files++
			switch {
			case c.entry.IsSymlink():
				w.Size += int64(len(c.entry.Link))
			case c.entry.Link == "":
				w.Size += c.entry.Size
			}
		}
	}
	walk(f.root)
	return w
}

// weigh gives the weights of an image's layers, which it reads where they are
// not known.
func weigh(ctx context.Context, store *cas.Store, img v1.Image) ([]weight, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading image: %w", err)
	}
	var out []weight
	key := cas.Key(flattenVersion, digest.String())
	if store.Lookup("image-weights", key, &out) {
		return out, nil
	}
	if _, _, err := Flatten(ctx, store, img); err != nil {
		return nil, err
	}
	if !store.Lookup("image-weights", key, &out) {
		return nil, fmt.Errorf("reading image %s: its layers were not weighed", digest)
	}
	return out, nil
}

// unreadable is the error of layer i of an image.
func unreadable(err error, i int, digest v1.Hash) error {
	if errors.Is(err, cas.ErrCorrupt) {
		return fault.Wrap(err, fault.Integrity, "remove the image with exuvia rm, and build it again", "reading layer %d of %s", i+1, digest)
	}
	return fmt.Errorf("reading layer %d of %s: %w", i+1, digest, err)
}

// node is a file of the image while layers are put one over the other. Its
// entry has the path.
type node struct {
	entry    tree.Entry
	layer    int   // that made it last
	parent   *node // nil at the root
	children map[string]*node
}

func (n *node) isDir() bool { return n.entry.IsDir() }

// flattener unpacks layers as a container runtime does, into memory.
type flattener struct {
	store   *cas.Store
	root    *node
	at      int // number of the layer that is read, from 1
	entries int
	names   int64
	left    int64 // bytes that tar streams may still have
}

func newFlattener(store *cas.Store) *flattener {
	return &flattener{store: store, root: &node{entry: tree.Dir("", 0o755, tree.Origin{})}, left: maxBytes}
}

// member is one of a layer's archive, as far as the layer alone says what it
// is.
type member struct {
	Name   string            `json:"name"` // clean, and below the root
	Type   byte              `json:"type"` // of package tar
	Mode   fs.FileMode       `json:"mode"`
	UID    int               `json:"uid"`
	GID    int               `json:"gid"`
	Link   []byte            `json:"link,omitempty"` // of a hard link clean, as Name
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	Blob   cas.Blob          `json:"blob,omitzero"`
}

// members are what was read of a layer.
type members struct {
	List  []member `json:"list"`
	Bytes int64    `json:"bytes"` // of the tar stream
}

// layer puts one layer over those before. Of one that is known, only the bytes
// are compared with their hash: images of a project share most of their layers.
func (f *flattener) layer(ctx context.Context, l v1.Layer) error {
	f.at++
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	diffID, err := l.DiffID()
	if err != nil {
		return err
	}
	key := cas.Key(flattenVersion, digest.String(), diffID.String())
	var known members
	if f.store.Lookup("layer", key, &known) && f.has(known) {
		if err := checkLayer(ctx, l); err != nil {
			return err
		}
		return f.unpackAll(known)
	}
	read, err := f.read(ctx, l)
	if err != nil {
		return err
	}
	return f.store.Record("layer", key, read)
}

// has reports whether the contents of a layer's files are still in the cache.
func (f *flattener) has(known members) bool {
	return !slices.ContainsFunc(known.List, func(m member) bool { return m.regular() && !f.store.Has(m.Blob) })
}

func (f *flattener) unpackAll(known members) error {
	if f.left -= known.Bytes; f.left <= 0 {
		return fmt.Errorf("more than %d bytes", int64(maxBytes))
	}
	for _, m := range known.List {
		if err := f.unpack(m); err != nil {
			return fmt.Errorf("%s: %w", clip(m.Name), err)
		}
	}
	return nil
}

// read unpacks a layer's archive, and gives what is in it.
func (f *flattener) read(ctx context.Context, l v1.Layer) (members, error) {
	var out members
	err := readLayer(ctx, l, func(r io.Reader) error {
		bounded := &io.LimitedReader{R: r, N: f.left}
		tr := tar.NewReader(bounded)
		for {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) && bounded.N > 0 {
				break
			}
			if err == nil && h.Typeflag != tar.TypeXGlobalHeader {
				var m member
				if m, err = f.member(h, tr); err == nil {
					out.List = append(out.List, m)
					err = f.unpack(m)
				}
				if err != nil {
					err = fmt.Errorf("%s: %w", clip(h.Name), err)
				}
			}
			if bounded.N <= 0 {
				return fmt.Errorf("more than %d bytes", int64(maxBytes))
			}
			if err != nil {
				return err
			}
		}
		// What follows the archive counts, and is part of its digest.
		if _, err := io.Copy(io.Discard, bounded); err != nil {
			return err
		}
		out.Bytes = f.left - bounded.N
		if f.left = bounded.N; f.left <= 0 {
			return fmt.Errorf("more than %d bytes", int64(maxBytes))
		}
		return nil
	})
	return out, err
}

// clip shortens a name for an error.
func clip(name string) string {
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return fmt.Sprintf("%q", name)
}

// unpack puts one member of an archive in its place.
func (f *flattener) unpack(m member) error {
	if m.Name == "." {
		return f.charge(0)
	}
	dir, base := path.Split(m.Name)
	if m.whiteout() {
		if err := f.charge(len(m.Name)); err != nil {
			return err
		}
		return f.hide(dir, base)
	}
	parent, err := f.directory(dir)
	if err != nil {
		return err
	}
	e := f.entry(m)
	if m.Type == tar.TypeLink {
		target, ok := f.lookup(e.Link)
		if !ok || !target.entry.IsRegular() {
			return fmt.Errorf("links to %s, which is no file before it", clip(e.Link))
		}
		e = target.entry
		if e.Link == "" {
			e.Link = e.Path
		}
	}
	_, err = f.put(parent, base, e)
	return err
}

// entry makes an entry of a member, still without its path; of a hard link
// there is the target alone.
func (f *flattener) entry(m member) tree.Entry {
	e := tree.Entry{Mode: m.Mode, UID: m.UID, GID: m.GID, Link: string(m.Link), From: tree.Origin{Kind: tree.BaseFile, Name: "image"}}
	for k, v := range m.Xattrs {
		if e.Xattrs == nil {
			e.Xattrs = make(map[string]string)
		}
		e.Xattrs[k] = string(v)
		f.names += int64(len(k) + len(v))
	}
	if m.regular() {
		kept := f.store.Entry("", m.Mode, m.Blob, e.From)
		e.Size, e.Sum, e.Open = kept.Size, kept.Sum, kept.Open
	}
	return e
}

// put puts an entry into a directory, in place of what is there; of a
// directory over a directory only the entry is new.
func (f *flattener) put(dir *node, name string, e tree.Entry) (*node, error) {
	e.Path = path.Join(dir.entry.Path, name)
	if err := f.charge(len(e.Path) + len(e.Link)); err != nil {
		return nil, err
	}
	if len(e.Path) > maxPath { // links lead further than the names of members are long
		return nil, fmt.Errorf("a path of more than %d bytes", maxPath)
	}
	if old := dir.children[name]; old != nil && old.isDir() && e.IsDir() {
		old.entry, old.layer = e, f.at
		return old, nil
	}
	if dir.children == nil {
		dir.children = make(map[string]*node)
	}
	n := &node{entry: e, layer: f.at, parent: dir}
	dir.children[name] = n
	return n, nil
}

// charge counts what an entry takes in memory.
func (f *flattener) charge(bytes int) error {
	f.entries++
	f.names += int64(bytes)
	switch {
	case f.entries > maxEntries:
		return fmt.Errorf("more than %d entries", maxEntries)
	case f.names > maxNames:
		return fmt.Errorf("names and attributes of more than %d bytes", maxNames)
	}
	return nil
}

// memberPath is the path of a member below the root. A path that leads out of
// the root, or would with other rules of reading it, is an error.
func memberPath(name string) (string, error) {
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if name == "/" || name == "./" {
		return ".", nil
	}
	if !fs.ValidPath(clean) || strings.ContainsRune(clean, 0) {
		return "", errors.New("its path leads out of the image")
	}
	if len(name) > maxPath {
		return "", fmt.Errorf("a path of more than %d bytes", maxPath)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New("its path leads up")
		}
	}
	return clean, nil
}

// hide applies a whiteout: it takes away what layers below have.
func (f *flattener) hide(dir, base string) error {
	parent, err := f.walk(dir, false)
	switch {
	case err != nil || parent == nil || !parent.isDir():
		return nil //nolint:nilerr // there is no such directory, so nothing to hide
	case base == opaque:
		f.clear(parent)
		return nil
	}
	name := strings.TrimPrefix(base, whiteout)
	if !fs.ValidPath(name) || name == "." {
		return errors.New("a whiteout of no name")
	}
	n := parent.children[name]
	switch {
	case n == nil || n.layer == f.at && !n.isDir():
		return nil
	case n.layer == f.at: // the layer's own directory hides what was there
		f.clear(n)
		return nil
	}
	f.clear(n)
	if len(n.children) == 0 {
		delete(parent.children, name)
	}
	return nil
}

// clear removes what layers below have in n, at any depth.
func (f *flattener) clear(n *node) {
	for name, c := range n.children {
		f.clear(c)
		if c.layer != f.at && len(c.children) == 0 {
			delete(n.children, name)
		}
	}
}

// maxHops is how many links are followed, as Linux has it: path_resolution(7).
const maxHops = 40

// directory gives the directory of that name, in which a member is to be put.
// Links are followed; what is missing is made.
func (f *flattener) directory(name string) (*node, error) {
	n, err := f.walk(name, true)
	if err == nil && !n.isDir() {
		err = errors.New("is below what is no directory")
	}
	return n, err
}

// lookup finds a file. Links in its directories are followed, it itself is
// what it is.
func (f *flattener) lookup(name string) (*node, bool) {
	dir, base := path.Split(name)
	n, err := f.walk(dir, false)
	if err != nil || n == nil || base == "." {
		return n, n != nil
	}
	c, ok := n.children[base]
	return c, ok
}

// walk goes from the root along name, through links. What is missing is made,
// or nil is given.
func (f *flattener) walk(name string, mkdir bool) (*node, error) {
	rest := strings.Split(name, "/")
	n, hops := f.root, 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if n.parent != nil {
				n = n.parent
			}
			continue
		}
		if !n.isDir() {
			return nil, errors.New("is below what is no directory")
		}
		next := n.children[part]
		switch {
		case next == nil && !mkdir:
			return nil, nil //nolint:nilnil // nothing is there, which is no error
		case next == nil:
			var err error
			if n, err = f.put(n, part, tree.Dir(part, 0o755, tree.Origin{})); err != nil {
				return nil, err
			}
		case next.entry.IsSymlink():
			if hops++; hops > maxHops {
				return nil, errors.New("too many links in its path")
			}
			if path.IsAbs(next.entry.Link) {
				n = f.root
			}
			rest = append(strings.Split(next.entry.Link, "/"), rest...)
		default:
			n = next
		}
	}
	return n, nil
}

func (m member) whiteout() bool { return strings.HasPrefix(path.Base(m.Name), whiteout) }

func (m member) regular() bool { return m.Type == tar.TypeReg && !m.whiteout() }

// member reads one of an archive. Contents go into the cache.
func (f *flattener) member(h *tar.Header, r io.Reader) (member, error) {
	name, err := memberPath(h.Name)
	if err != nil {
		return member{}, err
	}
	m := member{Name: name, Type: h.Typeflag}
	if name == "." && h.Typeflag != tar.TypeDir {
		return m, errors.New("the root is no directory")
	}
	if name == "." || m.whiteout() {
		return m, nil
	}
	m.Mode, m.UID, m.GID = h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky), h.Uid, h.Gid
	if h.Uid < 0 || h.Gid < 0 || h.Uid > maxOwner || h.Gid > maxOwner {
		return m, fmt.Errorf("owner %d:%d", h.Uid, h.Gid)
	}
	if m.Xattrs, err = attributes(h.PAXRecords); err != nil {
		return m, err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		m.Mode |= fs.ModeDir
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath || strings.ContainsRune(h.Linkname, 0) {
			return m, errors.New("a link to nothing that can be")
		}
		m.Mode, m.Link = fs.ModeSymlink|0o777, []byte(h.Linkname)
	case tar.TypeLink:
		target, err := memberPath(strings.TrimPrefix(h.Linkname, "/"))
		if err != nil {
			return m, fmt.Errorf("link to %s: %w", clip(h.Linkname), err)
		}
		m.Link = []byte(target)
	case tar.TypeReg:
		m.Blob, err = f.store.Put(r)
	default:
		err = fmt.Errorf("type %q is neither file, directory nor link", h.Typeflag)
	}
	return m, err
}

// attributes are the extended attributes among the records of a header.
func attributes(records map[string]string) (map[string][]byte, error) {
	var out map[string][]byte
	for k, v := range records {
		if strings.HasPrefix(k, "GNU.sparse.") { // any number of terabytes in a few bytes
			return nil, errors.New("a sparse file")
		}
		a, ok := strings.CutPrefix(k, xattrPrefix)
		if !ok {
			continue
		}
		if !utf8.ValidString(a) {
			return nil, errors.New("an extended attribute whose name is no UTF-8")
		}
		if out == nil {
			out = make(map[string][]byte)
		}
		out[a] = []byte(v)
	}
	return out, nil
}

// tree gives what is there after all layers.
func (f *flattener) tree() (*tree.Tree, error) {
	var entries []tree.Entry
	var walk func(n *node)
	walk = func(n *node) {
		for _, c := range n.children {
			entries = append(entries, c.entry)
			walk(c)
		}
	}
	walk(f.root)
	t, err := tree.New(entries...)
	if err != nil {
		return nil, err
	}
	// A later layer may have taken the first name of a hard-linked file.
	return t.Filter(func(tree.Entry) bool { return true }), nil
}
