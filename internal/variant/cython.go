package variant

import (
	"context"
	_ "embed"
	"path"
	"slices"
	"strings"

	"exuvia/internal/plan"
)

//go:embed locks/cython.txt
var cythonLock string

// Cython compiles the app's modules, and keeps the rest as lean does.
var Cython = Variant{
	Name:  "cython",
	Short: "the project's modules as extension modules, the interpreter as a library",
	Doc: `Cython makes C of the project's own modules, which become extension modules in
the place of their sources, and a program that embeds the interpreter and
starts them. Dependencies and the standard library are bytecode and what the
analysis found of them, as in lean. With --cython all the modules of the
dependencies are compiled too; one that cannot be imported then, because it
reads its own source for instance, stays bytecode. The __init__ modules of
packages stay bytecode. There is no interpreter to start with other arguments:
sys.executable is the app.`,
	Base:     "-distroless",
	Switches: []string{"strip", "upx", "optimize", "rpath", "cython"},
	Plan:     planCython,
}

func planCython(_ context.Context, in Input) (*plan.Plan, error) {
	if err := pythonBetween(in, "Cython 3.3", 9, 15); err != nil {
		return nil, err
	}
	c, err := compile(in, in.Project.Settings.Cython == "all")
	if err != nil {
		return nil, err
	}
	for m, source := range c.Sources {
		if path.Base(source) == "__init__.py" { // a package has its path before it is initialised only as bytecode
			delete(c.Sources, m)
		}
	}
	files, err := c.files("compile_cython.py")
	if err != nil {
		return nil, err
	}
	step := compileStep(in, "Cython", "compile_cython.py", c.All, c.outs()...)
	p := &plan.Plan{
		Variant:     "cython",
		Systems:     []plan.ToolSystem{{Name: "Cython", Packages: compilerPackages(in), Lock: cythonLock}},
		Files:       files,
		Steps:       []plan.Step{step},
		Bundle:      []string{step.Name},
		Finders:     leanFinders,
		Passes:      passes(leanPasses, in.Project),
		Entrypoints: c.entrypoints,
		Config:      Config(in, c.entrypoints[0]),
	}
	for _, source := range c.Sources {
		p.Replaced = append(p.Replaced, strings.TrimPrefix(source, "/"))
	}
	for _, argv := range in.Entrypoints {
		p.Replaced = append(p.Replaced, strings.TrimPrefix(argv[0], "/"))
	}
	slices.Sort(p.Replaced)
	p.Replaced = slices.Compact(p.Replaced)
	for _, e := range in.System.Tree.Children(path.Dir(in.Python.Exe)) {
		if strings.HasPrefix(path.Base(e.Path), "python") {
			p.Without = append(p.Without, plan.Root{Path: e.Path, Why: "the program has the interpreter as a library"})
		}
	}
	p.Roots = c.keeps(in, slices.Concat(p.Replaced, paths(p.Without)))
	return p, nil
}

// outs are the directories in which modules are compiled, outermost only.
func (c *compiled) outs() []string {
	dirs := []string{c.Dir}
	for _, source := range c.Sources {
		dirs = append(dirs, path.Dir(source))
	}
	slices.Sort(dirs)
	var out []string
	for _, d := range dirs {
		if n := len(out); n == 0 || d != out[n-1] && !strings.HasPrefix(d, out[n-1]+"/") {
			out = append(out, d)
		}
	}
	return out
}

// keeps are the roots of an image whose interpreter is a library: what compiled
// modules import nobody sees any more, so all that was found is named.
func (c *compiled) keeps(in Input, out []string) []plan.Root {
	roots := slices.Concat(in.Roots.Contract, in.Roots.Python, in.Roots.Own)
	files := moduleFiles(in, c.Path)
	for _, m := range in.Needs.Modules {
		if files[m] != "" {
			roots = append(roots, plan.Root{Path: files[m], Why: "a module that the app needs"})
		}
	}
	for _, list := range [][]string{in.Needs.Data, in.Needs.Libraries, in.Needs.Programs} {
		for _, p := range list {
			roots = append(roots, plan.Root{Path: p, Why: "the app needs it"})
		}
	}
	return slices.DeleteFunc(roots, func(r plan.Root) bool { return slices.Contains(out, r.Path) })
}

func paths(roots []plan.Root) []string {
	var out []string
	for _, r := range roots {
		out = append(out, r.Path)
	}
	return out
}
