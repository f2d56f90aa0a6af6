package publish

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"exuvia/internal/fault"
)

// Form is the form of an archive.
type Form string

// The forms.
const (
	OCI    Form = "oci-archive"    // an OCI layout as a tar archive
	Docker Form = "docker-archive" // what docker save writes and docker load reads
	RootFS Form = "rootfs"         // the image's files without its layers and configuration, for ADD in a Dockerfile
)

// Archive writes an image to a tar archive. A file of that name is replaced
// when the new one is finished.
type Archive struct {
	File string
	Form Form
}

var _ Publisher = Archive{}

const archiveHint = "name a file in a directory that exists and can be written to"

// Publish writes the archive. Its bytes depend on the image and its name
// alone.
func (a Archive) Publish(ctx context.Context, img v1.Image) (string, error) {
	if err := a.write(ctx, img); err != nil {
		return "", failed(ctx, err, archiveHint, "writing %s %s", a.Form, a.File)
	}
	return string(a.Form) + ":" + a.File, nil
}

// Check reports whether the archive could be written where it is meant to be:
// better known before an image is built than after.
func (a Archive) Check() error {
	root, _, err := a.place()
	if err != nil {
		return fault.New(fault.Usage, archiveHint, "cannot write %s %s: %s", a.Form, a.File, fault.Reason(err))
	}
	return root.Close()
}

// place opens the directory that the archive goes to.
func (a Archive) place() (dir *os.Root, file string, err error) {
	if fi, err := os.Stat(a.File); err == nil && !fi.Mode().IsRegular() {
		return nil, "", errors.New("it exists and is no file")
	}
	parent, file := filepath.Split(a.File)
	if file == "" {
		return nil, "", errors.New("it names a directory")
	}
	parent = filepath.Clean(parent)
	dir, err = os.OpenRoot(parent)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no directory %s", parent)
	}
	return dir, file, err
}

func (a Archive) write(ctx context.Context, img v1.Image) error {
	root, file, err := a.place()
	if err != nil {
		return err
	}
	defer root.Close()
	return create(root, file, func(w io.Writer) error {
		switch a.Form {
		case OCI:
			return writeOCI(ctx, w, img)
		case RootFS:
			return writeRootFS(ctx, w, img)
		}
		return writeDocker(ctx, w, img)
	})
}

// writeOCI writes the files of an OCI layout in order.
func writeOCI(ctx context.Context, w io.Writer, img v1.Image) error {
	blobs, err := blobsOf(img)
	if err != nil {
		return err
	}
	index, err := indexOf(img, &v1.IndexManifest{})
	if err != nil {
		return err
	}
	tw := tar.NewWriter(stoppable(ctx, w))
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	for _, small := range []struct {
		name string
		data []byte
	}{{"index.json", index}, {"oci-layout", []byte(layoutFile)}} {
		sum := sha256.Sum256(small.data)
		b := blob{v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum)}, int64(len(small.data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(small.data)), nil
		}}
		if err := member(tw, small.name, b); err != nil {
			return err
		}
	}
	for _, b := range blobs {
		if err := member(tw, b.name(), b); err != nil {
			return err
		}
	}
	return tw.Close()
}

func member(tw *tar.Writer, name string, b blob) error {
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: b.Size, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	return b.copy(tw)
}

// writeDocker writes what docker load reads. Without a name Docker knows the
// image by its ID alone.
func writeDocker(ctx context.Context, w io.Writer, img v1.Image) error {
	var ref name.Reference
	d, err := img.Digest()
	if err != nil {
		return err
	}
	if as := nameOf(img); as != "" {
		ref, err = name.NewTag(as, name.WithDefaultRegistry(""))
	} else {
		ref, err = name.NewDigest("image@" + d.String())
	}
	if err != nil {
		return err
	}
	return tarball.Write(ref, img, stoppable(ctx, w))
}

// writeRootFS writes the files of all layers as one archive.
func writeRootFS(ctx context.Context, w io.Writer, img v1.Image) error {
	r := mutate.Extract(img)
	defer r.Close()
	_, err := io.Copy(stoppable(ctx, w), r)
	return err
}
