package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
)

// tarLayer makes a layer of headers; files are as long as their size.
func tarLayer(t *testing.T, kind types.MediaType, members ...tar.Header) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range members {
		h.Mode, h.Format = 0o755, tar.FormatPAX
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(bytes.Repeat([]byte{'x'}, int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }, tarball.WithMediaType(kind))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// baseImage is one of two layers and three steps, as others make them.
func baseImage(t *testing.T, f form, layers ...types.MediaType) v1.Image {
	t.Helper()
	img, err := mutate.Append(f.empty(),
		mutate.Addendum{Layer: tarLayer(t, layers[0],
			tar.Header{Name: "etc/", Typeflag: tar.TypeDir}, tar.Header{Name: "etc/a", Typeflag: tar.TypeReg, Size: 100},
			tar.Header{Name: "etc/b", Typeflag: tar.TypeLink, Linkname: "etc/a"}, tar.Header{Name: "etc/c", Typeflag: tar.TypeSymlink, Linkname: "a"},
		), MediaType: layers[0], History: v1.History{CreatedBy: "first"}},
		mutate.Addendum{History: v1.History{CreatedBy: "nothing", EmptyLayer: true}},
		mutate.Addendum{Layer: tarLayer(t, layers[1],
			tar.Header{Name: "etc/a", Typeflag: tar.TypeReg, Size: 7}, tar.Header{Name: "etc/.wh.b", Typeflag: tar.TypeReg},
		), MediaType: layers[1], History: v1.History{CreatedBy: "second"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = "linux", "amd64", "v2"
	config.Config = v1.Config{
		Env: []string{"PATH=/theirs", "THEIRS=1"}, Entrypoint: []string{"/theirs"}, Cmd: []string{"theirs"}, User: "1:1", WorkingDir: "/theirs",
		StopSignal: "SIGQUIT", Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/theirs"}}, Volumes: map[string]struct{}{"/data": {}},
		Labels: map[string]string{"who": "they", "theirs": "1", "org.opencontainers.image.version": "12"},
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// onBase assembles someTree on an image, and reads the result back.
func onBase(t *testing.T, on v1.Image, c plan.Config, z Compression) (*v1.Manifest, *v1.ConfigFile) {
	t.Helper()
	cache := store(t)
	m := meta
	m.On, m.Compression = on, z
	img, layers, err := Assemble(t.Context(), cache, []LayerSpec{{"app", someTree(t)}}, c, m)
	if err != nil {
		t.Fatal(err)
	}
	s := images(t, now)
	back, err := s.Put(img)
	if err != nil {
		t.Fatal(err)
	}
	if z != Zstd { // which go-containerregistry does not unpack there
		if err := validate.Image(back); err != nil {
			t.Error(err)
		}
	}
	manifest, err := back.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := s.index()
	if err != nil {
		t.Fatal(err)
	}
	if got := index.Manifests[0].MediaType; got != manifest.MediaType {
		t.Errorf("the store says %s of a %s", got, manifest.MediaType)
	}
	for i, l := range layers {
		if d := manifest.Layers[i]; l.Digest != d.Digest.String() || l.Download != d.Size {
			t.Errorf("layer %d is described as %+v", i, l)
		}
	}
	if got, want := []int64{layers[0].Size, layers[1].Size}, []int64{101, 7}; !slices.Equal(got, want) {
		t.Errorf("the base's layers have %v bytes, want %v", got, want)
	}
	if got, want := []int{layers[0].Files, layers[1].Files}, []int{3, 1}; !slices.Equal(got, want) {
		t.Errorf("the base's layers have %v files, want %v", got, want)
	}
	config, err := back.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return manifest, config
}

func TestAssembleOnImage(t *testing.T) {
	for _, c := range []struct {
		name   string
		base   form
		layers []types.MediaType
		zip    Compression
		want   []types.MediaType // manifest, config, layers
	}{
		{"Docker", dockerForm, []types.MediaType{types.DockerLayer, types.DockerLayer}, Gzip, []types.MediaType{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer, types.DockerLayer, types.DockerLayer}},
		{"OCI", ociForm, []types.MediaType{types.OCILayer, types.OCILayer}, Gzip, []types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer, types.OCILayer, types.OCILayer}},
		{"both", ociForm, []types.MediaType{types.DockerLayer, types.OCILayer}, Gzip, []types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer, types.OCILayer, types.OCILayer}},
		{"zstd on Docker", dockerForm, []types.MediaType{types.DockerLayer, types.DockerLayer}, Zstd, []types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer, types.OCILayer, types.OCILayerZStd}},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := baseImage(t, c.base, c.layers...)
			m, f := onBase(t, on, plan.Config{}, c.zip)
			got := []types.MediaType{m.MediaType, m.Config.MediaType}
			for _, l := range m.Layers {
				got = append(got, l.MediaType)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			theirs, err := on.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range theirs.Layers {
				if m.Layers[i].Digest != l.Digest || m.Layers[i].Size != l.Size {
					t.Errorf("layer %d is %+v, it was %+v", i, m.Layers[i], l)
				}
			}
			var steps []string
			for _, h := range f.History {
				steps = append(steps, h.CreatedBy)
			}
			if d := cmp.Diff([]string{"first", "nothing", "second", "exuvia: app"}, steps); d != "" {
				t.Error(d)
			}
			again, _ := onBase(t, on, plan.Config{}, c.zip)
			if d := cmp.Diff(m, again); d != "" {
				t.Errorf("made twice: %s", d)
			}
		})
	}
}

func TestConfigOnImage(t *testing.T) {
	on := baseImage(t, ociForm, types.OCILayer, types.OCILayer)
	digest, err := on.Digest()
	if err != nil {
		t.Fatal(err)
	}
	_, f := onBase(t, on, plan.Config{
		Entrypoint: []string{"/ours"}, Env: []string{"PATH=/ours", "OURS=1"}, User: "2:2", Writable: []string{"/cache"}, Labels: map[string]string{"who": "we"},
	}, Gzip)
	want := v1.Config{
		Entrypoint: []string{"/ours"}, Env: []string{"THEIRS=1", "PATH=/ours", "OURS=1"}, User: "2:2", WorkingDir: "/theirs",
		Volumes: map[string]struct{}{"/data": {}, "/cache": {}},
		Labels: map[string]string{
			"who": "we", "theirs": "1", annotationBaseSum: digest.String(), annotationBase: meta.Base,
			annotationCreated: meta.Epoch.UTC().Format(time.RFC3339), annotationTitle: meta.Name, annotationVersion: meta.Version,
		},
	}
	for k, v := range want.Labels {
		if v == "" {
			delete(want.Labels, k)
		}
	}
	if d := cmp.Diff(want, f.Config); d != "" {
		t.Error(d)
	}
	if f.Variant != "v2" {
		t.Errorf("variant %q", f.Variant)
	}
}

// A history that fits no layers would make an image that tools refuse.
func TestHistoryThatDoesNotFit(t *testing.T) {
	img := baseImage(t, ociForm, types.OCILayer, types.OCILayer)
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.History = f.History[:1]
	if img, err = mutate.ConfigFile(img, f); err != nil {
		t.Fatal(err)
	}
	m, got := onBase(t, img, plan.Config{}, Gzip)
	if len(got.History) != len(m.Layers) {
		t.Errorf("%d layers with the history %+v", len(m.Layers), got.History)
	}
}

func TestForeignLayer(t *testing.T) {
	foreign, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer([]byte("x"), types.DockerForeignLayer), MediaType: types.DockerForeignLayer})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Keep(t.Context(), store(t), foreign); err == nil {
		t.Error("it was kept")
	}
}

func TestTooManyLayers(t *testing.T) {
	img := ociForm.empty()
	var adds []mutate.Addendum
	for range maxLayers {
		adds = append(adds, mutate.Addendum{Layer: tarLayer(t, types.OCILayer), MediaType: types.OCILayer})
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		t.Fatal(err)
	}
	m := meta
	m.On = img
	_, _, err = Assemble(t.Context(), store(t), []LayerSpec{{"app", someTree(t)}}, plan.Config{}, m)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base {
		t.Errorf("error is %v", err)
	}
}

func TestKeep(t *testing.T) {
	cache := store(t)
	img := baseImage(t, dockerForm, types.DockerLayer, types.DockerLayer)
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Kept(cache, d); ok {
		t.Error("an empty cache has it")
	}
	kept, err := Keep(t.Context(), cache, img)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(kept); err != nil {
		t.Error(err)
	}
	again, ok := Kept(cache, d)
	if !ok {
		t.Fatal("it is not there")
	}
	if got := digest(t, again); got != d.String() {
		t.Errorf("digest is %s, want %s", got, d)
	}
}

// liar is an image whose layers are other than its manifest says.
type liar struct {
	v1.Image
	layer v1.Layer
}

func (l liar) Layers() ([]v1.Layer, error) { return []v1.Layer{l.layer, l.layer}, nil }

func TestKeepChecks(t *testing.T) {
	img := baseImage(t, ociForm, types.OCILayer, types.OCILayer)
	_, err := Keep(t.Context(), store(t), liar{img, tarLayer(t, types.OCILayer)})
	if !errors.Is(err, cas.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
	for name, change := range map[string]func(*v1.Manifest){
		"huge config":    func(m *v1.Manifest) { m.Config.Size = maxDocument + 1 },
		"no config":      func(m *v1.Manifest) { m.Config.MediaType = "text/plain" },
		"huge layers":    func(m *v1.Manifest) { m.Layers[0].Size, m.Layers[1].Size = maxBytes/2+1, maxBytes/2+1 },
		"negative layer": func(m *v1.Manifest) { m.Layers[0].Size = -1 },
		"many layers":    func(m *v1.Manifest) { m.Layers = slices.Repeat(m.Layers, maxLayers) },
		"other hash":     func(m *v1.Manifest) { m.Layers[0].Digest.Algorithm = "sha512" },
	} {
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		m = m.DeepCopy()
		change(m)
		if err := plausible(nil, m); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}
