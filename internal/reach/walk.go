package reach

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// The kinds of edges that Walk itself makes.
const (
	KindRoot  = "root"  // begins here; the note is the root's Why
	KindLink  = "link"  // a symbolic link on the way to a file, or what a link points to
	KindBelow = "below" // in a directory that is kept whole
)

// Walk finds all that the roots need, breadth-first, so that every chain is
// as short as any; of equally short ones that over the smallest paths is
// taken. A root or the target of an edge may be a file, a link or a directory
// with all that is below it. A root that is not in the tree is a
// [fault.NotFound].
func Walk(ctx context.Context, t *tree.Tree, roots []plan.Root, finders ...Finder) (*Graph, error) {
	w := &walk{tree: t, finders: finders, nodes: make(map[string]*node)}
	for _, r := range roots {
		if err := w.root(r); err != nil {
			return nil, err
		}
	}
	for len(w.next) > 0 {
		level := w.next
		w.next = nil
		if err := w.level(ctx, level); err != nil {
			return nil, err
		}
	}
	g := newGraph(t, w)
	return g, g.lookOutside(ctx, t, finders)
}

// node is a kept entry and the edge that first reached it.
type node struct {
	from, kind, note string
}

type walk struct {
	tree    *tree.Tree
	finders []Finder
	nodes   map[string]*node
	next    []tree.Entry
	missing []Need
	cuts    []Need
}

func (w *walk) root(r plan.Root) error {
	name := strings.Trim(r.Path, "/")
	if _, ok := w.tree.Resolve(name); !ok {
		return fault.New(fault.NotFound, "check the entry points and the [tool.exuvia] keep list", "%s (%s) is not in the system with the app", r.Path, r.Why)
	}
	w.reach(name, node{kind: KindRoot, note: r.Why})
	return nil
}

// level asks about all entries of one distance to the roots.
func (w *walk) level(ctx context.Context, level []tree.Entry) error {
	slices.SortFunc(level, func(a, b tree.Entry) int { return cmp.Compare(a.Path, b.Path) })
	for _, f := range w.finders {
		if p, ok := f.(Preparer); ok {
			if err := p.Prepare(ctx, level); err != nil {
				return err
			}
		}
	}
	for _, e := range level {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		w.own(e)
		if err := w.ask(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// ask follows what the finders say of e. Where two say that it needs the same
// file, their order does not decide on the chain.
func (w *walk) ask(ctx context.Context, e tree.Entry) error {
	var all []Edge
	for _, f := range w.finders {
		edges, err := f.Find(ctx, e)
		if err != nil {
			return err
		}
		all = append(all, edges...)
	}
	slices.SortStableFunc(all, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Missing, b.Missing), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Note, b.Note))
	})
	for _, edge := range all {
		if err := w.follow(e, edge); err != nil {
			return err
		}
	}
	return nil
}

// own follows what a directory and a link are by themselves.
func (w *walk) own(e tree.Entry) {
	switch {
	case e.IsDir():
		for _, c := range w.tree.Children(e.Path) {
			w.reach(c.Path, node{from: e.Path, kind: KindBelow})
		}
	case e.IsSymlink():
		to := path.Join(path.Dir(e.Path), e.Link)
		if path.IsAbs(e.Link) {
			to = strings.TrimPrefix(path.Clean(e.Link), "/")
		}
		if _, ok := w.tree.Resolve(to); ok {
			w.reach(to, node{from: e.Path, kind: KindLink})
			return
		}
		w.missing = append(w.missing, Need{From: e.Path, Edge: Edge{Missing: to, Kind: KindLink, Optional: true}})
	}
}

func (w *walk) follow(from tree.Entry, e Edge) error {
	switch {
	case e.Cut != "":
		w.cuts = append(w.cuts, Need{From: from.Path, Edge: e})
	case e.Missing != "":
		w.missing = append(w.missing, Need{From: from.Path, Edge: e})
	default:
		if _, ok := w.tree.Lookup(w.tree.Real(e.To)); !ok {
			return fmt.Errorf("%s needs %q (%s), which is not in the tree", from.Path, e.To, e.Kind)
		}
		w.reach(e.To, node{from: from.Path, kind: e.Kind, note: e.Note})
	}
	return nil
}

// reach keeps name and the links on its path. A link that is a directory on
// the way does not bring along what else is in the directory.
func (w *walk) reach(name string, n node) {
	real := w.tree.Real(name)
	if real != path.Clean(name) {
		w.links(name, n)
	}
	e, ok := w.tree.Lookup(real)
	if !ok || w.nodes[real] != nil {
		return
	}
	w.nodes[real] = &n
	w.next = append(w.next, e)
}

// links keeps every link that leads to name's directory. They are answered at
// once: asking finders about them would say nothing.
func (w *walk) links(name string, n node) {
	via := node{from: n.from, kind: KindLink, note: "leads to " + name}
	rest := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	at := ""
	for hops := 0; len(rest) > 1 && hops < 255; hops++ {
		at = path.Join(at, rest[0])
		rest = rest[1:]
		e, ok := w.tree.Lookup(at)
		if !ok {
			return
		}
		if !e.IsSymlink() {
			continue
		}
		if w.nodes[at] == nil {
			w.nodes[at] = &via
		}
		to := path.Join("/", path.Dir(at), e.Link)
		if path.IsAbs(e.Link) {
			to = path.Clean(e.Link)
		}
		rest = append(strings.Split(to[1:], "/"), rest...)
		at = ""
	}
}
