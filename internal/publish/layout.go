package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/fault"
)

// Layout writes an image to a directory in the form of the OCI image layout
// specification. A layout that is there gets the image added; an image of the
// same name, or the same image without one, is replaced in its index. A
// directory with anything else in it is left alone and refused.
type Layout struct{ Dir string }

var _ Publisher = Layout{}

// refName is the annotation in which a layout keeps the name of an image. It
// holds the whole name, as Podman writes and reads it.
const refName = "org.opencontainers.image.ref.name"

// maxIndex bounds the index of a layout that is added to.
const maxIndex = 16 << 20

const layoutHint = "name an empty directory, an OCI layout, or one that does not exist yet"

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

// Publish writes the image. Blobs come first and index.json last, so that
// whoever reads the layout at any time sees whole images.
func (l Layout) Publish(ctx context.Context, img v1.Image) (string, error) {
	if err := l.write(ctx, img); err != nil {
		return "", failed(ctx, err, layoutHint, "writing OCI layout %s", l.Dir)
	}
	return "oci:" + l.Dir, nil
}

// Check reports whether the layout could be written where it is meant to be:
// better known before an image is built than after.
func (l Layout) Check() error {
	root, err := os.OpenRoot(l.Dir)
	if errors.Is(err, fs.ErrNotExist) { // it is made
		return nil
	}
	if err == nil {
		defer root.Close()
		_, err = readLayout(root)
	}
	if err != nil {
		return fault.New(fault.Usage, layoutHint, "cannot write OCI layout %s: %s", l.Dir, fault.Reason(err))
	}
	return nil
}

func (l Layout) write(ctx context.Context, img v1.Image) error {
	if err := os.MkdirAll(l.Dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(l.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := readLayout(root)
	if err != nil {
		return err
	}
	if err := replace(root, "oci-layout", []byte(layoutFile)); err != nil {
		return err
	}
	if err := root.MkdirAll("blobs/sha256", 0o777); err != nil {
		return err
	}
	if err := sweep(root); err != nil {
		return err
	}
	blobs, err := blobsOf(img)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if err := b.write(ctx, root); err != nil {
			return fmt.Errorf("writing %s: %w", b.Digest, err)
		}
	}
	index, err := indexOf(img, old)
	if err != nil {
		return err
	}
	return replace(root, "index.json", index)
}

// readLayout reads the index of the layout in root; that of an empty directory
// is empty. What is no layout is an error.
func readLayout(root *os.Root) (*v1.IndexManifest, error) {
	data, err := readSmall(root, "oci-layout")
	if errors.Is(err, fs.ErrNotExist) {
		return &v1.IndexManifest{}, nothingElse(root)
	}
	if err != nil {
		return nil, err
	}
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	if json.Unmarshal(data, &v) != nil || v.Version != "1.0.0" {
		return nil, errors.New("its oci-layout is not that of a layout of version 1.0.0")
	}
	data, err = readSmall(root, "index.json")
	if errors.Is(err, fs.ErrNotExist) { // killed before the first image was whole
		return &v1.IndexManifest{}, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading index.json: %w", err)
	}
	return m, nil
}

// nothingElse insists that a directory which is no layout yet is empty, save
// for what a killed exuvia left.
func nothingElse(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			return errors.New("the directory is not empty, and no OCI layout")
		}
	}
	return err
}

// readSmall reads a file of JSON.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxIndex)
	}
	return data, err
}

// sweep removes what killed processes left. Nobody else writes here now: the
// layout is locked.
func sweep(root *os.Root) error {
	for _, dir := range []string{".", "blobs/sha256"} {
		entries, err := fs.ReadDir(root.FS(), dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), unfinished) {
				if err := root.Remove(path.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lock keeps other exuvia processes from the layout's index until the function
// it gives is called. The directory itself is locked, so no file is left.
func lock(root *os.Root) (func(), error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("locking: %w", err)
	}
	return func() { d.Close() }, nil
}

// indexOf is the index of a layout in which img is added to what old lists.
func indexOf(img v1.Image, old *v1.IndexManifest) ([]byte, error) {
	line, err := descriptor(img)
	if err != nil {
		return nil, err
	}
	ref := line.Annotations[refName]
	index := old.DeepCopy()
	index.SchemaVersion, index.MediaType = 2, types.OCIImageIndex
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool {
		other := d.Annotations[refName]
		return ref != "" && other == ref || d.Digest == line.Digest && (other == "" || other == ref)
	})
	index.Manifests = append(index.Manifests, line)
	return json.Marshal(index)
}

// descriptor is the line of an index for img.
func descriptor(img v1.Image) (v1.Descriptor, error) {
	d, err := img.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	line := v1.Descriptor{MediaType: mediaType, Size: int64(len(manifest)), Digest: d, Platform: config.Platform()}
	if ref := nameOf(img); ref != "" {
		line.Annotations = map[string]string{refName: ref}
	}
	return line, nil
}
