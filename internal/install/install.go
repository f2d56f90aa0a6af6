// Package install puts a project and its dependencies on a system: it gets uv,
// settles what has to be installed from any form of lock, downloads it,
// builds what comes as sources, and gives the result as a tree in which every
// entry knows the distribution that it belongs to.
//
// Credentials stay apart from code: only the downloader and the steps that
// resolve know them, and while there are any those steps build nothing. What
// is built is built without network, from a copy.
package install

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Options are what an [Installer] works with.
type Options struct {
	Engine engine.Engine // one that keeps results, see engine.Cached
	Cache  *cas.Store
	Pip    *tree.Tree // a Debian system with python3-pip: what fetches uv
	// Compiler adds a C compiler and Python's headers to the system, for
	// sources that need them; nil, or a nil tree, where there is none.
	Compiler func(ctx context.Context) (*tree.Tree, error)
	Getenv   func(string) string
	Environ  []string // KEY=value
	Home     string
	Log      *slog.Logger
	Progress func(format string, args ...any)
}

// Installer installs projects.
type Installer struct {
	o   Options
	etc string // where the host's configuration is
}

// New makes an Installer.
func New(o Options) *Installer { return &Installer{o: o, etc: "/etc"} }

// Result is an installed project.
type Result struct {
	// App is what installing adds to the system: /app, the distributions,
	// their scripts. Entries that belong to a distribution have it as origin.
	App   *tree.Tree
	Dists []Dist // sorted by name
	UV    string // SHA-256 of the uv that was used; "" where none was needed
	// Inputs are the files that were installed or that sources were built
	// with, by name and SHA-256.
	Inputs []report.Input
	Notes  []report.Note
}

// Dist is an installed distribution.
type Dist struct {
	Name    string   `json:"name"` // normalised
	Version string   `json:"version"`
	Files   []string `json:"files"` // paths in App, sorted
}

// job is one run of Install.
type job struct {
	*Installer
	p      *project.Project
	b      *base.Base
	rt     *python.Runtime
	cfg    *config
	fetch  *fetcher
	tags   tags
	env    environment
	uv     *tree.Tree // holds the file uv
	uvSum  string
	inputs map[string]string

	// sources are the distributions, by normalised name, of which no wheel is
	// taken.
	sources []string
}

// Install puts p on b, whose interpreter is rt. Errors for the user are
// [*fault.Error]: Dependency for what cannot be resolved, found or built,
// Integrity for a wrong hash, Network for what cannot be downloaded, Project
// for an entry point that is not there, Base for a Python that does not fit.
func (in *Installer) Install(ctx context.Context, p *project.Project, b *base.Base, rt *python.Runtime) (*Result, error) {
	if ok, err := project.Satisfies(p.RequiresPython, rt.Full); err != nil {
		return nil, err
	} else if !ok {
		return nil, fault.New(fault.Base, "choose another with --python or --system, or change requires-python", "%s has Python %s, the project wants %s", b.Ref, rt.Full, p.RequiresPython)
	}
	j, err := in.newJob(p, b, rt)
	if err != nil {
		return nil, err
	}
	deps, project, err := j.distributions(ctx)
	if err != nil {
		return nil, err
	}
	to, err := j.ownPlace()
	if err != nil {
		return nil, err
	}
	site, err := j.installWheels(ctx, "installing dependencies", deps, to)
	if err != nil {
		return nil, err
	}
	own := installed{tree: &tree.Tree{}}
	if project != nil {
		if own, err = j.installWheels(ctx, "installing the project", []wheel{*project}, to); err != nil {
			return nil, err
		}
	}
	app, err := tree.Overlay(site.tree, own.tree)
	if err != nil {
		return nil, fmt.Errorf("putting the project beside its dependencies: %w", err)
	}
	files, err := j.appFiles(app)
	if err != nil {
		return nil, err
	}
	if app, err = tree.Overlay(app, files); err != nil {
		return nil, fmt.Errorf("putting the project's files beside its dependencies: %w", err)
	}
	if err := j.checkScripts(app); err != nil {
		return nil, err
	}
	r := &Result{App: app, UV: j.uvSum, Dists: append(site.dists, own.dists...), Notes: append(site.notes, own.notes...)}
	slices.SortFunc(r.Dists, func(a, b Dist) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range sortedKeys(j.inputs) {
		r.Inputs = append(r.Inputs, report.Input{Name: name, Digest: j.inputs[name]})
	}
	return r, nil
}

func (in *Installer) newJob(p *project.Project, b *base.Base, rt *python.Runtime) (*job, error) {
	j := &job{Installer: in, p: p, b: b, rt: rt, inputs: make(map[string]string), env: environmentOf(rt, p.Extras, p.Groups)}
	var err error
	if j.cfg, err = in.config(p); err != nil {
		return nil, err
	}
	if j.fetch, err = newFetcher(j.cfg, in.o.Cache); err != nil {
		return nil, err
	}
	if j.tags, err = tagsOf(rt, b.Libc); err != nil {
		return nil, fault.Wrap(err, fault.Base, "name another system with --system", "looking at %s", b.Ref)
	}
	return j, nil
}

// config gathers the configuration that holds for a project.
func (in *Installer) config(p *project.Project) (*config, error) {
	var own [2][]byte
	for i, name := range []string{"pyproject.toml", "uv.toml"} {
		if e, ok := p.Sources.Lookup(name); ok {
			data, err := e.ReadAll(maxConfig)
			if err != nil {
				return nil, err
			}
			own[i] = data
		}
	}
	return newConfig(host{getenv: in.o.Getenv, environ: in.o.Environ, home: in.o.Home, etc: in.etc}, own[0], own[1])
}

// Key identifies what of the user's configuration changes what is installed for
// a project: indexes above all. Other credentials for the same are no change.
func (in *Installer) Key(p *project.Project) (string, error) {
	c, err := in.config(p)
	if err != nil {
		return "", err
	}
	return cas.Key(c.key()), nil
}

// target names what wheels are for, in messages.
func (j *job) target() string {
	return fmt.Sprintf("Python %s on %s, %s", j.rt.Version, j.rt.Platform, j.b.Libc)
}

// distributions gives the wheels of everything that is installed: of the
// dependencies, and of the project itself where it has a build system.
func (j *job) distributions(ctx context.Context) (deps []wheel, own *wheel, err error) {
	if j.p.Form == project.Bare && !j.p.BuildSystem {
		return nil, nil, nil
	}
	if j.uv, err = j.getUV(ctx); err != nil {
		return nil, nil, err
	}
	if j.p.BuildSystem && j.p.Dynamic && j.p.Form == project.PyProject {
		if own, err = j.buildDir(ctx, j.p.Name, "."); err != nil {
			return nil, nil, err
		}
	}
	list, err := j.lock(ctx, own)
	if err != nil {
		return nil, nil, err
	}
	list = slices.DeleteFunc(list, func(l locked) bool { return j.p.BuildSystem && (l.dir == "." || l.name == j.p.Name) })
	for i, l := range list {
		if slices.Contains(j.sources, l.name) {
			list[i].wheels = nil
		}
	}
	choices, err := choose(list, j.tags, j.target())
	if err != nil {
		return nil, nil, err
	}
	if deps, err = j.wheels(ctx, choices, nil); err != nil {
		return nil, nil, err
	}
	if j.p.BuildSystem && own == nil {
		own, err = j.buildDir(ctx, j.p.Name, ".")
	}
	return deps, own, err
}

// appFiles are the files below /app: the project's, where it is not installed
// as a wheel, and a stub for every entry point.
func (j *job) appFiles(site *tree.Tree) (*tree.Tree, error) {
	entries := []tree.Entry{tree.Dir("app", 0o755, j.origin())}
	keep := func(e tree.Entry) {
		e.Path = path.Join("app", e.Path)
		entries = append(entries, e)
	}
	if !j.p.BuildSystem {
		for e := range j.p.Files.All() {
			keep(e)
		}
	}
	for _, e := range j.p.Entries {
		if e.Kind == project.EntryScript {
			continue
		}
		start := stubFor(e, site, j.rt)
		if start.copy && j.p.BuildSystem {
			file, ok := j.p.Files.Resolve(e.Path)
			if !ok {
				return nil, fmt.Errorf("entry point %q: no file %s", e.Spec, e.Path)
			}
			file.Path = e.Path
			keep(file)
		}
		entries = append(entries, tree.File("app/"+e.Name, 0o755, []byte(start.text), tree.Origin{Kind: tree.Made, Name: "entry point"}))
	}
	return tree.New(entries...)
}

func (j *job) origin() tree.Origin {
	return tree.Origin{Kind: tree.Project, Name: j.p.Name, Version: j.p.Version}
}

// checkScripts makes sure that the console scripts that entry points name are
// there.
func (j *job) checkScripts(app *tree.Tree) error {
	for _, e := range j.p.Entries {
		if e.Kind != project.EntryScript {
			continue
		}
		if _, ok := app.Resolve(path.Join(j.rt.Scripts, e.Name)); ok {
			continue
		}
		var have []string
		for _, c := range app.Children(j.rt.Scripts) {
			have = append(have, path.Base(c.Path))
		}
		hint := "no dependency has a console script"
		if len(have) > 0 {
			hint = "the console scripts are: " + strings.Join(have[:min(len(have), 20)], ", ")
		}
		return fault.New(fault.Project, hint, "entry point %q: there is no script %s", project.Clip(e.Spec), e.Name)
	}
	return nil
}

// say tells the user what is being done.
func (j *job) say(format string, args ...any) {
	if j.o.Progress != nil {
		j.o.Progress(format, args...)
	}
}

// run runs a step. A tool that fails becomes an error for the user, without
// the secrets that it may have printed.
func (j *job) run(ctx context.Context, s step) (*tree.Tree, error) {
	out, err := j.o.Engine.Run(ctx, s.Step, s.trees)
	failed, ok := errors.AsType[*engine.StepError](err)
	if !ok {
		return out, err
	}
	clean := *failed
	clean.Output = j.cfg.clean(failed.Output)
	return nil, &clean
}
