package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/install"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/reduce"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
	"exuvia/internal/verify"
)

// build is one build on its way: each phase fills in what the next needs.
type build struct {
	*Pipeline
	Request
	variant     variant.Variant
	project     *project.Project
	system      *base.Base // has the Python
	base        *base.Base // what the image sits on
	tools       *base.Base
	key         string
	runtime     *python.Runtime
	app         *install.Result
	full        *tree.Tree // system, app and contract: the unreduced app
	entrypoints [][]string
	graph       *reach.Graph
	modules     []string // that are in the image
	plan        *plan.Plan
	lean        *tree.Tree
	moves       []reduce.Move
	image       v1.Image // as read back from the store
	out         *report.Build
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
	b := p.newBuild(r)
	if err := b.phases(ctx, b.prepare()...); err != nil {
		return b.out, err
	}
	if known, ok := b.known(); ok {
		b.out = known
		return b.out, b.phases(ctx, phase{"publish", "publishing", b.publish})
	}
	return b.out, b.phases(ctx, append(b.analysis(),
		phase{"reduce", "reducing", b.reduce},
		phase{"assemble", "writing the image", b.assemble},
		phase{"verify", "comparing with the unreduced app", b.verified},
		phase{"publish", "publishing", b.publish},
	)...)
}

// Plan goes as far as deciding how the image is made, and gives the plan.
func (p *Pipeline) Plan(ctx context.Context, r Request) (*plan.Plan, error) {
	b := p.newBuild(r)
	err := b.phases(ctx, append(b.prepare(), b.analysis()...)...)
	return b.plan, err
}

// Verify compares an image of the store with the unreduced app of a project.
func (p *Pipeline) Verify(ctx context.Context, r Request, ref string) ([]report.Check, error) {
	b := p.newBuild(r)
	img, err := p.Store.Get(ref)
	if err != nil {
		return nil, err
	}
	var checks []report.Check
	err = b.phases(ctx, append(append(b.prepare(), b.analysis()...), phase{"verify", "comparing with the unreduced app", func(ctx context.Context) (err error) {
		checks, err = b.compare(ctx, img)
		return err
	}})...)
	return checks, err
}

// Measure starts the unreduced app and an image of it in turn, n times each;
// see [verify.Measure].
func (p *Pipeline) Measure(ctx context.Context, r Request, ref string, n int) ([]verify.Series, error) {
	b := p.newBuild(r)
	img, err := p.Store.Get(ref)
	if err != nil {
		return nil, err
	}
	var out []verify.Series
	err = b.phases(ctx, append(b.prepare(), phase{"install", "installing the app", b.installed}, phase{"measure", "measuring", func(ctx context.Context) error {
		full, lean, err := b.subjects(ctx, img)
		if err != nil {
			return err
		}
		out, err = verify.Measure(ctx, verify.Trial{
			Booter: b.Engine, Subjects: []verify.Subject{full, lean}, Starts: n, Probe: b.project.Settings.Probe,
			ProjectFiles: b.project.Files, Clock: b.Clock, Progress: b.Progress,
		})
		return err
	}})...)
	return out, err
}

func (p *Pipeline) newBuild(r Request) *build {
	return &build{Pipeline: p, Request: r, out: &report.Build{Engine: p.Engine.Mode(), Checks: []report.Check{}}}
}

// phase is a part of a build that is timed and told of.
type phase struct {
	name, doing string
	run         func(context.Context) error
}

func (b *build) phases(ctx context.Context, list ...phase) error {
	for _, ph := range list {
		b.Progress("%s", ph.doing)
		start := b.Clock()
		err := ph.run(ctx)
		took := b.Clock().Sub(start).Seconds()
		b.out.Timings = append(b.out.Timings, report.Timing{Phase: ph.name, Seconds: took})
		b.Log.Debug("phase", "name", ph.name, "seconds", took)
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *build) prepare() []phase {
	return []phase{
		{"detect", "looking at the project", b.detect},
		{"base", "assembling the system", b.bases},
	}
}

func (b *build) analysis() []phase {
	return []phase{
		{"install", "installing the app", b.installed},
		{"analyse", "finding what it needs", b.analyse},
	}
}

// known finds what an earlier build of the very same gave, if its image is
// still there.
func (b *build) known() (*report.Build, bool) {
	var digest string
	if b.NoVerify || b.Anew || !b.Cache.Lookup("build", b.key, &digest) {
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

// detect finds out what the project is and which variant is wanted.
func (b *build) detect(ctx context.Context) error {
	var err error
	b.project, err = project.Detect(ctx, b.Path, project.Options{Cache: b.Cache, Overrides: b.Settings})
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(b.project.Settings.Passes, b.project.Settings.Disable) {
		if _, err := reduce.Named(name); err != nil {
			return err
		}
	}
	if b.variant, err = variant.Named(cmp.Or(b.project.Settings.Variant, variant.Default)); err != nil {
		return err
	}
	if err := b.platform(); err != nil {
		return err
	}
	b.out.Variant = b.variant.Name
	b.out.Reference, err = oci.Normalise(b.reference())
	return err
}

// platform takes the settings' platform where they name one.
func (b *build) platform() error {
	want := b.project.Settings.Platform
	if want == "" {
		return nil
	}
	p, err := v1.ParsePlatform(want)
	if err != nil || p.OS == "" || p.Architecture == "" {
		return fault.New(fault.Usage, "write it as linux/amd64", "cannot read platform %q", want)
	}
	b.Platform = *p
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

// bases assembles the system and the tools, and looks whether this very build
// was done before.
func (b *build) bases(ctx context.Context) error {
	ref := b.project.Settings.System
	if ref == "" {
		var err error
		if ref, err = b.Bases.SystemFor(ctx, b.project.RequiresPython, b.project.PythonPin); err != nil {
			return err
		}
	}
	onto := b.project.Settings.Base
	if onto == "" {
		onto = b.variant.Base
	}
	var err error
	if b.system, err = b.Bases.Base(ctx, ref, b.Platform); err != nil {
		return err
	}
	if b.base, err = b.Bases.Base(ctx, onto, b.Platform); err != nil {
		return err
	}
	if b.system.Python == "" {
		return fault.New(fault.Base, "name one that has a Python with --system, such as debian:bookworm", "%s has no Python", b.system.Ref)
	}
	b.out.System, b.out.Base, b.out.Platform = b.system.Ref, b.base.Ref, b.Platform.String()
	b.key = b.buildKey()
	return nil
}

// buildKey is everything that can change the image or what is known of it. The
// system's inputs stand for the tools too, which come from the same suite.
func (b *build) buildKey() string {
	p := *b.project
	p.Dir, p.Files, p.Sources = "", nil, nil // where it is does not matter, and trees have digests
	return cas.Key("build", b.Version, p, b.project.Files.Digest(), b.project.Sources.Digest(), b.system.Ref, b.system.Tree.Digest(), b.system.Inputs, b.base.Ref,
		b.base.Tree.Digest(), b.variant.Name, b.Epoch.Unix(), b.Platform.String())
}

// installed describes the interpreter and puts the app on the system.
func (b *build) installed(ctx context.Context) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		b.tools, err = b.Bases.Tools(gctx, b.system.Ref, []string{"binutils", "patchelf"}, b.Platform)
		return err
	})
	group.Go(func() error { return b.installApp(gctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	b.out.Python = b.runtime.Full
	b.out.Notes = append(append(b.out.Notes, b.project.Notes...), b.app.Notes...)
	b.out.Inputs = append(b.inputs(), b.app.Inputs...)
	made, err := contractFiles(b.system.Tree)
	if err != nil {
		return err
	}
	if b.full, err = tree.Overlay(b.system.Tree, made, b.app.App); err != nil {
		return fmt.Errorf("putting the app on %s: %w", b.system.Ref, err)
	}
	if err := verify.User(b.full, b.project.Settings.User); err != nil {
		return fault.New(fault.Usage, "give numbers, UID:GID, or a user that the system has", "%v", err)
	}
	for _, e := range b.project.Entries {
		argv, err := install.Entrypoint(e, b.runtime)
		if err != nil {
			return err
		}
		b.entrypoints = append(b.entrypoints, argv)
	}
	return nil
}

func (b *build) installApp(ctx context.Context) error {
	pip, err := b.Bases.Tools(ctx, b.system.Ref, []string{"python3-pip"}, b.Platform)
	if err != nil {
		return err
	}
	if b.runtime, err = python.Describe(ctx, b.Engine, b.system.Tree, b.system.Python); err != nil {
		return err
	}
	b.app, err = b.Install(pip.Tree, b.compiler).Install(ctx, b.project, b.system, b.runtime)
	return err
}

// inputs are what the system was made from.
func (b *build) inputs() []report.Input {
	var out []report.Input
	for _, name := range slices.Sorted(maps.Keys(b.system.Inputs)) {
		out = append(out, report.Input{Name: name, Digest: strings.TrimPrefix(b.system.Inputs[name], "sha256:")})
	}
	return out
}

// compiler is what builds C extensions on the system.
func (b *build) compiler(ctx context.Context) (*tree.Tree, error) {
	c, err := b.Bases.Tools(ctx, b.system.Ref, []string{"gcc", "g++", "libc6-dev", "make", "pkg-config", "python" + b.runtime.Version + "-dev?"}, b.Platform)
	if err != nil {
		return nil, err
	}
	return c.Tree, nil
}
