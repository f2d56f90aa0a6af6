// Package pydata finds what Python code reads and does not import: data files
// of packages, metadata and scripts of distributions, the project's own files,
// and the licences of all that is kept. It is a reach.Finder that looks at the
// tree only; what code does is known to pyimport.
//
// It keeps type stubs, headers, tests and documents where they are data of a
// package: to drop them is a reduction, which reports it.
package pydata

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// The kinds of edges.
const (
	KindData     = "data"     // a file of a package that is no module
	KindMetadata = "metadata" // of a distribution
	KindScript   = "script"   // what a distribution installs outside its packages
	KindLicence  = "licence"  // of a Debian package, and texts that it refers to
	KindProject  = "project"  // the user's own file
)

// Input is what a Finder is made of.
type Input struct {
	Tree   *tree.Tree
	Python *python.Runtime
	// DataUse says how a source gets at data files, "" where it does not;
	// see pyimport.Finder. It may be nil: then chains do not say it.
	DataUse func(file string) string
}

// Finder is a [reach.Finder]. It keeps no state between calls.
type Finder struct {
	in      Input
	dists   []dist
	owner   map[string]int // path → index of dists
	project []string       // the project's files that are not Python, sorted
}

// New reads the RECORD of every distribution on the interpreter's path.
func New(ctx context.Context, in Input) (*Finder, error) {
	f := &Finder{in: in}
	var err error
	if f.dists, err = readDists(ctx, in.Tree, append(slices.Clone(in.Python.Path), in.Python.Site)); err != nil {
		return nil, err
	}
	f.owner = owners(in.Tree, f.dists)
	for e := range in.Tree.All() {
		if e.From.Kind == tree.Project && !e.IsDir() && !isPython(e.Path) {
			f.project = append(f.project, e.Path)
		}
	}
	return f, nil
}

// Distributions lists the distributions, as their metadata name them, of
// which any of the paths is a file; sorted.
func (f *Finder) Distributions(paths []string) []string {
	var out []string
	for _, p := range paths {
		if i, ok := f.owner[p]; ok {
			out = append(out, f.dists[i].name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Find implements [reach.Finder].
func (f *Finder) Find(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	if e.IsDir() {
		return nil, nil
	}
	edges, err := f.licences(e)
	if err != nil {
		return nil, err
	}
	edges = append(edges, f.ofProject(e)...)
	edges = append(edges, f.ofDist(e)...)
	return append(edges, f.packageData(e)...), nil
}

// ofProject keeps all of the project's files that are not Python as soon as
// one of its files is kept: which of them are read nobody can tell. The first
// stands for all, so that edges stay as few as files.
func (f *Finder) ofProject(e tree.Entry) []reach.Edge {
	if e.From.Kind != tree.Project || len(f.project) == 0 {
		return nil
	}
	if e.Path != f.project[0] {
		return []reach.Edge{{To: f.project[0], Kind: KindProject, Note: "the project's own file"}}
	}
	var out []reach.Edge
	for _, p := range f.project[1:] {
		out = append(out, reach.Edge{To: p, Kind: KindProject, Note: "the project's own file"})
	}
	return out
}

// ofDist keeps metadata and what lies outside the packages. Code leads to
// RECORD, which leads to all of it; metadata by itself leads to metadata only,
// as asking for a version needs no script.
func (f *Finder) ofDist(e tree.Entry) []reach.Edge {
	i, ok := f.owner[e.Path]
	if !ok {
		return nil
	}
	d := f.dists[i]
	note := "distribution " + d.name
	var out []reach.Edge
	switch {
	case path.Dir(e.Path) != d.dir && !strings.HasPrefix(e.Path, d.dir+"/"):
		if d.record != "" {
			out = append(out, reach.Edge{To: d.record, Kind: KindMetadata, Note: note})
		} else if d.metadata != "" {
			out = append(out, reach.Edge{To: d.metadata, Kind: KindMetadata, Note: note})
		}
	case e.Path == d.record:
		for _, p := range d.outside {
			out = append(out, reach.Edge{To: p, Kind: KindScript, Note: note})
		}
		fallthrough
	case e.Path == d.metadata:
		for m := range f.in.Tree.Under(d.dir) {
			if !m.IsDir() && m.Path != d.record && m.Path != e.Path {
				out = append(out, reach.Edge{To: m.Path, Kind: KindMetadata, Note: note})
			}
		}
	case d.metadata != "":
		out = append(out, reach.Edge{To: d.metadata, Kind: KindMetadata, Note: note})
	}
	return out
}

// packageData keeps the data of the package that a module is in: for its
// __init__, for a module that reads data, and for every module where there is
// no __init__ (PEP 420).
func (f *Finder) packageData(e tree.Entry) []reach.Edge {
	dir, base := path.Dir(e.Path), path.Base(e.Path)
	if !isModule(e.Path) || path.Base(dir) == "__pycache__" || !f.inPackage(dir) {
		return nil
	}
	use := ""
	if f.in.DataUse != nil {
		use = f.in.DataUse(e.Path)
	}
	note := "data of its package"
	switch {
	case use != "":
		note = e.Path + " reads data with " + use
	case strings.HasPrefix(base, "__init__."), !f.isPackage(dir):
	default:
		return nil
	}
	var out []reach.Edge
	for _, p := range f.data(dir) {
		out = append(out, reach.Edge{To: p, Kind: KindData, Note: note})
	}
	return out
}

// inPackage reports whether dir is below a directory of the path, and so not
// one itself.
func (f *Finder) inPackage(dir string) bool {
	if f.in.Tree.Real(f.in.Python.Stdlib) == dir {
		return false
	}
	below := false
	for _, p := range append(slices.Clone(f.in.Python.Path), f.in.Python.Site, f.in.Python.Stdlib) {
		real := f.in.Tree.Real(p)
		if real == dir {
			return false
		}
		below = below || strings.HasPrefix(dir, real+"/")
	}
	return below
}

func (f *Finder) isPackage(dir string) bool {
	for _, s := range []string{".py", ".pyc"} {
		if _, ok := f.in.Tree.Lookup(dir + "/__init__" + s); ok {
			return true
		}
	}
	return false
}

// data lists the data files of the package in dir: in it and in directories
// below that are no packages.
func (f *Finder) data(dir string) []string {
	var out []string
	for _, e := range f.in.Tree.Children(dir) {
		if e.IsDir() {
			out = append(out, f.below(e.Path)...)
		} else if !isModule(e.Path) && !isBytecode(e.Path) {
			out = append(out, e.Path)
		}
	}
	return out
}

// below lists the data files in a directory, unless it is a package. Python
// files in it are data too, if something else is beside them: they are
// templates.
func (f *Finder) below(dir string) []string {
	if path.Base(dir) == "__pycache__" || f.isPackage(dir) {
		return nil
	}
	var out, modules []string
	data := false
	for _, e := range f.in.Tree.Children(dir) {
		switch {
		case e.IsDir():
			out = append(out, f.below(e.Path)...)
		case isModule(e.Path):
			modules = append(modules, e.Path)
		case !isBytecode(e.Path):
			out = append(out, e.Path)
			data = true
		}
	}
	if data {
		out = append(out, modules...)
	}
	return out
}

func isPython(p string) bool {
	return strings.HasSuffix(p, ".py") || isBytecode(p)
}

func isBytecode(p string) bool { return strings.HasSuffix(p, ".pyc") }

// extension is the name of an extension module, which pyimport finds; a
// library of a package is called lib….so and is data.
var extension = regexp.MustCompile(`^[^.]+(\.[\w-]+)?\.so$`)

func isModule(p string) bool {
	base := path.Base(p)
	return strings.HasSuffix(base, ".py") || extension.MatchString(base) && !strings.HasPrefix(base, "lib")
}

// maxCopyright bounds a Debian copyright file; the largest in use have 2 MB.
const maxCopyright = 8 << 20

var commonLicence = regexp.MustCompile(`/usr/share/common-licenses/[A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9]`)

// licences keeps a Debian package's copyright file with any of its files, and
// the texts that it refers to.
func (f *Finder) licences(e tree.Entry) ([]reach.Edge, error) {
	if e.From.Kind != tree.Deb {
		return nil, nil
	}
	var out []reach.Edge
	if p := "usr/share/doc/" + e.From.Name + "/copyright"; e.From.Name != "" && p != e.Path {
		if r, ok := f.in.Tree.Resolve(p); ok && r.IsRegular() {
			out = append(out, reach.Edge{To: p, Kind: KindLicence, Note: "licence of " + e.From.Name})
		}
	}
	if path.Base(e.Path) != "copyright" || !strings.HasPrefix(e.Path, "usr/share/doc/") || !e.IsRegular() || e.Size > maxCopyright {
		return out, nil
	}
	data, err := e.ReadAll(maxCopyright)
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool)
	for _, m := range commonLicence.FindAllString(string(data), -1) {
		p := m[1:]
		if r, ok := f.in.Tree.Resolve(p); ok && r.IsRegular() && !found[p] {
			found[p] = true
			out = append(out, reach.Edge{To: p, Kind: KindLicence, Note: "referred to"})
		}
	}
	return out, nil
}
