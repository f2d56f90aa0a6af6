package oci

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"exuvia/internal/fault"
)

// Normalise completes a reference as Docker shows it: "rest-app" is
// "rest-app:latest". No registry is put before it.
func Normalise(ref string) (string, error) {
	tag, err := name.NewTag(ref, name.WithDefaultRegistry(""), name.WeakValidation)
	if err != nil {
		return "", fault.New(fault.Usage, "write NAME[:TAG] with a name of a-z, 0-9, dots and dashes, such as rest-app:1.0", "%q cannot be the name of an image", ref)
	}
	return strings.TrimPrefix(tag.Name(), "library/"), nil
}
