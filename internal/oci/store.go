package oci

import (
	"bytes"
	"cmp"
	"crypto/rand"
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
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/fault"
)

// Store is an OCI image layout in which images have names. It is safe under
// any number of processes and a kill at any point: blobs and documents appear
// whole, whoever changes index.json or removes blobs holds a lock, and the
// index is replaced in one rename. An image that was put and not named is
// there only for who has its digest, and goes when it is discarded or a day
// old. The image that a name had before the one it has now stays, for who
// wants to know what changed, until the name moves on again or is removed.
type Store struct {
	dir string
	now func() time.Time
	id  string // tells what this store put from what others did
}

// Annotations of the store's index.
const (
	annotationRef    = "org.opencontainers.image.ref.name"
	annotationWhen   = "exuvia.time"     // RFC 3339: when the image was put or named
	annotationBy     = "exuvia.put-by"   // Store.id, of images without a name
	annotationBefore = "exuvia.previous" // the name that an image without one had until another got it
)

// documents is the directory, beside the blobs, of what is kept with images,
// of the lock and of files that are being written.
const documents = "exuvia"

// unfinished begins the names of files that are being written.
const unfinished = "tmp-"

// grace is how long what belongs to no named image stays, for whoever is
// making an image or reading one that was replaced.
const grace = 24 * time.Hour

// OpenStore makes the layout where it is missing.
func OpenStore(dir string, now func() time.Time) (*Store, error) {
	s := &Store{dir: dir, now: now, id: rand.Text()}
	if _, err := os.Stat(s.indexPath()); err == nil { // it comes last, so the rest is there
		return s, nil
	}
	for _, sub := range []string{documents, filepath.Join("blobs", "sha256")} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil { //nolint:gosec // the user chose the store
			return nil, fmt.Errorf("making image store: %w", err)
		}
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(s.indexPath()); !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := s.write(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return nil, err
	}
	return s, s.writeIndex(&v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}})
}

func (s *Store) indexPath() string { return filepath.Join(s.dir, "index.json") }

// lock keeps other processes out until the function it gives is called.
func (s *Store) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, documents, "lock"), os.O_CREATE|os.O_RDWR, 0o644) //nolint:gosec // the user chose the store
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

// index reads index.json.
func (s *Store) index() (*v1.IndexManifest, error) {
	f, err := os.Open(s.indexPath()) //nolint:gosec // the user chose the store
	if err != nil {
		return nil, fmt.Errorf("reading image store: %w", err)
	}
	defer f.Close()
	m, err := v1.ParseIndexManifest(f)
	if err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "move the directory away and build the images again", "reading %s", s.indexPath())
	}
	return m, nil
}

func (s *Store) writeIndex(m *v1.IndexManifest) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.write(s.indexPath(), data)
}

// update changes the index. The caller holds the lock.
func (s *Store) update(change func([]v1.Descriptor) []v1.Descriptor) error {
	m, err := s.index()
	if err != nil {
		return err
	}
	m.Manifests = change(m.Manifests)
	if m.Manifests == nil {
		m.Manifests = []v1.Descriptor{} // null is no valid index
	}
	return s.writeIndex(m)
}

// line is what the index says of an image with a name, or of one that this
// store put.
func (s *Store) line(d v1.Hash, manifest []byte, ref string) v1.Descriptor {
	l := v1.Descriptor{
		MediaType: mediaType(manifest), Size: int64(len(manifest)), Digest: d,
		Annotations: map[string]string{annotationWhen: s.now().UTC().Format(time.RFC3339Nano)},
	}
	if ref != "" {
		l.Annotations[annotationRef] = ref
	} else {
		l.Annotations[annotationBy] = s.id
	}
	return l
}

// mediaType is what a manifest says it is. OCI's need not say it.
func mediaType(manifest []byte) types.MediaType {
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil || m.MediaType == "" {
		return types.OCIManifestSchema1
	}
	return m.MediaType
}

func nameless(x v1.Descriptor) bool { return x.Annotations[annotationRef] == "" }

// mine reports whether x is an image without a name that this store put.
func (s *Store) mine(x v1.Descriptor, d v1.Hash) bool {
	return nameless(x) && x.Digest == d && x.Annotations[annotationBy] == s.id
}

// Put writes img and gives it back as read from the disk. Only that one is
// fit for checking: an image in memory can claim what its bytes do not say. It
// has no name yet, and stays until it is discarded, or for a day.
func (s *Store) Put(img v1.Image) (v1.Image, error) {
	d, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("hashing image: %w", err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return nil, fmt.Errorf("writing image: %w", err)
	}
	unlock, err := s.lock() // against removal of blobs that are there already
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.writeBlobs(img); err != nil {
		return nil, fmt.Errorf("writing image to %s: %w", s.dir, err)
	}
	back, err := readImage(s.dir, d)
	if err != nil {
		return nil, err
	}
	err = s.update(func(list []v1.Descriptor) []v1.Descriptor {
		list = slices.DeleteFunc(list, func(x v1.Descriptor) bool { return s.mine(x, d) })
		return append(list, s.line(d, manifest, ""))
	})
	return back, err
}

// Tag gives an image that was put its name. A name that another image had is
// taken from it; see [Store.Previous]. The one before that goes if it has no
// other name and is a day old.
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
	manifest, err := readDocument(s.dir, d)
	if err != nil {
		return fmt.Errorf("naming image %s: %w", d, err)
	}
	err = s.update(func(list []v1.Descriptor) []v1.Descriptor {
		list = slices.DeleteFunc(list, func(x v1.Descriptor) bool { return s.mine(x, d) })
		return append(replaced(list, ref, d), s.line(d, manifest, ref))
	})
	if err != nil {
		return err
	}
	return s.collect(nil)
}

// replaced takes a name from the image that has it, which becomes the one
// before. Where the same image gets the name again, that one stays.
func replaced(list []v1.Descriptor, ref string, by v1.Hash) []v1.Descriptor {
	named := func(x v1.Descriptor) bool { return x.Annotations[annotationRef] == ref }
	i := slices.IndexFunc(list, named)
	if i < 0 || list[i].Digest == by {
		return slices.DeleteFunc(list, named)
	}
	list = slices.DeleteFunc(list, func(x v1.Descriptor) bool { return x.Annotations[annotationBefore] == ref })
	x := &list[slices.IndexFunc(list, named)]
	delete(x.Annotations, annotationRef)
	x.Annotations[annotationBefore] = ref
	return list
}

// Previous gives the digest of the image that a name had before the one it has
// now. Where there is none it is a fault of kind NotFound.
func (s *Store) Previous(ref string) (string, error) {
	m, err := s.index()
	if err != nil {
		return "", err
	}
	x, named, err := find(m.Manifests, ref)
	if err != nil {
		return "", err
	}
	if !named {
		return "", fault.New(fault.NotFound, "name the image, or both that are to be compared", "%s is a digest, and what was before it is known of names only", ref)
	}
	full := x.Annotations[annotationRef]
	for _, y := range m.Manifests {
		if y.Annotations[annotationBefore] == full {
			return y.Digest.String(), nil
		}
	}
	return "", fault.New(fault.NotFound, "build it once more when something has changed, or name two images", "%s is the first image of its name", full)
}

// Discard removes an image that this store put, unless it has a name or
// another process has put it too.
func (s *Store) Discard(digest string) error {
	d, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return s.drop(func(x v1.Descriptor) bool { return s.mine(x, d) })
}

// Remove takes a name away, or by digest all names of an image, and then the
// blobs that no image has any more.
func (s *Store) Remove(ref string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m, err := s.index()
	if err != nil {
		return err
	}
	x, named, err := find(m.Manifests, ref)
	if err != nil {
		return err
	}
	if named {
		full := x.Annotations[annotationRef]
		return s.drop(func(y v1.Descriptor) bool { return y.Annotations[annotationRef] == full })
	}
	// Lines without a name are of those who are making the same image now,
	// unless there is nothing else: then somebody was killed.
	named = slices.ContainsFunc(m.Manifests, func(y v1.Descriptor) bool { return y.Digest == x.Digest && !nameless(y) })
	return s.drop(func(y v1.Descriptor) bool {
		return y.Digest == x.Digest && (!nameless(y) || !named || s.mine(y, x.Digest))
	})
}

// drop takes lines out of the index, and removes the images that had them and
// have no other. The caller holds the lock.
func (s *Store) drop(gone func(v1.Descriptor) bool) error {
	m, err := s.index()
	if err != nil {
		return err
	}
	names := make(map[string]bool) // that are left
	for _, x := range m.Manifests {
		if !gone(x) {
			names[x.Annotations[annotationRef]] = true
		}
	}
	without := func(x v1.Descriptor) bool { // also what a name had before that is no more
		before := x.Annotations[annotationBefore]
		return gone(x) || before != "" && !names[before]
	}
	var blobs []v1.Hash
	for _, x := range m.Manifests {
		if !without(x) {
			continue
		}
		of, err := s.blobsOf(x.Digest)
		if err != nil {
			return fmt.Errorf("reading image %s: %w", x.Digest, err)
		}
		blobs = append(blobs, of...)
	}
	if err := s.update(func(list []v1.Descriptor) []v1.Descriptor { return slices.DeleteFunc(list, without) }); err != nil {
		return err
	}
	return s.collect(blobs)
}

// Info is an image in the store.
type Info struct {
	Reference string    `json:"reference"` // name:tag
	Digest    string    `json:"digest"`    // of the manifest
	Created   time.Time `json:"created"`   // as the image says
	Tagged    time.Time `json:"tagged"`    // when it got this name
	Size      int64     `json:"size"`      // unpacked bytes, as in report.Build; 0 where the store does not know
	Download  int64     `json:"download"`  // bytes of the compressed layers
	Damaged   string    `json:"damaged,omitempty"`
}

// Get finds an image by name, digest or the beginning of a digest, of which
// four digits are enough if only one image has them. One that is not there is
// a fault of kind NotFound; one that is not whole, of kind Integrity.
func (s *Store) Get(ref string) (v1.Image, error) {
	d, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	img, err := readImage(s.dir, d)
	if err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "remove it with exuvia rm, and build it again", "image %s is damaged", ref)
	}
	return img, nil
}

// find gives the digest of an image as Get finds it.
func (s *Store) find(ref string) (v1.Hash, error) {
	m, err := s.index()
	if err != nil {
		return v1.Hash{}, err
	}
	x, _, err := find(m.Manifests, ref)
	return x.Digest, err
}

// find finds the line of an image, and says whether it is by its name. Images
// without a name are found by their whole digest only.
func find(list []v1.Descriptor, ref string) (v1.Descriptor, bool, error) {
	if full, err := Normalise(ref); err == nil {
		for _, x := range list {
			if x.Annotations[annotationRef] == full {
				return x, true, nil
			}
		}
	}
	prefix := strings.TrimPrefix(ref, "sha256:")
	var found []v1.Descriptor
	for _, x := range list {
		if len(prefix) >= 4 && strings.HasPrefix(x.Digest.Hex, prefix) && (!nameless(x) || prefix == x.Digest.Hex) &&
			!slices.ContainsFunc(found, func(y v1.Descriptor) bool { return y.Digest == x.Digest }) {
			found = append(found, x)
		}
	}
	switch len(found) {
	case 0:
		return v1.Descriptor{}, false, fault.New(fault.NotFound, "exuvia images lists what there is", "no image is called %q", ref)
	case 1:
		return found[0], false, nil
	}
	return v1.Descriptor{}, false, fault.New(fault.NotFound, "give more of it; exuvia images lists what there is", "%d images have a digest that begins with %q", len(found), prefix)
}

// List gives the named images, the one named last first. A damaged one is in
// the list, so that it can be removed.
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
			i.Damaged = err.Error()
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
	img, err := readImage(s.dir, x.Digest)
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
	if data, err := s.document(x.Digest, "report.json"); err == nil && json.Unmarshal(data, &known) == nil {
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

// PutSidecar keeps a document with an image.
func (s *Store) PutSidecar(digest, name string, data []byte) error {
	d, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	if !fs.ValidPath(name) || strings.Contains(name, "/") || strings.HasPrefix(name, ".") {
		return fmt.Errorf("invalid name of a document %q", name)
	}
	unlock, err := s.lock() // against removal of the directory
	if err != nil {
		return err
	}
	defer unlock()
	dir := filepath.Join(s.dir, documents, d.Hex)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the user chose the store, and a digest is hexadecimal
		return err
	}
	return s.write(filepath.Join(dir, name), data)
}

// Sidecar reads a document that was kept with an image. What is not there is a
// fault of kind NotFound.
func (s *Store) Sidecar(ref, name string) ([]byte, error) {
	d, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	data, err := s.document(d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "build it again with exuvia build", "nothing is known of how %s was built", ref)
	}
	return data, err
}

func (s *Store) document(d v1.Hash, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, documents, d.Hex, filepath.Base(name))) //nolint:gosec // a digest is hexadecimal, the rest one component
}
