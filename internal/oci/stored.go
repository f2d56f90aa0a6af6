package oci

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/cas"
)

// maxDocument bounds manifests and configs; registries take 4 MiB.
const maxDocument = 16 << 20

// stored is an image as it lies on the disk. What is read of it is checked
// against its digests.
type stored struct {
	dir            string
	raw, rawConfig []byte
	manifest       *v1.Manifest
	diffIDs        []v1.Hash // one a layer
}

var _ partial.CompressedImageCore = (*stored)(nil)

// readImage reads the image with this digest from the layout in dir: manifest
// and config whole, of layers whether they are there, in their size.
func readImage(dir string, d v1.Hash) (v1.Image, error) {
	s := &stored{dir: dir}
	var err error
	if s.raw, err = readDocument(dir, d); err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d, err)
	}
	if s.manifest, err = v1.ParseManifest(bytes.NewReader(s.raw)); err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d, err)
	}
	if s.rawConfig, err = readDocument(dir, s.manifest.Config.Digest); err != nil {
		return nil, fmt.Errorf("reading config of %s: %w", d, err)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(s.rawConfig))
	if err != nil {
		return nil, fmt.Errorf("reading config of %s: %w", d, err)
	}
	if len(config.RootFS.DiffIDs) != len(s.manifest.Layers) {
		return nil, fmt.Errorf("reading image %s: %d layers in the manifest, %d in the config", d, len(s.manifest.Layers), len(config.RootFS.DiffIDs))
	}
	s.diffIDs = config.RootFS.DiffIDs
	for _, l := range s.manifest.Layers {
		fi, err := os.Lstat(blobPath(dir, l.Digest))
		if err != nil {
			return nil, fmt.Errorf("reading image %s: %w", d, err)
		}
		if fi.Size() != l.Size {
			return nil, fmt.Errorf("reading image %s: layer %s has %d bytes, not %d: %w", d, l.Digest, fi.Size(), l.Size, cas.ErrCorrupt)
		}
	}
	return partial.CompressedToImage(s)
}

// blobPath is where a layout has a blob.
func blobPath(dir string, d v1.Hash) string { return filepath.Join(dir, "blobs", "sha256", d.Hex) }

// readDocument reads a small blob and checks it.
func readDocument(dir string, d v1.Hash) ([]byte, error) {
	f, err := os.Open(blobPath(dir, d))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != d.Hex {
		return nil, fmt.Errorf("its bytes have hash %x: %w", sum, cas.ErrCorrupt)
	}
	return data, nil
}

func (s *stored) MediaType() (types.MediaType, error) {
	return cmp.Or(s.manifest.MediaType, types.OCIManifestSchema1), nil
}

func (s *stored) RawManifest() ([]byte, error)   { return s.raw, nil }
func (s *stored) RawConfigFile() ([]byte, error) { return s.rawConfig, nil }

func (s *stored) LayerByDigest(d v1.Hash) (partial.CompressedLayer, error) {
	for i, l := range s.manifest.Layers {
		if l.Digest == d {
			return storedLayer{s.dir, l, s.diffIDs[i]}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", d)
}

// storedLayer is a layer of a stored image.
type storedLayer struct {
	dir    string
	desc   v1.Descriptor
	diffID v1.Hash
}

var _ partial.WithDiffID = storedLayer{}

func (l storedLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// DiffID saves go-containerregistry from unpacking the layer.
func (l storedLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

func (l storedLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Descriptor has the annotations of the layer.
func (l storedLayer) Descriptor() (*v1.Descriptor, error) { return l.desc.DeepCopy(), nil }

// Compressed reads the layer's bytes; where they are not what the digest says,
// the last Read gives cas.ErrCorrupt in place of io.EOF.
func (l storedLayer) Compressed() (io.ReadCloser, error) {
	f, err := os.Open(blobPath(l.dir, l.desc.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("layer %s is gone: %w", l.desc.Digest, err)
	}
	if err != nil {
		return nil, err
	}
	return &checkedFile{f, sha256.New(), l.desc.Digest.Hex}, nil
}

// checkedFile hashes a blob while it is read.
type checkedFile struct {
	f   *os.File
	h   hash.Hash
	sum string
}

func (c *checkedFile) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	c.h.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.h.Sum(nil)) != c.sum {
		return n, fmt.Errorf("blob %s: %w", c.sum, cas.ErrCorrupt)
	}
	return n, err
}

func (c *checkedFile) Close() error { return c.f.Close() }
