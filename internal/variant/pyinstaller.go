package variant

import (
	"context"
	_ "embed"
	"strconv"
	"strings"
	"time"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
)

//go:embed locks/pyinstaller.txt
var pyinstallerLock string

// PyInstaller freezes into a directory.
var PyInstaller = Variant{
	Name:  "pyinstaller",
	Short: "frozen by PyInstaller into a directory: an executable and what it needs",
	Doc: `PyInstaller collects the modules, as bytecode in an archive of the executable,
and puts extension modules, data and metadata into a directory beside it. It is
told what exuvia's own analysis found: modules that are imported by name only,
data, metadata, entry points. Shared libraries of the system are not copied into
the directory: they stay at their places, less those that the base has. There is
no interpreter to start with other arguments: sys.executable is the app.`,
	Base:     "-distroless",
	Switches: []string{"strip", "upx", "optimize", "rpath"},
	Plan:     planPyInstaller("pyinstaller", false),
}

// PyInstallerOneFile freezes into one file.
var PyInstallerOneFile = Variant{
	Name:  "pyinstaller-onefile",
	Short: "frozen by PyInstaller into one file, which unpacks itself at every start",
	Doc: `As pyinstaller, but all is in the executable, compressed. It unpacks itself
below /tmp at every start, which has to be writable and must not be mounted
noexec, and stays as the parent of the app's process.`,
	Base:     "-distroless",
	Switches: []string{"strip", "upx", "optimize", "rpath"},
	Plan:     planPyInstaller("pyinstaller-onefile", true),
}

// Hooks is the tool system that PyInstaller's hooks are asked in. What they need
// to see which libraries a file has is in it.
func Hooks() plan.ToolSystem {
	return plan.ToolSystem{Name: "PyInstaller", Packages: []string{"bash", "libc-bin"}, Lock: pyinstallerLock}
}

// frozenPasses leave bytecode to the tools, which have it inside.
var frozenPasses = []string{"docs", "dpkg", "strip", "rpath", "dedupe"}

// freezeLimit is how long a tool may take: of what it finds it imports much.
const freezeLimit = 30 * time.Minute

func planPyInstaller(name string, oneFile bool) func(context.Context, Input) (*plan.Plan, error) {
	return func(_ context.Context, in Input) (*plan.Plan, error) {
		if err := pythonBetween(in, "PyInstaller 6.22", 8, 15); err != nil {
			return nil, err
		}
		f, err := freeze(in)
		if err != nil {
			return nil, err
		}
		f.OneFile = oneFile
		return f.plan(in, frozenBy{
			variant: name, tool: "PyInstaller", script: "pyinstaller.py", files: []string{"pyinstaller.spec"}, lock: pyinstallerLock,
			packages: []string{"bash", "binutils", "libc-bin", "libpython" + in.Python.Version + "?"},
		})
	}
}

// frozenBy is a tool that freezes.
type frozenBy struct {
	variant, tool string
	script        string   // that it is started by
	files         []string // of freezers, beside the script
	lock          string
	packages      []string
}

// plan lets the tool freeze in the system that the app was installed on.
func (f *frozen) plan(in Input, by frozenBy) (*plan.Plan, error) {
	files, err := f.files(append([]string{by.script}, by.files...)...)
	if err != nil {
		return nil, err
	}
	step := plan.Step{
		Name: "freezing with " + by.tool, System: by.tool, Dir: "/",
		Args:   []string{"/" + in.Python.Exe, "-s", "/run/exuvia/" + by.script, plan.ToolDir},
		Inputs: []plan.Mount{{Tree: plan.TreeFiles, At: "/run/exuvia"}},
		Outs:   []string{f.Dir},
		Limit:  freezeLimit,
	}
	return &plan.Plan{
		Variant:     by.variant,
		Systems:     []plan.ToolSystem{{Name: by.tool, Packages: by.packages, Lock: by.lock}},
		Files:       files,
		Steps:       []plan.Step{step},
		Bundle:      []string{step.Name},
		Roots:       f.roots,
		Finders:     []string{"sharedlib"},
		Passes:      passes(frozenPasses, in.Project),
		Entrypoints: f.entrypoints,
		Config:      Config(in, f.entrypoints[0]),
	}, nil
}

// pythonBetween refuses a system whose Python a tool does not know: older than
// 3.first or newer than 3.last.
func pythonBetween(in Input, tool string, first, last int) error {
	minor, err := strconv.Atoi(strings.TrimPrefix(in.Python.Version, "3."))
	if err == nil && minor >= first && minor <= last {
		return nil
	}
	return fault.New(fault.Base, "choose a system that has one of them with --system, or another variant with --variant",
		"%s knows Python 3.%d to 3.%d, and %s has %s", tool, first, last, in.System.Ref, in.Python.Version)
}
