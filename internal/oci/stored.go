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

// Blobs opens the blob with a digest. What it gives need not be what the digest
// says; the caller closes.
type Blobs func(v1.Hash) (io.ReadCloser, error)

// Image reads the image with this digest: manifest and config at once, layers
// when they are asked for. Manifest and config are bounded and checked against
// their digests; a layer that is not what its digest says is found when its
// bytes are read by [Keep], [Flatten] or [Store.Put].
func (b Blobs) Image(d v1.Hash) (v1.Image, error) {
	s, err := b.read(d)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(s)
}

func (b Blobs) read(d v1.Hash) (*stored, error) {
	s := &stored{open: b}
	var err error
	if s.raw, err = b.Document(d); err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d, err)
	}
	if s.manifest, err = v1.ParseManifest(bytes.NewReader(s.raw)); err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d, err)
	}
	if s.rawConfig, err = b.Document(s.manifest.Config.Digest); err != nil {
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
	return s, nil
}

// Document reads a small blob, such as a manifest, and checks it.
func (b Blobs) Document(d v1.Hash) ([]byte, error) {
	r, err := b(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	if sum := sha256.Sum256(data); d.Algorithm != "sha256" || hex.EncodeToString(sum[:]) != d.Hex {
		return nil, fmt.Errorf("its bytes have hash %x: %w", sum, cas.ErrCorrupt)
	}
	return data, nil
}

// stored is an image as it lies on the disk. What is read of it is checked
// against its digests.
type stored struct {
	open           Blobs
	raw, rawConfig []byte
	manifest       *v1.Manifest
	diffIDs        []v1.Hash // one a layer
}

var _ partial.CompressedImageCore = (*stored)(nil)

// blobsIn opens the blobs of the layout in dir.
func blobsIn(dir string) Blobs {
	return func(d v1.Hash) (io.ReadCloser, error) { return os.Open(blobPath(dir, d)) }
}

// readImage reads the image with this digest from the layout in dir: manifest
// and config whole, of layers whether they are there, in their size.
func readImage(dir string, d v1.Hash) (v1.Image, error) {
	s, err := blobsIn(dir).read(d)
	if err != nil {
		return nil, err
	}
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

// readDocument reads a small blob of a layout and checks it.
func readDocument(dir string, d v1.Hash) ([]byte, error) { return blobsIn(dir).Document(d) }

func (s *stored) MediaType() (types.MediaType, error) {
	return cmp.Or(s.manifest.MediaType, types.OCIManifestSchema1), nil
}

func (s *stored) RawManifest() ([]byte, error)   { return s.raw, nil }
func (s *stored) RawConfigFile() ([]byte, error) { return s.rawConfig, nil }

func (s *stored) LayerByDigest(d v1.Hash) (partial.CompressedLayer, error) {
	for i, l := range s.manifest.Layers {
		if l.Digest == d {
			return storedLayer{s.open, l, s.diffIDs[i]}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", d)
}

// storedLayer is a layer of a stored image.
type storedLayer struct {
	open   Blobs
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
	r, err := l.open(l.desc.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("layer %s is gone: %w", l.desc.Digest, err)
	}
	if err != nil {
		return nil, err
	}
	return &checkedBlob{r, sha256.New(), l.desc.Digest.Hex}, nil
}

// checkedBlob hashes a blob while it is read.
type checkedBlob struct {
	io.ReadCloser
	h   hash.Hash
	sum string
}

func (c *checkedBlob) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.h.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.h.Sum(nil)) != c.sum {
		return n, fmt.Errorf("blob %s: %w", c.sum, cas.ErrCorrupt)
	}
	return n, err
}
