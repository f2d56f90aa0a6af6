package reach

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// Find gives the kept paths that x names, sorted: a path, a module
// ("json.decoder"), a distribution or a Debian package ("fastapi",
// "dist:fastapi", "deb:libssl3"), or a library by its soname ("libssl.so.3").
// The first of these that gives anything wins.
func (g *Graph) Find(x string) []string {
	paths := make([]string, len(g.nodes))
	origins := make(map[string]tree.Origin, len(g.nodes))
	for i, n := range g.nodes {
		paths[i], origins[n.path] = n.path, n.origin
	}
	if g.Why(x) != nil && clean(x) != "" {
		return []string{clean(x)}
	}
	return named(x, paths, origins)
}

// Named gives the paths of t that x names, as [Graph.Find] does for kept
// ones. A directory is given as itself.
func Named(t *tree.Tree, x string) []string {
	if e, ok := t.Lookup(clean(x)); ok {
		return []string{e.Path}
	}
	var paths []string
	origins := make(map[string]tree.Origin)
	for e := range t.All() {
		if !e.IsDir() {
			paths = append(paths, e.Path)
			origins[e.Path] = e.From
		}
	}
	return named(x, paths, origins)
}

// named finds the paths that x names other than by its path.
func named(x string, paths []string, origins map[string]tree.Origin) []string {
	for _, find := range []func() []string{
		func() []string { return modules(x, paths) },
		func() []string { return ofOrigin(x, paths, origins) },
		func() []string { return libraries(x, paths) },
	} {
		if found := find(); len(found) > 0 {
			return found
		}
	}
	return nil
}

// moduleName is a dotted name of a Python module.
var moduleName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)*$`)

// extension is what follows a module's name in its file's: "decoder.py",
// "_json.cpython-311-x86_64-linux-gnu.so".
var extension = regexp.MustCompile(`^\.(py|pyc|so|[\w-]+\.so)$`)

// modules finds the files of the module x: usr/lib/python3.11/json/decoder.py
// for "json.decoder". A file in a package counts only under its full name, so
// "decoder" is not found.
func modules(x string, paths []string) []string {
	if !moduleName.MatchString(x) {
		return nil
	}
	packages := make(map[string]bool)
	for _, p := range paths {
		if strings.HasPrefix(path.Base(p), "__init__.") {
			packages[path.Dir(p)] = true
		}
	}
	rel := strings.ReplaceAll(x, ".", "/")
	first, _, _ := strings.Cut(rel, "/")
	var out []string
	for _, p := range paths {
		i := strings.LastIndex("/"+p, "/"+rel)
		if i < 0 {
			continue
		}
		rest := strings.TrimPrefix(p[i+len(rel):], "/__init__")
		if !extension.MatchString(rest) {
			continue
		}
		if dir := path.Dir(p[:i] + first); !packages[dir] {
			out = append(out, p)
		}
	}
	return out
}

// separators are equal in the names of distributions (PEP 503).
var separators = regexp.MustCompile(`[-_.]+`)

// canonical is the normalised name of a distribution.
func canonical(name string) string {
	return separators.ReplaceAllString(strings.ToLower(name), "-")
}

func ofOrigin(x string, paths []string, origins map[string]tree.Origin) []string {
	kind, name, ok := strings.Cut(x, ":")
	if !ok {
		kind, name = "", x
	}
	var out []string
	for _, p := range paths {
		o := origins[p]
		switch {
		case kind != "" && kind != string(o.Kind):
		case o.Kind == tree.Dist && canonical(o.Name) == canonical(name), o.Kind == tree.Deb && o.Name == name:
			out = append(out, p)
		}
	}
	return out
}

func libraries(x string, paths []string) []string {
	if !strings.Contains(x, ".so") {
		return nil
	}
	var out []string
	for _, p := range paths {
		if b := path.Base(p); b == x || strings.HasPrefix(b, x+".") {
			out = append(out, p)
		}
	}
	return out
}

// Verdict is how something stands to the image.
type Verdict string

// The verdicts.
const (
	In       Verdict = "in"        // it is kept
	NotThere Verdict = "not there" // never in the system with the app
	Cut      Verdict = "cut"       // a kept file names it, and a rule says that this does not count
	Chained  Verdict = "chained"   // only files that are out name it
	Unnamed  Verdict = "unnamed"   // nothing that was looked at names it
)

// Absence says why something is out.
type Absence struct {
	Verdict Verdict  `json:"verdict"`
	Path    string   `json:"path,omitempty"` // what was asked for, where it is a file of the system
	Text    string   `json:"text"`           // one sentence
	By      []string `json:"by,omitempty"`   // files that name it: kept ones that were cut, or ones that are out too
}

// WhyNot says why what x names (as in [Graph.Find]) is out. Several files are
// answered for by the first of them.
func (g *Graph) WhyNot(x string) Absence {
	if found := g.Find(x); len(found) > 0 {
		return Absence{Verdict: In, Path: found[0], Text: found[0] + " is in the image"}
	}
	p, ok := g.lost(x)
	if !ok {
		a := Absence{Verdict: NotThere, Text: x + " was never in the system with the app"}
		for _, m := range g.missing {
			if m.Missing == x {
				a.By = append(a.By, m.From)
			}
		}
		if len(a.By) > 0 {
			a.By = slices.Compact(a.By)
			a.Text += fmt.Sprintf(", though %s asks for it", a.By[0])
		}
		return a
	}
	a := Absence{Path: p}
	for _, c := range g.cuts {
		if c.To == p {
			a.By = append(a.By, c.From)
			a.Text = fmt.Sprintf("cut by a rule: %s (named at %s)", c.Cut, c.Note)
		}
	}
	if len(a.By) > 0 {
		a.Verdict, a.By = Cut, slices.Compact(a.By)
		return a
	}
	if by, ok := g.outside[p]; ok {
		a.Verdict, a.By = Chained, g.outsiders(p)
		a.Text = fmt.Sprintf("%s is only needed by %s, which is out", p, by)
		return a
	}
	a.Verdict, a.Text = Unnamed, "nothing kept needs "+p
	return a
}

// outsiders is the chain of files that are out from p upwards.
func (g *Graph) outsiders(p string) []string {
	var chain []string
	for by, ok := g.outside[p]; ok && !slices.Contains(chain, by); by, ok = g.outside[by] {
		chain = append(chain, by)
	}
	return chain
}

// lost finds a path of the system that x names and that is out.
func (g *Graph) lost(x string) (string, bool) {
	c := clean(x)
	i, ok := slices.BinarySearch(g.out, c)
	if ok {
		return c, true
	}
	if i < len(g.out) && c != "" && strings.HasPrefix(g.out[i], c+"/") {
		return g.out[i], true
	}
	if found := named(x, g.out, g.origins); len(found) > 0 {
		return found[0], true
	}
	return "", false
}
