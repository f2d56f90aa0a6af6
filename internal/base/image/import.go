package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
)

// maxLayers is what overlayfs takes.
const maxLayers = 127

// imported makes an image of what docker save wrote, which has layers and a
// config, but no manifest. Layers that are not compressed are, as docker push
// would do. Where the same was done before it is not done again.
func (s *Images) imported(ctx context.Context, w wanted, a *archive, line saved, config []byte) (found, error) {
	f := found{id: configID(sha256.Sum256(config))}
	if _, ok := s.known(f.id); ok {
		return f, nil
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return found{}, w.unreadable(fmt.Errorf("its config: %w", err))
	}
	if err := w.suits(c); err != nil {
		return found{}, err
	}
	if len(line.Layers) > maxLayers || len(line.Layers) != len(c.RootFS.DiffIDs) {
		return found{}, fault.New(fault.Base, archiveHint, "%s has %d layers, and %d in its config", w.ref, len(line.Layers), len(c.RootFS.DiffIDs))
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Layers: []v1.Descriptor{}}
	left := int64(maxBytes)
	for _, name := range line.Layers {
		d, err := a.layer(ctx, s.o.Cache, name, left)
		if err != nil {
			return found{}, w.unreadable(fmt.Errorf("layer %s: %w", fault.Clip(name), err))
		}
		left -= d.Size
		m.Layers = append(m.Layers, d)
	}
	if m.Config, err = put(s.o.Cache, types.DockerConfigJSON, bytes.NewReader(config)); err != nil {
		return found{}, err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return found{}, err
	}
	d, err := put(s.o.Cache, m.MediaType, bytes.NewReader(raw))
	if err != nil {
		return found{}, err
	}
	f.image, err = oci.Blobs(func(d v1.Hash) (io.ReadCloser, error) { return s.o.Cache.Open(d.Hex) }).Image(d.Digest)
	return f, err
}

// configID identifies an image by its config, as Docker does.
func configID(sum [sha256.Size]byte) string { return "config sha256:" + hex.EncodeToString(sum[:]) }

// layer puts a layer into the cache, compressed.
func (a *archive) layer(ctx context.Context, cache *cas.Store, name string, left int64) (v1.Descriptor, error) {
	f, err := a.file(name)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer f.Close()
	bounded := &io.LimitedReader{R: &stopped{f, func() error { return context.Cause(ctx) }}, N: left}
	br := bufio.NewReader(bounded)
	head, _ := br.Peek(2) // what is shorter is no layer, which its hash will tell
	var d v1.Descriptor
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		d, err = put(cache, types.DockerLayer, br)
	} else {
		d, err = put(cache, types.DockerLayer, compressed(br))
	}
	if err == nil && bounded.N <= 0 {
		err = fmt.Errorf("more than %d bytes", int64(maxBytes))
	}
	return d, err
}

// compressed gives what r reads, compressed. It has to be read to its end.
func compressed(r io.Reader) io.Reader {
	out, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		_, err := io.Copy(z, r)
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err)
	}()
	return out
}

// put puts a blob into the cache, and describes it.
func put(cache *cas.Store, kind types.MediaType, r io.Reader) (v1.Descriptor, error) {
	b, err := cache.Put(r)
	if c, ok := r.(io.Closer); ok && err != nil {
		c.Close() // frees the writer of a pipe
	}
	return v1.Descriptor{MediaType: kind, Size: b.Size, Digest: v1.Hash{Algorithm: "sha256", Hex: b.Sum}}, err
}
