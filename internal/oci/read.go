package oci

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"exuvia/internal/cas"
)

// maxWindow bounds what a zstd stream makes its reader remember. Level 22
// needs 128 MiB.
const maxWindow = 128 << 20

// readLayer gives the tar of a layer to read, which has to read all of it, and
// checks that its bytes were what the manifest and the config promise.
func readLayer(ctx context.Context, l v1.Layer, read func(io.Reader) error) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	diffID, err := l.DiffID()
	if err != nil {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	packed := newHashed(ctx, io.LimitReader(r, size+1))
	sum, readErr := readTar(ctx, packed, read)
	// The rest is read in any case: bytes that are not what they should be
	// explain every other error.
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return err
	}
	switch {
	case packed.sum() != digest.Hex:
		return fmt.Errorf("its bytes have hash %s, not %s: %w", packed.sum(), digest.Hex, cas.ErrCorrupt)
	case readErr != nil:
		return readErr
	case sum != diffID.Hex:
		return fmt.Errorf("its files have hash %s, not %s", sum, diffID.Hex)
	}
	return nil
}

// readTar reads the tar in a compressed stream and gives its hash.
func readTar(ctx context.Context, packed io.Reader, read func(io.Reader) error) (string, error) {
	z, done, err := unpacked(packed)
	if err != nil {
		return "", err
	}
	defer done()
	plain := newHashed(ctx, z)
	err = read(plain)
	return plain.sum(), err
}

// checkLayer reads the bytes of a layer and compares their hash.
func checkLayer(ctx context.Context, l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	h := newHashed(ctx, r)
	if _, err := io.Copy(io.Discard, h); err != nil {
		return err
	}
	if h.sum() != digest.Hex {
		return fmt.Errorf("its bytes have hash %s, not %s: %w", h.sum(), digest.Hex, cas.ErrCorrupt)
	}
	return nil
}

// hashed hashes what is read, and stops when the context ends.
type hashed struct {
	r    io.Reader
	h    hash.Hash
	stop func() error
}

func newHashed(ctx context.Context, r io.Reader) *hashed {
	return &hashed{r, sha256.New(), func() error { return context.Cause(ctx) }}
}

func (h *hashed) Read(p []byte) (int, error) {
	if err := h.stop(); err != nil {
		return 0, err
	}
	n, err := h.r.Read(p)
	h.h.Write(p[:n])
	return n, err
}

func (h *hashed) sum() string { return hex.EncodeToString(h.h.Sum(nil)) }

// unpacked undoes the compression of a layer, which its first bytes tell:
// media types do not always. The function frees what that took.
func unpacked(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 1<<16)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	nothing := func() {}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		return z, nothing, err
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return br, nothing, nil
}
