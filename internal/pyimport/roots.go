package pyimport

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

const contract = "runtime contract: "

// RuntimeRoots are the modules of the standard library that every image
// keeps: what the interpreter imports when it starts, every codec, what is
// imported in C, and what -m, -c, -X and PYTHONDEVMODE need. The .pth files
// of the site directories are among them, since site runs them at every
// start. Roots are in the order of their paths; each file is there once.
func RuntimeRoots(rt *python.Runtime, t *tree.Tree) []plan.Root {
	m := newModules(t, rt, nil, nil)
	why := make(map[string]string)
	add := func(reason string, found ...module) {
		for _, f := range found {
			if _, ok := why[f.file]; !ok && f.file != "" {
				why[f.file] = contract + reason
			}
		}
	}
	names := func(reason string, list []string) {
		for _, n := range list {
			if f, ok := m.find(n); ok {
				add(reason, f)
			}
			for _, target := range implicitOf(m, n) {
				add("imported in C by "+n, target)
			}
		}
	}
	names("the start of the interpreter", rt.Initial)
	for _, a := range always {
		names(a.why, strings.Fields(a.names))
	}
	if enc, ok := m.find("encodings"); ok {
		add("codecs", m.below(enc)...)
	}
	for _, dir := range m.path {
		for _, e := range m.tree.Children(dir) {
			if isPth(e.Path) && !m.std[dir] && siteDir(dir) {
				why[e.Path] = contract + "site reads it at every start"
			}
		}
	}
	var out []plan.Root
	for p, w := range why {
		out = append(out, plan.Root{Path: m.spell(p), Why: w})
	}
	slices.SortFunc(out, func(a, b plan.Root) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// siteDir reports whether dir is one that site looks for .pth files in.
func siteDir(dir string) bool {
	base := path.Base(dir)
	return base == "site-packages" || base == "dist-packages"
}

func isPth(name string) bool {
	return strings.HasSuffix(name, ".pth") && !strings.HasPrefix(path.Base(name), ".")
}

// implicitOf finds what importing name also imports, see [implicit].
func implicitOf(m *modules, name string) []module { return listOf(m, implicit[name]) }

// listOf finds modules by names as tables have them, see [implicit].
func listOf(m *modules, names []string) []module {
	var out []module
	for _, n := range names {
		switch {
		case strings.HasSuffix(n, ".*"):
			if p, ok := m.find(strings.TrimSuffix(n, ".*")); ok {
				out = append(out, m.below(p)...)
			}
		case strings.HasSuffix(n, "*"):
			out = append(out, m.beginning(strings.TrimSuffix(n, "*"))...)
		default:
			if f, ok := m.find(n); ok {
				out = append(out, f)
			}
		}
	}
	return out
}

// beginning finds the top-level modules of the standard library whose names
// begin so.
func (m *modules) beginning(prefix string) []module {
	var out []module
	for _, dir := range m.path {
		if !m.std[dir] {
			continue
		}
		for _, e := range m.tree.Children(dir) {
			stem, ok := m.stem(path.Base(e.Path))
			if !ok || !strings.HasPrefix(stem, prefix) {
				continue
			}
			if f, ok := m.find(stem); ok {
				out = append(out, f)
			}
		}
	}
	return out
}
