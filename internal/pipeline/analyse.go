package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"exuvia/internal/fault"
	"exuvia/internal/knowledge"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/pydata"
	"exuvia/internal/pyimport"
	"exuvia/internal/reach"
	"exuvia/internal/sharedlib"
	"exuvia/internal/sysdata"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
)

// finders are those that a plan can name.
type finders struct {
	tree    *tree.Tree
	modules func() map[string][]string // files of modules by name, found out once
	imports *pyimport.Finder
	data    *pydata.Finder
	byName  map[string][]reach.Finder
}

// newFinders makes those for t, which has the app.
func (a *app) newFinders(ctx context.Context, t *tree.Tree) (*finders, error) {
	f := &finders{tree: t}
	f.modules = sync.OnceValue(f.index)
	var err error
	f.imports, err = pyimport.New(ctx, pyimport.Input{
		Tree: t, Engine: a.Engine, Python: a.runtime, Cache: a.Cache, Path: a.scriptPath(), Main: a.mainModules(),
	})
	if err != nil {
		return nil, fmt.Errorf("reading imports: %w", err)
	}
	f.data, err = pydata.New(ctx, pydata.Input{Tree: t, Python: a.runtime, DataUse: f.imports.DataUse})
	if err != nil {
		return nil, fmt.Errorf("reading distributions: %w", err)
	}
	f.byName = map[string][]reach.Finder{
		"knowledge": {knowledge.NewFinder(t, a.hooks, f.imports.File)},
		"pyimport":  {f.imports},
		"pydata":    {f.data, programFinder{t, a.own}, a.seen(f)},
	}
	f.byName["sharedlib"], err = a.libraryFinders(t)
	return f, err
}

// libraryFinders are those that know nothing of Python's modules.
func (a *app) libraryFinders(t *tree.Tree) ([]reach.Finder, error) {
	data, err := sysdata.New(sysdata.Input{Tree: t, Own: a.own, Locales: a.setLocales()})
	if err != nil {
		return nil, err
	}
	return []reach.Finder{sharedlib.New(t), data}, nil
}

// own reports whether an entry is the project's own.
func (a *app) own(e tree.Entry) bool {
	return e.From.Kind == tree.Project || e.From.Kind == tree.Dist && e.From.Name == a.project.Name
}

// setLocales are the locales that the environment of the image, or of its
// probe, sets.
func (a *app) setLocales() []string {
	var out []string
	for _, env := range []map[string]string{a.project.Settings.Env, a.project.Settings.Probe.Env} {
		for k, v := range env {
			if k == "LANG" || k == "LC_ALL" || strings.HasPrefix(k, "LC_") {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	return out
}

// named picks the finders that a plan names; nil is all of them.
func (f *finders) named(names []string) ([]reach.Finder, error) {
	if names == nil {
		names = slices.Sorted(maps.Keys(f.byName))
	}
	var out []reach.Finder
	for _, n := range names {
		found, ok := f.byName[n]
		if !ok {
			return nil, fmt.Errorf("the plan names a finder %q that does not exist", n)
		}
		out = append(out, found...)
	}
	return out, nil
}

// scriptPath lists what the entry points put first on sys.path.
func (a *app) scriptPath() []string {
	var out []string
	for _, e := range a.project.Entries {
		if d := path.Join("app", e.Dir); !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// mainModules run as __main__.
func (a *app) mainModules() []string {
	var out []string
	for _, e := range a.project.Entries {
		if e.Kind == project.EntryModule {
			out = append(out, e.Module)
		}
	}
	return out
}

// walked says where an error is from that is not the user's.
func walked(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fmt.Errorf("walking from the entry points: %w", err)
}

// roots are where the analysis begins.
func (a *app) findRoots() (variant.Roots, error) {
	kept, err := a.keepRoots()
	if err != nil {
		return variant.Roots{}, err
	}
	return variant.Roots{
		Contract: append(contract(a.full), sharedlib.ContractRoots(a.full)...),
		Python:   append(pythonContract(a.full, a.runtime), pyimport.RuntimeRoots(a.runtime, a.full)...),
		Own:      slices.Concat(a.projectRoots(), a.packageRoots(), kept),
		Entries:  a.entryRoots(),
	}, nil
}

func (a *app) entryRoots() []plan.Root {
	var out []plan.Root
	for i, argv := range a.entrypoints {
		out = append(out, plan.Root{Path: strings.TrimPrefix(argv[0], "/"), Why: "entry point " + a.project.Entries[i].Spec})
	}
	return out
}

// packageRoots are the files of the packages that the settings add to the
// system, less what only compiles, and locales, which are kept as they are
// named. What these packages depend on is found from there.
func (a *app) packageRoots() []plan.Root {
	var out []plan.Root
	for e := range a.system.Tree.All() {
		if e.IsDir() || e.From.Kind != tree.Deb || strings.HasSuffix(e.From.Name, "-dev") || strings.HasPrefix(e.Path, "usr/lib/locale/") {
			continue
		}
		if slices.Contains(a.project.Settings.Packages, e.From.Name) {
			out = append(out, plan.Root{Path: e.Path, Why: "kept by the settings: package " + e.From.Name})
		}
	}
	return out
}

// keepRoots are what the settings keep in any case.
func (a *app) keepRoots() ([]plan.Root, error) {
	var out []plan.Root
	for _, k := range a.project.Settings.Keep {
		paths := reach.Named(a.full, k)
		if len(paths) == 0 {
			return nil, fault.New(fault.Project, `name a module, "dist:NAME" or "/path" of the system with the app`, "keep = [%q] names nothing", k)
		}
		for _, p := range paths {
			out = append(out, plan.Root{Path: p, Why: "kept by the settings: " + k})
		}
	}
	return out, nil
}

// needs sums up what was found for variants that hand it to other tools.
func (f *finders) needs(g *reach.Graph) plan.Needs {
	var n plan.Needs
	packages := make(map[string]bool)
	for _, p := range g.Paths() {
		if m, ok := f.imports.Module(p); ok {
			n.Modules = append(n.Modules, m)
			continue
		}
		switch g.Kind(p) {
		case pydata.KindData, knowledge.KindHook:
			n.Data = append(n.Data, p)
			packages[path.Base(path.Dir(p))] = true
		case sharedlib.KindNeeded, sharedlib.KindDlopen:
			n.Libraries = append(n.Libraries, p)
		case kindProgram:
			n.Programs = append(n.Programs, p)
		}
	}
	slices.Sort(n.Modules)
	n.Modules = slices.Compact(n.Modules)
	n.Packages = slices.Sorted(maps.Keys(packages))
	n.Metadata = f.data.Distributions(g.Paths())
	return n
}
