package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/reach"
	"exuvia/internal/reduce"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/tree"
)

// steps runs the plan's steps and finds what the image keeps of the app and of
// what they made.
func (b *build) steps(ctx context.Context) error {
	bundle, err := b.runSteps(ctx)
	if err != nil {
		return err
	}
	b.walked, b.ledger = b.full, newLedger(b.full, b.ownerOf)
	if len(b.plan.Replaced) > 0 {
		b.walked = b.walked.Filter(func(e tree.Entry) bool { return !slices.Contains(b.plan.Replaced, e.Path) })
	}
	roots := slices.Clone(b.plan.Roots)
	for _, name := range b.plan.Bundle {
		if b.walked, err = tree.Overlay(b.walked, bundle[name]); err != nil {
			return fmt.Errorf("putting the result of %q in its place: %w", name, err)
		}
		for e := range bundle[name].All() {
			if !e.IsDir() {
				roots = append(roots, plan.Root{Path: e.Path, Why: "made by " + name})
			}
		}
	}
	if err := b.walk(ctx, roots); err != nil {
		return err
	}
	b.noteMissing()
	if b.walked != b.full {
		b.ledger.stage("steps", "what the variant's tools made comes in", b.full, b.walked, nil, because("what the tools made stands for it"))
	}
	reached := b.overlook(b.graph.Tree())
	b.ledger.stage("analysis", "what nothing reaches from the entry points goes", b.walked, reached, nil, b.notReached())
	b.kept = b.without(reached)
	b.lean = b.kept
	return nil
}

// without drops what the plan leaves out whatever needs it.
func (b *build) without(t *tree.Tree) *tree.Tree {
	if len(b.plan.Without) == 0 {
		return t
	}
	why := make(map[string]string)
	for _, w := range b.plan.Without {
		why[w.Path] = w.Why
		b.moves = append(b.moves, reduce.Move{From: w.Path, Why: w.Why})
	}
	left := t.Filter(func(e tree.Entry) bool {
		_, out := why[e.Path]
		return !out
	})
	b.ledger.stage("plan", "what the variant leaves out goes", t, left, nil, func(e tree.Entry) (string, string) { return why[e.Path], "" })
	return left
}

// walk finds what the roots need of the walked tree, which is the analysis'
// own walk where the plan changes nothing of it.
func (b *build) walk(ctx context.Context, roots []plan.Root) error {
	if b.walked == b.full && slices.Equal(roots, b.roots.All()) && len(b.plan.Finders) == len(b.finders.byName) {
		return nil
	}
	chosen, err := b.chooseFinders(ctx)
	if err != nil {
		return err
	}
	if b.graph, err = reach.Walk(ctx, b.walked, roots, chosen...); err != nil {
		return walked(err)
	}
	return nil
}

// chooseFinders gives the plan's finders for the walked tree. Those of Python
// are made anew only where something of Python is looked for.
func (b *build) chooseFinders(ctx context.Context) ([]reach.Finder, error) {
	if slices.Equal(b.plan.Finders, []string{"sharedlib"}) {
		return b.libraryFinders(b.walked)
	}
	f := b.finders
	if b.walked != b.full {
		var err error
		if f, err = b.newFinders(ctx, b.walked); err != nil {
			return nil, err
		}
	}
	return f.named(b.plan.Finders)
}

// runSteps runs the plan's steps, in order, and gives their results by name.
func (b *build) runSteps(ctx context.Context) (engine.Trees, error) {
	trees, err := planFiles(b.plan)
	if err != nil {
		return nil, err
	}
	trees[plan.TreeApp] = b.installed.App
	for _, s := range b.plan.Systems {
		b.Progress("assembling the tools: %s", s.Name)
		if trees[s.Name], err = b.toolSystem(ctx, s, b.full); err != nil {
			return nil, err
		}
	}
	for _, s := range b.plan.Steps {
		b.Progress("%s", s.Name)
		if s.Network {
			if s, err = b.installer.Network(s); err != nil {
				return nil, err
			}
		}
		out, err := b.Engine.Run(ctx, s, trees)
		if err != nil {
			return nil, b.stepFault(err)
		}
		if out.Size() == 0 {
			return nil, fault.New(fault.Step, "run exuvia with --debug to see what it did", "%s: %s made nothing", b.variant.Name, s.Name)
		}
		trees[s.Name] = out
	}
	return trees, nil
}

// stepFault says what a tool said before it failed.
func (b *build) stepFault(err error) error {
	failed, ok := errors.AsType[*engine.StepError](err)
	if !ok {
		return err
	}
	return &fault.Error{
		Kind: fault.Step, What: fmt.Sprintf("%s: %s", b.variant.Name, failed), Said: failed.Output, Err: err,
		Hint: "see what the tool says above, or choose another variant",
	}
}

// toolSystem makes a root for steps, of which app is the system with the app.
func (a *app) toolSystem(ctx context.Context, s plan.ToolSystem, app *tree.Tree) (*tree.Tree, error) {
	ref := a.system.Ref
	if s.Suite != "" {
		ref = "debian:" + s.Suite
	}
	packages, err := a.Bases.Tools(ctx, ref, s.Packages, a.platform)
	if err != nil || s.Bare {
		return packages.Tree, err
	}
	parts := []*tree.Tree{packages.Tree, app}
	if s.Lock != "" {
		tool, err := a.installer.Tool(ctx, s.Name, s.Lock, a.system, a.runtime)
		if err != nil {
			return nil, err
		}
		parts = append(parts, tool)
	}
	root, err := tree.Overlay(parts...)
	if err != nil {
		return nil, fmt.Errorf("putting the tools of %s beside the app: %w", s.Name, err)
	}
	return root, nil
}

// planFiles gives the trees of the plan's files.
func planFiles(p *plan.Plan) (engine.Trees, error) {
	entries := map[string][]tree.Entry{plan.TreeFiles: nil}
	for _, f := range p.Files {
		name := cmp.Or(f.Tree, plan.TreeFiles)
		entries[name] = append(entries[name], tree.File(f.Path, 0o644, []byte(f.Text), tree.Origin{Kind: tree.Made, Name: p.Variant}))
	}
	trees := make(engine.Trees)
	for name, list := range entries {
		var err error
		if trees[name], err = tree.New(list...); err != nil {
			return nil, fmt.Errorf("making the tree %q: %w", name, err)
		}
	}
	return trees, nil
}

// noteMissing looks at what is needed and not there. A library that no system
// package brings would show only when it is loaded; a missing module is what
// many projects live with, and the comparison sees whether this one does. A
// program that is missing is so in the unreduced app too, where no comparison
// sees it.
func (b *build) noteMissing() {
	for _, m := range b.graph.Missing() {
		if m.Kind == kindProgram {
			b.out.Notes = append(b.out.Notes, report.Note{
				Where: "analyse", Path: m.From,
				Text: "starts " + m.Missing + ", which the system does not have; [tool.exuvia] packages adds the Debian package that has it",
			})
		}
		if m.Optional || m.Kind != sharedlib.KindNeeded && m.Kind != sharedlib.KindLoader {
			continue
		}
		b.out.Notes = append(b.out.Notes, report.Note{Where: "analyse", Path: m.From, Text: "needs " + m.Missing + ", which no package of the system brings"})
	}
}
