package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/publish"
	"exuvia/internal/reduce"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/tree"
	"exuvia/internal/verify"
)

// subtract leaves out what the base has: libraries by the loader's rules, and
// files that are the same, so that no pass works on them.
func (b *build) subtract() error {
	if b.base.Tree.Len() == 0 {
		return nil
	}
	left, dropped, err := sharedlib.Subtract(b.lean, b.base.Tree)
	if err != nil {
		return fmt.Errorf("comparing libraries with %s: %w", b.base.Ref, err)
	}
	why := "the base has it: " + b.base.Ref
	for _, p := range dropped {
		b.moves = append(b.moves, reduce.Move{From: p, Why: why})
	}
	before := b.lean
	if b.lean, err = base.Onto(b.base.Tree, left); err != nil {
		return err
	}
	b.ledger.stage("base", "what the base has too goes", before, b.lean, nil, because(why))
	return nil
}

// onBase fits what the image adds to the accounts and the package records that
// the base has.
func (b *build) onBase() error {
	if b.base.Tree.Len() == 0 {
		return nil
	}
	accounts, err := contractFiles(b.base.Tree)
	if err != nil {
		return err
	}
	var own []tree.Entry
	for e := range accounts.All() {
		if _, ok := b.base.Tree.Lookup(e.Path); ok && e.IsRegular() {
			own = append(own, e)
		}
	}
	records, err := reduce.Records(b.base.Tree, b.lean)
	if err != nil {
		return fmt.Errorf("uniting package records with those of %s: %w", b.base.Ref, err)
	}
	if b.lean, err = b.lean.With(append(own, records...)...); err != nil {
		return fmt.Errorf("writing the accounts: %w", err)
	}
	if b.lean, err = base.Onto(b.base.Tree, b.lean); err != nil {
		return err
	}
	b.ledger.mark("records", "accounts and package records are united with those of the base", b.lean)
	return nil
}

// reduce runs the plan's passes over what the analysis kept.
func (b *build) reduce(ctx context.Context) error {
	if err := b.subtract(); err != nil {
		return err
	}
	systems := reduce.Systems{Python: b.walked, Tools: b.tools.Tree}
	for _, p := range b.plan.Passes {
		pass, err := reduce.Named(p.Name)
		if err != nil {
			return err
		}
		if p.Name == "upx" {
			if systems.UPX, err = b.upx(ctx); err != nil {
				return err
			}
		}
		if p.Name == "strip" && b.Symbols != "" {
			p.Options = map[string]string{"symbols": "true"}
		}
		b.Log.Debug("pass", "name", p.Name)
		out, err := pass.Run(ctx, reduce.Input{
			Tree: b.lean, Python: b.runtime, Engine: b.Engine, Store: b.Cache, Options: p.Options,
			Systems: systems,
		})
		if err != nil {
			return fmt.Errorf("pass %s: %w", p.Name, err)
		}
		b.ledger.stage(pass.Name, pass.Short, b.lean, out.Tree, out.Moves, because(pass.Short))
		b.lean = out.Tree
		b.moves = append(b.moves, out.Moves...)
		b.env = append(b.env, out.Env...)
		b.out.Notes = append(b.out.Notes, out.Notes...)
		if out.Symbols != nil {
			b.symbols = out.Symbols
		}
	}
	return b.onBase()
}

// upxSuite is the Debian suite whose UPX is new enough: older ones pack
// libraries that crash.
const upxSuite = "debian:trixie"

func (b *build) upx(ctx context.Context) (*tree.Tree, error) {
	tools, err := b.Bases.Tools(ctx, upxSuite, []string{"upx-ucl", "dash"}, b.platform)
	if err != nil {
		return nil, err
	}
	return tools.Tree, nil
}

// Names of the layers, by rate of change: the first changes least.
const (
	layerBase         = "base"
	layerSystem       = "system"
	layerDependencies = "dependencies"
	layerApp          = "app"
)

// layerOf says in which layer an entry lies.
func (b *build) layerOf(e tree.Entry) string {
	switch {
	case b.own(e):
		return layerApp
	case e.From.Kind == tree.Made && slices.Contains(b.plan.Bundle, e.From.Name):
		return layerApp
	case e.From.Kind == tree.Dist:
		return layerDependencies
	}
	return layerSystem
}

// assemble writes the image to the store, where it has no name yet, and reads
// it back.
func (b *build) assemble(ctx context.Context) error {
	config := b.plan.Config
	config.Env = slices.Concat(config.Env, b.env)
	parts := oci.Split(b.lean, b.layerOf, layerSystem, layerDependencies, layerApp)
	if b.base.Image == nil && b.base.Tree.Len() > 0 {
		parts = append([]oci.LayerSpec{{Name: layerBase, Tree: b.base.Tree}}, parts...)
	}
	img, layers, err := oci.Assemble(ctx, b.Cache, parts, config, oci.Meta{
		Platform: b.Platform, Epoch: b.Epoch, Base: b.base.Ref, Name: b.project.Name, Version: b.project.Version, On: b.base.Image,
	})
	if err != nil {
		return fmt.Errorf("assembling image: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("hashing image: %w", err)
	}
	b.out.Digest, b.out.Layers = digest.String(), layers
	b.out.Size, b.out.Download, b.out.Files = 0, 0, 0 // of an image that was healed
	for _, l := range layers {
		b.out.Size += l.Size
		b.out.Download += l.Download
		b.out.Files += l.Files
	}
	if b.contents, err = b.sumUp(); err != nil {
		return fmt.Errorf("summing up the image: %w", err)
	}
	b.out.Parts = b.contents.Parts()
	b.image, err = b.Store.Put(img)
	return err
}

// verified boots the image, as read back from the store, beside the unreduced
// app.
func (b *build) verified(ctx context.Context) error {
	if b.NoVerify {
		return nil
	}
	checks, err := b.compare(ctx, b.image)
	b.out.Checks = checks
	b.out.Verified = err == nil
	if err != nil {
		return errors.Join(err, b.Store.Discard(b.out.Digest))
	}
	return nil
}

// subjects are the unreduced app and an image of it, ready to boot.
func (b *build) subjects(ctx context.Context, img v1.Image) (full, lean verify.Subject, err error) {
	root, config, err := oci.Flatten(ctx, b.Cache, img)
	if err != nil {
		return full, lean, err
	}
	if full, err = b.unreduced(ctx); err != nil {
		return full, lean, err
	}
	full.Config = b.runAs(config, full.Config)
	return full, verify.Subject{Name: "the image", Tree: root, Config: config, Entries: b.plan.Entrypoints, Unpacks: b.plan.Unpacks}, nil
}

// runAs lets the unreduced app, which has the configuration plain, run as the
// image with c: with its own entry point and without what the variant and its
// passes put into the environment.
func (b *build) runAs(c, plain plan.Config) plan.Config {
	added := slices.Concat(b.plan.Config.Env, b.env)
	c.Entrypoint, c.Cmd = plain.Entrypoint, plain.Cmd
	c.Env = slices.DeleteFunc(slices.Clone(c.Env), func(e string) bool {
		return slices.Contains(added, e) && !slices.Contains(plain.Env, e)
	})
	return c
}

// compare checks an image against the unreduced app of this build.
func (b *build) compare(ctx context.Context, img v1.Image) ([]report.Check, error) {
	b.asked = verify.Input{}
	full, lean, err := b.subjects(ctx, img)
	if err != nil {
		return nil, err
	}
	before, err := tree.Overlay(b.base.Tree, full.Tree) // what is amiss there is not the image's fault
	if err != nil {
		return nil, fmt.Errorf("putting the unreduced app on %s: %w", b.base.Ref, err)
	}
	checks := verify.Static(lean.Tree, before, lean.Config)
	libraries, err := loads(lean.Tree, before, lean.Config)
	if err != nil {
		return checks, err
	}
	checks = append(checks, libraries)
	for _, c := range checks {
		if !c.OK {
			return checks, fault.New(fault.Differs, "this is a defect of exuvia unless a pass was disabled; please report it", "%s: %s", c.Name, c.Detail)
		}
	}
	asked, err := b.verification(ctx, full, lean)
	if err != nil {
		return checks, err
	}
	b.asked = asked
	more, err := verify.Run(ctx, b.asked)
	return append(checks, more...), err
}

// verification is what is asked of an image and of the unreduced app.
func (a *app) verification(ctx context.Context, full, lean verify.Subject) (verify.Input, error) {
	tests, err := a.tests(ctx)
	if err != nil {
		return verify.Input{}, err
	}
	var entries []string
	for _, e := range a.project.Entries {
		entries = append(entries, e.Name)
	}
	return verify.Input{
		Full: full, Lean: lean,
		Entries: entries, Probe: a.project.Settings.Probe, ProjectFiles: a.project.Files, Modules: a.needs.Modules,
		Tests: tests, Python: a.runtime.Exe, Booter: a.Engine, Log: a.Log, Progress: a.Progress,
	}, nil
}

// loads checks that every ELF file of the image finds its libraries without a
// loader's cache. What was lacking before is not the image's fault; a bundle
// has files at other places.
func loads(lean, full *tree.Tree, c plan.Config) (report.Check, error) {
	missing, err := sharedlib.Missing(lean, sharedlib.EnvPath(c.Env)...)
	if err == nil && len(missing) > 0 {
		var before []string
		before, err = sharedlib.Missing(full)
		missing = slices.DeleteFunc(missing, func(m string) bool {
			return slices.ContainsFunc(before, func(o string) bool { return anywhere(o) == anywhere(m) })
		})
	}
	if err != nil {
		return report.Check{}, fmt.Errorf("looking for shared libraries: %w", err)
	}
	return verify.Libraries(missing), nil
}

// anywhere is a line of [sharedlib.Missing] without the file's directory.
func anywhere(line string) string {
	file, what, _ := strings.Cut(line, " ")
	return path.Base(file) + " " + what
}

// publish gives the image its name, keeps what is known of it beside it, and
// delivers it.
func (b *build) publish(ctx context.Context) error {
	if !b.out.Cached {
		if err := b.document(); err != nil {
			return err
		}
	}
	if err := b.Store.Tag(b.out.Reference, b.out.Digest); err != nil {
		return err
	}
	if b.out.Verified && !b.out.Cached && !b.unasked {
		if err := b.Cache.Record("build", b.key, b.out.Digest); err != nil {
			return err
		}
	}
	return b.deliver(ctx)
}

// document keeps with the image how it was built.
func (b *build) document() error {
	for name, v := range map[string]any{docReport: b.out, docGraph: b.graph, docMoves: b.moves, docContents: b.contents, docPlan: b.plan} {
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := b.Store.PutSidecar(b.out.Digest, name, data); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) deliver(ctx context.Context) error {
	for _, p := range b.Publish {
		where, err := p.Publish(ctx, publish.As(b.image, b.out.Reference))
		if err != nil {
			return err
		}
		b.out.Published = append(b.out.Published, where)
		if l, ok := p.(lister); ok {
			b.noteListed(ctx, l, where)
		}
	}
	return nil
}

// lister is a publisher that says how large an image is where it went.
type lister interface {
	Listed(ctx context.Context, where string) (size int64, store string, err error)
}

// noteListed says so where an image has another size in the list of who has it
// now: not every store counts the bytes of files.
func (b *build) noteListed(ctx context.Context, l lister, where string) {
	size, store, err := l.Listed(ctx, where)
	switch {
	case err != nil:
		b.Log.Warn("asking for the size of a published image", "image", where, "error", err)
	case size != b.out.Size:
		b.out.Notes = append(b.out.Notes, report.Note{Where: "publish", Path: where, Text: fmt.Sprintf("is listed with %s: the store %s counts otherwise than the files' %s", report.Megabytes(size), store, report.Megabytes(b.out.Size))})
	}
}
