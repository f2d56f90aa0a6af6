package image

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/fault"
)

// Bounds of indexes. Those in use have some dozen images and one level.
const (
	maxDocument = 16 << 20
	maxDepth    = 4
)

// pick finds the image of the platform in an index, and gives its digest. An
// index below it is read with get.
func (w wanted) pick(raw []byte, get func(v1.Hash) ([]byte, error)) (v1.Hash, error) {
	for range maxDepth {
		if len(raw) > maxDocument {
			return v1.Hash{}, fmt.Errorf("its index has more than %d bytes", maxDocument)
		}
		m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return v1.Hash{}, fmt.Errorf("reading its index: %w", err)
		}
		d, err := w.choose(m.Manifests)
		if err != nil || !d.MediaType.IsIndex() {
			return d.Digest, err
		}
		if raw, err = get(d.Digest); err != nil {
			return v1.Hash{}, err
		}
	}
	return v1.Hash{}, fmt.Errorf("its indexes are nested more than %d deep", maxDepth)
}

// choose chooses the image of the platform. An only image may be for any: its
// config will tell.
func (w wanted) choose(list []v1.Descriptor) (v1.Descriptor, error) {
	list = slices.DeleteFunc(slices.Clone(list), func(d v1.Descriptor) bool {
		attached := d.ArtifactType != "" && !types.MediaType(d.ArtifactType).IsConfig()
		return d.Platform != nil && d.Platform.OS == "unknown" || attached || !d.MediaType.IsIndex() && !isImage(d.MediaType) // attestations and the like
	})
	var known []string
	for _, d := range list {
		if d.Platform == nil {
			continue
		}
		if suits(*d.Platform, w.platform) {
			return d, nil
		}
		known = append(known, d.Platform.String())
	}
	if len(list) == 1 && list[0].Platform == nil {
		return list[0], nil
	}
	slices.Sort(known)
	have := strings.Join(slices.Compact(known), ", ")
	if have == "" {
		have = "no platform that it names"
	}
	return v1.Descriptor{}, fault.New(fault.Base, "choose a base for this platform, or build for another with --platform", "%s is for %s, not for %s", w.ref, fault.Clip(have), w.platform.String())
}

// isImage reports whether a line of an index may be an image. The type of
// those that other tools wrote may be missing.
func isImage(t types.MediaType) bool { return t == "" || t.IsImage() }
