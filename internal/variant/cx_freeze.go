package variant

import (
	"context"
	_ "embed"

	"exuvia/internal/plan"
)

//go:embed locks/cx_freeze.txt
var cxFreezeLock string

// CxFreeze freezes into a directory, with the system's own libpython.
var CxFreeze = Variant{
	Name:  "cx_freeze",
	Short: "frozen by cx_Freeze: an executable, and modules as bytecode beside it",
	Doc: `cx_Freeze collects the modules, as files of bytecode, with extension modules,
data and metadata in a directory beside the executable. What that starts with is
built from its sources for the system's own Python: the wheel brings another
CPython along. It is told what exuvia's own analysis found, as pyinstaller is.`,
	Base:     "-distroless",
	Switches: []string{"strip", "upx", "optimize", "rpath"},
	Plan:     planCxFreeze,
}

func planCxFreeze(_ context.Context, in Input) (*plan.Plan, error) {
	if err := pythonBetween(in, "cx_Freeze 8.7", 10, 15); err != nil {
		return nil, err
	}
	f, err := freeze(in)
	if err != nil {
		return nil, err
	}
	return f.plan(in, frozenBy{
		variant: "cx_freeze", tool: "cx_Freeze", script: "cx_freeze.py", lock: cxFreezeLock,
		packages: []string{"bash", "libc-bin", "libpython" + in.Python.Version + "?"},
	})
}
