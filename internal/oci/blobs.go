package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
)

// writeBlobs writes what img consists of. A blob that is there and whole is
// left as it is; it counts as new.
func (s *Store) writeBlobs(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	var group errgroup.Group
	for _, l := range layers {
		group.Go(func() error {
			d, err := l.Digest()
			if err != nil {
				return err
			}
			return s.writeBlob(d, l.Compressed)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, raw := range []func() ([]byte, error){img.RawConfigFile, img.RawManifest} {
		data, err := raw()
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		d := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
		if err := s.writeBlob(d, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeBlob(d v1.Hash, open func() (io.ReadCloser, error)) error {
	if d.Algorithm != "sha256" {
		return fmt.Errorf("blob %s: only SHA-256 is written", d)
	}
	name := blobPath(s.dir, d)
	if wholeBlob(name, d) {
		now := s.now()
		return os.Chtimes(name, now, now)
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	return s.create(name, func(w io.Writer) error {
		if _, err := io.Copy(io.MultiWriter(w, h), r); err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != d.Hex {
			return fmt.Errorf("blob %s has hash %s: %w", d, got, cas.ErrCorrupt)
		}
		return nil
	})
}

// wholeBlob reads the file and reports whether it is what its name says.
func wholeBlob(name string, d v1.Hash) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == d.Hex
}

// write writes a small file in one rename.
func (s *Store) write(name string, data []byte) error {
	return s.create(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// create writes a file under another name and gives it its own when it is
// finished.
func (s *Store) create(name string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Join(s.dir, documents), unfinished+"*")
	if err != nil {
		return fmt.Errorf("writing image store: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := fill(f); err != nil {
		return err
	}
	now := s.now()
	if err := errors.Join(f.Chmod(0o644), f.Close(), os.Chtimes(f.Name(), now, now)); err != nil {
		return fmt.Errorf("writing image store: %w", err)
	}
	return os.Rename(f.Name(), name) //nolint:gosec // the user chose the store; names in it are hashes and checked
}

// blobsOf lists the blobs of an image. Of one whose manifest is gone or damaged
// that is all there is; other errors are of the moment.
func (s *Store) blobsOf(d v1.Hash) ([]v1.Hash, error) {
	out := []v1.Hash{d}
	data, err := readDocument(s.dir, d)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, cas.ErrCorrupt) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out = append(out, m.Config.Digest)
	for _, l := range m.Layers {
		out = append(out, l.Digest)
	}
	return out, nil
}

// collect removes lines without a name that are older than the grace, but for
// images that had a name last, then blobs and documents that no line needs: of those the ones in now, and what
// is older than the grace. The caller holds the lock.
func (s *Store) collect(now []v1.Hash) error {
	old := func(x v1.Descriptor) bool {
		return nameless(x) && x.Annotations[annotationBefore] == "" && s.now().Sub(when(x)) > grace
	}
	m, err := s.index()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(m.Manifests, old) {
		if err := s.update(func(list []v1.Descriptor) []v1.Descriptor { return slices.DeleteFunc(list, old) }); err != nil {
			return err
		}
		m.Manifests = slices.DeleteFunc(m.Manifests, old)
	}
	keep := make(map[string]bool)
	for _, x := range m.Manifests {
		blobs, err := s.blobsOf(x.Digest)
		if err != nil {
			return fmt.Errorf("reading image %s: %w", x.Digest, err)
		}
		for _, b := range blobs {
			keep[b.Hex] = true
		}
	}
	keep["lock"] = true
	gone := make(map[string]bool)
	for _, d := range now {
		gone[d.Hex] = true
	}
	for _, dir := range []string{filepath.Join(s.dir, "blobs", "sha256"), filepath.Join(s.dir, documents)} {
		if err := s.sweep(dir, keep, gone); err != nil {
			return fmt.Errorf("removing what no image needs: %w", err)
		}
	}
	return nil
}

// sweep removes what of a directory is not kept and is in gone, or old.
func (s *Store) sweep(dir string, keep, gone map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if keep[name] {
			continue
		}
		if !gone[name] {
			fi, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) { // a file that was being written has its name now
				continue
			}
			if err != nil {
				return err
			}
			if s.now().Sub(fi.ModTime()) <= grace {
				continue
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil && !strings.HasPrefix(name, unfinished) {
			return err
		}
	}
	return nil
}
