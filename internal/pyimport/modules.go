package pyimport

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// module is what a dotted name stands for.
type module struct {
	name    string
	file    string   // path in the tree; "" for a namespace package and for what the interpreter carries inside
	dirs    []string // where submodules are looked for; none unless it is a package
	std     bool     // of the standard library
	builtin bool     // inside the interpreter
}

// modules finds modules in a tree as the interpreter's path finder does
// (importlib.machinery.FileFinder), without running anything.
type modules struct {
	tree     *tree.Tree
	suffixes []string // in the order in which the interpreter tries them
	path     []string // links followed
	std      map[string]bool
	builtin  map[string]bool
	inside   map[string]bool   // frozen or made at the start; a file of that name comes first
	spelled  map[string]string // directories that were found through a link, to how they were
	known    map[string]found
}

type found struct {
	module
	ok bool
}

func newModules(t *tree.Tree, rt *python.Runtime, before, after []string) *modules {
	m := &modules{
		tree:     t,
		suffixes: append(slices.Clone(rt.Suffixes), ".py", ".pyc"),
		std:      map[string]bool{t.Real(rt.Stdlib): true, t.Real(rt.DynLoad): true},
		builtin:  make(map[string]bool),
		inside:   make(map[string]bool),
		spelled:  make(map[string]string),
		known:    make(map[string]found),
	}
	for _, b := range rt.Builtin {
		m.builtin[b] = true
	}
	for _, b := range slices.Concat(rt.Frozen, rt.Initial) {
		m.inside[b] = true
	}
	for _, dir := range slices.Concat(before, rt.Path, after) {
		m.extend(dir)
	}
	return m
}

// extend adds a directory to the end of the path, if there is one.
func (m *modules) extend(dir string) {
	e, ok := m.tree.Resolve(dir)
	if !ok || !e.IsDir() || slices.Contains(m.path, e.Path) {
		return
	}
	m.path = append(m.path, e.Path)
	if dir = path.Clean(dir); dir != e.Path {
		m.spelled[e.Path] = dir
	}
}

// spell gives the path of a file as the interpreter finds it, so that the
// links on the way are kept with it.
func (m *modules) spell(file string) string {
	for range len(m.spelled) {
		dir := path.Dir(file)
		for dir != "." && m.spelled[dir] == "" {
			dir = path.Dir(dir)
		}
		if dir == "." {
			break
		}
		file = m.spelled[dir] + strings.TrimPrefix(file, dir)
	}
	return file
}

// find looks a module up by its full name.
func (m *modules) find(name string) (module, bool) {
	if f, ok := m.known[name]; ok {
		return f.module, f.ok
	}
	var f found
	if len(name) <= maxName { // names come from files that nobody has checked
		f.module, f.ok = m.search(name)
	}
	m.known[name] = f
	return f.module, f.ok
}

const maxName = 250

func (m *modules) search(name string) (module, bool) {
	parent, base, below := cutLast(name)
	if base == "" || strings.ContainsAny(base, "/\x00") {
		return module{}, false
	}
	if !below {
		if m.builtin[name] {
			return module{name: name, std: true, builtin: true}, true
		}
		if found, ok := m.in(m.path, name, base, true); ok && (found.file != "" || !m.inside[name]) {
			return found, true
		}
		return module{name: name, std: true, builtin: true}, m.inside[name]
	}
	p, ok := m.find(parent)
	if !ok || len(p.dirs) == 0 {
		return module{}, false
	}
	found, ok := m.in(p.dirs, name, base, false)
	found.std = p.std
	return found, ok
}

// cutLast splits "a.b.c" into "a.b" and "c".
func cutLast(name string) (parent, base string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}

// in looks for base in dirs, in order. A directory without __init__ is a
// namespace package, if nothing better is in any of them. A package at the
// top of the path may continue in later directories of the path, as pkgutil
// and pkg_resources arrange it.
func (m *modules) in(dirs []string, name, base string, top bool) (module, bool) {
	out := module{name: name}
	var spaces []string
	for _, d := range dirs {
		p := path.Join(d, base)
		pkg, isDir := m.dir(p)
		if isDir && pkg != p && m.spelled[pkg] == "" && !strings.HasPrefix(p, pkg+"/") {
			m.spelled[pkg] = p
		}
		if isDir {
			spaces = append(spaces, pkg)
		}
		if out.file != "" {
			continue
		}
		if isDir {
			if out.file = m.with(pkg + "/__init__"); out.file != "" {
				out.std, spaces = m.std[d], []string{pkg}
				continue
			}
		}
		if out.file = m.with(p); out.file != "" {
			out.std = m.std[d]
			return out, true
		}
	}
	if out.file != "" && !top {
		spaces = spaces[:1]
	}
	out.dirs = spaces
	return out, out.file != "" || len(spaces) > 0
}

// dir gives the directory that p is or, as a link, leads to.
func (m *modules) dir(p string) (string, bool) {
	e, ok := m.tree.Lookup(p)
	if ok && e.IsSymlink() {
		e, ok = m.tree.Resolve(p)
	}
	return e.Path, ok && e.IsDir()
}

// with finds the file stem + one of the suffixes, in a directory that is no
// link.
func (m *modules) with(stem string) string {
	for _, s := range m.suffixes {
		e, ok := m.tree.Lookup(stem + s)
		if ok && e.IsSymlink() {
			r, found := m.tree.Resolve(e.Path)
			ok = found && r.IsRegular()
		}
		if ok && !e.IsDir() {
			return e.Path
		}
	}
	return ""
}

// name is the module that a file is, by the longest directory of the path
// that it is in.
func (m *modules) name(file string) (name string, isPackage, std, ok bool) {
	dir, ok := m.root(file)
	if !ok {
		return "", false, false, false
	}
	rel := strings.TrimPrefix(file, dir+"/")
	stem, ok := m.stem(rel)
	if !ok {
		return "", false, false, false
	}
	if base := path.Base(stem); base == "__init__" {
		stem, isPackage = path.Dir(stem), true
	}
	if stem == "." {
		return "", false, false, false
	}
	return strings.ReplaceAll(stem, "/", "."), isPackage, m.std[dir], true
}

// root is the longest directory of the path that file is in.
func (m *modules) root(file string) (string, bool) {
	var best string
	for _, d := range m.path {
		if strings.HasPrefix(file, d+"/") && len(d) > len(best) {
			best = d
		}
	}
	return best, best != ""
}

// stem takes the suffix off a module's file.
func (m *modules) stem(file string) (string, bool) {
	for _, s := range m.suffixes {
		if stem, ok := strings.CutSuffix(file, s); ok && stem != "" && !strings.HasSuffix(stem, "/") {
			return stem, true
		}
	}
	return "", false
}

// isExtension reports whether file is an extension module by its name.
func (m *modules) isExtension(file string) bool {
	return slices.ContainsFunc(m.suffixes[:len(m.suffixes)-2], func(s string) bool { return strings.HasSuffix(file, s) })
}

// children lists the modules directly in a package, by name, with namespace
// packages.
func (m *modules) children(p module) []module {
	seen := make(map[string]bool)
	var out []module
	for _, dir := range p.dirs {
		for _, e := range m.tree.Children(dir) {
			base := path.Base(e.Path)
			if _, isDir := m.dir(e.Path); !isDir {
				stem, ok := m.stem(base)
				if !ok {
					continue
				}
				base = stem
			}
			if base == "__init__" || base == "__pycache__" || base == "__main__" || strings.Contains(base, ".") || seen[base] {
				continue
			}
			seen[base] = true
			if c, ok := m.find(p.name + "." + base); ok {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b module) int { return cmp.Compare(a.name, b.name) })
	return out
}

// below lists all modules in a package, at any depth.
func (m *modules) below(p module) []module {
	var out []module
	for _, c := range m.children(p) {
		out = append(out, c)
		out = append(out, m.below(c)...)
	}
	return out
}
