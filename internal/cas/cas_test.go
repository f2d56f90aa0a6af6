package cas

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, data string) Blob {
	t.Helper()
	b, err := s.Put(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A flipped byte in the cache must never reach an image.
func TestDamagedBlobIsNoticedAndDropped(t *testing.T) {
	s := open(t)
	b := put(t, s, "hello")
	if err := os.WriteFile(s.path(b.Sum), []byte("jello"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(s.Dir()) // as the next process
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.path(b.Sum), Stamp, Stamp); err != nil { // as if nobody had written
		t.Fatal(err)
	}
	r, err := s.Open(b.Sum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading a damaged blob: %v, want ErrCorrupt", err)
	}
	if s.Has(b) {
		t.Error("the damaged blob is still there")
	}
}

func TestWrittenBlobIsNoticedByItsStamp(t *testing.T) {
	s := open(t)
	b := put(t, s, "hello")
	if err := os.WriteFile(s.path(b.Sum), []byte("jello"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(s.Dir()) // as the next process
	if err != nil {
		t.Fatal(err)
	}
	if s.Has(b) {
		t.Error("a blob that was written to counts as whole")
	}
	put(t, s, "hello")
	if !s.Has(b) {
		t.Error("putting it again does not mend it")
	}
}

// Links and extended attributes, capabilities above all, are bytes of any kind.
func TestTreeRoundTripOfBytes(t *testing.T) {
	s := open(t)
	odd := tree.File("odd", 0o644, nil, tree.Origin{})
	odd.Xattrs = map[string]string{"security.capability": "\x01\x00\xff\x80", "user.text": "text"}
	want, err := tree.New(odd, tree.Symlink("odd-link", "\xff/\xfe", tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutTree(t.Context(), "test", Key("a"), want); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Tree("test", Key("a")); !ok || got.Digest() != want.Digest() {
		t.Errorf("found: %v, %v", ok, tree.Diff(want, got))
	}
}

func TestTreeRoundTrip(t *testing.T) {
	s := open(t)
	want, err := tree.New(
		tree.File("bin/x", 0o755, []byte("#!"), tree.Origin{Kind: tree.Deb, Name: "x"}),
		tree.File("etc/x", 0o600, []byte("#!"), tree.Origin{}),
		tree.Symlink("x", "bin/x", tree.Origin{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutTree(t.Context(), "test", Key("a"), want); err != nil {
		t.Fatal(err)
	}
	got, ok := s.Tree("test", Key("a"))
	if !ok || got.Digest() != want.Digest() {
		t.Fatalf("tree is not what it was (found: %v)", ok)
	}
	dirs, err := s.Materialise(t.Context(), got)
	if err != nil || len(dirs) != 2 {
		t.Fatalf("directories %v, %v, want one for each of two origins", dirs, err)
	}
	modes := make(map[string]string)
	for _, dir := range dirs {
		look(t, dir, modes)
	}
	delete(modes, ".")
	if diff := cmp.Diff(map[string]string{
		"bin": "drwxr-xr-x", "bin/x": "-rwxr-xr-x", "etc": "drwxr-xr-x", "etc/x": "-rw-------", "x": "Lrwxrwxrwx",
	}, modes); diff != "" {
		t.Errorf("on disk (-want +got):\n%s", diff)
	}
	mended(t, s, got, dirs)
}

// look notes the modes of all below dir.
func look(t *testing.T, dir string, modes map[string]string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		fi, err2 := os.Lstat(p)
		rel, err3 := filepath.Rel(dir, p)
		modes[rel] = fi.Mode().String()
		return errors.Join(err, err2, err3)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mended damages a tree on disk; the next process has to make it anew.
func mended(t *testing.T, s *Store, tr *tree.Tree, dirs []string) {
	t.Helper()
	lost := ""
	for _, dir := range dirs {
		if p := filepath.Join(dir, "bin/x"); os.Remove(p) == nil {
			lost = p
		}
	}
	next, err := Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Materialise(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lost); err != nil {
		t.Errorf("the damaged tree was not mended: %v", err)
	}
}

func TestDamagedRecordIsNone(t *testing.T) {
	s := open(t)
	if err := s.Record("test", Key("k"), 42); err != nil {
		t.Fatal(err)
	}
	var got int
	if !s.Lookup("test", Key("k"), &got) || got != 42 {
		t.Fatalf("record is %d, want 42", got)
	}
	if err := os.WriteFile(s.record("test", Key("k")), []byte("0\n42"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s.Lookup("test", Key("k"), &got) {
		t.Error("a damaged record was believed")
	}
}

func TestPruneLeavesAUsableStore(t *testing.T) {
	s := open(t)
	b := put(t, s, strings.Repeat("x", 5000))
	n, err := s.Prune()
	if err != nil || n < 5000 {
		t.Fatalf("pruning freed %d bytes, error %v", n, err)
	}
	if s.Has(b) {
		t.Error("the blob is still there")
	}
	put(t, s, "again")
}

// Processes that make the same tree at once are in nobody's way.
func TestMaterialiseAtOnce(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var entries []tree.Entry
	for i := range 200 {
		b, err := s.Put(strings.NewReader(strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, s.Entry(fmt.Sprintf("bin/%d", i), 0o755, b, tree.Origin{}))
	}
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 24 {
		all.Go(func() {
			if _, err := s.Materialise(t.Context(), tr); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A file can have only so many names (65,000 on ext4); trees go on being
// written after that.
func TestFileWithTooManyNames(t *testing.T) {
	s, dir := open(t), t.TempDir()
	e := s.Entry("x", 0o755, put(t, s, ""), tree.Origin{})
	for i := range 1<<16 + 1 {
		if err := s.link(filepath.Join(dir, strconv.Itoa(i)), e); err != nil {
			t.Fatalf("name %d: %v", i, err)
		}
	}
	if fi, err := os.Stat(filepath.Join(dir, "65536")); err != nil || fi.Mode() != 0o755 || !intact(fi, 0) {
		t.Errorf("the last name is %v, error %v", fi, err)
	}
}
