package pipeline

import (
	"context"
	"errors"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/knowledge"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
)

// askHooks finds out what others know of the app's distributions. Not every
// index, Python and system lets their tool run: then the image is made of what
// the analysis finds, says so, and is not taken for one that hooks had a part in.
func (a *app) askHooks(ctx context.Context) error {
	if !hasDistributions(a.installed.App) {
		return nil
	}
	hooks, err := a.runHooks(ctx)
	if why := unasked(err); why != "" {
		a.unasked = true
		a.notes = append(a.notes, report.Note{Where: "hooks", Text: "none were asked (the setting hooks = false wants none): " + why})
		return nil
	}
	if err != nil {
		return err
	}
	a.hooks = hooks
	a.notes = append(a.notes, knowledge.Notes(hooks)...)
	return nil
}

func (a *app) runHooks(ctx context.Context) ([]knowledge.Hook, error) {
	installed := a.full.Filter(func(e tree.Entry) bool { return e.From.Kind != tree.Project }) // whose files change all the time
	root, err := a.toolSystem(ctx, variant.Hooks(), installed)
	if err != nil {
		return nil, err
	}
	return knowledge.Ask(ctx, knowledge.Input{Tree: root, Engine: a.Engine, Python: a.runtime, Cache: a.Cache})
}

// unasked says why hooks could not be asked, "" for errors that are something
// else, such as a file that is not the pinned one.
func unasked(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && (f.Kind == fault.Dependency || f.Kind == fault.Network) {
		return f.What
	}
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		return oneLine(failed.Error())
	}
	return ""
}

func hasDistributions(t *tree.Tree) bool {
	for e := range t.All() {
		if e.From.Kind == tree.Dist {
			return true
		}
	}
	return false
}
