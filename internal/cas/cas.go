// Package cas keeps files by the SHA-256 of their contents, trees of such
// files, and records of what was computed from what. It is safe under any
// number of exuvia processes at once and a kill at any point: every write is a
// rename of a finished file. What is read is checked; a damaged entry is
// removed and reported as [ErrCorrupt], so that the next run makes it anew.
//
// It is not a store of images (oci has that) and knows no policy: what a key
// is made of is the caller's affair.
package cas

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrCorrupt says that a cache entry was not what its name says. It has been
// removed; doing the work again mends it.
var ErrCorrupt = errors.New("damaged cache entry")

// Stamp is the modification time of every file in the store and of every
// materialised tree: 1980-01-01, the first that a zip archive can hold.
var Stamp = time.Unix(315532800, 0)

// Store is a directory of files by hash.
type Store struct {
	dir   string
	whole sync.Map // what this process has found whole: blobs by sum, materialised trees by directory
}

// Open makes the store's directory where it is missing.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"blobs", "trees", "records", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("making cache: %w", err)
		}
	}
	return &Store{dir: dir}, nil
}

// Dir is where the store is.
func (s *Store) Dir() string { return s.dir }

// Blob is a file in the store.
type Blob struct {
	Sum  string // SHA-256 in hex
	Size int64  // bytes
}

// Temp makes an empty directory in the store's file system, for work whose
// results are renamed or linked into the store. The caller removes it.
func (s *Store) Temp(pattern string) (string, error) {
	return os.MkdirTemp(filepath.Join(s.dir, "tmp"), pattern+"-*")
}

// Put reads r to its end and keeps what it gave.
func (s *Store) Put(r io.Reader) (Blob, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "blob-*")
	if err != nil {
		return Blob{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), r)
	if err != nil {
		return Blob{}, fmt.Errorf("writing cache: %w", err)
	}
	b := Blob{Sum: hex.EncodeToString(h.Sum(nil)), Size: n}
	if s.Has(b) {
		return b, nil
	}
	if err := f.Chmod(0o644); err != nil {
		return Blob{}, err
	}
	if err := f.Close(); err != nil {
		return Blob{}, fmt.Errorf("writing cache: %w", err)
	}
	return b, s.adopt(f.Name(), s.path(b.Sum))
}

// adopt stamps the finished file tmp and gives it its name in the store.
func (s *Store) adopt(tmp, name string) error {
	if err := os.Chtimes(tmp, Stamp, Stamp); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// Has reports whether the store holds b, by its name, size and stamp; the
// contents are checked when they are read.
func (s *Store) Has(b Blob) bool {
	if size, ok := s.whole.Load(b.Sum); ok {
		return size == b.Size
	}
	fi, err := os.Lstat(s.path(b.Sum))
	if err != nil || !intact(fi, b.Size) {
		return false
	}
	s.whole.Store(b.Sum, b.Size)
	return true
}

// intact reports whether nobody has written to a file of the store.
func intact(fi fs.FileInfo, size int64) bool {
	return fi.Mode().IsRegular() && fi.Size() == size && fi.ModTime().Equal(Stamp)
}

// Open reads the blob with this hash. Reading to the end checks it: the last
// Read gives [ErrCorrupt] in place of io.EOF where the contents do not match.
// What is not there is fs.ErrNotExist. The caller closes.
func (s *Store) Open(sum string) (io.ReadCloser, error) {
	f, err := os.Open(s.path(sum))
	if err != nil {
		return nil, err
	}
	return &checked{f: f, h: sha256.New(), sum: sum, drop: func() { s.remove(sum) }}, nil
}

func (s *Store) path(sum string) string {
	if len(sum) != 2*sha256.Size {
		return filepath.Join(s.dir, "blobs", "invalid")
	}
	return filepath.Join(s.dir, "blobs", sum[:2], sum)
}

// remove drops a damaged blob and its variants with other permissions.
func (s *Store) remove(sum string) {
	s.whole.Delete(sum)
	variants, _ := filepath.Glob(s.path(sum) + ".*")
	for _, p := range append(variants, s.path(sum)) {
		_ = os.Remove(p) // what stays is found damaged again
	}
}

// checked hashes a file while it is read.
type checked struct {
	f    *os.File
	h    hash.Hash
	sum  string
	drop func()
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	c.h.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.h.Sum(nil)) != c.sum {
		c.drop()
		return n, fmt.Errorf("%s: %w", c.sum, ErrCorrupt)
	}
	return n, err
}

func (c *checked) Close() error { return c.f.Close() }
