package oci

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/report"
)

// Meta is what an image says of itself beside how it runs.
type Meta struct {
	Platform    v1.Platform
	Epoch       time.Time // created, and the time of every file
	Base        string    // name of what it sits on, for the annotation
	Name        string    // title
	Version     string    // of the project, "" where it states none
	Compression Compression
	// On is the image that the layers are put on, read with [Flatten] before;
	// nil for none. Its layers stay as they are, and it gives the variables and
	// the like that the config does not set. The image has its form, Docker's
	// or OCI's.
	On v1.Image
}

// Annotation keys of the OCI image specification.
const (
	annotationBase    = "org.opencontainers.image.base.name"
	annotationBaseSum = "org.opencontainers.image.base.digest"
	annotationCreated = "org.opencontainers.image.created"
	annotationTitle   = "org.opencontainers.image.title"
	annotationVersion = "org.opencontainers.image.version"
)

// Assemble makes an image of layers, the first lowest. What it has packed
// stays in the cache, so an unchanged layer is not packed again.
func Assemble(ctx context.Context, store *cas.Store, layers []LayerSpec, c plan.Config, m Meta) (v1.Image, []report.Layer, error) {
	parts := make([]packed, len(layers))
	group, gctx := errgroup.WithContext(ctx)
	for i, l := range layers {
		group.Go(func() (err error) {
			parts[i], err = pack(gctx, store, l, m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	form, err := formOn(m.On, m.Compression)
	if err != nil {
		return nil, nil, err
	}
	mediaType := form.layer(m.Compression)
	adds, described, err := form.beneath(ctx, store, m.On)
	if err != nil {
		return nil, nil, err
	}
	for i, l := range layers {
		full, err := partial.CompressedToLayer(layer{parts[i], store, mediaType})
		if err != nil {
			return nil, nil, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		adds = append(adds, mutate.Addendum{
			Layer: full, MediaType: mediaType,
			History: v1.History{Created: v1.Time{Time: m.Epoch.UTC()}, CreatedBy: "exuvia: " + l.Name},
		})
		described = append(described, describe(l, parts[i]))
	}
	if len(described) > maxLayers {
		return nil, nil, fault.New(fault.Base, "choose a base with fewer layers", "the image would have %d layers, and %d is the limit", len(described), maxLayers)
	}
	img, err := mutate.Append(form.empty(), adds...)
	if err != nil {
		return nil, nil, err
	}
	says, err := annotations(m)
	if err != nil {
		return nil, nil, err
	}
	if img, err = configure(img, c, m, says); err != nil {
		return nil, nil, fmt.Errorf("writing image config: %w", err)
	}
	if form.docker { // which knows no annotations; the labels have the same
		return img, described, nil
	}
	annotated, ok := mutate.Annotations(img, says).(v1.Image)
	if !ok {
		return nil, nil, fmt.Errorf("annotating image: it became something else")
	}
	return annotated, described, nil
}

// annotations are what the image says of itself, also as labels.
func annotations(m Meta) (map[string]string, error) {
	out := map[string]string{annotationCreated: m.Epoch.UTC().Format(time.RFC3339)}
	for k, v := range map[string]string{annotationBase: m.Base, annotationTitle: m.Name, annotationVersion: m.Version} {
		if v != "" {
			out[k] = v
		}
	}
	if m.On != nil {
		d, err := m.On.Digest()
		if err != nil {
			return nil, fmt.Errorf("reading the base: %w", err)
		}
		out[annotationBaseSum] = d.String()
	}
	return out, nil
}

// configure writes the image's config file.
func configure(img v1.Image, c plan.Config, m Meta, labels map[string]string) (v1.Image, error) {
	old, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	f := old.DeepCopy()
	f.Created = v1.Time{Time: m.Epoch.UTC()}
	f.OS, f.Architecture, f.Variant = m.Platform.OS, m.Platform.Architecture, m.Platform.Variant
	f.Config = v1.Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		ExposedPorts: set(c.Ports), Volumes: set(c.Writable), Labels: maps.Clone(labels),
	}
	maps.Copy(f.Config.Labels, c.Labels)
	if m.On != nil {
		below, err := m.On.ConfigFile()
		if err != nil {
			return nil, err
		}
		f.Config, f.Variant = inherit(f.Config, below.Config), cmp.Or(f.Variant, below.Variant)
	}
	return mutate.ConfigFile(img, f)
}

func set(names []string) map[string]struct{} {
	if len(names) == 0 {
		return nil
	}
	out := make(map[string]struct{}, len(names))
	for _, n := range names {
		out[n] = struct{}{}
	}
	return out
}

// Config is how an image runs, as it says itself.
func Config(img v1.Image) (plan.Config, error) {
	f, err := img.ConfigFile()
	if err != nil {
		return plan.Config{}, fmt.Errorf("reading image config: %w", err)
	}
	c := f.Config
	return plan.Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		Ports: slices.Sorted(maps.Keys(c.ExposedPorts)), Writable: slices.Sorted(maps.Keys(c.Volumes)), Labels: c.Labels,
	}, nil
}
