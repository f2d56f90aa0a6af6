package variant

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
)

// oxidizer is what PyOxidizer is built with, for all projects the same.
//
//go:embed pyoxidizer oxidize
var oxidizer embed.FS

// PyOxidizer freezes into an executable that has the interpreter inside.
var PyOxidizer = Variant{
	Name:  "pyoxidizer",
	Short: "frozen by PyOxidizer: an executable that has the interpreter and the modules inside",
	Doc: `PyOxidizer links the interpreter, as a static library, into a program in Rust that
imports modules from its own memory. Extension modules are beside it, since
Linux loads none from memory, and so are packages that ask for their files by
__file__. It has the whole standard library, and the packages that the analysis
found as a whole. PyOxidizer is no longer maintained: its last release is built
from its published source, less what it has for other systems, with the Python
3.11 of Debian bookworm in the form that it expects, and with one correction
that this Python needs. There is no interpreter to start with other arguments:
sys.executable is the app.`,
	Base:     "-distroless",
	Switches: []string{"strip", "upx", "optimize", "rpath"},
	Slow:     true,
	Plan:     planPyOxidizer,
}

// The Python that there is a static library of which PyOxidizer, with Rust
// 1.63, can make an executable. Rust of later suites refuses crates that its
// own lock names; of bullseye is too old for them.
const (
	oxidizedPython = "3.11"
	oxidizedSuite  = "bookworm"
)

// Names of the trees that steps for all projects use and make.
const (
	treeRust          = "rust"    // what PyOxidizer is built of
	treeOxidize       = "oxidize" // what it is run with
	stepCrates        = "downloading PyOxidizer and its crates"
	stepOxidizer      = "building PyOxidizer"
	stepDistribution  = "packing Python for PyOxidizer"
	stepCompiled      = "compiling the crates of an executable"
	systemCargo       = "cargo"
	systemRust        = "Rust and Python"
	systemOxidizerApp = "PyOxidizer"
)

func planPyOxidizer(_ context.Context, in Input) (*plan.Plan, error) {
	if in.Python.Version != oxidizedPython {
		return nil, fault.New(fault.Base, "choose debian:"+oxidizedSuite+" with --system, or another variant with --variant",
			"PyOxidizer 0.24 is tried with Python %s of Debian %s only, and %s has %s", oxidizedPython, oxidizedSuite, in.System.Ref, in.Python.Version)
	}
	f, err := freeze(in)
	if err != nil {
		return nil, err
	}
	files, err := f.files("pyoxidizer.py")
	if err != nil {
		return nil, err
	}
	for _, t := range [][2]string{{"pyoxidizer", treeRust}, {"oxidize", treeOxidize}} {
		of, err := oxidizerFiles(t[0], t[1])
		if err != nil {
			return nil, err
		}
		files = append(files, of...)
	}
	step := plan.Step{
		Name: "freezing with PyOxidizer", System: systemOxidizerApp, Dir: "/",
		Args: []string{
			"/bin/sh", "-euc", `. /run/oxidize/paths.sh; exec "$@"`, "sh",
			"/" + in.Python.Exe, "-s", "/run/exuvia/pyoxidizer.py", "/run/pyoxidizer/opt/pyoxidizer/pyoxidizer", "/run/python/opt/python/python.tar.zst",
		},
		Inputs: append(oxidizing(), plan.Mount{Tree: plan.TreeFiles, At: "/run/exuvia"}, plan.Mount{Tree: stepCompiled, At: "/run/compiled"}),
		Outs:   []string{f.Dir},
		Limit:  freezeLimit,
	}
	return &plan.Plan{
		Variant: "pyoxidizer",
		Systems: append(oxidizerSystems(), plan.ToolSystem{Name: step.System, Packages: []string{"cargo", "rustc", "gcc", "libc6-dev", "libpython" + oxidizedPython + "-dev"}}),
		Files:   files,
		Steps:   append(oxidizerSteps(), step),
		Bundle:  []string{step.Name},
		Roots:   f.roots,
		Finders: []string{"sharedlib"},
		Passes:  passes(frozenPasses, in.Project),

		Entrypoints: f.entrypoints,
		Config:      Config(in, f.entrypoints[0]),
	}, nil
}

// oxidizerSystems are roots of the steps for all projects. The cargo that
// downloads is a later one, which knows the registry's present protocol.
func oxidizerSystems() []plan.ToolSystem {
	return []plan.ToolSystem{
		{Name: systemCargo, Bare: true, Suite: "trixie", Packages: []string{"cargo", "patch", "ca-certificates", "findutils", "sed"}},
		{
			Name: systemRust, Bare: true, Suite: oxidizedSuite,
			Packages: []string{"cargo", "rustc", "gcc", "libc6-dev", "python" + oxidizedPython, "libpython" + oxidizedPython + "-dev", "binutils", "tar", "zstd"},
		},
	}
}

// oxidizerSteps are the same for all projects.
func oxidizerSteps() []plan.Step {
	rust := plan.Mount{Tree: treeRust, At: "/run/rust"}
	return []plan.Step{
		{
			Name: stepCrates, System: systemCargo, Args: []string{"/bin/sh", "/run/rust/fetch.sh"},
			Inputs: []plan.Mount{rust}, Outs: []string{"/opt/crates"}, Network: true,
		},
		{
			Name: stepOxidizer, System: systemRust, Args: []string{"/bin/sh", "/run/rust/build.sh"},
			Inputs: []plan.Mount{rust, {Tree: stepCrates, At: "/run/crates"}}, Outs: []string{"/opt/pyoxidizer"}, Limit: time.Hour,
		},
		{
			Name: stepDistribution, System: systemRust, Args: []string{"/usr/bin/python" + oxidizedPython, "-I", "/run/rust/distribution.py", "/opt/python/python.tar.zst"},
			Inputs: []plan.Mount{rust}, Outs: []string{"/opt/python"},
		},
		{
			Name: stepCompiled, System: systemRust, Args: []string{"/bin/sh", "/run/oxidize/compile.sh"},
			Inputs: oxidizing(), Outs: []string{"/opt/compiled"}, Limit: time.Hour,
		},
	}
}

// oxidizing is what PyOxidizer needs to run.
func oxidizing() []plan.Mount {
	return []plan.Mount{
		{Tree: treeRust, At: "/run/rust"},
		{Tree: treeOxidize, At: "/run/oxidize"},
		{Tree: stepCrates, At: "/run/crates"},
		{Tree: stepOxidizer, At: "/run/pyoxidizer"},
		{Tree: stepDistribution, At: "/run/python"},
	}
}

// oxidizerFiles are the files of a directory of oxidizer, as a tree; what is
// in rust is at its root.
func oxidizerFiles(dir, name string) ([]plan.File, error) {
	var out []plan.File
	err := fs.WalkDir(oxidizer, dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := oxidizer.ReadFile(p)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p, err)
		}
		p = strings.TrimPrefix(strings.TrimPrefix(p, dir+"/"), "rust/")
		out = append(out, plan.File{Tree: name, Path: p, Text: string(text)})
		return nil
	})
	return out, err
}
