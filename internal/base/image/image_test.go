package image

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

var amd64, arm64 = v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"}

func cache(t *testing.T) *cas.Store {
	t.Helper()
	c, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// system is an image with a CPython and what passes for a glibc.
func system(t *testing.T, p v1.Platform) v1.Image {
	t.Helper()
	from := tree.Origin{}
	file := func(p string, data string) tree.Entry { return tree.File(p, 0o755, []byte(data), from) }
	tr, err := tree.New(
		file("usr/local/bin/python3.12", "python "+p.Architecture), tree.Symlink("usr/local/bin/python3", "python3.12", from),
		file("usr/local/lib/python3.12/os.py", ""), tree.Symlink("opt/venv/bin/python", "/usr/local/bin/python3", from),
		file("usr/bin/python3.11", "another"), tree.Symlink("usr/bin/python3", "python3.11", from), file("usr/lib/python3.11/os.py", ""),
		file("lib64/ld-linux-x86-64.so.2", "loader"), file("lib/libc.so.6", "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"),
	)
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := oci.Assemble(t.Context(), cache(t), []oci.LayerSpec{{Name: "system", Tree: tr}},
		plan.Config{Env: []string{"PATH=/opt/venv/bin:/usr/bin"}}, oci.Meta{Platform: p, Epoch: cas.Stamp, Name: "system"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// right checks that a base is the image.
func right(t *testing.T, b *base.Base, want v1.Image) {
	t.Helper()
	if b.Python != "usr/local/bin/python3.12" || b.Libc != "glibc 2.36" {
		t.Errorf("Python %q, libc %q", b.Python, b.Libc)
	}
	if _, ok := b.Tree.Lookup("usr/local/lib/python3.12/os.py"); !ok {
		t.Error("its files are not there")
	}
	if got, want := diffIDs(t, b.Image), diffIDs(t, want); got != want {
		t.Errorf("layers %s, want %s", got, want)
	}
	d, err := b.Image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Inputs) != 1 {
		t.Errorf("inputs %v", b.Inputs)
	}
	for _, got := range b.Inputs {
		if got != d.String() {
			t.Errorf("input is %s, want %s", got, d)
		}
	}
}

func diffIDs(t *testing.T, img v1.Image) string {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(c.RootFS.DiffIDs)
}

func wantFault(t *testing.T, err error, kind fault.Kind, what string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != kind || !strings.Contains(f.What, what) || f.Hint == "" {
		t.Errorf("error is %v (%+v), want kind %d with %q", err, f, kind, what)
	}
}

// counting is a registry that counts what is asked of it.
type counting struct {
	*httptest.Server
	blobs int
	last  string // of Authorization
}

func (c *counting) host() string { return strings.TrimPrefix(c.URL, "http://") }

// serve starts a registry; wrap may change its answers.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) *counting {
	t.Helper()
	c := &counting{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		inner = wrap(inner)
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			c.blobs++
		}
		c.last = r.Header.Get("Authorization")
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func push(t *testing.T, ref string, what remote.Taggable) {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	switch x := what.(type) {
	case v1.Image:
		err = remote.Write(tag, x)
	case v1.ImageIndex:
		err = remote.WriteIndex(tag, x)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegistry(t *testing.T) {
	r := serve(t, nil)
	img := system(t, amd64)
	push(t, r.host()+"/team/system:1", img)
	c := cache(t)
	var said []string
	s := New(Options{Cache: c, Progress: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
	b, err := s.Base(t.Context(), r.host()+"/team/system:1", amd64)
	if err != nil {
		t.Fatal(err)
	}
	right(t, b, img)
	first := r.blobs
	if first == 0 {
		t.Error("nothing was downloaded")
	}
	for _, again := range []string{r.host() + "/team/system:1", r.host() + "/team/system@" + digest(t, img)} {
		b, err := s.Base(t.Context(), again, amd64)
		if err != nil {
			t.Fatal(err)
		}
		right(t, b, img)
	}
	if r.blobs != first {
		t.Errorf("%d blobs were downloaded again", r.blobs-first)
	}

	// A tag may move.
	moved, err := mutate.Config(img, v1.Config{Env: []string{"PATH=/usr/local/bin"}, Labels: map[string]string{"new": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	push(t, r.host()+"/team/system:1", moved)
	if b, err = s.Base(t.Context(), r.host()+"/team/system:1", amd64); err != nil || digest(t, b.Image) != digest(t, moved) {
		t.Errorf("the tag has moved, but the base is %v (%v)", b, err)
	}

	// Without the registry it is what it was.
	r.Close()
	said = nil
	if b, err = s.Base(t.Context(), r.host()+"/team/system:1", amd64); err != nil || digest(t, b.Image) != digest(t, moved) {
		t.Errorf("the registry is gone, and the base is %v (%v)", b, err)
	}
	if len(said) == 0 || !strings.Contains(said[0], "is not reached") {
		t.Errorf("the user is told %q", said)
	}
	if _, err = s.Base(t.Context(), r.host()+"/team/system@"+digest(t, img), amd64); err != nil {
		t.Errorf("a digest needs no registry: %v", err)
	}
	_, err = New(Options{Cache: cache(t)}).Base(t.Context(), r.host()+"/team/system:1", amd64)
	wantFault(t, err, fault.Network, "refuses connections")
}

func digest(t *testing.T, x interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := x.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// index is one of images; a nil platform is left out.
func index(t *testing.T, lines ...mutate.IndexAddendum) v1.ImageIndex {
	t.Helper()
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), lines...)
}

func TestIndex(t *testing.T) {
	r := serve(t, nil)
	one, other := system(t, amd64), system(t, arm64)
	attestation, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "unknown", Architecture: "unknown"})
	if err != nil {
		t.Fatal(err)
	}
	line := func(img v1.Image, p *v1.Platform) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}}
	}
	both := index(t, line(attestation, &v1.Platform{OS: "unknown", Architecture: "unknown"}), line(other, &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}), line(one, &amd64))
	push(t, r.host()+"/both:1", both)
	push(t, r.host()+"/nested:1", index(t, mutate.IndexAddendum{Add: both}))
	push(t, r.host()+"/arm:1", index(t, line(other, &arm64)))
	push(t, r.host()+"/only:1", index(t, mutate.IndexAddendum{Add: opaque{one}}))
	push(t, r.host()+"/vague:1", index(t, mutate.IndexAddendum{Add: opaque{one}}, mutate.IndexAddendum{Add: opaque{other}}))
	push(t, r.host()+"/plain:1", other)
	deep := both
	for range maxDepth + 1 {
		deep = index(t, mutate.IndexAddendum{Add: deep})
	}
	push(t, r.host()+"/deep:1", deep)
	s := New(Options{Cache: cache(t)})
	for _, c := range []struct {
		ref  string
		p    v1.Platform
		want v1.Image
		bad  string
	}{
		{ref: "both", p: amd64, want: one},
		{ref: "both", p: arm64, want: other},
		{ref: "nested", p: amd64, want: one},
		{ref: "only", p: amd64, want: one},
		{ref: "arm", p: amd64, bad: "is for linux/arm64, not for linux/amd64"},
		{ref: "plain", p: amd64, bad: "is for linux/arm64, not for linux/amd64"},
		{ref: "only", p: arm64, bad: "is for linux/amd64, not for linux/arm64"},
		{ref: "vague", p: amd64, bad: "no platform that it names"},
		{ref: "deep", p: amd64, bad: "nested"},
	} {
		t.Run(c.ref+" for "+c.p.Architecture, func(t *testing.T) {
			b, err := s.Base(t.Context(), r.host()+"/"+c.ref+":1", c.p)
			if c.bad != "" {
				wantFault(t, err, fault.Base, c.bad)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			right(t, b, c.want)
		})
	}
}

// opaque is an image whose platform go-containerregistry cannot find out when
// it makes an index.
type opaque struct{ v1.Image }

func (opaque) ConfigFile() (*v1.ConfigFile, error) { return &v1.ConfigFile{}, nil }

const password = "s3cret"

func TestCredentials(t *testing.T) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+password))
	r := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Header.Get("Authorization") != want {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`, http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, q)
		})
	})
	img := system(t, amd64)
	for auth, ok := range map[string]bool{"me:" + password: true, "me:wrong": false, "": false} {
		dir := t.TempDir()
		config := "{}"
		if auth != "" {
			config = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host(), base64.StdEncoding.EncodeToString([]byte(auth)))
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("DOCKER_CONFIG", dir)
		if ok {
			pushAs(t, r.host()+"/private:1", img)
		}
		b, err := New(Options{Cache: cache(t)}).Base(t.Context(), r.host()+"/private:1", amd64)
		if !ok {
			wantFault(t, err, fault.Base, "wants other credentials")
			if err != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("the error has the password: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		right(t, b, img)
	}
}

func pushAs(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithAuthFromKeychain(New(Options{}).o.Keychain)); err != nil {
		t.Fatal(err)
	}
}

// A registry may say anything.
func TestHostileRegistry(t *testing.T) {
	img := system(t, amd64)
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	answer := func(part, body string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, part) {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				_, _ = io.WriteString(w, body)
			})
		}
	}
	for _, c := range []struct {
		name string
		wrap func(http.Handler) http.Handler
		kind fault.Kind
		what string
	}{
		{"another manifest", answer("/manifests/", string(manifest)+" "), fault.Base, "digest"},
		{"no manifest", answer("/manifests/", "<html>"), fault.Base, ""},
		{"another blob", answer("/blobs/", "nonsense"), fault.Base, ""},
		{"no such image", func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}`, http.StatusNotFound)
				}
			})
		}, fault.Base, "has no such image"},
		{"out of order", func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					http.Error(w, "", http.StatusNotImplemented)
				}
			})
		}, fault.Network, "answers with status 501"},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := false
			r := serve(t, func(next http.Handler) http.Handler {
				bad := c.wrap(next)
				return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					if on {
						bad.ServeHTTP(w, q)
						return
					}
					next.ServeHTTP(w, q)
				})
			})
			push(t, r.host()+"/x:1", img)
			on = true
			_, err := New(Options{Cache: cache(t)}).Base(t.Context(), r.host()+"/x:1", amd64)
			wantFault(t, err, c.kind, c.what)
		})
	}
}

// What is small in the registry may claim to be large.
func TestImagesThatLie(t *testing.T) {
	r := serve(t, nil)
	img := system(t, amd64)
	for name, change := range map[string]func(*v1.Manifest){
		"huge config": func(m *v1.Manifest) { m.Config.Size = 1 << 40 },
		"huge layer":  func(m *v1.Manifest) { m.Layers[0].Size = 1 << 50 },
		"no image":    func(m *v1.Manifest) { m.Config.MediaType = "application/vnd.example" },
		"foreign":     func(m *v1.Manifest) { m.Layers[0].MediaType = types.DockerForeignLayer },
		"long layer":  func(m *v1.Manifest) { m.Layers[0].Size++ },
		"two layers":  func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			ref := r.host() + "/" + strings.ReplaceAll(name, " ", "-") + ":1"
			push(t, ref, img) // the blobs
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			m = m.DeepCopy()
			change(m)
			raw, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.URL+"/v2/"+strings.ReplaceAll(name, " ", "-")+"/manifests/1", bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			put.Header.Set("Content-Type", string(types.OCIManifestSchema1))
			resp, err := http.DefaultClient.Do(put)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			_, err = New(Options{Cache: cache(t)}).Base(t.Context(), ref, amd64)
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Errorf("error is %v", err)
			}
		})
	}
	lying, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer([]byte("no tar"), types.OCILayer), MediaType: types.OCILayer})
	if err != nil {
		t.Fatal(err)
	}
	c, err := lying.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", "amd64"
	if lying, err = mutate.ConfigFile(lying, c); err != nil {
		t.Fatal(err)
	}
	push(t, r.host()+"/notar:1", lying)
	_, err = New(Options{Cache: cache(t)}).Base(t.Context(), r.host()+"/notar:1", amd64)
	wantFault(t, err, fault.Base, "layer 1")
}

func TestIs(t *testing.T) {
	for ref, want := range map[string]bool{
		"python:3.12-slim": true, "registry.example/team/x": true, "localhost:5000/x:1": true, "oci:dir": true, "docker-archive:x.tar": true, "oci-archive:X.tar:y": true,
		"docker:app": true, "store:app": true, "x@sha256:" + strings.Repeat("0", 64): true,
		"amiga": false, "": false, "https://registry.example/x": false, "Python:3": false, "python 3:1": false,
	} {
		if got := Is(ref); got != want {
			t.Errorf("%q: %v", ref, got)
		}
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a:b") // colons are no end of a path
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	img := system(t, amd64)
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{refName: "app:1"})); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Cache: cache(t)})
	for _, ref := range []string{"oci:" + dir, "oci:" + dir + ":app:1", "oci:" + dir + ":1"} {
		b, err := s.Base(t.Context(), ref, amd64)
		if err != nil {
			t.Fatal(err)
		}
		right(t, b, img)
		if _, ok := b.Inputs["oci:a:b"]; !ok {
			t.Errorf("inputs %v", b.Inputs)
		}
	}
	if err := p.AppendImage(system(t, arm64), layout.WithAnnotations(map[string]string{refName: "other:2"})); err != nil {
		t.Fatal(err)
	}
	_, err = s.Base(t.Context(), "oci:"+dir, amd64)
	wantFault(t, err, fault.Base, "has several images")
	_, err = s.Base(t.Context(), "oci:"+dir+":3", amd64)
	wantFault(t, err, fault.Base, "no such image")
	_, err = s.Base(t.Context(), "oci:"+dir+":other:2", amd64)
	wantFault(t, err, fault.Base, "is for linux/arm64, not for linux/amd64")
	_, err = s.Base(t.Context(), "oci:"+filepath.Join(dir, "none"), amd64)
	wantFault(t, err, fault.Base, "there is no directory")
	_, err = s.Base(t.Context(), "oci:"+t.TempDir(), amd64)
	wantFault(t, err, fault.Base, "is no OCI layout")
}

// No link leads out of a layout, and no pipe makes its reader wait.
func TestHostileLayout(t *testing.T) {
	for name, spoil := range map[string]func(dir, blob string) error{
		"link out": func(dir, blob string) error {
			secret := filepath.Join(filepath.Dir(dir), "secret")
			return errors.Join(os.Rename(blob, secret), os.Symlink(secret, blob))
		},
		"directory": func(_, blob string) error { return errors.Join(os.Remove(blob), os.Mkdir(blob, 0o755)) },
		"damaged":   func(_, blob string) error { return os.WriteFile(blob, []byte("x"), 0o644) },
		"gone":      func(_, blob string) error { return os.Remove(blob) },
		"index": func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"manifests":[{"digest":"sha256:`), 0o644)
		},
		"huge index": func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), bytes.Repeat([]byte{' '}, maxDocument+1), 0o644)
		},
	} {
		for _, part := range []string{"manifest", "config", "layer"} {
			t.Run(name+" "+part, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "layout")
				p, err := layout.Write(dir, empty.Index)
				if err != nil {
					t.Fatal(err)
				}
				img := system(t, amd64)
				if err := p.AppendImage(img); err != nil {
					t.Fatal(err)
				}
				m, err := img.Manifest()
				if err != nil {
					t.Fatal(err)
				}
				sum, err := img.Digest()
				if err != nil {
					t.Fatal(err)
				}
				switch part {
				case "config":
					sum = m.Config.Digest
				case "layer":
					sum = m.Layers[0].Digest
				}
				if err := spoil(dir, filepath.Join(dir, "blobs", "sha256", sum.Hex)); err != nil {
					t.Fatal(err)
				}
				_, err = New(Options{Cache: cache(t)}).Base(t.Context(), "oci:"+dir, amd64)
				if _, ok := errors.AsType[*fault.Error](err); !ok {
					t.Errorf("error is %v", err)
				}
			})
		}
	}
}

// tarOf packs a directory.
func tarOf(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tw := tar.NewWriter(f)
	if err := tw.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOCIArchive(t *testing.T) {
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	img := system(t, amd64)
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{refName: "app:1"})); err != nil {
		t.Fatal(err)
	}
	file := tarOf(t, dir)
	s := New(Options{Cache: cache(t)})
	for _, ref := range []string{"oci-archive:" + file, "oci-archive:" + file + ":app:1"} {
		b, err := s.Base(t.Context(), ref, amd64)
		if err != nil {
			t.Fatal(err)
		}
		right(t, b, img)
	}
	_, err = s.Base(t.Context(), "oci-archive:"+file+":2", amd64)
	wantFault(t, err, fault.Base, "no such image")
	_, err = s.Base(t.Context(), "docker-archive:"+file, amd64)
	wantFault(t, err, fault.Base, "is no archive of docker save")
}

// dockerArchive writes what docker save would, but of two images.
func dockerArchive(t *testing.T, images map[string]v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	var list []saved
	for tag, img := range images {
		config, err := img.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		line := saved{Config: digest(t, static.NewLayer(config, types.OCIConfigJSON))[7:] + ".json", RepoTags: []string{tag}}
		if err := os.WriteFile(filepath.Join(dir, line.Config), config, 0o644); err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range layers {
			r, err := l.Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s-%d.tar", line.Config, i)
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
			line.Layers = append(line.Layers, name)
		}
		list = append(list, line)
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return tarOf(t, dir)
}

func TestDockerArchive(t *testing.T) {
	img, other := system(t, amd64), system(t, arm64)
	one := dockerArchive(t, map[string]v1.Image{"app:1": img})
	two := dockerArchive(t, map[string]v1.Image{"app:1": img, "app:2": other})
	ours := filepath.Join(t.TempDir(), "ours.tar") // with compressed layers, as exuvia writes it
	tag, err := name.NewTag("app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(ours, tag, img); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "x.tar.gz")
	data, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	_, err = zw.Write(data)
	if err = errors.Join(err, zw.Close(), os.WriteFile(packed, z.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{one, one + ":app:1", one + ":docker.io/library/app:1", two + ":app:1", ours, packed, packed + ":app:1"} {
		s := New(Options{Cache: cache(t)})
		for range 2 {
			b, err := s.Base(t.Context(), "docker-archive:"+ref, amd64)
			if err != nil {
				t.Fatal(err)
			}
			right(t, b, img)
			if temp, err := os.ReadDir(filepath.Join(s.o.Cache.Dir(), "tmp")); err != nil || len(temp) > 0 {
				t.Errorf("left behind: %v (%v)", temp, err)
			}
		}
	}
	s := New(Options{Cache: cache(t)})
	_, err = s.Base(t.Context(), "docker-archive:"+two, amd64)
	wantFault(t, err, fault.Base, "has several images")
	_, err = s.Base(t.Context(), "docker-archive:"+one+":app:3", amd64)
	wantFault(t, err, fault.Base, "no such image")
	_, err = s.Base(t.Context(), "docker-archive:"+two+":app:2", amd64)
	wantFault(t, err, fault.Base, "is for linux/arm64, not for linux/amd64")
	_, err = s.Base(t.Context(), "docker-archive:nothing.tar", amd64)
	wantFault(t, err, fault.Base, "there is no file")
}

// Whatever an archive holds: an error for the user, or a base.
func FuzzArchive(f *testing.F) {
	pack := func(members ...[2]string) {
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		for _, m := range members {
			h := &tar.Header{Name: m[0], Typeflag: tar.TypeReg, Size: int64(len(m[1])), Mode: 0o644}
			if target, ok := strings.CutPrefix(m[1], "> "); ok {
				h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, target
			}
			if err := tw.WriteHeader(h); err != nil {
				f.Fatal(err)
			}
			if h.Size > 0 {
				if _, err := io.WriteString(tw, m[1]); err != nil {
					f.Fatal(err)
				}
			}
		}
		if err := tw.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
	pack([2]string{"manifest.json", `[{"Config":"c.json","Layers":["l"]}]`}, [2]string{"c.json", `{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`}, [2]string{"l", "x"})
	pack([2]string{"manifest.json", `[{"Config":"c.json"}]`}, [2]string{"c.json", `{"os":"linux","architecture":"amd64"}`})
	pack([2]string{"index.json", `{"manifests":[{"digest":"sha256:` + strings.Repeat("0", 64) + `"}]}`}, [2]string{"a", "> b"}, [2]string{"b", "> a"})
	c, err := cas.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	file := filepath.Join(f.TempDir(), "x.tar")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{"docker-archive:", "oci-archive:"} {
			b, err := New(Options{Cache: c}).Base(t.Context(), form+file, amd64)
			if _, ok := errors.AsType[*fault.Error](err); err != nil && !ok {
				t.Errorf("no error for a user: %v", err)
			}
			if err == nil && (b.Tree == nil || b.Image == nil) {
				t.Error("neither base nor error")
			}
		}
	})
}

func TestStore(t *testing.T) {
	store, err := oci.OpenStore(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	img := system(t, amd64)
	if _, err := store.Put(img); err != nil {
		t.Fatal(err)
	}
	if err := store.Tag("app:1", digest(t, img)); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Cache: cache(t), Store: store})
	b, err := s.Base(t.Context(), "store:app:1", amd64)
	if err != nil {
		t.Fatal(err)
	}
	right(t, b, img)
	_, err = s.Base(t.Context(), "store:app:2", amd64)
	wantFault(t, err, fault.NotFound, "app:2")
}
