package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
)

// copies is how many layers are copied at once.
const copies = 4

// Keep copies what img consists of into the cache, and gives the same image as
// it is read from there. What is in the cache already is not asked of img.
// What is no container image, is larger than any in use or not what its
// digests say is an error; of wrong bytes it is [cas.ErrCorrupt].
func Keep(ctx context.Context, store *cas.Store, img v1.Image) (v1.Image, error) {
	raw, m, err := manifestOf(img)
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers() // it reads the config, which is known to be small now
	if err != nil {
		return nil, err
	}
	if len(layers) != len(m.Layers) {
		return nil, fmt.Errorf("it has %d layers, not the %d of its manifest", len(layers), len(m.Layers))
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(copies)
	for i, l := range layers {
		group.Go(func() error { return keepLayer(gctx, store, l, m.Layers[i]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	for _, data := range [][]byte{config, raw} {
		if _, err := store.Put(bytes.NewReader(data)); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(raw)
	return cached(store).Image(v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])})
}

// ConfigFile gives the config file of an image whose manifest claims nothing that
// cannot be, so that reading it takes no more memory than a config may.
func ConfigFile(img v1.Image) (*v1.ConfigFile, error) {
	if _, _, err := manifestOf(img); err != nil {
		return nil, err
	}
	return img.ConfigFile()
}

// manifestOf reads and checks the manifest of an image.
func manifestOf(img v1.Image) ([]byte, *v1.Manifest, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return nil, nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, fmt.Errorf("reading its manifest: %w", err)
	}
	return raw, m, plausible(raw, m)
}

// Kept gives the image with this digest, if all of it is in the cache.
func Kept(store *cas.Store, d v1.Hash) (v1.Image, bool) {
	s, err := cached(store).read(d)
	if err != nil {
		return nil, false
	}
	for _, l := range s.manifest.Layers {
		if !store.Has(cas.Blob{Sum: l.Digest.Hex, Size: l.Size}) {
			return nil, false
		}
	}
	img, err := partial.CompressedToImage(s)
	return img, err == nil
}

// cached opens the blobs in the cache.
func cached(store *cas.Store) Blobs {
	return func(d v1.Hash) (io.ReadCloser, error) { return store.Open(d.Hex) }
}

// plausible refuses what cannot be a container image.
func plausible(raw []byte, m *v1.Manifest) error {
	switch {
	case len(raw) > maxDocument, m.Config.Size < 0 || m.Config.Size > maxDocument:
		return fmt.Errorf("its manifest or config has more than %d bytes", maxDocument)
	case !m.Config.MediaType.IsConfig():
		return fmt.Errorf("it is no container image, but has a config of type %s", clip(string(m.Config.MediaType)))
	case len(m.Layers) > maxLayers:
		return fmt.Errorf("%d layers are more than the limit of %d", len(m.Layers), maxLayers)
	}
	left := int64(maxBytes)
	for i, l := range m.Layers {
		if _, ok := layerForms[l.MediaType]; !ok {
			return fmt.Errorf("layer %d is of the type %s, which is no tar archive that is here for the taking", i+1, clip(string(l.MediaType)))
		}
		if l.Digest.Algorithm != "sha256" {
			return fmt.Errorf("layer %d is not named by a SHA-256", i+1)
		}
		if l.Size < 0 || l.Size > left {
			return fmt.Errorf("its layers have more than %d bytes", int64(maxBytes))
		}
		left -= l.Size
	}
	return nil
}

func keepLayer(ctx context.Context, store *cas.Store, l v1.Layer, d v1.Descriptor) error {
	if store.Has(cas.Blob{Sum: d.Digest.Hex, Size: d.Size}) {
		return nil
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	blob, err := store.Put(newHashed(ctx, io.LimitReader(r, d.Size+1)))
	if err != nil {
		return err
	}
	if blob.Sum != d.Digest.Hex || blob.Size != d.Size {
		return fmt.Errorf("layer %s has hash %s and %d bytes: %w", d.Digest, blob.Sum, blob.Size, cas.ErrCorrupt)
	}
	return nil
}
