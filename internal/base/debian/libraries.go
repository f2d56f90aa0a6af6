package debian

import (
	"context"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
)

// WithLibraries assembles a system as [Archive.Base] does, with the packages
// that have the libraries of these sonames. Where the suite has none, the
// system goes without.
func (a *Archive) WithLibraries(ctx context.Context, ref string, sonames []string, p v1.Platform) (*base.Base, error) {
	s, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	f := s.Flavour.with(s.Python)
	f.Packages = slices.Clone(f.Packages)
	for _, name := range sonames {
		f.Packages = append(f.Packages, libraryPackages(name)...)
	}
	return a.system(ctx, ref, s.Suite, f, p)
}

// oddLibraries are packages that are not called as their sonames ask for.
var oddLibraries = map[string]string{
	"libgio-2.0.so.0":     "libglib2.0-0",
	"libglib-2.0.so.0":    "libglib2.0-0",
	"libgmodule-2.0.so.0": "libglib2.0-0",
	"libgobject-2.0.so.0": "libglib2.0-0",
	"libgthread-2.0.so.0": "libglib2.0-0",
	"libsqlite3.so.0":     "libsqlite3-0",
	"libxml2.so.2":        "libxml2",
	"libz.so.1":           "zlib1g",
}

var soname = regexp.MustCompile(`^(lib[A-Za-z0-9][A-Za-z0-9+._-]*?)(?:-([0-9][0-9.]*))?\.so(?:\.([0-9][0-9.]*))?$`)

// libraryPackages gives what a package with a library may be called, each
// with the "?" of one that may not be there: the soname in the form of Debian
// policy 8.1, and the same with the suffix that packages got when time_t was
// given 64 bits. It gives none for a soname that policy has no form for.
func libraryPackages(name string) []string {
	pkg := oddLibraries[name]
	if m := soname.FindStringSubmatch(name); pkg == "" && m != nil {
		version := m[3]
		if version == "" {
			version = m[2]
		}
		if version == "" {
			return nil
		}
		pkg = strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
		if last := pkg[len(pkg)-1]; '0' <= last && last <= '9' {
			pkg += "-"
		}
		pkg += version
	}
	if pkg == "" {
		return nil
	}
	return []string{pkg + "?", pkg + "t64?"}
}
