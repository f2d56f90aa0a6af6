package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/ldcache"
	"exuvia/internal/observe"
	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/verify"
)

// healings is how often an image is made again at most, with what it turned
// out to lack.
const healings = 3

// prove makes the image and compares it with the unreduced app. Where it
// behaves otherwise, both are observed, and what it looked for in vain is
// added; if nothing is found, or it does not help, the difference stands.
func (b *build) prove(ctx context.Context) error {
	for round := 0; ; round++ {
		if err := b.make(ctx); err != nil {
			return err
		}
		if err := b.withinBudget(ctx); err != nil {
			return err
		}
		differs := b.check(ctx)
		if round == healings || !b.healable(differs) {
			return differs
		}
		lacks, err := b.lacking(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.out.Notes = append(b.out.Notes, report.Note{Where: "heal", Text: "what the image lacks could not be observed: " + oneLine(err.Error())})
			b.Log.Warn("observing", "error", err)
		}
		if err != nil || len(lacks) == 0 {
			return differs
		}
		b.Log.Debug("heal", "round", round+1, "adds", lacks)
		if err := b.heal(ctx, lacks); err != nil {
			return err
		}
	}
}

// healable reports whether an error is a difference that observing may explain.
func (b *build) healable(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	heal := b.project.Settings.Heal
	return ok && f.Kind == fault.Differs && b.asked.Booter != nil && (heal == nil || *heal)
}

// lacking observes how the image and the unreduced app answer what they
// answered otherwise.
func (b *build) lacking(ctx context.Context) ([]report.Healed, error) {
	o, err := b.observer(ctx)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	in := b.asked
	in.Booter = o
	said, err := verify.Repeat(ctx, in, b.out.Checks)
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(b.out.Checks, func(c report.Check) bool { return !c.OK })
	while := b.out.Checks[first].Name
	lacks, err := b.lacks(ctx, o, while, observe.Pair.Lacks)
	if err != nil {
		return nil, err
	}
	for _, l := range b.said() {
		if !slices.ContainsFunc(lacks, func(h report.Healed) bool { return h.Path == l.Path }) {
			lacks = append(lacks, l)
		}
	}
	if len(lacks) == 0 && b.project.Settings.Optimize == 2 {
		lacks, err = b.docstrings(said, while)
	}
	if len(lacks) == 0 && err == nil {
		lacks, err = b.lacks(ctx, o, while, observe.Pair.Opened)
	}
	return lacks, err
}

// said is what the image lacks by its own words. A frozen program does not tell
// the observer which modules it looks for.
func (b *build) said() []report.Healed {
	var out []report.Healed
	for _, c := range b.out.Checks {
		if c.Lacks == "" {
			continue
		}
		for _, p := range reach.Named(b.full, c.Lacks) {
			if !b.hasKept(p) {
				out = append(out, report.Healed{Path: p, Setting: report.SettingKeep, Value: c.Lacks, Why: c.Name + ": says that it lacks " + c.Lacks})
			}
		}
	}
	return out
}

// lacks is what the boots of an observer show that the image lacks, less what
// those of an idle Python show too.
func (b *build) lacks(ctx context.Context, o *observe.Observer, while string, of func(observe.Pair, string) []report.Healed) ([]report.Healed, error) {
	pair, err := b.pair(o)
	if err != nil {
		return nil, err
	}
	lacks := of(pair, while)
	if len(lacks) == 0 {
		return nil, nil
	}
	idle, err := b.idle(ctx, of)
	return slices.DeleteFunc(lacks, func(l report.Healed) bool {
		return slices.ContainsFunc(idle, func(i report.Healed) bool { return i.Path == l.Path })
	}), err
}

// pair is what all boots of an observer did.
func (b *build) pair(o *observe.Observer) (observe.Pair, error) {
	full, err := o.Trace(b.asked.Full.Tree)
	if err != nil {
		return observe.Pair{}, err
	}
	image, err := o.Trace(b.asked.Lean.Tree)
	return observe.Pair{Full: full, Image: image, App: b.full, Kept: b.hasKept, Beside: verify.BesideDir, Modules: b.finders.files, Module: b.finders.imports.Module}, err
}

// idle is what the image lacks when Python does nothing, and does that well:
// caches of the C library and such, which explain no difference.
func (b *build) idle(ctx context.Context, of func(observe.Pair, string) []report.Healed) ([]report.Healed, error) {
	if _, ok := b.asked.Lean.Tree.Resolve(b.runtime.Exe); !ok {
		// It has no Python of its own, but the loader asks for its cache.
		return []report.Healed{{Path: ldcache.Path}}, nil
	}
	o, err := b.observer(ctx)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	for _, s := range []verify.Subject{b.asked.Full, b.asked.Lean} {
		p, err := o.Boot(ctx, s.Tree, s.Config, engine.BootOptions{Entry: []string{"/" + strings.TrimPrefix(b.runtime.Exe, "/"), "-c", "pass"}})
		if err != nil {
			return nil, err
		}
		if exit, err := p.Wait(); err != nil || exit.Code != 0 {
			return nil, err
		}
	}
	pair, err := b.pair(o)
	if err != nil {
		return nil, err
	}
	return of(pair, ""), nil
}

// hasKept reports whether a file of the unreduced app was meant to be in the
// image: of a bundle that is what its tool was told of.
func (b *build) hasKept(path string) bool {
	t := b.kept
	if len(b.plan.Bundle) > 0 {
		t = b.found
	}
	_, ok := t.Lookup(path)
	return ok
}

// heal adds what the image lacked to what the analysis finds, and forgets the
// image that was made without it.
func (b *build) heal(ctx context.Context, lacks []report.Healed) error {
	b.healed = append(b.healed, lacks...)
	p := *b.project // others share it
	for _, l := range lacks {
		switch l.Setting {
		case report.SettingSource:
			p.Settings.KeepSource = append(slices.Clip(p.Settings.KeepSource), l.Value)
		case report.SettingDocstrings:
			p.Settings.KeepDocstrings = append(slices.Clip(p.Settings.KeepDocstrings), l.Value)
		}
	}
	b.project = &p
	b.moves, b.env, b.symbols, b.image = nil, nil, nil, nil
	if err := b.phases(ctx, &b.out.Timings, phase{"heal", "adding what the image lacks", b.analyse}); err != nil {
		return err
	}
	b.out.Notes, b.out.Healed = slices.Clone(b.notes), b.healed
	return nil
}

// observer makes one of the system's own strace.
func (a *app) observer(ctx context.Context) (*observe.Observer, error) {
	tools, err := a.Bases.Tools(ctx, a.system.Ref, observe.Packages, a.platform)
	if err != nil {
		return nil, err
	}
	return observe.New(a.Engine, tools.Tree, a.Cache)
}

// index lists the files of every module by its name.
func (f *finders) index() map[string][]string {
	index := make(map[string][]string)
	for e := range f.tree.All() {
		if e.IsDir() {
			continue
		}
		if m, ok := f.imports.Module(e.Path); ok {
			index[m] = append(index[m], e.Path)
		}
	}
	return index
}

// files gives the files of a module by its name.
func (f *finders) files(name string) []string { return f.modules()[name] }

// seen is what is known of runs: an observation, and what images have lacked.
func (a *app) seen(f *finders) *observe.Finder {
	var entries []string
	for _, argv := range a.entrypoints {
		if e, ok := f.tree.Resolve(argv[0]); ok {
			entries = append(entries, e.Path)
		}
	}
	return observe.NewFinder(f.tree, entries, a.observed, a.healed, f.files)
}

// overlook takes from a tree what a test wants the analysis not to have found;
// what the settings keep stays.
func (b *build) overlook(t *tree.Tree) *tree.Tree {
	if b.Overlook == nil {
		return t
	}
	mended := make(map[string]bool)
	for _, h := range b.healed {
		mended[h.Path] = true
		if e, ok := b.full.Resolve(h.Path); ok {
			mended[e.Path] = true
		}
	}
	for _, k := range b.project.Settings.Keep {
		for _, p := range reach.Named(b.full, k) {
			mended[p] = true
		}
	}
	return t.Filter(func(e tree.Entry) bool { return e.IsDir() || !b.Overlook(e.Path) || mended[e.Path] })
}
