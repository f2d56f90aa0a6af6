package install

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/project"
	"exuvia/internal/python"
)

// tags ranks what wheels are for: "cp311-cp311-manylinux_2_17_x86_64" → place
// in the order of preference, 0 first. The order is that of pip and uv.
type tags map[string]int

// alias are the names that manylinux platforms had before PEP 600, by the
// minor version of glibc 2.
var alias = map[int]string{17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

// tagsOf lists the tags that a runtime on a C library ("glibc 2.36", "musl
// 1.2.5", "" for unknown) can use.
func tagsOf(rt *python.Runtime, libc string) (tags, error) {
	_, after, ok := strings.Cut(rt.Version, ".")
	minor, err := strconv.Atoi(after)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is no version of Python", rt.Version)
	}
	platforms, err := platformsOf(strings.TrimPrefix(rt.Platform, "linux-"), libc)
	if err != nil {
		return nil, err
	}
	t := make(tags)
	add := func(py, abi string, platforms ...string) {
		for _, p := range platforms {
			tag := py + "-" + abi + "-" + p
			if _, ok := t[tag]; !ok {
				t[tag] = len(t)
			}
		}
	}
	cp := func(minor int) string { return "cp3" + strconv.Itoa(minor) }
	py := []string{"py3" + strconv.Itoa(minor), "py3"}
	for m := minor - 1; m >= 0; m-- {
		py = append(py, "py3"+strconv.Itoa(m))
	}
	add(cp(minor), cp(minor), platforms...)
	add(cp(minor), "abi3", platforms...)
	add(cp(minor), "none", platforms...)
	for m := minor - 1; m >= 2; m-- {
		add(cp(m), "abi3", platforms...)
	}
	for _, p := range py {
		add(p, "none", platforms...)
	}
	add(cp(minor), "none", "any")
	for _, p := range py {
		add(p, "none", "any")
	}
	return t, nil
}

// platformsOf lists the platform tags of a machine, the newest first.
func platformsOf(machine, libc string) ([]string, error) {
	name, version, _ := strings.Cut(libc, " ")
	parts := strings.Split(version, ".")
	var major, minor int
	if libc != "" {
		var err1, err2 error
		if len(parts) < 2 {
			return nil, fmt.Errorf("%q is no C library", libc)
		}
		major, err1 = strconv.Atoi(parts[0])
		minor, err2 = strconv.Atoi(parts[1])
		if err1 != nil || err2 != nil || minor > 1000 {
			return nil, fmt.Errorf("%q is no C library", libc)
		}
	}
	var out []string
	switch {
	case name == "glibc" && major == 2:
		oldest := 17 // PEP 599: other machines came with manylinux2014
		if machine == "x86_64" || machine == "i686" {
			oldest = 5
		}
		for m := minor; m >= oldest; m-- {
			out = append(out, fmt.Sprintf("manylinux_2_%d_%s", m, machine))
			if a, ok := alias[m]; ok {
				out = append(out, a+"_"+machine)
			}
		}
	case name == "musl":
		for m := minor; m >= 0; m-- {
			out = append(out, fmt.Sprintf("musllinux_%d_%d_%s", major, m, machine))
		}
	}
	return append(out, "linux_"+machine), nil
}

// wheelName is what a wheel's file name says (binary distribution format of
// the packaging guide).
type wheelName struct {
	name    string // normalised
	version string
	build   string
	tags    []string // every combination
}

// maxTags bounds the combinations of compressed tags.
const maxTags = 1000

func parseWheelName(file string) (wheelName, error) {
	bad := fmt.Errorf("%q is no name of a wheel", file)
	stem, ok := strings.CutSuffix(file, ".whl")
	parts := strings.Split(stem, "-")
	if !ok || len(parts) < 5 || len(parts) > 6 || strings.ContainsAny(file, "/\x00") {
		return wheelName{}, bad
	}
	w := wheelName{name: project.Normalise(parts[0]), version: parts[1]}
	if len(parts) == 6 {
		w.build = parts[2]
	}
	if slices.Contains(parts, "") {
		return wheelName{}, bad
	}
	last := parts[len(parts)-3:]
	for py := range strings.SplitSeq(last[0], ".") {
		for abi := range strings.SplitSeq(last[1], ".") {
			for platform := range strings.SplitSeq(last[2], ".") {
				if w.tags = append(w.tags, py+"-"+abi+"-"+platform); len(w.tags) > maxTags {
					return wheelName{}, bad
				}
			}
		}
	}
	return w, nil
}

// rank is the best place of a wheel's tags; false where none can be used.
func (t tags) rank(w wheelName) (int, bool) {
	best, found := 0, false
	for _, tag := range w.tags {
		if r, ok := t[tag]; ok && (!found || r < best) {
			best, found = r, true
		}
	}
	return best, found
}
