package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

func now() time.Time { return time.Unix(1_800_000_000, 0) }

// numbered makes an image that differs from others in its app's layer only.
func numbered(t testing.TB, c *cas.Store, n int) v1.Image {
	t.Helper()
	system, err := tree.New(tree.File("usr/lib/x.so", 0o644, []byte(strings.Repeat("elf", 1000)), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	app, err := tree.New(tree.File("app/main.py", 0o644, fmt.Appendf(nil, "print(%d)", n), tree.Origin{Kind: tree.Project}))
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := Assemble(t.Context(), c, []LayerSpec{{"system", system}, {"app", app}}, plan.Config{}, meta)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func hexOf(t testing.TB, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func blobs(t *testing.T, s *Store) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func put(t *testing.T, s *Store, img v1.Image, ref string) string {
	t.Helper()
	if _, err := s.Put(img); err != nil {
		t.Fatal(err)
	}
	if ref != "" {
		if err := s.Tag(ref, hexOf(t, img)); err != nil {
			t.Fatal(err)
		}
	}
	return hexOf(t, img)
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != kind || f.Hint == "" {
		t.Errorf("error is %v, want a fault of kind %d", err, kind)
	}
}

// Other tools can read the store.
func TestStoreIsALayout(t *testing.T) {
	s := images(t, now)
	c := store(t)
	put(t, s, numbered(t, c, 1), "app:1")
	put(t, s, numbered(t, c, 2), "")
	idx, err := layout.ImageIndexFromPath(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx); err != nil {
		t.Errorf("layout is not valid: %v", err)
	}
}

func TestRemoveLeavesWhatOthersNeed(t *testing.T) {
	s := images(t, now)
	c := store(t)
	one := put(t, s, numbered(t, c, 1), "app:1")
	two := put(t, s, numbered(t, c, 2), "app:2")
	if n := blobs(t, s); n != 7 { // two manifests, configs, app layers; one system layer
		t.Fatalf("%d blobs", n)
	}
	if err := s.PutSidecar(one, "report.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("app:1"); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, s); n != 4 {
		t.Errorf("%d blobs are left, want 4", n)
	}
	img, err := s.Get(two)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Errorf("the other image is damaged: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, documents, strings.TrimPrefix(one, "sha256:"))); err == nil {
		t.Error("what was kept with the image is still there")
	}
	wantKind(t, s.Remove("app:1"), fault.NotFound)
	if err := s.Remove(two[:20]); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, s); n != 0 {
		t.Errorf("%d blobs are left, want none", n)
	}
}

// Two processes may make the same image at once; one of them giving up, or
// the user removing the image of before, takes nothing from the other.
func TestStoresShareImages(t *testing.T) {
	a := images(t, now)
	b, err := OpenStore(a.dir, now)
	if err != nil {
		t.Fatal(err)
	}
	c := store(t)
	img := numbered(t, c, 1)
	d := put(t, a, img, "")
	put(t, b, img, "")
	if err := a.Discard(d); err != nil {
		t.Fatal(err)
	}
	if err := b.Tag("app:1", d); err != nil {
		t.Errorf("the image was taken away: %v", err)
	}
	put(t, a, img, "")
	if err := b.Remove("app:1"); err != nil {
		t.Fatal(err)
	}
	if list, err := a.List(); err != nil || len(list) != 0 {
		t.Errorf("list is %v, %v", list, err)
	}
	if err := a.Tag("app:1", d); err != nil {
		t.Errorf("the image was taken away: %v", err)
	}
	if err := a.Discard(d); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get("app"); err == nil {
		t.Error("app:latest is there")
	}
	if _, err := a.Get("app:1"); err != nil {
		t.Errorf("a named image was discarded: %v", err)
	}
}

// What a killed process, or a new image of the same name, left goes after a
// day, not at once: somebody may be reading it.
func TestLeftoversGo(t *testing.T) {
	at := now()
	s := images(t, func() time.Time { return at })
	c := store(t)
	put(t, s, numbered(t, c, 1), "app:1")
	put(t, s, numbered(t, c, 4), "app:1") // takes the name
	put(t, s, numbered(t, c, 2), "app:1") // and so does this; only the image before it stays
	killed, err := OpenStore(s.dir, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	third := put(t, killed, numbered(t, c, 3), "")
	tmp := filepath.Join(s.dir, documents, unfinished+"x")
	if err := os.WriteFile(tmp, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(tmp, at, at); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		pass time.Duration
		want int
	}{{time.Hour, 13}, {grace, 7}} {
		at = at.Add(step.pass)
		put(t, s, numbered(t, c, 2), "app:1")
		if n := blobs(t, s); n != step.want {
			t.Errorf("after %v: %d blobs, want %d", step.pass, n, step.want)
		}
	}
	if _, err := os.Stat(tmp); err == nil {
		t.Error("an unfinished file is still there")
	}
	if _, err := s.Get(third); err == nil {
		t.Error("an image without a name is still there")
	}
}

// What a name had before is for diffs: it must be there for as long as the
// name, be it named once more, and go with it.
func TestPreviousImage(t *testing.T) {
	s := images(t, now)
	c := store(t)
	one := put(t, s, numbered(t, c, 1), "app:1")
	_, err := s.Previous("app:1")
	wantKind(t, err, fault.NotFound)
	two := put(t, s, numbered(t, c, 2), "app:1")
	put(t, s, numbered(t, c, 3), "other:1")
	for _, step := range []struct {
		name   string
		number int // of the image that gets the name
		want   string
	}{{"another", 0, one}, {"the same again", 2, one}, {"the one before", 1, two}, {"and back", 2, one}} {
		if step.number > 0 {
			put(t, s, numbered(t, c, step.number), "app:1")
		}
		if got, err := s.Previous("app:1"); err != nil || got != step.want {
			t.Errorf("%s: before it was %s, %v, want %s", step.name, got, err, step.want)
		}
	}
	if _, err := s.Get(one); err != nil {
		t.Errorf("the image before: %v", err)
	}
	list, err := s.List()
	if err != nil || len(list) != 2 {
		t.Errorf("the list has %d images, %v: those without a name do not belong there", len(list), err)
	}
	_, err = s.Previous(two)
	wantKind(t, err, fault.NotFound)
	if err := s.Remove(two); err != nil { // all its names, app:1
		t.Fatal(err)
	}
	if n := blobs(t, s); n != 4 {
		t.Errorf("%d blobs are left, want those of the other", n)
	}
}

func TestRemoveWhatAKilledProcessPut(t *testing.T) {
	s := images(t, now)
	other, err := OpenStore(s.dir, now)
	if err != nil {
		t.Fatal(err)
	}
	d := put(t, other, numbered(t, store(t), 1), "")
	if err := s.Remove(d); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, s); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
}

func TestAmbiguousDigest(t *testing.T) {
	list := []v1.Descriptor{
		{Digest: v1.Hash{Algorithm: "sha256", Hex: "abcd1" + strings.Repeat("0", 59)}, Annotations: map[string]string{annotationRef: "a:1"}},
		{Digest: v1.Hash{Algorithm: "sha256", Hex: "abcd2" + strings.Repeat("0", 59)}, Annotations: map[string]string{annotationRef: "b:1"}},
		{Digest: v1.Hash{Algorithm: "sha256", Hex: "abcd2" + strings.Repeat("0", 59)}, Annotations: map[string]string{annotationRef: "abcd1:latest"}},
	}
	for ref, want := range map[string]string{"abcd2": "b:1", "sha256:abcd2": "b:1", "abcd1": "abcd1:latest", "abcd": "", "abc": "", "": ""} {
		x, _, err := find(list, ref)
		if got := x.Annotations[annotationRef]; got != want {
			t.Errorf("%q finds %q, want %q", ref, got, want)
		}
		if want == "" {
			wantKind(t, err, fault.NotFound)
		}
	}
}

// A damaged image is said to be, does not hide others, and is mended by
// putting it again or goes by removing it.
func TestDamagedImages(t *testing.T) {
	c := store(t)
	for name, damage := range map[string]func(path string) error{
		"cut short": func(p string) error { return os.Truncate(p, 10) },
		"gone":      os.Remove,
	} {
		for _, part := range []string{"manifest", "config", "layer"} {
			t.Run(part+" "+name, func(t *testing.T) {
				s := images(t, now)
				img := numbered(t, c, 1)
				d := put(t, s, img, "app:1")
				put(t, s, numbered(t, c, 2), "other:1")
				m, err := img.Manifest()
				if err != nil {
					t.Fatal(err)
				}
				h, err := v1.NewHash(d)
				if err != nil {
					t.Fatal(err)
				}
				hash := map[string]v1.Hash{"manifest": h, "config": m.Config.Digest, "layer": m.Layers[1].Digest}[part]
				hit := func() {
					if err := damage(blobPath(s.dir, hash)); err != nil {
						t.Fatal(err)
					}
				}
				hit()
				_, err = s.Get("app:1")
				wantKind(t, err, fault.Integrity)
				list, err := s.List()
				if err != nil || len(list) != 2 {
					t.Fatalf("list is %+v, %v", list, err)
				}
				for _, i := range list {
					if (i.Damaged != "") != (i.Reference == "app:1") {
						t.Errorf("%+v", i)
					}
				}
				put(t, s, img, "app:1")
				if _, err := s.Get("app:1"); err != nil {
					t.Errorf("not mended: %v", err)
				}
				hit()
				if err := s.Remove("app:1"); err != nil {
					t.Errorf("cannot be removed: %v", err)
				}
				if _, err := s.Get("other:1"); err != nil {
					t.Errorf("the other image went: %v", err)
				}
			})
		}
	}
}

func TestDamagedIndex(t *testing.T) {
	s := images(t, now)
	if err := os.WriteFile(s.indexPath(), []byte(`{"manifests":`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := s.List()
	wantKind(t, err, fault.Integrity)
}

func TestSidecarNames(t *testing.T) {
	s := images(t, now)
	d := put(t, s, numbered(t, store(t), 1), "app:1")
	for _, name := range []string{"", "..", "../x", "a/b", "/x", ".hidden"} {
		if err := s.PutSidecar(d, name, nil); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := s.PutSidecar(d, "x.json", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if data, err := s.Sidecar("app:1", "x.json"); err != nil || string(data) != "1" {
		t.Errorf("%q, %v", data, err)
	}
	_, err := s.Sidecar("app:1", "y.json")
	wantKind(t, err, fault.NotFound)
}

// churn does what builds and removals do.
func churn(s *Store, img v1.Image, ref string) error {
	d, err := img.Digest()
	if err != nil {
		return err
	}
	if _, err := s.Put(img); err != nil {
		return fmt.Errorf("putting: %w", err)
	}
	if err := s.PutSidecar(d.String(), "report.json", []byte(`{"size":1}`)); err != nil {
		return fmt.Errorf("documenting: %w", err)
	}
	if err := s.Tag(ref, d.String()); err != nil {
		return fmt.Errorf("naming: %w", err)
	}
	if _, err := s.Get(ref); err != nil {
		return fmt.Errorf("getting: %w", err)
	}
	if _, err := s.List(); err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	return s.Remove(ref)
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	c := store(t)
	imgs := []v1.Image{numbered(t, c, 0), numbered(t, c, 1), numbered(t, c, 2)}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			s, err := OpenStore(dir, time.Now)
			for i := range 10 {
				if err == nil {
					err = churn(s, imgs[(w+i)%3], fmt.Sprintf("app:%d", w))
				}
			}
			if err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	wg.Wait()
	s, err := OpenStore(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("list is %v, %v", list, err)
	}
	if n := blobs(t, s); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
}

// TestKilledHelper is the process that TestKilled kills.
func TestKilledHelper(t *testing.T) {
	dir := os.Getenv("OCI_TEST_KILLED")
	if dir == "" {
		t.Skip("runs as a process of another test")
	}
	c := store(t)
	imgs := []v1.Image{numbered(t, c, 0), numbered(t, c, 1)}
	fmt.Println("ready")
	for i := 0; ; i++ {
		s, err := OpenStore(dir, time.Now)
		if err == nil {
			err = churn(s, imgs[i%2], "app:1")
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
}

// Whenever a process is killed, the store is whole and the next one works.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	for round := range 15 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledHelper$")
		cmd.Env = append(os.Environ(), "OCI_TEST_KILLED="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(round*1300) * time.Microsecond)
		_ = cmd.Process.Kill() // it may have ended with an error, which Wait tells
		if err := cmd.Wait(); err == nil || strings.Contains(err.Error(), "exit status 3") {
			t.Fatalf("round %d: the process ended by itself: %v", round, err)
		}
		s, err := OpenStore(dir, time.Now)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		list, err := s.List()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, i := range list {
			if img, err := s.Get(i.Reference); err != nil {
				t.Errorf("round %d: %v", round, err)
			} else if err := validate.Image(img); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
	}
	s, err := OpenStore(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := churn(s, numbered(t, store(t), 7), "app:1"); err != nil {
		t.Error(err)
	}
}
