// Package oci makes images of trees and trees of images, and keeps images on
// disk. An image is the same, to its digest, whoever makes it, when and where:
// entries are sorted, times are given, and compression is the standard
// library's.
//
// It knows nothing of Python, and no registry: publish has that.
package oci

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// layerVersion enters the key of every layer; raise it when its bytes change.
// The version of Go enters too: compress/gzip is part of it.
const layerVersion = 1

// Compression is how a layer is packed. The zero value is gzip, which every
// registry and daemon takes; Docker 20.10 can neither pull nor load zstd.
type Compression string

// The compressions.
const (
	Gzip Compression = ""
	Zstd Compression = "zstd"
)

// LayerSpec is a layer to be made.
type LayerSpec struct {
	Name string // "system", "dependencies", "app"
	Tree *tree.Tree
}

// Split parts a tree into layers by what of says, in the order of names.
// Directories are in every layer that has something below them. A layer that
// is empty is left out. A hard link across layers becomes a file. An entry of
// none of the names would be missing in the image: that is a defect of the
// caller and a panic.
func Split(t *tree.Tree, of func(tree.Entry) string, names ...string) []LayerSpec {
	filled := make(map[string]bool) // directories with something below
	for e := range t.All() {
		if name := of(e); !slices.Contains(names, name) {
			panic(fmt.Sprintf("oci: %s is to be in layer %q, which there is not", e.Path, name))
		}
		if !e.IsDir() {
			for d := path.Dir(e.Path); d != "." && !filled[d]; d = path.Dir(d) {
				filled[d] = true
			}
		}
	}
	var out []LayerSpec
	for _, name := range names {
		part := t.Filter(func(e tree.Entry) bool {
			return of(e) == name && (!e.IsDir() || !filled[e.Path])
		})
		if part.Len() > 0 {
			out = append(out, LayerSpec{name, part})
		}
	}
	return out
}

// packed is a layer as it lies in the cache.
type packed struct {
	Sum    string `json:"sum"`    // SHA-256 of the compressed bytes, hex
	DiffID string `json:"diffID"` // of the tar, hex
	Size   int64  `json:"size"`   // of the compressed bytes
}

// pack writes a layer into the cache, unless it is there.
func pack(ctx context.Context, store *cas.Store, spec LayerSpec, m Meta) (packed, error) {
	spec.Tree = inOrder(spec.Tree)
	key := cas.Key(layerVersion, runtime.Version(), spec.Tree.Digest(), m.Epoch.Unix(), m.Compression)
	var p packed
	if store.Lookup("layer", key, &p) && store.Has(cas.Blob{Sum: p.Sum, Size: p.Size}) {
		return p, nil
	}
	r, w := io.Pipe()
	diff := sha256.New()
	var writer sync.WaitGroup
	writer.Go(func() { w.CloseWithError(write(ctx, w, diff, spec.Tree, m)) })
	blob, err := store.Put(r)
	r.CloseWithError(err) // frees the writer where Put gave up
	writer.Wait()
	if err != nil {
		return packed{}, fmt.Errorf("writing layer %s: %w", spec.Name, err)
	}
	p = packed{Sum: blob.Sum, Size: blob.Size, DiffID: hex.EncodeToString(diff.Sum(nil))}
	return p, store.Record("layer", key, p)
}

// inOrder makes the name that comes first in the archive the file, and the
// others of a hard-linked file links to it: nobody can link to what is not
// there yet.
func inOrder(t *tree.Tree) *tree.Tree {
	first := make(map[string]string) // by the name that was the file
	for e := range t.All() {
		if _, ok := first[e.Link]; !e.IsRegular() || e.Link <= e.Path || ok {
			continue
		}
		if file, ok := t.Lookup(e.Link); !ok || file.Sum == e.Sum {
			first[e.Link] = e.Path
		}
	}
	if len(first) == 0 {
		return t
	}
	return t.Map(func(e tree.Entry) tree.Entry {
		name, link := e.Path, e.Link
		if !e.IsRegular() {
			return e
		}
		if link == "" {
			link = name
		}
		heir, ok := first[link]
		if !ok {
			return e
		}
		if file, ok := t.Lookup(link); ok {
			e = file
		}
		if e.Path, e.Link = name, heir; heir == name {
			e.Link = ""
		}
		return e
	})
}

// write writes the compressed tar of t to w, and its uncompressed bytes to
// diff.
func write(ctx context.Context, w io.Writer, diff hash.Hash, t *tree.Tree, m Meta) error {
	var z io.WriteCloser = gzip.NewWriter(w)
	if m.Compression == Zstd {
		var err error
		// One goroutine, so that the bytes do not depend on the cores.
		if z, err = zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression)); err != nil {
			return err
		}
	}
	buffered := bufio.NewWriterSize(io.MultiWriter(z, diff), 1<<20)
	tw := tar.NewWriter(buffered)
	for e := range t.All() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := suits(t, e); err != nil {
			return err
		}
		if err := writeEntry(tw, e, m.Epoch); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return z.Close()
}

// suits refuses what would be something else in an image than in the tree.
func suits(t *tree.Tree, e tree.Entry) error {
	if strings.HasPrefix(path.Base(e.Path), whiteout) {
		return fault.New(fault.Project, "rename it, or exclude it", "%s from %s cannot be in an image: a name that begins with %s means removal there", e.Path, e.From, whiteout)
	}
	if e.IsRegular() && e.Link != "" {
		if target, ok := t.Lookup(e.Link); !ok || !target.IsRegular() || target.Link != "" || target.Sum != e.Sum {
			return fmt.Errorf("%s is a hard link to %s, which is not that file", e.Path, e.Link)
		}
	}
	return nil
}

func writeEntry(tw *tar.Writer, e tree.Entry, epoch time.Time) error {
	h := &tar.Header{
		Name: e.Path, Mode: int64(unixMode(e.Mode)), Uid: e.UID, Gid: e.GID, ModTime: epoch, Typeflag: tar.TypeReg, Size: e.Size,
	}
	switch {
	case e.IsDir():
		h.Name, h.Typeflag, h.Size = e.Path+"/", tar.TypeDir, 0
	case e.IsSymlink():
		h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.Link, 0
	case e.Link != "":
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, e.Link, 0
	}
	for _, k := range slices.Sorted(maps.Keys(e.Xattrs)) {
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string)
		}
		h.PAXRecords[xattrPrefix+k] = e.Xattrs[k]
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(tw, r)
	return err
}

// xattrPrefix is where PAX archives have extended attributes.
const xattrPrefix = "SCHILY.xattr."

// unixMode gives permission, setuid, setgid and sticky bits as stat(2) does.
func unixMode(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	for bit, unix := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			out |= unix
		}
	}
	return out
}

// layer is a packed layer as go-containerregistry wants it; the rest is
// derived by package partial.
type layer struct {
	packed
	store     *cas.Store
	mediaType types.MediaType
}

var _ partial.CompressedLayer = layer{}

func (l layer) Digest() (v1.Hash, error) { return v1.Hash{Algorithm: "sha256", Hex: l.Sum}, nil }

// DiffID saves go-containerregistry from unpacking the layer.
func (l layer) DiffID() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: l.packed.DiffID}, nil
}
func (l layer) Compressed() (io.ReadCloser, error)  { return l.store.Open(l.Sum) }
func (l layer) Size() (int64, error)                { return l.packed.Size, nil }
func (l layer) MediaType() (types.MediaType, error) { return l.mediaType, nil }

// describe is the layer in reports.
func describe(spec LayerSpec, p packed) report.Layer {
	l := report.Layer{Name: spec.Name, Digest: "sha256:" + p.Sum, Size: spec.Tree.Size(), Download: p.Size}
	for e := range spec.Tree.All() {
		if !e.IsDir() {
			l.Files++
		}
	}
	return l
}
