package oci

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/fault"
)

// Store is an OCI image layout in which images have names. It is safe under
// any number of processes and a kill at any point: blobs and documents appear
// whole, whoever changes index.json or removes blobs holds a lock, and the
// index is replaced in one rename. An image that was put and not named is
// there only for who has its digest, and goes when it is discarded or a day
// old.
type Store struct {
	dir string
	now func() time.Time
}

// Annotations of the store's index.
const (
	annotationRef  = "org.opencontainers.image.ref.name"
	annotationWhen = "exuvia.time" // RFC 3339: when the image was put or named
)

// documents is the directory, beside the blobs, of what is kept with images.
const documents = "exuvia"

// grace is how long an image without a name stays, for whoever is making it.
const grace = 24 * time.Hour

// OpenStore makes the layout where it is missing.
func OpenStore(dir string, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, documents), 0o755); err != nil {
		return nil, fmt.Errorf("making image store: %w", err)
	}
	s := &Store{dir: dir, now: now}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(dir, "index.json")); !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if _, err := layout.Write(dir, empty.Index); err != nil {
		return nil, fmt.Errorf("making image store: %w", err)
	}
	return s, nil
}

// lock keeps other processes out until the function it gives is called.
func (s *Store) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, documents, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking image store: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking image store: %w", err)
	}
	return func() { f.Close() }, nil
}

// index lists what index.json has.
func (s *Store) index() (*v1.IndexManifest, error) {
	idx, err := layout.ImageIndexFromPath(s.dir)
	if err != nil {
		return nil, fmt.Errorf("reading image store: %w", err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading image store: %w", err)
	}
	return m, nil
}

// update changes the index. The caller holds the lock.
func (s *Store) update(change func([]v1.Descriptor) []v1.Descriptor) error {
	m, err := s.index()
	if err != nil {
		return err
	}
	m = m.DeepCopy()
	m.Manifests = change(m.Manifests)
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.replace(filepath.Join(s.dir, "index.json"), data)
}

// replace writes a file in one rename.
func (s *Store) replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Join(s.dir, documents), "tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("writing image store: %w", err)
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("writing image store: %w", err)
	}
	return os.Rename(f.Name(), name)
}

// Put writes img and gives it back as read from the disk. Only that one is
// fit for checking: an image in memory can claim what its bytes do not say. It
// has no name yet.
func (s *Store) Put(img v1.Image) (v1.Image, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := layout.Path(s.dir).WriteImage(img); err != nil {
		return nil, fmt.Errorf("writing image to %s: %w", s.dir, err)
	}
	d, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("hashing image: %w", err)
	}
	if err := s.add(d, ""); err != nil {
		return nil, err
	}
	return s.read(d)
}

// add puts a line into the index: an image with its name, or, unless it is
// there already, without.
func (s *Store) add(d v1.Hash, ref string) error {
	manifest, err := layout.Path(s.dir).Bytes(d)
	if err != nil {
		return fmt.Errorf("looking for image: %w", err)
	}
	line := v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Size: int64(len(manifest)), Digest: d,
		Annotations: map[string]string{annotationWhen: s.now().UTC().Format(time.RFC3339Nano)},
	}
	if ref != "" {
		line.Annotations[annotationRef] = ref
	}
	return s.update(func(list []v1.Descriptor) []v1.Descriptor {
		if ref == "" && slices.ContainsFunc(list, func(x v1.Descriptor) bool { return x.Digest == d }) {
			return list
		}
		list = slices.DeleteFunc(list, func(x v1.Descriptor) bool {
			return x.Annotations[annotationRef] == ref && (ref != "" || x.Digest == d) || ref != "" && nameless(x) && x.Digest == d
		})
		return append(list, line)
	})
}

func nameless(x v1.Descriptor) bool { return x.Annotations[annotationRef] == "" }

// read opens an image by its digest.
func (s *Store) read(d v1.Hash) (v1.Image, error) {
	img, err := layout.Path(s.dir).Image(d)
	if err != nil {
		return nil, fmt.Errorf("reading image %s: %w", d, err)
	}
	return img, nil
}

// Tag gives an image that was put its name. A name that another image had is
// taken from it.
func (s *Store) Tag(ref, digest string) error {
	d, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return s.add(d, ref)
}

// Discard removes an image that was put and has got no name.
func (s *Store) Discard(digest string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	err = s.update(func(list []v1.Descriptor) []v1.Descriptor {
		return slices.DeleteFunc(list, func(x v1.Descriptor) bool { return nameless(x) && x.Digest.String() == digest })
	})
	if err != nil {
		return err
	}
	return s.collect()
}

// Info is an image in the store.
type Info struct {
	Reference string    `json:"reference"` // name:tag
	Digest    string    `json:"digest"`    // of the manifest
	Created   time.Time `json:"created"`   // as the image says
	Tagged    time.Time `json:"tagged"`    // when it got this name
	Size      int64     `json:"size"`      // unpacked bytes, as in report.Build; 0 where the store does not know
	Download  int64     `json:"download"`  // bytes of the compressed layers
}

// Get finds an image by name, digest or the beginning of a digest. One that is
// not there is a fault of kind NotFound.
func (s *Store) Get(ref string) (v1.Image, error) {
	d, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	return s.read(d)
}

// find gives the digest of an image as Get finds it.
func (s *Store) find(ref string) (v1.Hash, error) {
	m, err := s.index()
	if err != nil {
		return v1.Hash{}, err
	}
	if full, err := Normalise(ref); err == nil {
		for _, x := range m.Manifests {
			if x.Annotations[annotationRef] == full {
				return x.Digest, nil
			}
		}
	}
	prefix := strings.TrimPrefix(ref, "sha256:")
	found := make(map[v1.Hash]bool)
	for _, x := range m.Manifests {
		if len(prefix) >= 4 && strings.HasPrefix(x.Digest.Hex, prefix) && (!nameless(x) || len(prefix) == len(x.Digest.Hex)) {
			found[x.Digest] = true
		}
	}
	for d := range found {
		if len(found) == 1 {
			return d, nil
		}
	}
	return v1.Hash{}, fault.New(fault.NotFound, "exuvia images lists what there is", "no image is called %q", ref)
}

// List gives the named images, the one named last first.
func (s *Store) List() ([]Info, error) {
	m, err := s.index()
	if err != nil {
		return nil, err
	}
	out := []Info{}
	for _, x := range m.Manifests {
		if nameless(x) {
			continue
		}
		i, err := s.info(x)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Info) int {
		return cmp.Or(b.Tagged.Compare(a.Tagged), cmp.Compare(a.Reference, b.Reference))
	})
	return out, nil
}

func (s *Store) info(x v1.Descriptor) (Info, error) {
	i := Info{Reference: x.Annotations[annotationRef], Digest: x.Digest.String(), Tagged: when(x)}
	img, err := s.read(x.Digest)
	if err != nil {
		return i, err
	}
	m, err := img.Manifest()
	if err != nil {
		return i, err
	}
	for _, l := range m.Layers {
		i.Download += l.Size
	}
	f, err := img.ConfigFile()
	if err != nil {
		return i, err
	}
	i.Created = f.Created.Time
	var known struct{ Size int64 }
	if data, err := s.Sidecar(i.Digest, "report.json"); err == nil && json.Unmarshal(data, &known) == nil {
		i.Size = known.Size
	}
	return i, nil
}

// when is the time in a line of the index; zero where another tool wrote it.
func when(x v1.Descriptor) time.Time {
	t, err := time.Parse(time.RFC3339Nano, x.Annotations[annotationWhen])
	if err != nil {
		return time.Time{}
	}
	return t
}

// Remove takes a name away, or by digest all names of an image, and then the
// blobs that no image has any more.
func (s *Store) Remove(ref string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	d, err := s.find(ref)
	if err != nil {
		return err
	}
	full, err := Normalise(ref)
	if err != nil {
		full = ref
	}
	err = s.update(func(list []v1.Descriptor) []v1.Descriptor {
		named := slices.ContainsFunc(list, func(x v1.Descriptor) bool { return x.Annotations[annotationRef] == full })
		return slices.DeleteFunc(list, func(x v1.Descriptor) bool {
			if named {
				return x.Annotations[annotationRef] == full
			}
			return x.Digest == d
		})
	})
	if err != nil {
		return err
	}
	return s.collect()
}

// collect removes images that were never named and are old, and then all that
// no image has. The caller holds the lock.
func (s *Store) collect() error {
	old := func(x v1.Descriptor) bool { return nameless(x) && s.now().Sub(when(x)) > grace }
	if err := s.update(func(list []v1.Descriptor) []v1.Descriptor { return slices.DeleteFunc(list, old) }); err != nil {
		return err
	}
	p := layout.Path(s.dir)
	unused, err := p.GarbageCollect()
	if err != nil {
		return fmt.Errorf("looking for unused blobs: %w", err)
	}
	for _, h := range unused {
		if err := p.RemoveBlob(h); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing blob: %w", err)
		}
		if err := os.RemoveAll(filepath.Join(s.dir, documents, h.Hex)); err != nil {
			return fmt.Errorf("removing what was kept with an image: %w", err)
		}
	}
	return nil
}

// PutSidecar keeps a document with an image.
func (s *Store) PutSidecar(digest, name string, data []byte) error {
	d, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	if !fs.ValidPath(name) || strings.Contains(name, "/") {
		return fmt.Errorf("invalid name of a document %q", name)
	}
	dir := filepath.Join(s.dir, documents, d.Hex)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return s.replace(filepath.Join(dir, name), data)
}

// Sidecar reads a document that was kept with an image. What is not there is a
// fault of kind NotFound.
func (s *Store) Sidecar(ref, name string) ([]byte, error) {
	d, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(s.dir, documents, d.Hex, filepath.Base(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "build it again with exuvia build", "nothing is known of how %s was built", ref)
	}
	return data, err
}
