package debian

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
)

// With assembles a system as [Archive.Base] does, with more packages. Those that
// the suite does not have are a fault, libraries that it does not have are left
// out.
func (a *Archive) With(ctx context.Context, ref string, more base.More, p v1.Platform) (*base.Base, error) {
	s, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	libraries, err := a.libraries(ctx, s.Suite, more.Libraries, p)
	if err != nil {
		return nil, err
	}
	f := s.Flavour.with(s.Python)
	f.Packages = slices.Concat(f.Packages, more.Packages, libraries)
	return a.system(ctx, ref, s.Suite, f, p)
}

// libraries finds the packages of libraries.
func (a *Archive) libraries(ctx context.Context, s Suite, names []string, p v1.Platform) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	arch, err := architecture(p)
	if err != nil {
		return nil, err
	}
	repos, err := a.repos(ctx, s)
	if err != nil {
		return nil, err
	}
	u, err := a.universe(ctx, repos, arch)
	if err != nil {
		return nil, err
	}
	packages := slices.Sorted(maps.Keys(u.rows))
	var out []string
	for _, name := range names {
		if pkg := libraryPackage(packages, name); pkg != "" && !slices.Contains(out, pkg) {
			out = append(out, pkg)
		}
	}
	return out, nil
}

// oddLibraries are packages that are not called as their libraries ask for.
var oddLibraries = map[string]string{
	"libexslt.so":       "libxslt1.1",
	"libgio-2.0.so":     "libglib2.0-0",
	"libglib-2.0.so":    "libglib2.0-0",
	"libgmodule-2.0.so": "libglib2.0-0",
	"libgobject-2.0.so": "libglib2.0-0",
	"libgthread-2.0.so": "libglib2.0-0",
	"libjpeg.so":        "libjpeg62-turbo",
	"libsqlite3.so":     "libsqlite3-0",
	"libxml2.so":        "libxml2",
	"libxslt.so":        "libxslt1.1",
	"libz.so":           "zlib1g",
}

var (
	// soname is the name of a library, which may end in a version.
	soname = regexp.MustCompile(`^(lib[A-Za-z0-9][A-Za-z0-9+._-]*?)\.so(?:\.([0-9][0-9.]*))?$`)
	// changed is what packages get at the end of their names when what they
	// need of the compiler changes: "5", "1v5", "0b", "0t64".
	changed = regexp.MustCompile(`^[a-z]?(v5)?(t64)?$`)
	// anyVersion is what follows a library's name in that of its package, where
	// its version is not known: "5", "-1.0-0", "1v5".
	anyVersion = regexp.MustCompile(`^(-?[0-9][0-9.]*)+[a-z]?(v5)?(t64)?$`)
)

// libraryPackage chooses of the packages, which are sorted, the one that has a
// library: by its soname, in the form of Debian policy 8.1, or by its name
// without a version, the newest then. It is "" where none is called so.
func libraryPackage(packages []string, name string) string {
	m := soname.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	plain, version := strings.ToLower(strings.ReplaceAll(m[1], "_", "-")), m[2]
	if odd := oddLibraries[m[1]+".so"]; odd != "" {
		return longest(packages, odd, changed)
	}
	if version != "" {
		if endsInDigit(plain) {
			plain += "-"
		}
		return longest(packages, plain+version, changed)
	}
	if pkg := longest(packages, plain, anyVersion); pkg != "" {
		return pkg
	}
	if i := strings.LastIndexByte(plain, '-'); endsInDigit(plain) && i > 0 { // "libdb-5.3.so" is in libdb5.3
		plain = plain[:i] + plain[i+1:]
	}
	if endsInDigit(plain) {
		return longest(packages, plain, changed)
	}
	return ""
}

func endsInDigit(s string) bool { return s != strings.TrimRight(s, "0123456789") }

// longest gives the longest of the packages, which are sorted, that begin with
// stem and end as said; the last of several: of versions that is the newest.
func longest(packages []string, stem string, end *regexp.Regexp) string {
	first, _ := slices.BinarySearch(packages, stem)
	best := ""
	for _, pkg := range packages[first:] {
		rest, ok := strings.CutPrefix(pkg, stem)
		if !ok {
			break
		}
		if end.MatchString(rest) && len(pkg) >= len(best) {
			best = pkg
		}
	}
	return best
}
