package oci

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/report"
)

// form is the types of an image's parts. Those of one image are of one form,
// for there are registries and daemons which take no mixture.
type form struct {
	docker                 bool // schema 2; else OCI
	manifest, config       types.MediaType
	gzip, plain, zstandard types.MediaType
}

var (
	ociForm = form{
		manifest: types.OCIManifestSchema1, config: types.OCIConfigJSON,
		gzip: types.OCILayer, plain: types.OCIUncompressedLayer, zstandard: types.OCILayerZStd,
	}
	dockerForm = form{
		docker: true, manifest: types.DockerManifestSchema2, config: types.DockerConfigJSON,
		gzip: types.DockerLayer, plain: types.DockerUncompressedLayer,
	}
)

// layerForms picks the type of a layer in another form by that it has.
var layerForms = map[types.MediaType]func(form) types.MediaType{
	types.OCILayer:                func(f form) types.MediaType { return f.gzip },
	types.DockerLayer:             func(f form) types.MediaType { return f.gzip },
	types.OCIUncompressedLayer:    func(f form) types.MediaType { return f.plain },
	types.DockerUncompressedLayer: func(f form) types.MediaType { return f.plain },
	types.OCILayerZStd:            func(f form) types.MediaType { return f.zstandard },
}

// formOn is the form of an image on top of another: that one's, so that its
// layers stay what they are. Docker's own form has no zstd.
func formOn(on v1.Image, c Compression) (form, error) {
	if on == nil || c == Zstd {
		return ociForm, nil
	}
	m, err := on.Manifest()
	if err != nil {
		return form{}, fmt.Errorf("reading the base: %w", err)
	}
	zstandard := slices.ContainsFunc(m.Layers, func(l v1.Descriptor) bool { return l.MediaType == types.OCILayerZStd })
	if m.MediaType == types.DockerManifestSchema2 && !zstandard {
		return dockerForm, nil
	}
	return ociForm, nil
}

// layer is the type of the layers that are made.
func (f form) layer(c Compression) types.MediaType {
	if c == Zstd {
		return f.zstandard
	}
	return f.gzip
}

// empty is an image without layers.
func (f form) empty() v1.Image {
	return mutate.MediaType(mutate.ConfigMediaType(empty.Image, f.config), f.manifest)
}

// beneath are the layers of the image that others are put on, as they are
// there, and what reports say of them.
func (f form) beneath(ctx context.Context, store *cas.Store, on v1.Image) ([]mutate.Addendum, []report.Layer, error) {
	if on == nil {
		return nil, nil, nil
	}
	m, err := on.Manifest()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the base: %w", err)
	}
	layers, err := on.Layers()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the base: %w", err)
	}
	weights, err := weigh(ctx, store, on)
	if err != nil {
		return nil, nil, err
	}
	if len(layers) != len(m.Layers) || len(weights) != len(m.Layers) {
		return nil, nil, fmt.Errorf("reading the base: it has %d layers, not the %d of its manifest", len(layers), len(m.Layers))
	}
	history, err := historyOf(on)
	if err != nil {
		return nil, nil, err
	}
	var adds []mutate.Addendum
	var described []report.Layer
	for i, l := range layers {
		d := m.Layers[i]
		as, ok := layerForms[d.MediaType]
		if !ok {
			return nil, nil, fault.New(fault.Base, "choose another base with --base", "layer %d of the base is of the type %s", i+1, clip(string(d.MediaType)))
		}
		for len(history) > 0 && history[0].EmptyLayer {
			adds, history = append(adds, mutate.Addendum{History: history[0]}), history[1:]
		}
		adds, history = append(adds, mutate.Addendum{Layer: l, MediaType: as(f), Annotations: d.Annotations, History: history[0]}), history[1:]
		described = append(described, report.Layer{
			Name: "base", Digest: d.Digest.String(), Size: weights[i].Size, Download: d.Size, Files: weights[i].Files,
		})
	}
	for _, h := range history {
		adds = append(adds, mutate.Addendum{History: h})
	}
	return adds, described, nil
}

// Layers says how large the layers of an image are. They are called by their
// number: images do not name them.
func Layers(ctx context.Context, store *cas.Store, img v1.Image) ([]report.Layer, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading image: %w", err)
	}
	weights, err := weigh(ctx, store, img)
	if err != nil {
		return nil, err
	}
	if len(weights) != len(m.Layers) {
		return nil, fmt.Errorf("reading image: it has %d layers, not the %d of its manifest", len(weights), len(m.Layers))
	}
	out := make([]report.Layer, len(weights))
	for i, w := range weights {
		d := m.Layers[i]
		out[i] = report.Layer{Name: fmt.Sprintf("layer %d", i+1), Digest: d.Digest.String(), Size: w.Size, Download: d.Size, Files: w.Files}
	}
	return out, nil
}

// historyOf is the history of an image, with one entry a layer beside those
// that are marked as empty. Where it is not that, it says nothing.
func historyOf(img v1.Image) ([]v1.History, error) {
	f, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the base: %w", err)
	}
	n := 0
	for _, h := range f.History {
		if !h.EmptyLayer {
			n++
		}
	}
	if n == len(f.RootFS.DiffIDs) {
		return f.History, nil
	}
	out := make([]v1.History, len(f.RootFS.DiffIDs))
	for i := range out {
		out[i] = v1.History{Created: f.Created, Comment: "of the base"}
	}
	return out, nil
}

// inherit adds to an image's config what it has of the one below: variables,
// ports, volumes and labels that it does not set itself, user and directory
// where it names none. What concerns the base's own program (command, signal,
// health check) or itself (org.opencontainers.image labels) is not inherited.
func inherit(c, below v1.Config) v1.Config {
	own := make(map[string]bool)
	for _, e := range c.Env {
		name, _, _ := strings.Cut(e, "=")
		own[name] = true
	}
	env := slices.DeleteFunc(slices.Clone(below.Env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return own[name]
	})
	c.Env = append(env, c.Env...)
	if c.User == "" {
		c.User = below.User
	}
	if c.WorkingDir == "" {
		c.WorkingDir = below.WorkingDir
	}
	c.ExposedPorts = united(below.ExposedPorts, c.ExposedPorts)
	c.Volumes = united(below.Volumes, c.Volumes)
	labels := maps.Clone(below.Labels)
	maps.DeleteFunc(labels, func(k, _ string) bool { return strings.HasPrefix(k, "org.opencontainers.image.") })
	c.Labels = united(labels, c.Labels)
	return c
}

// united is both, of which b wins; nil if they are empty.
func united[V any](a, b map[string]V) map[string]V {
	if len(a) == 0 {
		return b
	}
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
