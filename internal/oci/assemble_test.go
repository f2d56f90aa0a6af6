package oci

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// TestDigestHelper is a process of TestSameDigestInAnyProcess.
func TestDigestHelper(t *testing.T) {
	if os.Getenv("OCI_TEST_DIGEST") == "" {
		t.Skip("runs as a process of another test")
	}
	syscall.Umask(0o077)
	fmt.Printf("digest %s\n", digest(t, assemble(t, store(t), someTree(t))))
}

// Two users with other surroundings make the same image.
func TestSameDigestInAnyProcess(t *testing.T) {
	want := "digest " + digest(t, assemble(t, store(t), someTree(t))) + "\n"
	for _, env := range []string{"TZ=Asia/Tokyo GOMAXPROCS=1", "TZ=America/New_York GOMAXPROCS=7 LC_ALL=C HOME=/nonexistent USER=nobody"} {
		c := exec.Command(os.Args[0], "-test.run=^TestDigestHelper$")
		c.Env = append(os.Environ(), append(strings.Fields(env), "OCI_TEST_DIGEST=1", "TMPDIR="+t.TempDir())...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", env, err, out)
		}
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: %s is not\n%s", env, out, want)
		}
	}
}

// The tar of a layer is the same for ever: diff IDs have to stay when nothing
// has changed, or every user pulls everything again. Compression is Go's and
// may change with it.
func TestTarNeverChanges(t *testing.T) {
	img := assemble(t, store(t), someTree(t))
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range f.RootFS.DiffIDs {
		got = append(got, d.Hex)
	}
	want := []string{"66507d3fdaaa22a738622a1efcff3f71ec8346e6eff982ec25f200f210138909", "501855234025d7e6c32fb5e1b5f3f7f6af7513485d61fa83b73f458eb4699127"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// headers reads the archive of a layer.
func headers(t *testing.T, img v1.Image, layer int) []*tar.Header {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[layer].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	var out []*tar.Header
	tr := tar.NewReader(z)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h)
	}
}

func TestHeaders(t *testing.T) {
	img := assemble(t, store(t), someTree(t))
	got := make(map[string]*tar.Header)
	last := ""
	for _, h := range headers(t, img, 0) {
		got[h.Name] = h
		if strings.TrimSuffix(h.Name, "/") <= last {
			t.Errorf("%s comes after %s", h.Name, last)
		}
		last = strings.TrimSuffix(h.Name, "/")
		if !h.ModTime.Equal(meta.Epoch) || h.Uname != "" || h.Gname != "" || !h.AccessTime.IsZero() {
			t.Errorf("%s has something of this machine: %+v", h.Name, h)
		}
		if pax := len(h.PAXRecords) > 0; pax != (strings.Contains(h.Name, "ä") || h.Name == "usr/bin/ping") {
			t.Errorf("%s: PAX records %v", h.Name, h.PAXRecords)
		}
	}
	if h := got["usr/bin/su"]; h == nil || h.Mode != 0o4755 {
		t.Errorf("su is %+v", h)
	}
	if h := got["tmp/"]; h == nil || h.Mode != 0o1777 || h.Typeflag != tar.TypeDir {
		t.Errorf("tmp is %+v", h)
	}
	if h := got["usr/share/zoneinfo/b"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "usr/share/zoneinfo/a" || h.Size != 0 {
		t.Errorf("the hard link is %+v", h)
	}
	if h := got["usr/bin/ping"]; h == nil || h.PAXRecords["SCHILY.xattr.security.capability"] == "" {
		t.Errorf("ping is %+v", h)
	}
	if _, ok := got["app/main.py"]; ok {
		t.Error("the app is in the system's layer")
	}
}

func TestConfig(t *testing.T) {
	want := plan.Config{
		Entrypoint: []string{"/app/main"}, Cmd: []string{"--port", "80"}, Env: []string{"B=2", "A=1"}, User: "65532:65532", WorkingDir: "/app",
		Ports: []string{"443/tcp", "80/tcp"}, Writable: []string{"/data"}, StopSignal: "SIGINT", Labels: map[string]string{"team": "x", annotationTitle: "mine"},
	}
	m := meta
	m.Platform = v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	m.Version = "1.0"
	img, layers, err := Assemble(t.Context(), store(t), Split(someTree(t), byKind, "system", "app"), want, m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if f.Architecture != "arm64" || f.Variant != "v8" || f.OS != "linux" || !f.Created.Equal(m.Epoch) || len(f.History) != 2 ||
		f.History[0].CreatedBy != "exuvia: system" || f.History[1].CreatedBy != "exuvia: app" || f.Author != "" {
		t.Errorf("config is %+v", f)
	}
	got, err := Config(img)
	if err != nil {
		t.Fatal(err)
	}
	want.Labels = map[string]string{
		"team": "x", annotationTitle: "mine", annotationBase: "scratch", annotationVersion: "1.0", annotationCreated: "1980-01-01T00:00:00Z",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON || manifest.Layers[0].MediaType != types.OCILayer {
		t.Errorf("media types of %+v", manifest)
	}
	for i, l := range layers {
		if l.Digest != manifest.Layers[i].Digest.String() || l.Download != manifest.Layers[i].Size || l.Size == 0 || l.Files == 0 {
			t.Errorf("layer %d is reported as %+v", i, l)
		}
	}
	if layers[0].Name != "system" || layers[1].Files != 1 || layers[1].Size != int64(len("print()")) {
		t.Errorf("layers are reported as %+v", layers)
	}
}

func TestZstd(t *testing.T) {
	c := store(t)
	want := someTree(t)
	m := meta
	m.Compression = Zstd
	img, _, err := Assemble(t.Context(), c, Split(want, byKind, "system", "app"), plan.Config{}, m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := images(t, now).Put(img)
	if err != nil {
		t.Fatal(err)
	}
	// validate.Image of go-containerregistry 0.22 knows gzip only; Flatten
	// compares both hashes of every layer.
	got, _, err := Flatten(t.Context(), c, back)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != want.Digest() {
		t.Errorf("differs: %v", tree.Diff(want, got))
	}
	manifest, err := back.Manifest()
	if err != nil || manifest.Layers[0].MediaType != types.OCILayerZStd {
		t.Errorf("manifest is %+v, %v", manifest, err)
	}
}

// One changed source line: only the app's layer is packed again.
func TestUnchangedLayersAreNotPackedAgain(t *testing.T) {
	c := store(t)
	before := someTree(t)
	first := assemble(t, c, before)
	changed, err := before.With(tree.File("app/main.py", 0o644, []byte("print(1)"), tree.Origin{Kind: tree.Project, Name: "app"}))
	if err != nil {
		t.Fatal(err)
	}
	changed = changed.Map(func(e tree.Entry) tree.Entry {
		if byKind(e) == "system" {
			e.Open = func() (io.ReadCloser, error) {
				t.Errorf("%s was read again", e.Path)
				return nil, fs.ErrPermission
			}
		}
		return e
	})
	second := assemble(t, c, changed)
	a, err := first.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if a.Layers[0].Digest != b.Layers[0].Digest || a.Layers[1].Digest == b.Layers[1].Digest {
		t.Errorf("layers were %v, are %v", a.Layers, b.Layers)
	}
}

// In the archive a link comes after what it links to, whichever name the
// source took for the file.
func TestHardLinksInOrder(t *testing.T) {
	file := func(p, link string) tree.Entry {
		e := tree.File(p, 0o644, []byte("x"), tree.Origin{})
		e.Link = link
		return e
	}
	want, err := tree.New(file("a", "b"), file("b", ""), file("c", "b"))
	if err != nil {
		t.Fatal(err)
	}
	c := store(t)
	got, _, err := Flatten(t.Context(), c, assemble(t, c, want))
	if err != nil {
		t.Fatal(err)
	}
	links := make(map[string]string)
	for e := range got.All() {
		links[e.Path] = e.Link
	}
	if d := cmp.Diff(map[string]string{"a": "", "b": "a", "c": "a"}, links); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// A hard link cannot reach into another layer.
func TestHardLinkAcrossLayers(t *testing.T) {
	a := tree.File("a", 0o644, []byte("x"), tree.Origin{})
	b := tree.File("b", 0o644, []byte("x"), tree.Origin{Kind: tree.Project})
	b.Link = "a"
	both, err := tree.New(a, b)
	if err != nil {
		t.Fatal(err)
	}
	c := store(t)
	got, _, err := Flatten(t.Context(), c, assemble(t, c, both))
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := got.Lookup("b"); !ok || e.Link != "" || e.Sum != a.Sum {
		t.Errorf("b is %+v", e)
	}
}

func TestAssembleRefuses(t *testing.T) {
	whiteoutFile := tree.File("app/.wh.secrets", 0o644, nil, tree.Origin{Kind: tree.Project, Name: "app"})
	other := tree.File("a", 0o644, []byte("x"), tree.Origin{})
	other.Link = "b"
	broken := tree.File("a", 0o644, []byte("x"), tree.Origin{})
	broken.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("xx")), nil }
	short := tree.File("a", 0o644, []byte("xyz"), tree.Origin{})
	short.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
	for name, e := range map[string]tree.Entry{"whiteout": whiteoutFile, "link to another file": other, "longer": broken, "shorter": short} {
		tr, err := tree.New(e, tree.File("b", 0o644, []byte("other"), tree.Origin{}))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Assemble(t.Context(), store(t), []LayerSpec{{"app", tr}}, plan.Config{}, meta)
		if err == nil {
			t.Errorf("%s: an image was made", name)
		}
		if f, ok := errors.AsType[*fault.Error](err); name == "whiteout" && (!ok || f.Kind != fault.Project) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestSplitLosesNothing(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an entry of no layer was lost in silence")
		}
	}()
	Split(someTree(t), byKind, "system")
}
