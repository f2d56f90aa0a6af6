package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/install"
	"exuvia/internal/observe"
	"exuvia/internal/project"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
	"exuvia/internal/verify"
)

// observeLimit is how long a command that is observed may take.
const observeLimit = 30 * time.Minute

// Observe runs the unreduced app and gives what it used. The command line runs
// in the project's directory; where it is "", the app is asked what the
// verification asks.
func (p *Pipeline) Observe(ctx context.Context, r Request, line string) (observe.Observation, error) {
	a := p.newApp(r)
	if err := a.look(ctx); err != nil {
		return observe.Observation{}, err
	}
	a.project.Settings.Observe, a.project.Settings.Observations = nil, nil // runs of now count
	if err := a.settle(ctx); err != nil {
		return observe.Observation{}, err
	}
	if err := a.study(ctx); err != nil {
		return observe.Observation{}, err
	}
	var out observe.Observation
	err := a.phases(ctx, &a.timings, phase{"observe", "observing the unreduced app", func(ctx context.Context) (err error) {
		if line == "" {
			out, err = a.observeProbes(ctx)
		} else {
			out, err = a.observeLine(ctx, line)
		}
		return err
	}})
	return out, err
}

// learn takes over what runs have shown: the project's files of observations,
// and the commands that its settings want run.
func (a *app) learn(ctx context.Context) error {
	var all []observe.Observation
	for e := range a.project.Observations.All() {
		if e.IsDir() {
			continue
		}
		f, err := e.Open()
		if err != nil {
			return err
		}
		o, err := observe.Read(f, e.Path)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		all = append(all, o)
	}
	for _, line := range a.project.Settings.Observe {
		key := cas.Key("observe", a.Version, a.full.Digest(), a.project.Files.Digest(), a.project.Tests.Digest(), a.project.Settings, line)
		var o observe.Observation
		if !a.Cache.Lookup("observe", key, &o) {
			var err error
			if a.finders, err = a.newFinders(ctx, a.full); err != nil {
				return err
			}
			if o, err = a.observeLine(ctx, line); err != nil {
				return err
			}
			if err := a.Cache.Record("observe", key, o); err != nil {
				return err
			}
		}
		all = append(all, o)
	}
	a.observed = observe.Merge(all...)
	return nil
}

// unreduced is the app with what Python makes when it first runs, and how it
// starts.
func (a *app) unreduced(ctx context.Context) (verify.Subject, error) {
	whole, err := install.WithPycache(ctx, a.Engine, a.full, a.runtime)
	if err != nil {
		return verify.Subject{}, err
	}
	config := variant.Config(variant.Input{Project: a.project}, a.entrypoints[0])
	return verify.Subject{Name: "the unreduced app", Tree: whole, Config: config, Entries: a.entrypoints}, nil
}

// observeProbes asks the app what the verification asks.
func (a *app) observeProbes(ctx context.Context) (observe.Observation, error) {
	o, err := a.observer(ctx)
	if err != nil {
		return observe.Observation{}, err
	}
	defer o.Close()
	full, err := a.unreduced(ctx)
	if err != nil {
		return observe.Observation{}, err
	}
	in, err := a.verification(ctx, full, full)
	if err != nil {
		return observe.Observation{}, err
	}
	in.Booter = o
	if in.Probe.Start != "import" {
		in.Python = "" // what any Python may lean on is kept in any case
	}
	if err := verify.Exercise(ctx, in); err != nil {
		return observe.Observation{}, err
	}
	return a.sum(o, full.Tree, "probes")
}

// observeLine runs a command line in the project's directory, which it cannot
// write to. What it prints is shown if it fails.
func (a *app) observeLine(ctx context.Context, line string) (observe.Observation, error) {
	argv, err := project.Words(line)
	if err != nil || len(argv) == 0 {
		return observe.Observation{}, fault.New(fault.Usage, "give a command line such as \"python -m unittest\"", "%q is no command line", project.Clip(line))
	}
	o, err := a.observer(ctx)
	if err != nil {
		return observe.Observation{}, err
	}
	defer o.Close()
	full, err := a.unreduced(ctx)
	if err != nil {
		return observe.Observation{}, err
	}
	a.Progress("observing %s", line)
	ctx, cancel := context.WithTimeoutCause(ctx, observeLimit, fmt.Errorf("%s: time limit of %s", line, observeLimit))
	defer cancel()
	config := full.Config
	config.Entrypoint, config.Cmd, config.WorkingDir = argv, nil, project.SourceDir
	config.Env = slices.Concat(config.Env, project.Environ(a.project.Settings.Probe.Env), []string{"PYTHONPATH=/" + strings.Join(a.scriptPath(), ":/")})
	process, err := o.Boot(ctx, full.Tree, config, engine.BootOptions{
		Writable: true, Volumes: []engine.Volume{{Host: a.project.Dir, At: project.SourceDir, Overlay: true}},
	})
	if err != nil {
		return observe.Observation{}, err
	}
	exit, err := process.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return observe.Observation{}, cause
	}
	if err != nil {
		return observe.Observation{}, err
	}
	if exit.Code != 0 {
		said := string(exit.Stdout) + string(exit.Stderr)
		return observe.Observation{}, &fault.Error{
			Kind: fault.Start, What: fmt.Sprintf("%s: exit code %d: %s", line, exit.Code, engine.LastLines(said, 2)), Said: said,
			Hint: "it has to pass in the unreduced app; what it needs beside the app can be installed with --groups or --extras",
		}
	}
	return a.sum(o, full.Tree, line)
}

func (a *app) sum(o *observe.Observer, root *tree.Tree, run string) (observe.Observation, error) {
	t, err := o.Trace(root)
	if err != nil {
		return observe.Observation{}, err
	}
	return t.Sum(run, a.full, a.finders.imports.Module), nil
}
