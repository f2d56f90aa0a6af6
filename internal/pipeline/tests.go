package pipeline

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"exuvia/internal/install"
	"exuvia/internal/tree"
	"exuvia/internal/verify"
)

// tests are the project's own, with the unreduced app and what they need beside
// it. What the app has too is the app's: a lock file gives both the same.
func (a *app) tests(ctx context.Context) (verify.Tests, error) {
	lines := a.project.Settings.Tests
	if len(lines) == 0 {
		return verify.Tests{}, nil
	}
	p := *a.project
	p.Groups = union(p.Groups, p.TestGroups)
	p.Extras = union(p.Extras, p.TestExtras)
	installed, err := a.installer.Install(ctx, &p, a.system, a.runtime)
	if err != nil {
		return verify.Tests{}, fmt.Errorf("installing what tests need: %w", err)
	}
	known := make(map[string]bool)
	for _, d := range a.installed.Dists {
		known[d.Name] = true
	}
	beside := installed.App.Filter(func(e tree.Entry) bool { return e.From.Kind == tree.Dist && !known[e.From.Name] })
	// Scripts come last: a system without them has its bytecode already.
	modules := beside.Filter(func(e tree.Entry) bool { return strings.HasPrefix(e.Path, a.runtime.Site+"/") })
	t, err := tree.Overlay(a.full, modules)
	if err == nil {
		t, err = install.WithPycache(ctx, a.Engine, t, a.runtime)
	}
	if err == nil {
		t, err = tree.Overlay(t, beside)
	}
	if err != nil {
		return verify.Tests{}, fmt.Errorf("putting what tests need beside the app: %w", err)
	}
	out := verify.Tests{Lines: lines, Tree: t, Dir: a.project.Dir, Scripts: a.runtime.Scripts, Sources: []string{".", "src"}, Modules: a.ownModules(), Lent: lent(a.full, beside, a.runtime.Site)}
	for _, d := range a.scriptPath() {
		out.Path = append(out.Path, "/"+d)
		if in := strings.TrimPrefix(strings.TrimPrefix(d, "app"), "/"); in != "" && !slices.Contains(out.Sources, in) {
			out.Sources = append(out.Sources, in)
		}
	}
	return out, nil
}

// lent lists what beside adds to the directory site of full: top-level modules,
// by name, and directories of metadata.
func lent(full, beside *tree.Tree, site string) []string {
	var out []string
	for e := range beside.All() {
		rest, ok := strings.CutPrefix(e.Path, site+"/")
		if !ok {
			continue
		}
		top, _, _ := strings.Cut(rest, "/")
		if _, ok := full.Lookup(path.Join(site, top)); ok {
			continue
		}
		if !strings.HasSuffix(top, ".dist-info") {
			top, _, _ = strings.Cut(top, ".")
		}
		out = append(out, top)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// union is a followed by what only b has.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// ownModules lists the project's top-level modules, as they are installed.
func (a *app) ownModules() []string {
	dirs := append(a.scriptPath(), a.runtime.Site)
	var out []string
	for _, p := range a.projectRoots() {
		for _, dir := range dirs {
			rest, ok := strings.CutPrefix(p.Path, dir+"/")
			if !ok {
				continue
			}
			top, _, below := strings.Cut(rest, "/")
			name, _, _ := strings.Cut(top, ".")
			if below && name == top || path.Ext(top) == ".py" || strings.HasSuffix(top, ".so") {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
