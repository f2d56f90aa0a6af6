package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/base"
	"exuvia/internal/fault"
	"exuvia/internal/install"
	"exuvia/internal/knowledge"
	"exuvia/internal/observe"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
	"exuvia/internal/verify"
)

// app is a project on a system and what was found of it: all that its images
// share. Each phase fills in what the next needs.
type app struct {
	*Pipeline
	path        string
	settings    project.Settings // of the command line
	platform    v1.Platform
	project     *project.Project
	system      *base.Base // has the Python
	libraries   []string   // what it was given beside what its name says
	tools       *base.Base // binutils and patchelf, for the system's files
	installer   Installer
	runtime     *python.Runtime
	installed   *install.Result
	full        *tree.Tree // system, app and contract: the unreduced app
	entrypoints [][]string
	finders     *finders
	graph       *reach.Graph // what the entry points and the contract reach
	found       *tree.Tree   // that, as a tree
	roots       variant.Roots
	needs       plan.Needs
	observed    observe.Observation // what runs have shown beside
	hooks       []knowledge.Hook    // what others know of its distributions
	unasked     bool                // hooks were wanted, and could not be asked
	healed      []report.Healed     // what images of it turned out to lack
	notes       []report.Note
	inputs      []report.Input
	timings     []report.Timing
}

func (p *Pipeline) newApp(r Request) *app {
	return &app{Pipeline: p, path: r.Path, settings: r.Settings, platform: r.Platform}
}

// look finds out what the project is.
func (a *app) look(ctx context.Context) error {
	return a.phases(ctx, &a.timings, phase{"detect", "looking at the project", a.detect})
}

// settle gives the project its system, which is all that is needed to know
// whether anything is new.
func (a *app) settle(ctx context.Context) error {
	return a.phases(ctx, &a.timings, phase{"system", "assembling the system", a.chooseSystem})
}

// install puts the project on its system.
func (a *app) install(ctx context.Context) error {
	return a.phases(ctx, &a.timings, phase{"install", "installing the app", a.installApp})
}

// study installs the project and finds out what it needs.
func (a *app) study(ctx context.Context) error {
	if err := a.install(ctx); err != nil {
		return err
	}
	if s := a.project.Settings; len(s.Observe) > 0 || len(s.Observations) > 0 {
		if err := a.phases(ctx, &a.timings, phase{"observe", "observing the unreduced app", a.learn}); err != nil {
			return err
		}
	}
	if s := a.project.Settings.Hooks; s == nil || *s {
		if err := a.phases(ctx, &a.timings, phase{"hooks", "asking what others know of its distributions", a.askHooks}); err != nil {
			return err
		}
	}
	return a.phases(ctx, &a.timings, phase{"analyse", "finding what it needs", a.analyse})
}

// detect finds out what the project is.
func (a *app) detect(ctx context.Context) error {
	var err error
	if a.project, err = project.Detect(ctx, a.path, project.Options{Cache: a.Cache, Overrides: a.settings}); err != nil {
		return err
	}
	a.notes = append(a.notes, a.project.Notes...)
	want := a.project.Settings.Platform
	if want == "" {
		return nil
	}
	p, err := v1.ParsePlatform(want)
	if err != nil || p.OS == "" || p.Architecture == "" {
		return fault.New(fault.Usage, "write it as linux/amd64", "cannot read platform %q", want)
	}
	a.platform = *p
	return nil
}

// chooseSystem takes the system that the settings name, else a base that they
// name and that has a fitting Python, else a Debian.
func (a *app) chooseSystem(ctx context.Context) error {
	s := a.project.Settings
	ref := s.System
	if ref == "" && s.Base != "" {
		found, err := a.baseAsSystem(ctx, s.Base)
		if err != nil || found {
			return err
		}
	}
	var err error
	if ref == "" {
		if ref, err = a.Bases.SystemFor(ctx, a.project.RequiresPython, a.project.PythonPin); err != nil {
			return err
		}
	}
	if a.system, err = a.Bases.Base(ctx, ref, a.platform); err != nil {
		return err
	}
	if err := a.system.CanInstall(); err != nil || len(s.Packages) == 0 {
		return err
	}
	return a.extend(ctx)
}

// baseAsSystem makes the base the system too if the project can run on its
// Python: then that stays as it is, and only the app comes on top.
func (a *app) baseAsSystem(ctx context.Context, ref string) (bool, error) {
	b, err := a.Bases.Base(ctx, ref, a.platform)
	if err != nil || b.CanInstall() != nil {
		return false, err
	}
	rt, err := python.Describe(ctx, a.Engine, b.Tree, b.Python)
	if err != nil {
		return false, fmt.Errorf("asking the Python of %s: %w", b.Ref, err)
	}
	fits, err := project.Satisfies(a.project.RequiresPython, rt.Full)
	if err != nil {
		return false, err
	}
	pin := a.project.PythonPin
	if !fits || pin != "" && pin != rt.Full && !strings.HasPrefix(rt.Full, pin+".") {
		return false, nil
	}
	a.system = b
	return true, nil
}

// installApp describes the interpreter and puts the app on the system.
func (a *app) installApp(ctx context.Context) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		a.tools, err = a.Bases.Tools(gctx, a.system.Ref, []string{"binutils", "patchelf"}, a.platform)
		return err
	})
	group.Go(func() error { return a.runInstaller(gctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := a.completeSystem(ctx); err != nil {
		return err
	}
	a.notes = append(a.notes, a.installed.Notes...)
	a.inputs = append(inputs(a.system), a.installed.Inputs...)
	if err := a.overlay(); err != nil {
		return err
	}
	if err := verify.User(a.full, a.project.Settings.User); err != nil {
		return fault.New(fault.Usage, "give numbers, UID:GID, or a user that the system has", "%v", err)
	}
	for _, e := range a.project.Entries {
		argv, err := install.Entrypoint(e, a.runtime)
		if err != nil {
			return err
		}
		a.entrypoints = append(a.entrypoints, argv)
	}
	return nil
}

// overlay puts the app on its system: the unreduced app.
func (a *app) overlay() error {
	made, err := contractFiles(a.system.Tree)
	if err != nil {
		return err
	}
	if a.full, err = tree.Overlay(a.system.Tree, made, a.installed.App); err != nil {
		return fmt.Errorf("putting the app on %s: %w", a.system.Ref, err)
	}
	return nil
}

func (a *app) runInstaller(ctx context.Context) error {
	pip, err := a.Bases.Tools(ctx, a.system.Ref, []string{"python3-pip"}, a.platform)
	if err != nil {
		return err
	}
	if a.runtime, err = python.Describe(ctx, a.Engine, a.system.Tree, a.system.Python); err != nil {
		return err
	}
	a.installer = a.Install(pip.Tree, a.compiler)
	a.installed, err = a.installer.Install(ctx, a.project, a.system, a.runtime)
	return err
}

// compiler is what builds C extensions on the system, with what the project says
// that they need. Packages count on those that Debian marks as essential without
// depending on them: pg_config of libpq-dev is a script for perl.
func (a *app) compiler(ctx context.Context) (*tree.Tree, error) {
	packages := []string{
		"gcc", "g++", "libc6-dev", "make", "pkg-config", "python" + a.runtime.Version + "-dev?",
		"diffutils", "findutils", "gzip", "perl-base", "tar",
	}
	c, err := a.Bases.Tools(ctx, a.system.Ref, append(packages, a.project.Settings.BuildPackages...), a.platform)
	if err != nil {
		return nil, err
	}
	return c.Tree, nil
}

// inputs are what a system was made from.
func inputs(b *base.Base) []report.Input {
	var out []report.Input
	for _, name := range slices.Sorted(maps.Keys(b.Inputs)) {
		out = append(out, report.Input{Name: name, Digest: strings.TrimPrefix(b.Inputs[name], "sha256:")})
	}
	return out
}

// analyse finds what the app needs, once more where that is a library which
// the system did not have.
func (a *app) analyse(ctx context.Context) error {
	if err := a.walk(ctx); err != nil {
		return err
	}
	added, err := a.addNamed(ctx)
	if err == nil && added {
		err = a.walk(ctx)
	}
	if err != nil {
		return err
	}
	for _, n := range a.finders.imports.Notes() {
		if !slices.Contains(a.notes, n) { // an app that is healed is analysed again
			a.notes = append(a.notes, n)
		}
	}
	return nil
}

// walk goes from the entry points and the contract.
func (a *app) walk(ctx context.Context) error {
	var err error
	if a.finders, err = a.newFinders(ctx, a.full); err != nil {
		return err
	}
	if a.roots, err = a.findRoots(); err != nil {
		return err
	}
	all, err := a.finders.named(nil)
	if err != nil {
		return err
	}
	if a.graph, err = reach.Walk(ctx, a.full, a.roots.All(), all...); err != nil {
		return walked(err)
	}
	a.found, a.needs = a.graph.Tree(), a.finders.needs(a.graph)
	return nil
}
