package oci

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
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
}

// Annotation keys of the OCI image specification.
const (
	annotationBase    = "org.opencontainers.image.base.name"
	annotationCreated = "org.opencontainers.image.created"
	annotationTitle   = "org.opencontainers.image.title"
	annotationVersion = "org.opencontainers.image.version"
)

// Assemble makes an image of layers, the first lowest. What it has packed
// stays in the cache, so an unchanged layer is not packed again.
func Assemble(ctx context.Context, store *cas.Store, layers []LayerSpec, c plan.Config, m Meta) (v1.Image, []report.Layer, error) {
	parts := make([]packed, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	for i, l := range layers {
		group.Go(func() (err error) {
			parts[i], err = pack(ctx, store, l, m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	mediaType := types.OCILayer
	if m.Compression == Zstd {
		mediaType = types.OCILayerZStd
	}
	var adds []mutate.Addendum
	var described []report.Layer
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
	img, err := mutate.Append(img, adds...)
	if err != nil {
		return nil, nil, err
	}
	if img, err = configure(img, c, m); err != nil {
		return nil, nil, fmt.Errorf("writing image config: %w", err)
	}
	annotated, ok := mutate.Annotations(img, annotations(m)).(v1.Image)
	if !ok {
		return nil, nil, fmt.Errorf("annotating image: it became something else")
	}
	return annotated, described, nil
}

func annotations(m Meta) map[string]string {
	out := map[string]string{annotationCreated: m.Epoch.UTC().Format(time.RFC3339)}
	for k, v := range map[string]string{annotationBase: m.Base, annotationTitle: m.Name, annotationVersion: m.Version} {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// configure writes the image's config file.
func configure(img v1.Image, c plan.Config, m Meta) (v1.Image, error) {
	old, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	f := old.DeepCopy()
	f.Created = v1.Time{Time: m.Epoch.UTC()}
	f.OS, f.Architecture, f.Variant = m.Platform.OS, m.Platform.Architecture, m.Platform.Variant
	f.Config = v1.Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		ExposedPorts: set(c.Ports), Volumes: set(c.Writable), Labels: maps.Clone(annotations(m)),
	}
	maps.Copy(f.Config.Labels, c.Labels)
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
