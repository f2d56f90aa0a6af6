package reach

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// Need is an edge and the file that has it.
type Need struct {
	From string `json:"from"`
	Edge
}

// Link is one element of a chain: a kept file and the edge that leads to it
// from the element before.
type Link struct {
	Path string `json:"path"`
	Kind string `json:"kind"`
	Note string `json:"note,omitempty"`
}

// Graph is what was reached. Its JSON form holds all that [Graph.Why] and
// [Graph.WhyNot] need, but not the tree.
type Graph struct {
	tree    *tree.Tree
	nodes   []kept // sorted by path
	missing []Need // sorted by what is missing
	cuts    []Need // sorted by target
	out     []string
	origins map[string]tree.Origin // of out
	outside map[string]string      // path that is out → smallest path, also out, that would need it
}

// kept is an entry that was reached.
type kept struct {
	path   string
	size   int64 // bytes of a regular file
	origin tree.Origin
	node
}

func newGraph(t *tree.Tree, w *walk) *Graph {
	g := &Graph{tree: t, missing: sorted(w.missing), cuts: sorted(w.cuts), origins: make(map[string]tree.Origin)}
	for e := range t.All() {
		if n, ok := w.nodes[e.Path]; ok {
			g.nodes = append(g.nodes, kept{path: e.Path, size: e.Size, origin: e.From, node: *n})
		} else if !e.IsDir() {
			g.out = append(g.out, e.Path)
			g.origins[e.Path] = e.From
		}
	}
	return g
}

func sorted(needs []Need) []Need {
	slices.SortStableFunc(needs, func(a, b Need) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Missing, b.Missing), cmp.Compare(a.From, b.From))
	})
	return slices.Compact(needs)
}

// lookOutside asks the finders that can about the files that are out.
func (g *Graph) lookOutside(ctx context.Context, t *tree.Tree, finders []Finder) error {
	g.outside = make(map[string]string)
	for _, f := range finders {
		o, ok := f.(Outsider)
		if !ok {
			continue
		}
		for _, p := range g.out {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			e, _ := t.Lookup(p)
			for _, edge := range o.Outside(ctx, e) {
				if _, seen := g.outside[edge.To]; !seen && edge.To != p && !g.Has(edge.To) {
					g.outside[edge.To] = p
				}
			}
		}
	}
	return nil
}

// Paths lists what was reached, sorted; directories above are not in it,
// unless they were reached themselves.
func (g *Graph) Paths() []string {
	out := make([]string, len(g.nodes))
	for i, n := range g.nodes {
		out[i] = n.path
	}
	return out
}

// Has reports whether path was reached.
func (g *Graph) Has(path string) bool {
	_, ok := g.node(path)
	return ok
}

// Kind is the kind of the edge that first reached path, "" for what was not
// reached.
func (g *Graph) Kind(path string) string {
	n, _ := g.node(path)
	return n.kind
}

func (g *Graph) node(path string) (kept, bool) {
	i, ok := slices.BinarySearchFunc(g.nodes, path, func(n kept, p string) int { return cmp.Compare(n.path, p) })
	if !ok {
		return kept{}, false
	}
	return g.nodes[i], true
}

// Tree is what was reached, with the directories above. It is nil for a graph
// that was read from JSON.
func (g *Graph) Tree() *tree.Tree {
	if g.tree == nil {
		return nil
	}
	return g.tree.Filter(func(e tree.Entry) bool { return g.Has(e.Path) })
}

// Missing lists what is needed and is not in the tree, sorted.
func (g *Graph) Missing() []Need { return g.missing }

// Cuts lists the needs that did not count, sorted by what they lead to.
func (g *Graph) Cuts() []Need { return g.cuts }

// Why is the chain from a root to path, both included. A directory is there
// for the smallest path in it. It is nil for what is not kept.
func (g *Graph) Why(path string) []Link {
	path = clean(path)
	if !g.Has(path) {
		i, _ := slices.BinarySearchFunc(g.nodes, path+"/", func(n kept, p string) int { return cmp.Compare(n.path, p) })
		if i == len(g.nodes) || !strings.HasPrefix(g.nodes[i].path, path+"/") {
			return nil
		}
		path = g.nodes[i].path
	}
	var chain []Link
	for path != "" && len(chain) <= len(g.nodes) {
		n, ok := g.node(path)
		if !ok {
			break
		}
		chain = append(chain, Link{Path: n.path, Kind: n.kind, Note: n.note})
		path = n.from
	}
	slices.Reverse(chain)
	return chain
}

func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// wire is the JSON form: paths and origins are numbered, what is out is
// grouped by directory.
type wire struct {
	Version int                 `json:"version"`
	Origins []tree.Origin       `json:"origins"`
	Nodes   []wireNode          `json:"nodes"`
	Missing []Need              `json:"missing,omitempty"`
	Cuts    []Need              `json:"cuts,omitempty"`
	Out     map[string][]string `json:"out,omitempty"`     // "origin number:directory" → names
	Outside map[string]string   `json:"outside,omitempty"` // see Graph.outside
}

type wireNode struct {
	Path   string `json:"p"`
	Size   int64  `json:"s,omitempty"`
	Origin int    `json:"o"`
	From   int    `json:"f"` // number of the node before, -1 for a root
	Kind   string `json:"k"`
	Note   string `json:"n,omitempty"`
}

const wireVersion = 1

// MarshalJSON gives the compact form that is stored beside an image.
func (g *Graph) MarshalJSON() ([]byte, error) {
	w := wire{Version: wireVersion, Missing: g.missing, Cuts: g.cuts, Out: make(map[string][]string), Outside: g.outside}
	numbers := make(map[tree.Origin]int)
	number := func(o tree.Origin) int {
		n, ok := numbers[o]
		if !ok {
			n = len(w.Origins)
			numbers[o] = n
			w.Origins = append(w.Origins, o)
		}
		return n
	}
	index := make(map[string]int, len(g.nodes))
	for i, n := range g.nodes {
		index[n.path] = i
	}
	for _, n := range g.nodes {
		from, ok := index[n.from]
		if !ok {
			from = -1
		}
		w.Nodes = append(w.Nodes, wireNode{Path: n.path, Size: n.size, Origin: number(n.origin), From: from, Kind: n.kind, Note: n.note})
	}
	for _, p := range g.out {
		key := fmt.Sprintf("%d:%s", number(g.origins[p]), path.Dir(p))
		w.Out[key] = append(w.Out[key], path.Base(p))
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote. Anything inconsistent is an
// error.
func (g *Graph) UnmarshalJSON(data []byte) error {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	if w.Version != wireVersion {
		return fmt.Errorf("graph has format %d, not %d", w.Version, wireVersion)
	}
	next := Graph{missing: w.Missing, cuts: w.Cuts, outside: w.Outside, origins: make(map[string]tree.Origin)}
	for i, n := range w.Nodes {
		if n.Origin < 0 || n.Origin >= len(w.Origins) || n.From < -1 || n.From >= len(w.Nodes) {
			return errors.New("graph refers to what it does not hold")
		}
		if !fs.ValidPath(n.Path) || i > 0 && w.Nodes[i-1].Path >= n.Path {
			return fmt.Errorf("graph has %q where no such path may be", n.Path)
		}
		k := kept{path: n.Path, size: n.Size, origin: w.Origins[n.Origin], node: node{kind: n.Kind, note: n.Note}}
		if n.From >= 0 {
			k.from = w.Nodes[n.From].Path
		}
		next.nodes = append(next.nodes, k)
	}
	for _, key := range slices.Sorted(maps.Keys(w.Out)) {
		var number int
		num, dir, _ := strings.Cut(key, ":")
		if _, err := fmt.Sscanf(num, "%d", &number); err != nil || number < 0 || number >= len(w.Origins) {
			return errors.New("graph refers to an origin that it does not hold")
		}
		for _, name := range w.Out[key] {
			p := path.Join(dir, name)
			next.out = append(next.out, p)
			next.origins[p] = w.Origins[number]
		}
	}
	slices.Sort(next.out)
	*g = next
	return nil
}
