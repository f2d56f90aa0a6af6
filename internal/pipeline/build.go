package pipeline

import (
	"cmp"
	"context"
	"errors"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/dockerfile"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/reduce"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
	"exuvia/internal/verify"
)

// build is one image of an app on its way. The app is its own copy: its
// project has the settings of this image, its progress speaks of it, its graph
// is in the end what the image keeps.
type build struct {
	app
	Request
	variant  variant.Variant
	base     *base.Base // what the image sits on
	indexes  string     // key of the configuration by which the app is installed
	key      string
	input    variant.Input // what the plan was made from
	plan     *plan.Plan
	walked   *tree.Tree // the unreduced app with what the plan's steps made
	kept     *tree.Tree // what the analysis keeps of it
	lean     *tree.Tree // what passes make of that
	env      []string   // of the image, found out by passes
	moves    []reduce.Move
	ledger   *ledger
	contents report.Contents
	symbols  *tree.Tree   // what strip dropped, for debuggers; nil for none
	image    v1.Image     // as read back from the store
	asked    verify.Input // what the image was compared by, last
	out      *report.Build
}

// Build makes, verifies, names and publishes an image. The report is given
// also with an error, as far as it goes; an image that was not verified has no
// name then.
func (p *Pipeline) Build(ctx context.Context, r Request) (*report.Build, error) {
	out, err := p.build(ctx, r)
	if errors.Is(err, cas.ErrCorrupt) {
		// The damaged entry is gone; whatever it was is made again.
		p.Log.Warn("damaged cache entry", "error", err)
		p.Progress("a cache entry was damaged; doing its work again")
		out, err = p.build(ctx, r)
	}
	return out, err
}

func (p *Pipeline) build(ctx context.Context, r Request) (*report.Build, error) {
	a, b, err := p.chosen(ctx, r)
	if err != nil {
		return b.out, err
	}
	if !b.recognise() {
		err := a.study(ctx)
		b.share(a)
		if err != nil {
			return b.out, err
		}
		if err := b.prove(ctx); err != nil {
			return b.out, err
		}
	} else if err := b.withinBudget(ctx); err != nil {
		return b.out, err
	}
	return b.out, b.phases(ctx, &b.out.Timings, phase{"publish", "publishing", func(ctx context.Context) error {
		return errors.Join(b.publish(ctx), b.writeSymbols())
	}})
}

// Plan goes as far as deciding how the image is made, and gives the plan.
func (p *Pipeline) Plan(ctx context.Context, r Request) (*plan.Plan, error) {
	b, err := p.studied(ctx, r)
	if err != nil {
		return nil, err
	}
	err = b.phases(ctx, &b.out.Timings, phase{"plan", "deciding", b.decide})
	return b.plan, err
}

// Dockerfile goes as far as Plan, and writes the plan as a Dockerfile.
func (p *Pipeline) Dockerfile(ctx context.Context, r Request) (string, error) {
	b, err := p.studied(ctx, r)
	if err != nil {
		return "", err
	}
	if err := b.phases(ctx, &b.out.Timings, phase{"plan", "deciding", b.decide}); err != nil {
		return "", err
	}
	return dockerfile.Write(dockerfile.Input{Input: b.input, Plan: b.plan, Files: b.installed.Inputs})
}

// Verify compares an image of the store with the unreduced app of a project.
func (p *Pipeline) Verify(ctx context.Context, r Request, ref string) ([]report.Check, error) {
	img, err := p.Store.Get(ref)
	if err != nil {
		return nil, err
	}
	b, err := p.studied(ctx, r)
	if err != nil {
		return nil, err
	}
	var checks []report.Check
	err = b.phases(ctx, &b.out.Timings, phase{"plan", "deciding", b.decide}, phase{"verify", "comparing with the unreduced app", func(ctx context.Context) (err error) {
		b.recall(ref)
		checks, err = b.compare(ctx, img)
		return err
	}})
	return checks, err
}

// Measure starts the unreduced app and an image of it in turn, n times each;
// see [verify.Measure].
func (p *Pipeline) Measure(ctx context.Context, r Request, ref string, n int) ([]verify.Series, error) {
	img, err := p.Store.Get(ref)
	if err != nil {
		return nil, err
	}
	b, err := p.studied(ctx, r)
	if err != nil {
		return nil, err
	}
	var out []verify.Series
	err = b.phases(ctx, &b.out.Timings, phase{"plan", "deciding", b.decide}, phase{"measure", "measuring", func(ctx context.Context) error {
		b.recall(ref)
		full, lean, err := b.subjects(ctx, img)
		if err != nil {
			return err
		}
		out, err = b.measure(ctx, []verify.Subject{full, lean}, n)
		return err
	}})
	return out, err
}

func (a *app) measure(ctx context.Context, subjects []verify.Subject, n int) ([]verify.Series, error) {
	progress := a.Progress
	if n == 1 {
		progress = nil // a look whether it starts is no news
	}
	return verify.Measure(ctx, verify.Trial{
		Booter: a.Engine, Subjects: subjects, Starts: n, Probe: a.project.Settings.Probe,
		ProjectFiles: a.project.Files, Clock: a.Clock, Progress: progress,
	})
}

// studied prepares a build whose app is installed and analysed.
func (p *Pipeline) studied(ctx context.Context, r Request) (*build, error) {
	a, b, err := p.chosen(ctx, r)
	if err != nil {
		return nil, err
	}
	err = a.study(ctx)
	b.share(a)
	return b, err
}

// chosen goes as far as knowing what is to be built, on what. The build is
// given also with an error.
func (p *Pipeline) chosen(ctx context.Context, r Request) (*app, *build, error) {
	a := p.newApp(r)
	err := a.look(ctx)
	b := a.newBuild(r)
	if err == nil {
		err = b.choose() // before anything is downloaded
	}
	if err == nil {
		err = a.settle(ctx)
		b.share(a)
	}
	if err == nil {
		err = b.phases(ctx, &b.out.Timings, phase{"base", "assembling the base", b.findBase})
	}
	return a, b, err
}

// newBuild begins an image of an app that is prepared.
func (a *app) newBuild(r Request) *build {
	b := &build{Request: r, out: &report.Build{Engine: a.Engine.Mode(), Checks: []report.Check{}}}
	b.share(a)
	return b
}

// share takes over what has become known of the app.
func (b *build) share(a *app) {
	own := b.project
	b.app = *a
	if own != nil {
		b.project = own
	}
	b.out.Timings = append(b.out.Timings, a.timings...)
	a.timings = nil
	b.out.Notes, b.out.Inputs, b.out.Platform = slices.Clone(a.notes), a.inputs, a.platform.String()
	if a.system != nil {
		b.out.System = a.system.Ref
	}
	if a.runtime != nil {
		b.out.Python = a.runtime.Full
	}
}

// phase is a part of a build that is timed and told of.
type phase struct {
	name, doing string
	run         func(context.Context) error
}

func (p *Pipeline) phases(ctx context.Context, timings *[]report.Timing, list ...phase) error {
	for _, ph := range list {
		p.Progress("%s", ph.doing)
		start := p.Clock()
		err := ph.run(ctx)
		took := p.Clock().Sub(start).Seconds()
		*timings = append(*timings, report.Timing{Phase: ph.name, Seconds: took})
		p.Log.Debug("phase", "name", ph.name, "seconds", took)
		if err != nil {
			return err
		}
	}
	return nil
}

// recognise takes over what an earlier build of the very same gave.
func (b *build) recognise() bool {
	known, ok := b.known()
	if ok {
		b.out = known
	}
	return ok
}

// make goes from the analysis to an image in the store.
func (b *build) make(ctx context.Context) error {
	start := b.Clock()
	defer func() { b.out.BuildSeconds = b.Clock().Sub(start).Seconds() }()
	return b.phases(ctx, &b.out.Timings,
		phase{"plan", "deciding", b.decide},
		phase{"steps", "building", b.steps},
		phase{"reduce", "reducing", b.reduce},
		phase{"assemble", "writing the image", b.assemble},
	)
}

// check compares the image with the unreduced app.
func (b *build) check(ctx context.Context) error {
	return b.phases(ctx, &b.out.Timings, phase{"verify", "comparing with the unreduced app", b.verified})
}

// known finds what an earlier build of the very same gave, if its image is
// still there.
func (b *build) known() (*report.Build, bool) {
	var digest string
	if b.NoVerify || b.Anew || b.Symbols != "" || !b.Cache.Lookup("build", b.key, &digest) {
		return nil, false
	}
	img, err := b.Store.Get(digest)
	if err != nil {
		return nil, false
	}
	var out report.Build
	if err := readDocument(b.Store, digest, docReport, &out); err != nil || !out.Verified {
		return nil, false
	}
	b.image = img
	out.Reference, out.Cached, out.Timings, out.Published = b.out.Reference, true, b.out.Timings, nil
	return &out, true
}

// choose settles the variant and the name, and looks whether the settings go
// with them.
func (b *build) choose() error {
	s := b.project.Settings
	for _, name := range slices.Concat(s.Passes, s.Disable) {
		if _, err := reduce.Named(name); err != nil {
			return err
		}
	}
	var err error
	if b.variant, err = variant.Named(cmp.Or(s.Variant, variant.Default)); err != nil {
		return err
	}
	if err := b.variant.Check(s); err != nil {
		return err
	}
	b.out.Variant = b.variant.Name
	b.out.Reference, err = oci.Normalise(b.reference())
	return err
}

// findBase gets what the image sits on.
func (b *build) findBase(ctx context.Context) error {
	onto := b.project.Settings.Base
	if onto == "" {
		onto = b.variant.Base
		if flavour, ok := variant.Flavour(onto); ok {
			onto = b.Bases.Flavour(b.system, flavour)
		}
	}
	var err error
	if b.base, err = b.Bases.Base(ctx, onto, b.platform); err != nil {
		return err
	}
	b.out.Base = b.base.Ref
	if b.indexes, err = b.Install(nil, nil).Key(b.project); err != nil {
		return err
	}
	b.key = b.buildKey()
	return nil
}

// reference is the name that the image gets: the one asked for, or made of the
// settings or the project's name.
func (b *build) reference() string {
	if b.Reference != "" {
		return b.Reference
	}
	ref := cmp.Or(b.project.Settings.Name, b.project.Name)
	if tag := b.project.Settings.Tag; tag != "" {
		ref += ":" + tag
	}
	return ref
}

// buildKey is everything that can change the image or what is known of it. The
// system's inputs stand for the tools too, which come from the same suite.
func (b *build) buildKey() string {
	p := *b.project
	tests := p.Tests
	if len(p.Settings.Tests) == 0 {
		tests = nil // nobody looks at them
	}
	p.Dir, p.Files, p.Sources, p.Observations, p.Tests = "", nil, nil, nil, nil // where it is does not matter, and trees have digests
	return cas.Key("build", b.Version, p, b.project.Files.Digest(), b.project.Sources.Digest(), b.project.Observations.Digest(), tests.Digest(), b.system.Ref, b.system.Tree.Digest(), b.system.Inputs, b.base.Ref,
		b.base.Tree.Digest(), b.base.Inputs, b.variant.Name, b.Epoch.Unix(), b.platform.String(), b.indexes)
}

// recall takes the entry points of an image of the store from the plan that it
// was made by.
func (b *build) recall(ref string) {
	var p plan.Plan
	if err := readDocument(b.Store, ref, docPlan, &p); err == nil && len(p.Entrypoints) == len(b.entrypoints) {
		b.plan = &p
	}
}

// decide lets the variant make its plan.
func (b *build) decide(ctx context.Context) error {
	b.input = variant.Input{
		Project: b.project, System: b.system, Base: b.base, Python: b.runtime, App: b.installed.App,
		Entrypoints: b.entrypoints, Roots: b.roots, Needs: b.needs,
	}
	var err error
	if b.plan, err = b.variant.Plan(ctx, b.input); err != nil {
		return err
	}
	if len(b.plan.Entrypoints) != len(b.entrypoints) {
		return fault.New(fault.Project, "choose another variant", "the variant %s knows %d of %d entry points", b.variant.Name, len(b.plan.Entrypoints), len(b.entrypoints))
	}
	return nil
}
