package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blob is one of the files that an image consists of.
type blob struct {
	Digest v1.Hash
	Size   int64
	Open   func() (io.ReadCloser, error)
}

// blobsOf lists an image's manifest, config and layers, each once, in order of
// their digests.
func blobsOf(img v1.Image) ([]blob, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var out []blob
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return nil, err
		}
		size, err := l.Size()
		if err != nil {
			return nil, err
		}
		out = append(out, blob{d, size, l.Compressed})
	}
	for _, raw := range []func() ([]byte, error){img.RawConfigFile, img.RawManifest} {
		data, err := raw()
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		out = append(out, blob{
			v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])},
			int64(len(data)),
			func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		})
	}
	slices.SortFunc(out, func(a, b blob) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	return slices.CompactFunc(out, func(a, b blob) bool { return a.Digest == b.Digest }), nil
}

// name is where a layout has the blob.
func (b blob) name() string { return path.Join("blobs", b.Digest.Algorithm, b.Digest.Hex) }

// copy writes the blob to w and insists that it is what its digest says.
func (b blob) copy(w io.Writer) error {
	r, err := b.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, b.Size+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != b.Size || got != b.Digest.Hex {
		return fmt.Errorf("the blob is damaged: it has %d bytes and hash %s", n, got)
	}
	return nil
}

// write puts the blob into a layout, unless it is there and whole.
func (b blob) write(ctx context.Context, root *os.Root) error {
	if b.there(root) {
		return nil
	}
	return create(root, b.name(), func(w io.Writer) error { return b.copy(stoppable(ctx, w)) })
}

// there reports whether a layout has the blob, by reading it: somebody else's
// layout may have it damaged.
func (b blob) there(root *os.Root) bool {
	fi, err := root.Lstat(b.name())
	if err != nil || !fi.Mode().IsRegular() || fi.Size() != b.Size {
		return false
	}
	old := b
	old.Open = func() (io.ReadCloser, error) { return root.Open(b.name()) }
	return old.copy(io.Discard) == nil
}

// replace writes a file whole.
func replace(root *os.Root, name string, data []byte) error {
	return create(root, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// unfinished begins the names of files that are being written.
const unfinished = ".exuvia-"

// create writes a file under another name and gives it its own when it is
// finished. Permissions are what the umask leaves of 0666.
func create(root *os.Root, name string, write func(io.Writer) error) (err error) {
	tmp := path.Join(path.Dir(name), unfinished+strconv.FormatUint(rand.Uint64(), 36)) //nolint:gosec // only to differ from other processes; O_EXCL has the last word
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(tmp) // the first error is the one to tell
		}
	}()
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return root.Rename(tmp, name)
}
