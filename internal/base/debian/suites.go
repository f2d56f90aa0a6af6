package debian

import (
	"fmt"
	"slices"
	"strings"

	"exuvia/internal/fault"
)

// Suite is a Debian release and the Pythons in it.
type Suite struct {
	Name     string   // codename, "bookworm"
	Released bool     // false for what changes from day to day
	Python   []string // "3.11"; the first is what the package python3 is
}

// Suites lists the suites that systems can be assembled from: the released
// ones, newest first, then sid.
func Suites() []Suite {
	return []Suite{
		{Name: "trixie", Released: true, Python: []string{"3.13"}},
		{Name: "bookworm", Released: true, Python: []string{"3.11"}},
		{Name: "bullseye", Released: true, Python: []string{"3.9"}},
		{Name: "sid", Python: []string{"3.14", "3.15"}},
	}
}

// SuiteFor chooses the first suite, in the order of [Suites], that has a
// Python which fits, and that Python.
func SuiteFor(fits func(python string) bool) (s Suite, python string, ok bool) {
	for _, s := range Suites() {
		if i := slices.IndexFunc(s.Python, fits); i >= 0 {
			return s, s.Python[i], true
		}
	}
	return Suite{}, "", false
}

// Ref names a system: "debian:bookworm", "debian:bookworm-slim",
// "debian:sid-python3.15". Flavour and python may be "".
func Ref(suite, flavour, python string) string {
	ref := "debian:" + suite
	if flavour != "" {
		ref += "-" + flavour
	}
	if python != "" {
		ref += "-python" + python
	}
	return ref
}

// system is what a reference means.
type system struct {
	Suite   Suite
	Flavour Flavour
	Python  string // a version other than the suite's own, or ""
}

// parseRef reads "debian:SUITE[-FLAVOUR][-pythonX.Y]".
func parseRef(ref string) (system, error) {
	rest, ok := strings.CutPrefix(ref, "debian:")
	if !ok {
		return system{}, fault.New(fault.Base, "name it debian:SUITE, such as debian:bookworm", "%q is no Debian system", ref)
	}
	name, rest, _ := strings.Cut(rest, "-")
	suite, err := suiteNamed(name)
	if err != nil {
		return system{}, err
	}
	s := system{Suite: suite}
	words := strings.FieldsFunc(rest, func(r rune) bool { return r == '-' })
	if n := len(words); n > 0 {
		if v, ok := strings.CutPrefix(words[n-1], "python"); ok && isMinor(v) {
			s.Python, words = v, words[:n-1]
		}
	}
	if s.Python == suite.Python[0] {
		s.Python = ""
	}
	s.Flavour, err = flavourNamed(strings.Join(words, "-"))
	if err == nil && s.Python != "" && !s.Flavour.python() {
		err = fault.New(fault.Base, "leave out -python"+s.Python, "the flavour %q has no Python", s.Flavour.Name)
	}
	return s, err
}

// isMinor reports whether v is like "3.11".
func isMinor(v string) bool {
	minor, ok := strings.CutPrefix(v, "3.")
	return ok && minor != "" && len(minor) <= 3 && strings.Trim(minor, "0123456789") == ""
}

func suiteNamed(name string) (Suite, error) {
	var known []string
	for _, s := range Suites() {
		if s.Name == name {
			return s, nil
		}
		known = append(known, fmt.Sprintf("%s (Python %s)", s.Name, strings.Join(s.Python, ", ")))
	}
	return Suite{}, fault.New(fault.Base, "choose one of "+strings.Join(known, ", "), "unknown Debian suite %q", name)
}
