package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/pydata"
	"exuvia/internal/pyimport"
	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/variant"
)

// finders are those that a plan can name.
type finders struct {
	imports *pyimport.Finder
	data    *pydata.Finder
	byName  map[string][]reach.Finder
}

func (b *build) newFinders(ctx context.Context) (*finders, error) {
	f := &finders{}
	var err error
	f.imports, err = pyimport.New(ctx, pyimport.Input{
		Tree: b.full, Engine: b.Engine, Python: b.runtime, Cache: b.Cache, Path: b.scriptPath(), Main: b.mainModules(),
	})
	if err != nil {
		return nil, fmt.Errorf("reading imports: %w", err)
	}
	f.data, err = pydata.New(ctx, pydata.Input{Tree: b.full, Python: b.runtime, DataUse: f.imports.DataUse})
	if err != nil {
		return nil, fmt.Errorf("reading distributions: %w", err)
	}
	f.byName = map[string][]reach.Finder{
		"pyimport":  {f.imports},
		"pydata":    {f.data, programFinder{b.full, b.project.Name}},
		"sharedlib": {sharedlib.New(b.full), sslFinder{b.full}},
	}
	return f, nil
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
func (b *build) scriptPath() []string {
	var out []string
	for _, e := range b.project.Entries {
		if d := path.Join("app", e.Dir); !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// mainModules run as __main__.
func (b *build) mainModules() []string {
	var out []string
	for _, e := range b.project.Entries {
		if e.Kind == project.EntryModule {
			out = append(out, e.Module)
		}
	}
	return out
}

// analyse walks from the entry points and the contract, and lets the variant
// decide on what was found.
func (b *build) analyse(ctx context.Context) error {
	f, err := b.newFinders(ctx)
	if err != nil {
		return err
	}
	roots, err := b.roots()
	if err != nil {
		return err
	}
	all, err := f.named(nil)
	if err != nil {
		return err
	}
	found, err := reach.Walk(ctx, b.full, roots.All(), all...)
	if err != nil {
		return walked(err)
	}
	needs := f.needs(found)
	b.modules = needs.Modules
	b.plan, err = b.variant.Plan(ctx, variant.Input{
		Project: b.project, System: b.system, Base: b.base, Python: b.runtime, App: b.app.App,
		Entrypoints: b.entrypoints, Roots: roots, Needs: needs,
	})
	if err != nil {
		return err
	}
	chosen, err := f.named(b.plan.Finders)
	if err != nil {
		return err
	}
	b.graph = found
	if !slices.Equal(b.plan.Roots, roots.All()) || len(chosen) != len(all) { // else it would be the same walk
		if b.graph, err = reach.Walk(ctx, b.full, b.plan.Roots, chosen...); err != nil {
			return walked(err)
		}
	}
	b.noteMissing()
	b.lean = b.graph.Tree()
	b.out.Notes = append(b.out.Notes, f.imports.Notes()...)
	return nil
}

// walked says where an error is from that is not the user's.
func walked(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fmt.Errorf("walking from the entry points: %w", err)
}

// roots are where the analysis begins.
func (b *build) roots() (variant.Roots, error) {
	kept, err := b.keepRoots()
	if err != nil {
		return variant.Roots{}, err
	}
	return variant.Roots{
		Contract: append(contract(b.full), sharedlib.ContractRoots(b.full)...),
		Python:   append(pythonContract(b.full, b.runtime), pyimport.RuntimeRoots(b.runtime, b.full)...),
		Own:      append(projectRoots(b.app.App, b.project.Name), kept...),
		Entries:  b.entryRoots(),
	}, nil
}

func (b *build) entryRoots() []plan.Root {
	var out []plan.Root
	for i, argv := range b.entrypoints {
		out = append(out, plan.Root{Path: strings.TrimPrefix(argv[0], "/"), Why: "entry point " + b.project.Entries[i].Spec})
	}
	return out
}

// keepRoots are what the settings keep in any case.
func (b *build) keepRoots() ([]plan.Root, error) {
	var out []plan.Root
	for _, k := range b.project.Settings.Keep {
		paths := reach.Named(b.full, k)
		if len(paths) == 0 {
			return nil, fault.New(fault.Project, `name a module, "dist:NAME" or "/path" of the system with the app`, "keep = [%q] names nothing", k)
		}
		for _, p := range paths {
			out = append(out, plan.Root{Path: p, Why: "kept by the settings: " + k})
		}
	}
	return out, nil
}

// noteMissing looks at what is needed and not there. A library that no system
// package brings would show only when it is loaded; a missing module is what
// many projects live with, and the comparison sees whether this one does.
func (b *build) noteMissing() {
	for _, m := range b.graph.Missing() {
		if m.Optional || m.Kind != sharedlib.KindNeeded && m.Kind != sharedlib.KindLoader {
			continue
		}
		b.out.Notes = append(b.out.Notes, report.Note{Where: "analyse", Path: m.From, Text: "needs " + m.Missing + ", which no package of the system brings"})
	}
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
		case pydata.KindData:
			n.Data = append(n.Data, p)
			packages[path.Base(path.Dir(p))] = true
		case sharedlib.KindNeeded, sharedlib.KindDlopen:
			n.Libraries = append(n.Libraries, p)
		}
	}
	slices.Sort(n.Modules)
	n.Modules = slices.Compact(n.Modules)
	n.Packages = slices.Sorted(maps.Keys(packages))
	n.Metadata = f.data.Distributions(g.Paths())
	return n
}
