package variant

import (
	"context"
	_ "embed"

	"exuvia/internal/plan"
)

// Pex packs the app as pex does.
var Pex = Variant{
	Name:  "pex",
	Short: "one zipapp by pex, on the slim Python image",
	Doc: `pex packs the project and, as wheels, its dependencies into one executable
archive, which the base's Python runs. At the first start in a container it is
unpacked below /tmp/pex, which PEX_ROOT changes; Python then compiles the
modules that are imported. (pex's own --compile puts bytecode beside the
project's sources, where Python does not look for it.) Files of the project
that are not Python's stay in /app too. On a base without the same Python, that
comes along with its whole library.`,
	Base: "-slim",
	Plan: planPex,
}

//go:embed locks/pex.txt
var pexLock string

// pexVenv is where the distributions lie as pex wants them: as a virtual
// environment, from which it takes them without an index.
const pexVenv = "/tmp/venv"

func planPex(_ context.Context, in Input) (*plan.Plan, error) {
	python := "/" + in.Python.Exe
	gather, from := gatherOwn(in, zipappStage), ""
	if hasSite(in) {
		gather += "\n" + python + " -m venv --without-pip " + pexVenv +
			"\ncp -r " + quote(zipappApp+"/"+in.Python.Site) + "/. " + pexVenv + "/lib/python" + in.Python.Version + "/site-packages/" +
			"\nif [ -d " + quote(zipappApp+"/"+in.Python.Scripts) + " ]; then cp -r " + quote(zipappApp+"/"+in.Python.Scripts) + "/. " + pexVenv + "/bin/; fi"
		from = " --venv-repository " + pexVenv
	}
	p := zipapp(in, "pex", pexLock, nil, gather, func(archive string) string {
		return python + " -s -m pex" + from + " --sources-directory " + zipappStage + " --entry-point " + zipappModule + ":main" +
			" --python-shebang " + python + " --no-pypi --pex-root /tmp/pex-root --output-file " + archive
	})
	// What --runtime-pex-root says is looked at only after $HOME was tried.
	if _, ok := in.Project.Settings.Env["PEX_ROOT"]; !ok {
		p.Config.Env = append(p.Config.Env, "PEX_ROOT=/tmp/pex")
	}
	p.Unpacks = unpacks(p.Config, "PEX_ROOT", "/tmp/pex")
	// pex warns on stderr where it cannot ask ldd, a script for bash, which C
	// library there is.
	for _, need := range []string{"usr/bin/ldd", "bin/bash"} {
		_, has := in.Base.Tree.Resolve(need)
		if _, ok := in.System.Tree.Resolve(need); ok && !has {
			p.Roots = append(p.Roots, plan.Root{Path: need, Why: "pex asks ldd for the C library"})
		}
	}
	return p, nil
}
