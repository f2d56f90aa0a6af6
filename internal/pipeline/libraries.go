package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/tree"
)

// completeSystem adds the libraries to the system that files of the app need
// and nothing has. Wheels may lean on some that nearly every system has, such
// as libstdc++ (PEP 600), and others say in their documents what to install.
func (a *app) completeSystem(ctx context.Context) error {
	both, err := tree.Overlay(a.system.Tree, a.installed.App)
	if err != nil {
		return fmt.Errorf("putting the app on %s: %w", a.system.Ref, err)
	}
	unmet, err := sharedlib.Unmet(both, a.installed.App)
	if err != nil {
		return fmt.Errorf("looking for libraries of the app: %w", err)
	}
	if len(unmet) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(unmet))
	if a.system, err = a.Bases.WithLibraries(ctx, a.system, names, a.platform); err != nil {
		return fmt.Errorf("adding libraries to the system: %w", err)
	}
	if both, err = tree.Overlay(a.system.Tree, a.installed.App); err != nil {
		return fmt.Errorf("putting the app on %s: %w", a.system.Ref, err)
	}
	left, err := sharedlib.Unmet(both, a.installed.App)
	if err != nil {
		return fmt.Errorf("looking for libraries of the app: %w", err)
	}
	for _, name := range names {
		text := "needs " + name + ", which was added to the system"
		if left[name] != "" {
			text = "needs " + name + ", which the system's suite does not have under the usual name"
		}
		a.notes = append(a.notes, report.Note{Where: "system", Path: unmet[name], Text: text})
	}
	return nil
}
