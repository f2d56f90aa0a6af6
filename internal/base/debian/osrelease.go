package debian

import (
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// maxOSRelease bounds /etc/os-release. Those in use have some hundred bytes.
const maxOSRelease = 64 << 10

// SuiteOf tells from /etc/os-release which of [Suites] a system is of; "" for
// what is no Debian, or one that no tools can be assembled for.
func SuiteOf(t *tree.Tree) string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		e, ok := t.Resolve(name)
		if !ok {
			continue
		}
		if data, err := e.ReadAll(maxOSRelease); err == nil {
			return suiteOf(string(data))
		}
	}
	return ""
}

// codename is in VERSION where VERSION_CODENAME is missing, as in Google's
// distroless images: "Debian GNU/Linux 12 (bookworm)".
var codename = regexp.MustCompile(`\(([a-z]+)\)$`)

// suiteOf reads os-release(5).
func suiteOf(text string) string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[name] = strings.Trim(value, `"'`)
		}
	}
	if fields["ID"] != "debian" {
		return ""
	}
	name := fields["VERSION_CODENAME"]
	if m := codename.FindStringSubmatch(fields["VERSION"]); name == "" && m != nil {
		name = m[1]
	}
	if !slices.ContainsFunc(Suites(), func(s Suite) bool { return s.Name == name }) {
		return ""
	}
	return name
}

// WithFlavour names the system of the same suite and Python as ref's in
// another flavour. A flavour without a Python has none. It reports false for
// what is no reference to a Debian system.
func WithFlavour(ref, flavour string) (string, bool) {
	s, err := parseRef(ref)
	if err != nil {
		return "", false
	}
	if f, err := flavourNamed(flavour); err == nil && !f.python() {
		s.Python = ""
	}
	return Ref(s.Suite.Name, flavour, s.Python), true
}
