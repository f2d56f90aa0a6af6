package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"exuvia/internal/base"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/tree"
)

// extend gives the system the packages of the settings and, as far as its
// suite has them, more libraries.
func (a *app) extend(ctx context.Context, libraries ...string) error {
	a.libraries = slices.Concat(a.libraries, libraries)
	more := base.More{Packages: a.project.Settings.Packages, Libraries: a.libraries}
	var err error
	if a.system, err = a.Bases.With(ctx, a.system, more, a.platform); err != nil {
		return fmt.Errorf("adding to the system: %w", err)
	}
	return nil
}

// completeSystem adds the libraries to the system that files of the app need
// and nothing has. Wheels may lean on some that nearly every system has, such
// as libstdc++ (PEP 600), and others say in their documents what to install.
func (a *app) completeSystem(ctx context.Context) error {
	unmet, err := a.unmet()
	if err != nil || len(unmet) == 0 {
		return err
	}
	names := slices.Sorted(maps.Keys(unmet))
	if err := a.extend(ctx, names...); err != nil {
		return err
	}
	left, err := a.unmet()
	if err != nil {
		return err
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

// unmet are the libraries that files of the app need and the system lacks,
// each with a file that needs it.
func (a *app) unmet() (map[string]string, error) {
	both, err := tree.Overlay(a.system.Tree, a.installed.App)
	if err != nil {
		return nil, fmt.Errorf("putting the app on %s: %w", a.system.Ref, err)
	}
	unmet, err := sharedlib.Unmet(both, a.installed.App)
	if err != nil {
		return nil, fmt.Errorf("looking for libraries of the app: %w", err)
	}
	return unmet, nil
}

// addNamed adds the libraries to the system that sources of the app open by
// name, as python-magic and psycopg do, and nothing has. It reports whether
// any was found: then there is more to analyse.
func (a *app) addNamed(ctx context.Context) (bool, error) {
	by := make(map[string]string)
	for _, m := range a.graph.Missing() {
		e, _ := a.full.Lookup(m.From)
		own := e.From.Kind == tree.Dist || e.From.Kind == tree.Project
		if m.Kind == sharedlib.KindDlopen && own && !slices.Contains(a.libraries, m.Missing) {
			by[m.Missing] = m.From
		}
	}
	if len(by) == 0 {
		return false, nil
	}
	before := a.system.Tree
	names := slices.Sorted(maps.Keys(by))
	if err := a.extend(ctx, names...); err != nil {
		return false, err
	}
	if a.system.Tree.Digest() == before.Digest() {
		return false, nil
	}
	for _, name := range names {
		if sharedlib.Has(a.system.Tree, name) {
			a.notes = append(a.notes, report.Note{Where: "system", Path: by[name], Text: "opens " + name + ", which was added to the system"})
		}
	}
	return true, a.overlay()
}
