package verify

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/engine"
)

// leaving adds to the answer of a program that ended the files that it left
// behind, but for those that the subject's own packing unpacked.
func (a answer) leaving(s Subject, e engine.Exit) answer {
	for _, f := range e.Files {
		if !slices.ContainsFunc(s.Unpacks, func(dir string) bool { return strings.HasPrefix(f.Path, path.Clean(dir)+"/") }) {
			a.files = append(a.files, f)
		}
	}
	switch {
	case e.ManyFiles:
		a.fields["files"] = "more than are compared"
		a.seen += ", more files than are compared"
	case len(a.files) > 0:
		a.seen += fmt.Sprintf(", files written: %d", len(a.files))
	}
	return a
}

// withFiles gives answers with fields for the files that the programs left:
// "file:/tmp/x" for what it is and "content:/tmp/x" for what is in it. The first
// is the image's, the others those of the unreduced app. Files whose names
// differ from run to run of that are taken together under what the names have
// in common.
//
//	/tmp/tmpab12/a.csv in one run, /tmp/tmpcd34/a.csv in another  →  file:/tmp/…/a.csv
func withFiles(lean answer, full ...answer) []answer {
	named := make(map[string]int) // in how many runs a name is
	for _, a := range full {
		for _, f := range a.files {
			named[f.Path]++
		}
	}
	var forms []form
	for _, a := range full[1:] {
		forms = append(forms, formsOf(unsteady(full[0], named, len(full)), unsteady(a, named, len(full)))...)
	}
	slices.SortFunc(forms, func(x, y form) int { // the narrowest first
		return cmp.Or(cmp.Compare(y.common(), x.common()), cmp.Compare(x.String(), y.String()))
	})
	out := []answer{lean}
	out = append(out, full...)
	for i := range out {
		out[i].fields = out[i].fileFields(func(name string) string {
			if named[name] == len(full) {
				return name
			}
			if j := slices.IndexFunc(forms, func(f form) bool { return f.matches(name) }); j >= 0 {
				return forms[j].String()
			}
			return name
		})
	}
	return out
}

// fileFields are the fields of an answer and those of its files, by names as
// called says.
func (a answer) fileFields(called func(name string) string) map[string]string {
	kinds, contents := make(map[string][]string), make(map[string][]string)
	for _, f := range a.files {
		name := called(f.Path)
		kinds[name] = append(kinds[name], f.Mode.String())
		content := fmt.Sprintf("%d bytes, sha256 %s", f.Size, f.Digest)
		if f.Link != "" {
			content = "a link to " + f.Link
		}
		contents[name] = append(contents[name], content)
	}
	out := union(a.fields, nil)
	for prefix, fields := range map[string]map[string][]string{"file:": kinds, "content:": contents} {
		for name, values := range fields {
			slices.Sort(values)
			out[prefix+name] = strings.Join(values, "; ")
		}
	}
	return out
}

// unsteady lists the names of an answer's files that not all runs have.
func unsteady(a answer, named map[string]int, runs int) []string {
	var out []string
	for _, f := range a.files {
		if named[f.Path] < runs {
			out = append(out, f.Path)
		}
	}
	return out
}

// form is what names have in common: how they begin and end, and how many
// slashes there are between.
type form struct {
	prefix, suffix string
	slashes        int
}

func (f form) String() string {
	return f.prefix + "…" + strings.Repeat("/…", f.slashes) + f.suffix
}

func (f form) common() int { return len(f.prefix) + len(f.suffix) }

func (f form) matches(name string) bool {
	return len(name) > f.common() && strings.HasPrefix(name, f.prefix) && strings.HasSuffix(name, f.suffix) &&
		strings.Count(name[len(f.prefix):len(name)-len(f.suffix)], "/") == f.slashes
}

// formsOf pairs names of two runs, each with the one that has most in common
// with it.
func formsOf(xs, ys []string) []form {
	found := make(map[form]bool)
	for _, pair := range [][2][]string{{xs, ys}, {ys, xs}} {
		for _, x := range pair[0] {
			var best form
			for _, y := range pair[1] {
				if f, ok := formOf(x, y); ok && f.common() > best.common() {
					best = f
				}
			}
			if best.common() > 0 {
				found[best] = true
			}
		}
	}
	return slices.Collect(maps.Keys(found))
}

// formOf gives what two names have in common, up to a slash or a dot: letters of
// random parts agree by chance.
func formOf(x, y string) (form, bool) {
	n := 0
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	prefix := x[:strings.LastIndexAny(x[:n], "/.")+1]
	x, y = x[len(prefix):], y[len(prefix):]
	n = 0
	for n < min(len(x), len(y)) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	suffix := x[len(x)-n:]
	if i := strings.IndexAny(suffix, "/."); i >= 0 {
		suffix = suffix[i:]
	} else {
		suffix = ""
	}
	f := form{prefix, suffix, strings.Count(x[:len(x)-len(suffix)], "/")}
	return f, f.matches(prefix+x) && f.matches(prefix+y)
}
