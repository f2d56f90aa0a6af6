package variant

import (
	"context"
	_ "embed"
	"time"

	"exuvia/internal/plan"
)

//go:embed locks/nuitka.txt
var nuitkaLock string

// Nuitka compiles into a directory.
var Nuitka = Variant{
	Name:  "nuitka",
	Short: "compiled by Nuitka into a directory: an executable and what it needs",
	Doc: `Nuitka makes C of the project's own modules, and an executable of that, in which
the dependencies and the standard library are bytecode; with --nuitka all the
dependencies are compiled too, which takes many minutes and more memory at run
time. It is told what exuvia's own analysis found: modules, data, metadata,
entry points. Shared libraries of the system are not copied into the directory:
they stay at their places, less those that the base has. There is no interpreter
to start with other arguments: sys.executable is the app.`,
	Base:     "-distroless",
	Switches: []string{"strip", "upx", "optimize", "rpath", "nuitka"},
	Slow:     true,
	Plan:     planNuitka("nuitka", false),
}

// NuitkaOneFile compiles into one file.
var NuitkaOneFile = Variant{
	Name:  "nuitka-onefile",
	Short: "compiled by Nuitka into one file, which unpacks itself at every start",
	Doc: `As nuitka, but all is in the executable, compressed. It unpacks itself below /tmp
at every start, which has to be writable and must not be mounted noexec, and
stays as the parent of the app's process.`,
	Base:     "-distroless",
	Switches: []string{"optimize", "nuitka"},
	Slow:     true,
	Plan:     planNuitka("nuitka-onefile", true),
}

// Of one file there is nothing to reduce: what is in it is packed, and a file
// that was stripped has lost it.
var onefilePasses = []string{"docs", "dpkg", "dedupe"}

// How long compiling may take: the project's own modules, and all modules.
const (
	compileLimit    = 20 * time.Minute
	compileAllLimit = 60 * time.Minute
)

func planNuitka(name string, oneFile bool) func(context.Context, Input) (*plan.Plan, error) {
	return func(_ context.Context, in Input) (*plan.Plan, error) {
		if err := pythonBetween(in, "Nuitka 4.3", 9, 14); err != nil {
			return nil, err
		}
		c, err := compile(in, in.Project.Settings.Nuitka == "all")
		if err != nil {
			return nil, err
		}
		c.OneFile = oneFile
		files, err := c.files("compile_nuitka.py", "nuitka_plugin.py")
		if err != nil {
			return nil, err
		}
		step := compileStep(in, "Nuitka", "compile_nuitka.py", c.All, c.Dir)
		use := frozenPasses
		if oneFile {
			use = onefilePasses
		}
		return &plan.Plan{
			Variant:     name,
			Systems:     []plan.ToolSystem{{Name: "Nuitka", Packages: append(compilerPackages(in), "patchelf", "bash", "libc-bin"), Lock: nuitkaLock}},
			Files:       files,
			Steps:       []plan.Step{step},
			Bundle:      []string{step.Name},
			Roots:       c.roots,
			Finders:     []string{"sharedlib"},
			Passes:      passes(use, in.Project),
			Entrypoints: c.entrypoints,
			Config:      Config(in, c.entrypoints[0]),
		}, nil
	}
}

// compileStep runs a script of a tool that compiles.
func compileStep(in Input, tool, script string, all bool, outs ...string) plan.Step {
	limit := compileLimit
	if all {
		limit = compileAllLimit
	}
	return plan.Step{
		Name: "compiling with " + tool, System: tool, Dir: "/",
		Args:   []string{"/" + in.Python.Exe, "-s", "/run/exuvia/" + script, plan.ToolDir},
		Inputs: []plan.Mount{{Tree: plan.TreeFiles, At: "/run/exuvia"}},
		Outs:   outs,
		Limit:  limit,
	}
}

// compilerPackages are a C compiler and what programs that have a Python in
// them are made with.
func compilerPackages(in Input) []string {
	return []string{"gcc", "binutils", "libc6-dev", "libpython" + in.Python.Version + "-dev?"}
}
