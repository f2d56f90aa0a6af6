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
		return "", fault.Wrap(err, fault.Usage, "a reference is NAME[:TAG] in lower case, such as rest-app:1.0", "reading reference %q", ref)
	}
	return strings.TrimPrefix(tag.Name(), "library/"), nil
}
