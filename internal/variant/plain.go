package variant

import (
	"cmp"
	"context"

	"exuvia/internal/ldcache"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// Regular is what most Dockerfiles make.
var Regular = Variant{
	Name:  "regular",
	Short: "the app and its dependencies on the full Python image",
	Doc: `What a Dockerfile makes that begins with FROM python:3.x and installs the
dependencies with pip: everything that was installed, with its bytecode, on a
Debian with Python, compilers and the headers of many libraries. Nothing is
left out. It is what all others are measured by.`,
	Base:     "-full",
	Switches: []string{"strip", "upx", "optimize", "bytecode", "rpath"},
	Plan:     planPlain("regular"),
}

// Slim is the usual smaller one.
var Slim = Variant{
	Name:     "slim",
	Short:    "the app and its dependencies on the slim Python image",
	Doc:      `As regular, but on a Debian with Python and no compilers, as python:3.x-slim is.`,
	Base:     "-slim",
	Switches: []string{"strip", "upx", "optimize", "bytecode", "rpath"},
	Plan:     planPlain("slim"),
}

// plainPasses do what pip does: it compiles what it installs.
var plainPasses = []string{"bytecode"}

// planPlain keeps all that was installed. The Python comes along where the
// base does not have the very same.
func planPlain(name string) func(context.Context, Input) (*plan.Plan, error) {
	return func(_ context.Context, in Input) (*plan.Plan, error) {
		own := *in.Project
		own.Settings.Bytecode = cmp.Or(own.Settings.Bytecode, "pycache")
		p := &plan.Plan{
			Variant: name, Finders: []string{}, Passes: passes(plainPasses, &own),
			Entrypoints: in.Entrypoints, Config: Config(in, in.Entrypoints[0]),
		}
		p.Roots = append(p.Roots, in.Roots.Contract...)
		if hasPython(in) {
			p.Roots = append(p.Roots, added(in)...)
		} else {
			p.Roots = append(p.Roots, in.Roots.Python...)
			p.Roots = append(p.Roots, everything(in.System.Tree, "the system")...)
		}
		p.Roots = append(p.Roots, in.Roots.Own...)
		p.Roots = append(p.Roots, everything(in.App, "installed")...)
		return p, nil
	}
}

// hasPython reports whether the base has the very interpreter that the app was
// installed on.
func hasPython(in Input) bool {
	have, ok := in.Base.Tree.Resolve(in.Python.Exe)
	want, _ := in.System.Tree.Resolve(in.Python.Exe)
	return ok && have.Sum == want.Sum
}

// added are the files of the system's packages that the base lacks: what the app
// made exuvia, or the settings, add to the system. The loader's cache is that
// of the system then.
func added(in Input) []plan.Root {
	var out []plan.Root
	for e := range in.System.Tree.All() {
		if _, ok := in.Base.Tree.Resolve(e.Path); !ok && !e.IsDir() && e.From.Kind == tree.Deb {
			out = append(out, plan.Root{Path: e.Path, Why: "added to the system: " + e.From.Name})
		}
	}
	if _, ok := in.System.Tree.Resolve(ldcache.Path); ok && len(out) > 0 {
		out = append(out, plan.Root{Path: ldcache.Path, Why: "added to the system: the loader's cache"})
	}
	return out
}

// everything makes a root of each file of t.
func everything(t *tree.Tree, why string) []plan.Root {
	var out []plan.Root
	for e := range t.All() {
		if !e.IsDir() {
			out = append(out, plan.Root{Path: e.Path, Why: why})
		}
	}
	return out
}
