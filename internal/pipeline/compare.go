package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/variant"
	"exuvia/internal/verify"
)

// CompareRequest is what one comparison is asked for.
type CompareRequest struct {
	Request           // of all images; its Reference and Publish are not used
	Images   []Choice // in any order
	Starts   int      // of each image, to measure it; 0 measures none
	Parallel int      // images that are built at a time
	// Watch is told what is done for which image; the last line of one is "".
	Watch func(image, line string)
}

// Choice is one image of a comparison.
type Choice struct {
	Settings project.Settings  // over those of the request; Variant says which variant
	Options  map[string]string // what was chosen in words, for the report: "optimize": "2"
}

// Name is what a choice is called: its variant and its options.
func (c Choice) Name() string {
	return report.Row{Variant: c.Settings.Variant, Options: c.Options}.Label()
}

// candidate is an image of a comparison on its way.
type candidate struct {
	Choice
	app     *app
	err     error // why the project could not be installed
	build   *build
	subject *verify.Subject // set where there is an image that can be booted
	row     report.Row
}

// Compare builds one project as several images, boots each, asks each the
// same, and measures those that start. What is wrong with one image is in its
// row; an error is one that concerns all.
func (p *Pipeline) Compare(ctx context.Context, r CompareRequest) (*report.Comparison, error) {
	list := make([]*candidate, len(r.Images))
	for i, c := range r.Images {
		list[i] = &candidate{Choice: c}
	}
	if err := p.studyAll(ctx, r, list); err != nil {
		return nil, err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, r.Parallel))
	for _, c := range list {
		group.Go(func() error {
			err := c.make(gctx, r)
			r.Watch(c.Name(), "")
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			c.settle(err)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := p.measureAll(ctx, r, list); err != nil {
		return nil, err
	}
	return p.summary(r, list), nil
}

// studyAll installs the project once for each system that the images need,
// and analyses it. It fails where it does so for all.
func (p *Pipeline) studyAll(ctx context.Context, r CompareRequest, list []*candidate) error {
	type studied struct {
		app *app
		err error
	}
	apps := make(map[string]studied)
	failed := 0
	for _, c := range list {
		s := c.Settings
		key := strings.Join([]string{s.System, s.Base, s.Python, s.Platform}, "\n")
		if _, ok := apps[key]; !ok {
			own := r.Request
			own.Settings = project.Merge(own.Settings, project.Settings{System: s.System, Base: s.Base, Python: s.Python, Platform: s.Platform})
			a := p.newApp(own)
			err := a.look(ctx)
			if err == nil {
				err = a.settle(ctx)
			}
			if err == nil {
				err = a.study(ctx)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			apps[key] = studied{a, err}
		}
		if c.app, c.err = apps[key].app, apps[key].err; c.err != nil {
			failed++
		}
	}
	if failed == len(list) {
		return list[0].err
	}
	return nil
}

// make builds the image and compares it.
func (c *candidate) make(ctx context.Context, r CompareRequest) error {
	if c.err != nil {
		return c.err
	}
	own := *c.app.Pipeline
	name := c.Name()
	own.Progress = func(format string, args ...any) { r.Watch(name, fmt.Sprintf(format, args...)) }
	a := *c.app
	a.Pipeline = &own
	p := *a.project
	v, err := variant.Named(c.Settings.Variant)
	if err != nil {
		return err
	}
	p.Settings = project.Merge(v.Known(p.Settings), c.Settings)
	a.project = &p
	request := r.Request
	request.Reference = cmp.Or(p.Settings.Name, p.Name) + ":" + report.TagOf(c.Name())
	c.build = a.newBuild(request)
	b := c.build
	if err := b.choose(); err != nil {
		return err
	}
	if err := b.phases(ctx, &b.out.Timings, phase{"base", "assembling the base", b.findBase}); err != nil {
		return err
	}
	if !b.recognise() {
		err := b.prove(ctx)
		if b.asked.Booter != nil {
			b.asked.Lean.Name = name
			c.subject = &b.asked.Lean
		}
		if err != nil {
			return err
		}
	} else if err := b.decide(ctx); err != nil {
		return err
	}
	if c.subject == nil { // nothing was compared
		b.recall(b.out.Digest)
		_, lean, err := b.subjects(ctx, b.image)
		if err != nil {
			return err
		}
		lean.Name = name
		c.subject = &lean
	}
	return b.publish(ctx)
}

// settle writes the row of an image that is done, and of one that failed.
func (c *candidate) settle(err error) {
	row := &c.row
	row.Variant, row.Options, row.Base = c.Settings.Variant, c.Options, c.Settings.Base
	if row.Options == nil {
		row.Options = map[string]string{}
	}
	row.Differs = []report.Check{}
	if c.build != nil {
		c.describe(row, c.build.out)
	}
	row.State, row.OK = report.StateOK, err == nil
	if err == nil {
		return
	}
	row.State, row.Reason, row.Reference = report.StateFailed, oneLine(err.Error()), ""
	f, ok := errors.AsType[*fault.Error](err)
	switch {
	case ok && f.Kind == fault.Differs:
		row.State = report.StateDiffers
	case ok && f.Kind == fault.Base && c.subject == nil:
		row.State = report.StateUnavailable
		row.Reason += " (" + f.Hint + ")"
	}
	if c.build == nil {
		return
	}
	for _, check := range c.build.out.Checks {
		if !check.OK {
			row.Differs = append(row.Differs, check)
		}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// describe fills in what is known of a build.
func (c *candidate) describe(row *report.Row, out *report.Build) {
	row.Base = cmp.Or(out.Base, row.Base)
	row.Reference, row.Digest, row.Cached = out.Reference, out.Digest, out.Cached
	row.Size, row.Download, row.Files, row.Layers = out.Size, out.Download, out.Files, len(out.Layers)
	row.Checks, row.Notes, row.Parts, row.BuildS = len(out.Checks), slices.Clone(out.Notes), out.Parts, out.BuildSeconds
	for _, h := range out.Healed {
		row.Notes = append(row.Notes, report.Note{Where: "heal", Path: h.Path, Text: h.Why})
	}
}

// measureAll starts all images that can be booted in turn, one at a time. One
// that does not start so is left out, with the reason in its row.
func (p *Pipeline) measureAll(ctx context.Context, r CompareRequest, list []*candidate) error {
	var started []*candidate
	for _, c := range list {
		if c.subject != nil {
			started = append(started, c)
		}
	}
	if r.Starts < 1 || len(started) == 0 {
		return nil
	}
	p.Progress("measuring %d images, %d starts each", len(started), r.Starts)
	var able []*candidate
	for _, c := range started {
		if _, err := c.app.measure(ctx, []verify.Subject{*c.subject}, 1); err == nil {
			able = append(able, c)
		} else if ctx.Err() != nil {
			return context.Cause(ctx)
		} else if c.row.Reason == "" {
			c.row.Reason = "was not measured: " + oneLine(err.Error())
		}
	}
	if len(able) == 0 {
		return nil
	}
	subjects := make([]verify.Subject, len(able))
	for i, c := range able {
		subjects[i] = *c.subject
	}
	series, err := able[0].app.measure(ctx, subjects, r.Starts)
	if err != nil {
		return err
	}
	for i, c := range able {
		c.row.StartMS, c.row.PSS = float64(series[i].First.Microseconds())/1000, series[i].PSS
	}
	return nil
}

// summary sorts the rows: by size, those without an image last.
func (p *Pipeline) summary(r CompareRequest, list []*candidate) *report.Comparison {
	out := &report.Comparison{Engine: p.Engine.Mode(), Cores: runtime.NumCPU(), Starts: r.Starts}
	for _, c := range list {
		out.Rows = append(out.Rows, c.row)
		if a := c.app; c.err == nil && out.Project == "" {
			out.Project, out.Python, out.Platform, out.System = a.project.Name, a.runtime.Full, a.platform.String(), a.system.Ref
		}
	}
	report.SortRows(out.Rows)
	return out
}
