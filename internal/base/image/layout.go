package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/fault"
	"exuvia/internal/oci"
)

// layout finds an image in an OCI layout, written DIR[:TAG].
func (s *Images) layout(w wanted, where string) (found, error) {
	dir, tag, err := split(where, fs.FileMode.IsDir)
	if err != nil {
		return found{}, fault.New(fault.Base, "name a directory with an OCI layout: oci:DIR or oci:DIR:TAG", "there is no directory for %s", w.ref)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return found{}, fault.New(fault.Base, "name a directory with an OCI layout", "opening %s: %s", w.ref, fault.Reason(err))
	}
	img, err := w.inLayout(tag, func(name string) (io.ReadCloser, error) {
		if fi, err := root.Stat(name); err == nil && !fi.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no file", name)
		}
		return root.Open(name)
	})
	if err != nil {
		return found{}, errors.Join(err, root.Close())
	}
	return found{image: img, input: local("oci", dir), done: func() { root.Close() }}, nil
}

// split parts PATH[:NAME] where a file of the right type ends: both may have
// colons.
func split(where string, is func(fs.FileMode) bool) (file, name string, err error) {
	for i := range len(where) + 1 {
		if i < len(where) && where[i] != ':' {
			continue
		}
		if fi, err := os.Stat(where[:i]); err == nil && is(fi.Mode()) {
			return where[:i], strings.TrimPrefix(where[i:], ":"), nil
		}
	}
	return "", "", fs.ErrNotExist
}

// inLayout finds the image of a tag, or the only one, in an OCI layout whose
// files open opens.
func (w wanted) inLayout(tag string, open func(name string) (io.ReadCloser, error)) (v1.Image, error) {
	blobs := oci.Blobs(func(d v1.Hash) (io.ReadCloser, error) { return open(path.Join("blobs", d.Algorithm, d.Hex)) })
	index, err := readIndex(open)
	if err != nil {
		return nil, fault.New(fault.Base, "name what an OCI layout is in, with its index.json", "%s is no OCI layout: %s", w.ref, fault.Clip(fault.Reason(err)))
	}
	list, err := w.tagged(index.Manifests, tag)
	if err != nil {
		return nil, err
	}
	d, err := w.choose(list)
	if err != nil {
		return nil, err
	}
	digest := d.Digest
	if d.MediaType.IsIndex() {
		raw, err := blobs.Document(digest)
		if err == nil {
			digest, err = w.pick(raw, blobs.Document)
		}
		if err != nil {
			return nil, w.unreadable(err)
		}
	}
	img, err := blobs.Image(digest)
	if err != nil {
		return nil, w.unreadable(err)
	}
	return img, nil
}

func readIndex(open func(name string) (io.ReadCloser, error)) (*v1.IndexManifest, error) {
	f, err := open("index.json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bounded := &io.LimitedReader{R: f, N: maxDocument}
	m, err := v1.ParseIndexManifest(bounded)
	if bounded.N <= 0 {
		return nil, fmt.Errorf("its index has more than %d bytes", maxDocument)
	}
	return m, err
}

// Annotations that name the images of a layout.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// tagged are the images of a layout with this name, or all of the only name
// there is.
func (w wanted) tagged(list []v1.Descriptor, tag string) ([]v1.Descriptor, error) {
	var out []v1.Descriptor
	var names []string
	for _, d := range list {
		name := d.Annotations[refName]
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		full := d.Annotations[containerdName]
		if tag == "" || tag == name || strings.HasSuffix(name, ":"+tag) || full != "" && (tag == full || strings.HasSuffix(full, "/"+tag)) {
			out = append(out, d)
		}
	}
	switch {
	case len(out) == 0:
		return nil, fault.New(fault.Base, "name one of "+listed(names), "%s: the layout has no such image", w.ref)
	case tag == "" && len(names) > 1:
		return nil, fault.New(fault.Base, "add one of these after a colon: "+listed(names), "%s has several images", w.ref)
	}
	return out, nil
}

// listed joins names for a hint; there may be many, of any length.
func listed(names []string) string {
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	if len(names) == 0 {
		return "those that have a name (there is none)"
	}
	return fault.Clip(strings.Join(names, ", "))
}

// unreadable is the error of a layout that is not whole.
func (w wanted) unreadable(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	kind := fault.Base
	if !errors.Is(err, fs.ErrNotExist) {
		kind = fault.Integrity
	}
	return &fault.Error{Kind: kind, What: fmt.Sprintf("reading the base %s: %s", w.ref, fault.Clip(err.Error())), Hint: "write the layout again; something in it is missing or damaged", Err: err}
}
