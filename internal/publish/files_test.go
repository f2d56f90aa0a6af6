package publish

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"exuvia/internal/fault"
)

// files lists the files below dir, relative to it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func publish(t *testing.T, p Publisher, img v1.Image) string {
	t.Helper()
	where, err := p.Publish(t.Context(), img)
	if err != nil {
		t.Fatalf("%T: %v", p, err)
	}
	return where
}

// names lists what a layout's index has: name or digest.
func names(t *testing.T, dir string) []string {
	t.Helper()
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx); err != nil {
		t.Errorf("layout is not valid: %v", err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, d := range m.Manifests {
		n := d.Annotations[refName]
		if n == "" {
			n = d.Digest.String()
		}
		out = append(out, n)
	}
	return out
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "layout")
	one, two := image(t, 1), image(t, 2)
	if got := publish(t, Layout{dir}, one); got != "oci:"+dir {
		t.Errorf("published as %q", got)
	}
	publish(t, Layout{dir}, one) // again: no second line
	if d := cmp.Diff([]string{digest(t, one)}, names(t, dir)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	publish(t, Layout{dir}, As(one, "app:1")) // gets its name
	publish(t, Layout{dir}, As(two, "app:2"))
	publish(t, Layout{dir}, As(one, "other:1")) // two names
	if d := cmp.Diff([]string{"app:1", "app:2", "other:1"}, names(t, dir)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	publish(t, Layout{dir}, As(two, "app:1")) // takes the name
	if d := cmp.Diff([]string{"app:2", "other:1", "app:1"}, names(t, dir)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestLayoutRefuses(t *testing.T) {
	for name, have := range map[string]map[string]string{
		"other files":     {"main.py": "x"},
		"another version": {"oci-layout": `{"imageLayoutVersion":"2.0.0"}`, "index.json": "{}"},
		"no JSON":         {"oci-layout": "x"},
		"damaged index":   {"oci-layout": layoutFile, "index.json": "{"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for f, data := range have {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Layout{dir}.Publish(t.Context(), image(t, 1))
			wantFault(t, err, fault.Publish, "OCI layout")
			for f, data := range have {
				if now, err := os.ReadFile(filepath.Join(dir, f)); f != "oci-layout" && (err != nil || string(now) != data) {
					t.Errorf("%s was changed to %q", f, now)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Layout{file}.Publish(t.Context(), image(t, 1))
	wantFault(t, err, fault.Publish, "OCI layout")
}

// A layout may have been half copied; a blob of the right size is no proof.
func TestLayoutMendsDamagedBlobs(t *testing.T) {
	dir := t.TempDir()
	img := image(t, 1)
	publish(t, Layout{dir}, img)
	for _, f := range files(t, filepath.Join(dir, "blobs")) {
		name := filepath.Join(dir, "blobs", f)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, Layout{dir}, img)
	names(t, dir) // validates
}

// A link in a layout must not lead writing out of it.
func TestLayoutStaysInside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(layoutFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	_, err := Layout{dir}.Publish(t.Context(), image(t, 1))
	wantFault(t, err, fault.Publish, "OCI layout")
	if left := files(t, outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

// A killed process leaves files that were not finished, and may have been the
// first of all.
func TestLayoutAfterAKill(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, unfinished+"x")
	if err := os.WriteFile(left, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	publish(t, Layout{dir}, image(t, 1))
	if _, err := os.Stat(left); err == nil {
		t.Error("the unfinished file is still there")
	}
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	publish(t, Layout{dir}, image(t, 1))
	names(t, dir)
}

func TestLayoutByManyAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			if _, err := (Layout{dir}).Publish(t.Context(), As(image(t, int64(n)), "app:"+string(rune('a'+n)))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := names(t, dir); len(got) != 8 {
		t.Errorf("index has %v, want 8 names", got)
	}
}

func TestDockerArchive(t *testing.T) {
	for ref, want := range map[string][]string{"app:1": {"app:1"}, "app:latest": {"app:latest"}, "localhost:5000/team/app:1": {"localhost:5000/team/app:1"}, "": nil} {
		file := filepath.Join(t.TempDir(), "app.tar")
		img := image(t, 1)
		named := img
		if ref != "" {
			named = As(img, ref)
		}
		if got := publish(t, Archive{file, Docker}, named); got != "docker-archive:"+file {
			t.Errorf("published as %q", got)
		}
		m, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(file) })
		if err != nil || len(m) != 1 {
			t.Fatalf("manifest has %d images, error %v", len(m), err)
		}
		if d := cmp.Diff(want, m[0].RepoTags); d != "" {
			t.Errorf("names (-want +got)\n%s", d)
		}
		back, err := tarball.ImageFromPath(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		was, _ := img.ConfigName()
		if is, err := back.ConfigName(); err != nil || is != was {
			t.Errorf("config is %v, was %v (%v)", is, was, err)
		}
		if err := validate.Image(back); err != nil {
			t.Errorf("image is not valid: %v", err)
		}
	}
}

func TestOCIArchive(t *testing.T) {
	file, dir := filepath.Join(t.TempDir(), "app.tar"), t.TempDir()
	img := As(image(t, 1), "app:1")
	if got := publish(t, Archive{file, OCI}, img); got != "oci-archive:"+file {
		t.Errorf("published as %q", got)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 || len(h.PAXRecords) > 0 {
			t.Errorf("%s has something of this machine: %+v", h.Name, h)
		}
		name := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			if err := os.Mkdir(name, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"app:1"}, names(t, dir)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	h, _ := v1.NewHash(digest(t, img))
	if back, err := layout.Path(dir).Image(h); err != nil || digest(t, back) != digest(t, img) {
		t.Errorf("another image came out: %v", err)
	}
}

func TestArchivesAreReproducible(t *testing.T) {
	for _, form := range []Form{OCI, Docker} {
		var first []byte
		for range 3 {
			file := filepath.Join(t.TempDir(), "x.tar")
			publish(t, Archive{file, form}, As(image(t, 1), "app:1"))
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			}
			if !bytes.Equal(first, data) {
				t.Errorf("%s: the same image gave other bytes", form)
			}
		}
	}
}

// damaged is an image whose first layer is not what its digest says.
type damaged struct{ v1.Image }

type damagedLayer struct{ v1.Layer }

func (d damaged) Layers() ([]v1.Layer, error) {
	ls, err := d.Image.Layers()
	ls[0] = damagedLayer{ls[0]}
	return ls, err
}

func (d damagedLayer) Compressed() (io.ReadCloser, error) {
	r, err := d.Layer.Compressed()
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, 10), r}, err
}

// What is there stays, and nothing else is left, when a file cannot be
// written to its end.
func TestArchiveIsWholeOrNotThere(t *testing.T) {
	for _, form := range []Form{OCI, Docker} {
		dir := t.TempDir()
		file := filepath.Join(dir, "x.tar")
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Archive{file, form}.Publish(t.Context(), damaged{image(t, 1)})
		wantFault(t, err, fault.Publish, "x.tar")
		if data, err := os.ReadFile(file); err != nil || string(data) != "old" {
			t.Errorf("%s: the old file has become %q, %v", form, data, err)
		}
		if left := files(t, dir); len(left) != 1 {
			t.Errorf("%s: left behind: %v", form, left)
		}
	}
}

func TestArchiveRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, word := range map[string]string{
		filepath.Join(dir, "none", "x.tar"): "no directory",
		dir:                                 "no file",
		dir + "/":                           "no file",
		"/dev/null":                         "no file",
	} {
		_, err := Archive{name, OCI}.Publish(t.Context(), image(t, 1))
		wantFault(t, err, fault.Publish, word)
	}
}

// A device that is full stands for the disk.
func TestNoSpaceIsSaidSo(t *testing.T) {
	w, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	defer w.Close()
	err = failed(t.Context(), writeOCI(t.Context(), w, image(t, 1)), "hint", "writing x.tar")
	wantFault(t, err, fault.Space, "x.tar")
}

// The umask decides about a file's mode, as for files of other programs.
func TestArchiveHasTheUsersMode(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	f, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	publish(t, Archive{filepath.Join(dir, "x.tar"), OCI}, image(t, 1))
	want, _ := os.Stat(plain)
	if got, err := os.Stat(filepath.Join(dir, "x.tar")); err != nil || got.Mode() != want.Mode() {
		t.Errorf("mode is %v, %v; want %v", got.Mode(), err, want.Mode())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"oci:x", "oci-archive:a.tar", "docker-archive:", "x.tar", ":", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if (p == nil) == (err == nil) {
			t.Fatalf("Parse(%q) = %v, %v: want a result or an error", s, p, err)
		}
		switch p := p.(type) {
		case Layout:
			if "oci:"+p.Dir != s {
				t.Errorf("Parse(%q) names %q", s, p.Dir)
			}
		case Archive:
			if got := string(p.Form) + ":" + p.File; got != s && p.File != s {
				t.Errorf("Parse(%q) names %q", s, got)
			}
		}
	})
}

// ADD in a Dockerfile unpacks it: the files of all layers, without the layers.
func TestRootFS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.tar")
	img := image(t, 1)
	if got := publish(t, Archive{file, RootFS}, img); got != "rootfs:"+file {
		t.Errorf("published as %q", got)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		tr := tar.NewReader(r)
		for h, err := tr.Next(); err == nil; h, err = tr.Next() {
			want[h.Name] = true
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for h, err := tr.Next(); err == nil; h, err = tr.Next() {
		delete(want, h.Name)
	}
	if len(want) > 0 || len(layers) == 0 {
		t.Errorf("it lacks %v", want)
	}
}
