// Package publish delivers a finished image: to a registry, as an OCI layout,
// as an archive, or into a running Docker. Each is a file of its own. It
// builds nothing and checks nothing: what comes here was verified.
//
// Files and directories appear whole or not at all, and have the same bytes
// whoever writes them. What cannot be delivered is a fault of kind Publish
// (Space where the disk is full, Interrupted is the caller's affair) and says
// no credentials.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/fault"
)

// Publisher delivers an image and says where it is now: a reference, or a
// place in the form that [Parse] reads.
type Publisher interface {
	Publish(ctx context.Context, img v1.Image) (string, error)
}

// named is an image with the name it has in the local store. The name is no
// part of the image, so its digest does not depend on it.
type named struct {
	v1.Image
	ref string
}

// As gives img the name that archives, layouts and Docker will know it by:
// "rest-app:latest". Images without one are delivered without a name.
func As(img v1.Image, ref string) v1.Image { return &named{img, ref} }

// nameOf is the name that [As] gave, or "".
func nameOf(img v1.Image) string {
	if n, ok := img.(*named); ok {
		return n.ref
	}
	return ""
}

// Parse reads where --output wants the image:
//
//	oci:DIR              an OCI layout, added to where there is one
//	oci-archive:FILE     an OCI layout in a tar archive
//	docker-archive:FILE  what docker save writes and docker load reads
//	rootfs:FILE          the image's files alone, in a tar archive
//	FILE.tar             the same as docker-archive:FILE.tar
//
// Anything else is a fault of kind Usage.
func Parse(output string) (Publisher, error) {
	const hint = "write oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:FILE or FILE.tar"
	form, path, ok := strings.Cut(output, ":")
	if !ok {
		if strings.HasSuffix(output, ".tar") {
			return Archive{File: output, Form: Docker}, nil
		}
		return nil, fault.New(fault.Usage, hint, "cannot tell in which form to write %q", output)
	}
	if path == "" || strings.ContainsRune(path, 0) {
		return nil, fault.New(fault.Usage, hint, "no file is named in %q", output)
	}
	switch form {
	case "oci":
		return Layout{Dir: path}, nil
	case "oci-archive":
		return Archive{File: path, Form: OCI}, nil
	case "rootfs":
		return Archive{File: path, Form: RootFS}, nil
	case "docker-archive":
		return Archive{File: path, Form: Docker}, nil
	}
	return nil, fault.New(fault.Usage, hint, "%q is no form of an image", form)
}

// failed is the error for the user of what went wrong with files.
func failed(ctx context.Context, err error, hint, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	var f *fault.Error
	switch {
	case context.Cause(ctx) != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case errors.As(err, &f):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.Space, "free some space, or write elsewhere", "%s", what)
	}
	return fault.Wrap(err, fault.Publish, hint, "%s", what)
}

// stopping stops what is written when the context ends.
type stopping struct {
	ctx func() error
	w   io.Writer
}

// stoppable gives a writer that fails with the context's cause once it ended.
func stoppable(ctx context.Context, w io.Writer) io.Writer {
	return stopping{func() error { return context.Cause(ctx) }, w}
}

func (s stopping) Write(p []byte) (int, error) {
	if err := s.ctx(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
