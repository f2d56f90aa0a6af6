package project

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"

	"exuvia/internal/fault"
)

// maxSpecifiers bounds the text of version specifiers, in bytes.
const maxSpecifiers = 1000

// newestPatch is the highest patch release that a minor version is asked
// about: no Python has had more than 30.
const newestPatch = 40

// Satisfies reports whether a Python of the version meets the PEP 440
// specifiers; "" is met by any. A full version ("3.11.2") is compared as it
// is; a minor version ("3.11") satisfies if one of its releases does. Text
// that is no list of specifiers or no version is an error.
func Satisfies(requires, version string) (bool, error) {
	if len(requires) > maxSpecifiers {
		return false, fmt.Errorf("version specifiers of %d bytes are too long", len(requires))
	}
	candidates := []string{version}
	if minor.MatchString(version) {
		for patch := range newestPatch {
			candidates = append(candidates, version+"."+strconv.Itoa(patch))
		}
	}
	specs, err := specifiers(requires)
	if err != nil {
		return false, err
	}
	for _, c := range candidates {
		v, err := pep440.Parse(c)
		if err != nil {
			return false, fmt.Errorf("%q is no version: %w", c, err)
		}
		if specs == nil || specs.Check(v) {
			return true, nil
		}
	}
	return false, nil
}

// specifiers parses a PEP 440 list; nil is met by any version.
func specifiers(s string) (*pep440.Specifiers, error) {
	s = strings.Trim(strings.TrimSpace(s), ",")
	if s == "" || s == "*" {
		return nil, nil
	}
	specs, err := pep440.NewSpecifiers(s, pep440.WithPreRelease(true))
	if err != nil {
		return nil, fmt.Errorf("%q is no list of version specifiers", Clip(s)) // the library's error says no more
	}
	return &specs, nil
}

var (
	minor = regexp.MustCompile(`^3\.\d{1,3}$`)
	pin   = regexp.MustCompile(`^(?:c?python-?|cp)?(3\.\d{1,3})(?:\.\d{1,3})?(?:-.*)?$`)
)

// readPin finds the minor version that the text of a .python-version names.
// The first version counts, as pyenv and uv have it.
func readPin(text string) (string, error) {
	for line := range strings.SplitSeq(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		m := pin.FindStringSubmatch(fields[0])
		if m == nil {
			return "", fault.New(fault.Project, `write a version of CPython into it, such as "3.11", or use --python 3.11`,
				".python-version names %q, which is no version of CPython 3", Clip(fields[0]))
		}
		return m[1], nil
	}
	return "", nil
}

// PoetryConstraint turns Poetry's own version syntax ("^3.11", "~3.9",
// "3.11.*", a bare "3.11") into PEP 440 specifiers. Alternatives ("||") stay.
func PoetryConstraint(s string) (string, error) {
	var alternatives []string
	for alt := range strings.SplitSeq(s, "|") {
		if strings.TrimSpace(alt) == "" {
			continue
		}
		var parts []string
		for _, part := range strings.FieldsFunc(alt, func(r rune) bool { return r == ',' }) {
			p, err := poetryPart(strings.TrimSpace(part))
			if err != nil {
				return "", err
			}
			if p != "" {
				parts = append(parts, p)
			}
		}
		alternatives = append(alternatives, strings.Join(parts, ","))
	}
	return strings.Join(alternatives, "||"), nil
}

var poetryVersion = regexp.MustCompile(`^([\^~]?)\s*(\d{1,4}(?:\.\d{1,4}){0,3})(\.\*)?$`)

func poetryPart(p string) (string, error) {
	if p == "" || p == "*" {
		return "", nil
	}
	m := poetryVersion.FindStringSubmatch(p)
	if m == nil {
		if _, err := specifiers(p); err != nil {
			return "", err
		}
		return p, nil
	}
	numbers := strings.Split(m[2], ".")
	switch {
	case m[1] == "^": // up to the next change of the first number that is not 0
		i := 0
		for i < len(numbers)-1 && strings.Trim(numbers[i], "0") == "" {
			i++
		}
		return ">=" + m[2] + ",<" + bump(numbers, i), nil
	case m[1] == "~":
		return ">=" + m[2] + ",<" + bump(numbers, min(1, len(numbers)-1)), nil
	case len(numbers) < 3 || m[3] != "":
		return "==" + m[2] + ".*", nil
	}
	return "==" + m[2], nil
}

// bump raises the number at i and drops what follows.
func bump(numbers []string, i int) string {
	n, _ := strconv.Atoi(numbers[i]) // the expression has checked it
	return strings.Join(append(append([]string{}, numbers[:i]...), strconv.Itoa(n+1)), ".")
}

// Clip shortens text from outside for a message.
func Clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
