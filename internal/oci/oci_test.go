package oci

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

var meta = Meta{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Epoch: cas.Stamp, Base: "scratch", Name: "app"}

func store(t *testing.T) *cas.Store {
	t.Helper()
	s, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func images(t *testing.T, now func() time.Time) *Store {
	t.Helper()
	s, err := OpenStore(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// someTree has one of everything that an image can hold.
func someTree(t *testing.T) *tree.Tree {
	t.Helper()
	file := func(p string, mode fs.FileMode, data string) tree.Entry {
		return tree.File(p, mode, []byte(data), tree.Origin{Kind: tree.Deb, Name: "x"})
	}
	owned := file("home/app/.profile", 0o600, "PATH=")
	owned.UID, owned.GID = 65532, 65532
	setuid := file("usr/bin/su", fs.ModeSetuid|0o755, "elf")
	caps := file("usr/bin/ping", 0o755, "ping")
	caps.Xattrs = map[string]string{"security.capability": "\\x01\\x00\\xff"}
	hard := file("usr/share/zoneinfo/b", 0o644, "TZ")
	first := hard
	first.Path = "usr/share/zoneinfo/a"
	hard.Link = first.Path
	tr, err := tree.New(
		owned, setuid, caps, hard, first, tree.Symlink("bin", "usr/bin", tree.Origin{}), tree.Dir("tmp", fs.ModeSticky|0o777, tree.Origin{}),
		file("usr/"+strings.Repeat("long/", 40)+"name", 0o644, strings.Repeat("x", 70000)), file("usr/umlaut-ä", 0o644, ""),
		tree.File("app/main.py", 0o644, []byte("print()"), tree.Origin{Kind: tree.Project, Name: "app"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func byKind(e tree.Entry) string {
	if e.From.Kind == tree.Project {
		return "app"
	}
	return "system"
}

func assemble(t *testing.T, s *cas.Store, tr *tree.Tree) v1.Image {
	t.Helper()
	img, _, err := Assemble(t.Context(), s, Split(tr, byKind, "system", "dependencies", "app"), plan.Config{
		Entrypoint: []string{"/app/main"}, User: "65532:65532", WorkingDir: "/app", Ports: []string{"80/tcp"}, Env: []string{"A=b"}, Writable: []string{"/data"},
	}, meta)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// What is written is what is read: modes, owners, links and all.
func TestRoundTrip(t *testing.T) {
	want := someTree(t)
	s := store(t)
	img, err := images(t, time.Now).Put(assemble(t, s, want))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Errorf("image is not valid: %v", err)
	}
	got, c, err := Flatten(t.Context(), s, img)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Diff(want, got) {
		t.Errorf("%s: was %+v, is %+v", d.Path, d.Old, d.New)
	}
	if c.WorkingDir != "/app" || c.User != "65532:65532" || !cmp.Equal(c.Ports, []string{"80/tcp"}) || !cmp.Equal(c.Writable, []string{"/data"}) {
		t.Errorf("config is %+v", c)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v; the empty one should be left out", len(layers), err)
	}
}

// The digest depends on the tree and nothing else: not on the store, the
// order of building, or what was cached.
func TestSameTreeSameDigest(t *testing.T) {
	warm := store(t)
	first := digest(t, assemble(t, warm, someTree(t)))
	if again := digest(t, assemble(t, warm, someTree(t))); again != first {
		t.Errorf("warm digest is %s, not %s", again, first)
	}
	if cold := digest(t, assemble(t, store(t), someTree(t))); cold != first {
		t.Errorf("digest in another store is %s, not %s", cold, first)
	}
}

func TestRandomTreesRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := store(t)
	for range 50 {
		var entries []tree.Entry
		for range 1 + r.IntN(30) {
			p := strings.Repeat("d/", r.IntN(4)) + string(rune('a'+r.IntN(26))) + string(rune('a'+r.IntN(26)))
			switch r.IntN(3) {
			case 0:
				entries = append(entries, tree.File(p+".f", fs.FileMode(r.IntN(0o1000)), []byte(p), tree.Origin{}))
			case 1:
				entries = append(entries, tree.Symlink(p+".l", path.Base(p), tree.Origin{}))
			default:
				entries = append(entries, tree.Dir(p+".d", fs.FileMode(r.IntN(0o1000)), tree.Origin{}))
			}
		}
		want, err := tree.New(entries...)
		if err != nil {
			continue // two kinds for one path
		}
		got, _, err := Flatten(t.Context(), s, assemble(t, s, want))
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest() != want.Digest() {
			t.Fatalf("differs: %v", tree.Diff(want, got))
		}
	}
}

func layerOf(t *testing.T, headers ...tar.Header) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWhiteouts(t *testing.T) {
	dir := func(n string) tar.Header { return tar.Header{Name: n + "/", Typeflag: tar.TypeDir, Mode: 0o755} }
	file := func(n string) tar.Header { return tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o644} }
	img, err := mutate.AppendLayers(empty.Image,
		layerOf(t, dir("a"), file("a/gone"), file("a/stays"), dir("b"), file("b/old"), dir("c"), file("c/x"), file("f")),
		layerOf(t, file("a/.wh.gone"), dir("b"), file("b/.wh..wh..opq"), file("b/new"), file("c"), dir("f")),
	)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := Flatten(t.Context(), store(t), img)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for e := range got.All() {
		paths = append(paths, e.Path)
	}
	if diff := cmp.Diff([]string{"a", "a/stays", "b", "b/new", "c", "f"}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestHostileLayers(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"leaves the root":  {Name: "../../etc/passwd", Typeflag: tar.TypeReg},
		"absolute":         {Name: "/etc/passwd", Typeflag: tar.TypeReg},
		"device":           {Name: "dev/sda", Typeflag: tar.TypeBlock},
		"link to nowhere":  {Name: "x", Typeflag: tar.TypeLink, Linkname: "y"},
		"link to outside":  {Name: "x", Typeflag: tar.TypeLink, Linkname: "../y"},
		"link to a parent": {Name: "a/x", Typeflag: tar.TypeLink, Linkname: "a"},
	} {
		img, err := mutate.AppendLayers(empty.Image, layerOf(t, h))
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := Flatten(t.Context(), store(t), img); err == nil {
			t.Errorf("%s: got a tree of %d entries", name, got.Len())
		}
	}
}

func TestStoreNames(t *testing.T) {
	now := time.Unix(1000, 0)
	s := images(t, func() time.Time { now = now.Add(time.Second); return now })
	c := store(t)
	img := assemble(t, c, someTree(t))
	d := digest(t, img)
	if _, err := s.Put(img); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatalf("an image without a name is listed: %v, %v", list, err)
	}
	if err := s.PutSidecar(d, "report.json", []byte(`{"size": 42}`)); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"app:latest", "app:1"} {
		if err := s.Tag(ref, d); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].Reference != "app:1" || list[0].Size != 42 {
		t.Fatalf("list is %+v, %v", list, err)
	}
	for _, ref := range []string{"app", "app:1", d, strings.TrimPrefix(d, "sha256:")[:12]} {
		if _, err := s.Get(ref); err != nil {
			t.Errorf("Get(%q): %v", ref, err)
		}
	}
	for _, ref := range []string{"app:2", "none", "../x", "sha256:ffff", "App"} {
		if _, err := s.Get(ref); err == nil {
			t.Errorf("Get(%q) found something", ref)
		} else if f, ok := err.(*fault.Error); !ok || f.Kind != fault.NotFound { //nolint:errorlint // the fault itself is wanted
			t.Errorf("Get(%q): %v, want a fault of kind NotFound", ref, err)
		}
	}
	if err := s.Remove("app"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("app:1"); err != nil {
		t.Errorf("removing one name removed the image of another: %v", err)
	}
	if err := s.Remove("app:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sidecar(d, "report.json"); err == nil {
		t.Error("what was kept with a removed image is still there")
	}
}

// An image that did not pass must leave nothing behind.
func TestDiscard(t *testing.T) {
	s := images(t, time.Now)
	img := assemble(t, store(t), someTree(t))
	if _, err := s.Put(img); err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(digest(t, img)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(digest(t, img)); err == nil {
		t.Error("the image is still there")
	}
}

func TestNormalise(t *testing.T) {
	for ref, want := range map[string]string{
		"rest-app": "rest-app:latest", "rest-app:1.0": "rest-app:1.0", "team/app": "team/app:latest",
		"localhost:5000/app:2": "localhost:5000/app:2", "UPPER": "", "": "", "a b": "", "x@sha256:00": "",
	} {
		got, err := Normalise(ref)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Normalise(%q) = %q, %v, want %q", ref, got, err, want)
		}
	}
}
