// Package pyimport finds what Python code imports: a reach.Finder for source
// files, extension modules, scripts and .pth files. The target's own
// interpreter says what is written in a file, by its ast; everything that
// follows from it is decided here. Nothing of the project is run, except that
// extension modules are imported in the sandbox, since nothing else shows what
// they import.
//
// It finds modules only. Data files, metadata and shared libraries are for
// pydata and sharedlib.
package pyimport

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// The kinds of edges.
const (
	KindImport     = "import"      // an import statement, or a call with a constant name
	KindPackage    = "package"     // importing a.b imports a first
	KindImplicit   = "implicit"    // imported in C or by a name that is put together, see the table
	KindString     = "string"      // a string that names a module
	KindPattern    = "pattern"     // a string with a constant beginning: every module under it
	KindWalk       = "walk"        // pkgutil lists the package
	KindLazy       = "lazy"        // a module __getattr__ imports it when asked
	KindEntryPoint = "entry-point" // the code asks for the group of an entry point
	KindMetadata   = "metadata"    // the code asks for the metadata of a distribution by its name
	KindRun        = "run"         // python -m package
	KindLoads      = "loads"       // importing the extension module in the sandbox loaded it
	KindShebang    = "shebang"     // the script's interpreter
)

// Input is what a Finder is made of.
type Input struct {
	Tree   *tree.Tree // the system with the app on it
	Engine engine.Engine
	Python *python.Runtime
	Cache  *cas.Store
	// Path are directories that come before Python.Path when the entry points
	// run, as the directory of a script does; those that are not in Tree are
	// ignored. Nil is "app".
	Path []string
	// Main are the modules that run as __main__: "main", "app.main". A
	// package's __main__ module and scripts always do.
	Main []string
}

// Finder is a [reach.Finder] and a [reach.Preparer].
type Finder struct {
	in       Input
	mods     *modules
	main     map[string]bool
	groups   map[string][]plugin
	metadata map[string]string // normalised name of a distribution → its METADATA
	facts    map[string]*facts // by path; files without an entry were not read
	probes   map[string]probe  // by path
	install  string            // digest of all that is not the project's own, see probe.go
	helper   string            // digest of the facts helper
	notes    []report.Note
}

// New makes a finder. It reads the .pth files and entry points of the tree;
// sources are read when they are reached.
func New(_ context.Context, in Input) (*Finder, error) {
	if in.Path == nil {
		in.Path = []string{"app"}
	}
	more, err := pthPaths(in.Tree, in.Python.Path)
	if err != nil {
		return nil, fmt.Errorf("reading .pth files: %w", err)
	}
	f := &Finder{
		in:     in,
		mods:   newModules(in.Tree, in.Python, in.Path, more),
		main:   make(map[string]bool),
		facts:  make(map[string]*facts),
		probes: make(map[string]probe),
		helper: cas.Key(string(factsHelper)),
	}
	for _, m := range in.Main {
		f.main[m] = true
	}
	if f.groups, f.metadata, err = readDists(in.Tree, f.mods.path); err != nil {
		return nil, fmt.Errorf("reading distributions: %w", err)
	}
	return f, nil
}

// Prepare implements [reach.Preparer]: what is not known of the files of a
// level is asked for in one step for sources and one for extension modules.
func (f *Finder) Prepare(ctx context.Context, level []tree.Entry) error {
	var sources, extensions []tree.Entry
	for _, e := range level {
		switch f.sort(e) {
		case source:
			sources = append(sources, e)
		case extension:
			extensions = append(extensions, e)
		}
	}
	names := f.unprobed(extensions)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.probe(gctx, names) })
	group.Go(func() error { return f.learn(gctx, sources) })
	if err := group.Wait(); err != nil {
		return err
	}
	return f.learn(ctx, f.starred(sources))
}

// starred are the packages that "from package import *" is said of in the
// sources: what that imports is written in the package.
func (f *Finder) starred(sources []tree.Entry) []tree.Entry {
	var out []tree.Entry
	for _, e := range sources {
		s := f.sourceOf(e)
		for _, u := range f.facts[e.Path].Uses {
			if u.Kind != "from" || !slices.Contains(u.More, "*") {
				continue
			}
			name, ok := s.absolute(u.Name, s.pkg)
			if m, found := f.mods.find(name); ok && found && len(m.dirs) > 0 && strings.HasSuffix(m.file, ".py") {
				if p, ok := f.in.Tree.Lookup(m.file); ok && p.IsRegular() {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// sort is what a file is to this package.
type sort int

const (
	other sort = iota
	source
	extension
	text // of the project, may name modules
)

// maxScript bounds what is taken for a script by its first line.
const maxScript = 1 << 20

func (f *Finder) sort(e tree.Entry) sort {
	dir, base := path.Dir(e.Path), path.Base(e.Path)
	switch {
	case !e.IsRegular():
		return other
	case strings.HasSuffix(base, ".py"):
		return source
	case isPth(base) && siteDir(dir):
		return source
	case f.mods.isExtension(e.Path):
		if _, _, _, ok := f.mods.name(e.Path); ok {
			return extension
		}
		return other
	case e.From.Kind == tree.Project && textual[path.Ext(base)]:
		return text
	case e.Mode&0o111 != 0 && path.Ext(base) == "" && e.Size <= maxScript:
		if _, ok := f.shebang(e); ok {
			return source
		}
	}
	return other
}

// Find implements [reach.Finder].
func (f *Finder) Find(ctx context.Context, e tree.Entry) ([]reach.Edge, error) {
	switch f.sort(e) {
	case source:
		if f.facts[e.Path] == nil {
			if err := f.Prepare(ctx, []tree.Entry{e}); err != nil {
				return nil, err
			}
		}
		return f.ofSource(ctx, e)
	case extension:
		if _, ok := f.probes[e.Path]; !ok {
			if err := f.Prepare(ctx, []tree.Entry{e}); err != nil {
				return nil, err
			}
		}
		return f.ofExtension(e)
	case text:
		return f.ofText(e)
	default:
		return f.ofOther(e), nil
	}
}

// ofOther answers for bytecode without its source: its package is known, what
// it imports is not.
func (f *Finder) ofOther(e tree.Entry) []reach.Edge {
	if !e.IsRegular() || path.Ext(e.Path) != ".pyc" || path.Base(path.Dir(e.Path)) == "__pycache__" {
		return nil
	}
	s := f.sourceOf(e)
	if s.module == "" {
		return nil
	}
	f.note(e.Path, "has no source: what it imports is not known")
	d := f.decide(s)
	d.parents()
	return d.edges
}

func (f *Finder) note(where, message string) {
	f.notes = append(f.notes, report.Note{Where: "pyimport", Path: where, Text: message})
}

// Notes are what could not be looked into, sorted: files with syntax errors
// outside the project, extension modules that cannot be imported, imports of
// the project whose names are not known.
func (f *Finder) Notes() []report.Note {
	out := slices.Clone(f.notes)
	slices.SortFunc(out, func(a, b report.Note) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(out)
}

// Module is the full name of the module that a file is.
func (f *Finder) Module(file string) (string, bool) {
	name, _, _, ok := f.mods.name(file)
	return name, ok
}

// File is the file that importing a module by its full name loads. Namespace
// packages and built-in modules have none.
func (f *Finder) File(module string) (string, bool) {
	m, ok := f.mods.find(module)
	return f.mods.spell(m.file), ok && m.file != ""
}

// DataUse says, for a file that was looked into, how it gets at data files:
// "importlib.resources", "__file__", or "" where it does not.
func (f *Finder) DataUse(file string) string {
	known := f.facts[file]
	switch {
	case known == nil:
		return ""
	case known.has("resources"):
		return "importlib.resources"
	case known.has("file"):
		return "__file__"
	}
	return ""
}
