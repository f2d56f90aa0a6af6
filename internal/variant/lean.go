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

// leanPasses are in the order in which they run: files go first, so that
// nothing is worked on that is then dropped; strip before rpath, since
// stripping a file that patchelf has rewritten can damage it; the archive
// takes bytecode; duplicates are sought among the final files.
var leanPasses = []string{"docs", "dpkg", "bytecode", "strip", "rpath", "archive", "dedupe"}

// leanFinders are all there are: nothing else looks for what lean needs.
var leanFinders = []string{"pyimport", "sharedlib", "pydata"}

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

// passes applies the settings to a variant's list.
func passes(names []string, p *project.Project) []plan.Pass {
	s := p.Settings
	if len(s.Passes) > 0 {
		names = s.Passes
	}
	options := map[string]map[string]string{
		"bytecode": {"optimize": strconv.Itoa(s.Optimize), "keep-source": strings.Join(s.KeepSource, ","), "project": p.Name},
		"archive":  {"project": p.Name}, // whose modules go with the app, not with the dependencies
	}
	var out []plan.Pass
	for _, n := range names {
		if !slices.Contains(s.Disable, n) {
			out = append(out, plan.Pass{Name: n, Options: options[n]})
		}
	}
	return out
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
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		c.Env = append(c.Env, k+"="+s.Env[k])
	}
	if s.User != "" {
		c.User = s.User
	}
	for _, p := range s.Ports {
		c.Ports = append(c.Ports, strconv.Itoa(p)+"/tcp")
	}
	return c
}
