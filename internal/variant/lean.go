package variant

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/project"
)

// Lean keeps Debian's own Python, what the project reaches of it, and the
// runtime contract.
var Lean = Variant{
	Name:  "lean",
	Short: "the interpreter, what the project reaches, and the runtime contract, on scratch",
	Doc: `The app and its dependencies are installed on a Debian system. What the entry
points reach is kept: Python modules, data, metadata and shared libraries. So
is what any Python process may lean on without naming it: all codecs, time
zones, CA certificates, name lookup, licences, package metadata. Sources
become bytecode, ELF files lose their symbols, pure modules go into one
archive a layer. Nothing is recompiled or frozen: it is the interpreter that
the project was tested with.`,
	Base:     "scratch",
	Switches: []string{"strip", "upx", "optimize", "bytecode", "rpath"},
	Plan:     planLean,
}

// leanPasses are all but upx: see [passOrder].
var leanPasses = []string{"docs", "dpkg", "bytecode", "strip", "rpath", "archive", "dedupe"}

// leanFinders are all there are: nothing else looks for what lean needs.
var leanFinders = []string{"pyimport", "sharedlib", "pydata", "knowledge"}

func planLean(_ context.Context, in Input) (*plan.Plan, error) {
	return &plan.Plan{
		Variant: "lean",
		Roots:   in.Roots.All(),
		Finders: leanFinders,
		Passes:  passes(leanPasses, in.Project),

		Entrypoints: in.Entrypoints,
		Config:      Config(in, in.Entrypoints[0]),
	}, nil
}

// passOrder is the order in which passes make sense: files go first, so that
// nothing is worked on that is then dropped; strip before rpath, since
// stripping a file that patchelf has rewritten can damage it; upx after both,
// for neither can read what it made; the archive takes bytecode; duplicates are
// sought among the final files.
var passOrder = []string{"docs", "dpkg", "bytecode", "strip", "rpath", "upx", "archive", "dedupe"}

// passes applies the settings to a variant's own list, or to the user's in its
// place. What a switch adds comes where [passOrder] has it. A variant whose
// default of a switch is another than lean's hands over a project with that
// setting.
func passes(names []string, p *project.Project) []plan.Pass {
	s := p.Settings
	if len(s.Passes) > 0 {
		names = s.Passes
	}
	names = switched(names, s)
	options := passOptions(p)
	var out []plan.Pass
	for _, n := range names {
		if !slices.Contains(s.Disable, n) {
			out = append(out, plan.Pass{Name: n, Options: options[n]})
		}
	}
	return out
}

// switched adds and drops what the settings switch on and off.
func switched(names []string, s project.Settings) []string {
	switch s.Bytecode {
	case "none":
		names = without(names, "bytecode", "archive")
	case "pycache": // the archive takes bytecode in place of sources, and there is none
		names = without(with(names, "bytecode"), "archive")
	case "legacy":
		names = with(names, "bytecode")
	}
	switch {
	case s.Strip != nil && *s.Strip:
		names = with(names, "strip")
	case s.Strip != nil:
		names = without(names, "strip")
	}
	switch s.UPX {
	case "executables", "all":
		names = with(names, "upx")
	case "no":
		names = without(names, "upx")
	}
	if s.RPath != nil {
		names = with(names, "rpath")
	}
	return names
}

// without is names less some.
func without(names []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(some, n) })
}

// with is names and one more, before the first that comes after it in
// passOrder.
func with(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	later := passOrder[slices.Index(passOrder, name)+1:]
	at := slices.IndexFunc(names, func(n string) bool { return slices.Contains(later, n) })
	if at < 0 {
		at = len(names)
	}
	return slices.Insert(slices.Clone(names), at, name)
}

// passOptions are the options of passes that the settings lead to.
func passOptions(p *project.Project) map[string]map[string]string {
	s := p.Settings
	options := map[string]map[string]string{
		"bytecode": {"optimize": strconv.Itoa(s.Optimize), "keep-source": strings.Join(s.KeepSource, ","), "keep-docstrings": strings.Join(s.KeepDocstrings, ","), "project": p.Name},
		"archive":  {"project": p.Name}, // whose modules go with the app, not with the dependencies
	}
	if s.Bytecode == "pycache" {
		options["bytecode"]["mode"] = "pycache"
	}
	if s.UPX == "all" {
		options["upx"] = map[string]string{"libraries": "true"}
	}
	if s.RPath != nil && !*s.RPath {
		options["rpath"] = map[string]string{"mode": "ld-library-path"}
	}
	return options
}

// Config is how every image of a project runs, whatever its variant adds; it
// starts entrypoint.
func Config(in Input, entrypoint []string) plan.Config {
	s := in.Project.Settings
	c := plan.Config{
		Entrypoint: entrypoint,
		Env:        []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"},
		User:       "65532:65532",
		WorkingDir: "/app",
		Writable:   s.Writable,
		StopSignal: "SIGTERM",
		Labels:     maps.Clone(s.Labels),
	}
	c.Env = append(c.Env, project.Environ(s.Env)...)
	if s.User != "" {
		c.User = s.User
	}
	for _, p := range s.Ports {
		c.Ports = append(c.Ports, strconv.Itoa(p)+"/tcp")
	}
	return c
}
