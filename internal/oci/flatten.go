package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/cas"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// Bounds of an image that is read. The largest Python images in use have some
// 10 GB and 400,000 entries.
const (
	maxLayers  = 512
	maxEntries = 2_000_000
	maxBytes   = 64 << 30
)

// Whiteouts, see "layer.md" of the OCI image specification.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// flattenVersion enters the key of every flattened image.
const flattenVersion = 1

// Flatten reads an image back: what a container of it would see, with
// whiteouts applied, and how it runs. Contents go into the cache. What no
// container runtime would make of a layer (a path that leaves the root, a
// device) is an error.
func Flatten(ctx context.Context, store *cas.Store, img v1.Image) (*tree.Tree, plan.Config, error) {
	c, err := Config(img)
	if err != nil {
		return nil, c, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, c, fmt.Errorf("reading image: %w", err)
	}
	key := cas.Key(flattenVersion, digest.String())
	if t, ok := store.Tree("image", key); ok {
		return t, c, nil
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, c, fmt.Errorf("reading image: %w", err)
	}
	if len(layers) > maxLayers {
		return nil, c, fmt.Errorf("reading image: %d layers are more than the limit of %d", len(layers), maxLayers)
	}
	f := flattener{store: store, sum: &tree.Tree{}}
	for i, l := range layers {
		if err := f.layer(ctx, l); err != nil {
			return nil, c, fmt.Errorf("reading layer %d: %w", i+1, err)
		}
	}
	t, err := store.PutTree(ctx, "image", key, f.sum)
	return t, c, err
}

// flattener puts layers one over the other.
type flattener struct {
	store   *cas.Store
	sum     *tree.Tree
	entries int
	bytes   int64
}

func (f *flattener) layer(ctx context.Context, l v1.Layer) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	var added []tree.Entry
	byPath := make(map[string]int) // index in added
	var gone, emptied []string
	tr := tar.NewReader(r)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if f.entries++; f.entries > maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "./"))
		if name == "." {
			continue
		}
		if !fs.ValidPath(name) {
			return fmt.Errorf("invalid path %q", h.Name)
		}
		dir, base := path.Split(name)
		switch {
		case base == opaque:
			emptied = append(emptied, path.Clean(dir))
			continue
		case strings.HasPrefix(base, whiteout):
			gone = append(gone, path.Join(dir, strings.TrimPrefix(base, whiteout)))
			continue
		}
		e, err := f.entry(name, h, tr)
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if e.IsRegular() && h.Typeflag == tar.TypeLink {
			if e, err = f.hardLink(e, added, byPath); err != nil {
				return err
			}
		}
		if i, ok := byPath[name]; ok {
			added[i] = e
			continue
		}
		byPath[name] = len(added)
		added = append(added, e)
	}
	return f.apply(added, gone, emptied)
}

// apply puts a layer on what is below.
func (f *flattener) apply(added []tree.Entry, gone, emptied []string) error {
	over, err := tree.New(added...)
	if err != nil {
		return err
	}
	below := f.sum.Filter(func(e tree.Entry) bool {
		for _, g := range gone {
			if e.Path == g || strings.HasPrefix(e.Path, g+"/") {
				return false
			}
		}
		for _, d := range emptied {
			if d == "." || strings.HasPrefix(e.Path, d+"/") {
				return false
			}
		}
		// A file in place of a directory, or the other way round, takes all with it.
		for p := e.Path; p != "."; p = path.Dir(p) {
			if o, ok := over.Lookup(p); ok && !o.IsDir() && p != e.Path {
				return false
			}
		}
		o, ok := over.Lookup(e.Path)
		return !ok || o.IsDir() == e.IsDir()
	})
	f.sum, err = tree.Overlay(below, over)
	return err
}

func (f *flattener) entry(name string, h *tar.Header, r io.Reader) (tree.Entry, error) {
	e := tree.Entry{
		Path: name, Mode: h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky),
		UID: h.Uid, GID: h.Gid, From: tree.Origin{Kind: tree.BaseFile, Name: "image"},
	}
	if h.Uid < 0 || h.Gid < 0 {
		return e, errors.New("negative owner")
	}
	for k, v := range h.PAXRecords {
		if a, ok := strings.CutPrefix(k, xattrPrefix); ok {
			if e.Xattrs == nil {
				e.Xattrs = make(map[string]string)
			}
			e.Xattrs[a] = v
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Mode |= fs.ModeDir
	case tar.TypeSymlink:
		e.Mode, e.Link = fs.ModeSymlink|0o777, h.Linkname
	case tar.TypeLink:
		e.Link = path.Clean(strings.TrimPrefix(h.Linkname, "/"))
	case tar.TypeReg:
		if f.bytes += h.Size; f.bytes > maxBytes {
			return e, fmt.Errorf("more than %d bytes", int64(maxBytes))
		}
		blob, err := f.store.Put(r)
		if err != nil {
			return e, err
		}
		kept := f.store.Entry(name, e.Mode, blob, e.From)
		e.Size, e.Sum, e.Open = kept.Size, kept.Sum, kept.Open
	default:
		return e, fmt.Errorf("type %q is neither file, directory nor link", h.Typeflag)
	}
	return e, nil
}

// hardLink fills in what a hard link has of its target, which comes before it
// in the same layer or is below.
func (f *flattener) hardLink(e tree.Entry, added []tree.Entry, byPath map[string]int) (tree.Entry, error) {
	target, ok := f.sum.Lookup(e.Link)
	if i, here := byPath[e.Link]; here {
		target, ok = added[i], true
	}
	if !ok || !target.IsRegular() {
		return e, fmt.Errorf("%s links to %q, which is no file before it", e.Path, e.Link)
	}
	if target.Link != "" {
		e.Link = target.Link
	}
	e.Mode, e.UID, e.GID, e.Xattrs = target.Mode, target.UID, target.GID, target.Xattrs
	e.Size, e.Sum, e.Open = target.Size, target.Sum, target.Open
	return e, nil
}
