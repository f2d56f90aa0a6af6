package knowledge

import (
	"context"
	"path"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// KindHook is the kind of the edges of a [Finder].
const KindHook = "hook"

// whole is why lists of whole packages do not count: they would keep tests and
// everything that has ever been optional, with all that these import.
const whole = "a hook that lists all of a package does not say what of it is needed"

// Finder says that a module needs what its hook names.
type Finder struct {
	edges map[string][]reach.Edge // by the file of the hook's module
}

// NewFinder makes a finder for t of what hooks said. File gives the file of a
// module. What t does not have is passed over: hooks name what any version of a
// distribution has had.
func NewFinder(t *tree.Tree, hooks []Hook, file func(module string) (path string, ok bool)) *Finder {
	f := &Finder{edges: make(map[string][]reach.Edge)}
	for _, h := range hooks {
		if p, ok := file(h.Module); ok {
			f.edges[p] = edgesOf(t, h, file)
		}
	}
	return f
}

func edgesOf(t *tree.Tree, h Hook, file func(module string) (string, bool)) []reach.Edge {
	var out []reach.Edge
	add := func(to, cut string) {
		out = append(out, reach.Edge{To: to, Kind: KindHook, Note: h.Name(), Optional: true, Cut: cut})
	}
	for _, m := range h.Imports {
		if p, ok := file(m); ok {
			add(p, "")
		}
	}
	for _, m := range h.Whole {
		if p, ok := file(m); ok {
			add(p, whole)
		}
	}
	for _, p := range h.Files {
		name := strings.TrimPrefix(path.Clean("/"+p), "/")
		e, ok := t.Resolve(name)
		switch {
		case !ok, !e.IsRegular(), strings.HasPrefix("/"+name, plan.ToolDir+"/"):
		case path.Ext(name) == ".pyc": // which are made of what is kept
		default:
			add(name, "")
		}
	}
	return out
}

// Find implements [reach.Finder].
func (f *Finder) Find(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	return f.edges[e.Path], nil
}
