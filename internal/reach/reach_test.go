package reach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// edges is a finder that answers from a map.
type edges map[string][]Edge

func (m edges) Find(_ context.Context, e tree.Entry) ([]Edge, error) { return m[e.Path], nil }

// outside answers only about files that are out.
type outside struct{ edges }

func (o outside) Find(context.Context, tree.Entry) ([]Edge, error) { return nil, nil }

func (o outside) Outside(_ context.Context, e tree.Entry) []Edge { return o.edges[e.Path] }

func system(t *testing.T, names ...string) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	for _, n := range names {
		entries = append(entries, tree.File(n, 0o644, []byte(n), tree.Origin{Kind: tree.Dist, Name: "Some_Dist", Version: "1"}))
	}
	entries = append(entries,
		tree.Symlink("lib", "usr/lib", tree.Origin{Kind: tree.Deb, Name: "base-files"}),
		tree.Symlink("usr/lib/link", "real", tree.Origin{}),
		tree.Symlink("usr/lib/lost", "/nowhere", tree.Origin{}),
		tree.File("usr/lib/real", 0o644, []byte("r"), tree.Origin{Kind: tree.Deb, Name: "libr1"}),
	)
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func imports(to ...string) []Edge {
	var out []Edge
	for _, p := range to {
		out = append(out, Edge{To: p, Kind: "import", Note: "line of " + p})
	}
	return out
}

func TestWalk(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		edges edges
		roots []string
		want  []string
		chain []string // to the last of want
	}{
		{"shortest chain", []string{"a", "b", "c", "d"}, edges{"a": imports("b", "c"), "b": imports("c"), "c": imports("d")}, []string{"a"}, []string{"a", "b", "c", "d"}, []string{"a", "c", "d"}},
		{"tie goes by path", []string{"a", "b", "c", "d"}, edges{"a": imports("c", "b"), "b": imports("d"), "c": imports("d")}, []string{"a"}, []string{"a", "b", "c", "d"}, []string{"a", "b", "d"}},
		{"cycle", []string{"a", "b"}, edges{"a": imports("b"), "b": imports("a")}, []string{"a"}, []string{"a", "b"}, []string{"a", "b"}},
		{"directory", []string{"d/x", "d/y/z", "e"}, nil, []string{"d"}, []string{"d", "d/x", "d/y", "d/y/z"}, []string{"d", "d/y", "d/y/z"}},
		{"link", []string{"a"}, edges{"a": imports("usr/lib/link")}, []string{"a"}, []string{"a", "usr/lib/link", "usr/lib/real"}, []string{"a", "usr/lib/link", "usr/lib/real"}},
		{"link on the path", []string{"a"}, edges{"a": imports("lib/real")}, []string{"a"}, []string{"a", "lib", "usr/lib/real"}, []string{"a", "usr/lib/real"}},
		{"absolute root", []string{"a", "b"}, nil, []string{"/a"}, []string{"a"}, []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var roots []plan.Root
			for _, r := range tt.roots {
				roots = append(roots, plan.Root{Path: r, Why: "test"})
			}
			g, err := Walk(t.Context(), system(t, tt.files...), roots, tt.edges)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, g.Paths()); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
			var chain []string
			for _, l := range g.Why(tt.want[len(tt.want)-1]) {
				chain = append(chain, l.Path)
			}
			if diff := cmp.Diff(tt.chain, chain); diff != "" {
				t.Errorf("chain (-want +got):\n%s", diff)
			}
			if got := g.Tree().Len(); got < len(tt.want) {
				t.Errorf("tree has %d entries, graph %d", got, len(tt.want))
			}
		})
	}
}

// A chain link's directory and target must be in the image, or the file
// cannot be opened by the name that was asked for.
func TestTreeOpensByAskedName(t *testing.T) {
	g, err := Walk(t.Context(), system(t, "a"), []plan.Root{{Path: "lib/link", Why: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := g.Tree().Resolve("/lib/link"); !ok {
		t.Errorf("lib/link cannot be opened among %v", g.Paths())
	}
}

func TestWalkRefuses(t *testing.T) {
	tr := system(t, "a")
	_, err := Walk(t.Context(), tr, []plan.Root{{Path: "b", Why: "entry point b"}})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.NotFound || f.Hint == "" {
		t.Errorf("missing root: %v", err)
	}
	if _, err := Walk(t.Context(), tr, []plan.Root{{Path: "a"}}, edges{"a": imports("b")}); err == nil {
		t.Error("an edge out of the tree was taken")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	cancel(stop)
	if _, err := Walk(ctx, tr, []plan.Root{{Path: "a"}}); !errors.Is(err, stop) {
		t.Errorf("cancelled walk: %v", err)
	}
}

// site is a small system with every sort of answer in it.
func site(t *testing.T) *Graph {
	t.Helper()
	tr := system(t, "app/main.py", "l/json/__init__.py", "l/json/decoder.py", "l/pdb.py", "l/bdb.py", "l/odd.py", "l/libx.so.3.1", "l/y.cpython-311-x86_64-linux-gnu.so")
	g, err := Walk(t.Context(), tr, []plan.Root{{Path: "app/main.py", Why: "entry point"}},
		edges{
			"app/main.py": {
				{To: "l/json/decoder.py", Kind: "import", Note: "app/main.py:1"},
				{To: "l/libx.so.3.1", Kind: "needed"},
				{To: "l/y.cpython-311-x86_64-linux-gnu.so", Kind: "import"},
				{To: "l/pdb.py", Kind: "import", Note: "app/main.py:2", Cut: "pdb is a developer module"},
				{Missing: "orjson", Kind: "import", Note: "app/main.py:3", Optional: true},
			},
			"l/json/decoder.py": {{To: "l/json/__init__.py", Kind: "package"}},
		},
		outside{edges{"l/pdb.py": imports("l/bdb.py", "l/json/decoder.py")}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestQueriesSurviveJSON(t *testing.T) {
	fresh := site(t)
	data, err := json.Marshal(fresh)
	if err != nil {
		t.Fatal(err)
	}
	var stored Graph
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), string(again)); diff != "" {
		t.Errorf("JSON changed (-first +second):\n%s", diff)
	}
	for i, g := range []*Graph{fresh, &stored} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { queries(t, g) })
	}
}

func queries(t *testing.T, g *Graph) {
	find := map[string][]string{
		"/app/main.py":     {"app/main.py"},
		"l/json":           {"l/json"},
		"json.decoder":     {"l/json/decoder.py"},
		"json":             {"l/json/__init__.py"},
		"y":                {"l/y.cpython-311-x86_64-linux-gnu.so"},
		"decoder":          nil,
		"libx.so.3":        {"l/libx.so.3.1"},
		"pdb":              nil,
		"dist:nothing":     nil,
		"some-dist":        {"app/main.py", "l/json/__init__.py", "l/json/decoder.py", "l/libx.so.3.1", "l/y.cpython-311-x86_64-linux-gnu.so"},
		"deb:some-dist":    nil,
		"":                 nil,
		"../../etc/passwd": nil,
	}
	for x, want := range find {
		if diff := cmp.Diff(want, g.Find(x)); diff != "" {
			t.Errorf("Find(%q) (-want +got):\n%s", x, diff)
		}
	}
	not := map[string]Absence{
		"json.decoder": {Verdict: In, Path: "l/json/decoder.py", Text: "l/json/decoder.py is in the image"},
		"pdb":          {Verdict: Cut, Path: "l/pdb.py", By: []string{"app/main.py"}, Text: "cut by a rule: pdb is a developer module (named at app/main.py:2)"},
		"bdb":          {Verdict: Chained, Path: "l/bdb.py", By: []string{"l/pdb.py"}, Text: "l/bdb.py is only needed by l/pdb.py, which is out"},
		"l/odd.py":     {Verdict: Unnamed, Path: "l/odd.py", Text: "nothing kept needs l/odd.py"},
		"orjson":       {Verdict: NotThere, By: []string{"app/main.py"}, Text: "orjson was never in the system with the app, though app/main.py asks for it"},
		"numpy":        {Verdict: NotThere, Text: "numpy was never in the system with the app"},
		"deb:libr1":    {Verdict: Unnamed, Path: "usr/lib/real", Text: "nothing kept needs usr/lib/real"},
	}
	for x, want := range not {
		if diff := cmp.Diff(want, g.WhyNot(x)); diff != "" {
			t.Errorf("WhyNot(%q) (-want +got):\n%s", x, diff)
		}
	}
	if diff := cmp.Diff([]string(nil), g.Find("app/main")); diff != "" {
		t.Errorf("half a path (-want +got):\n%s", diff)
	}
	want := []Link{{"app/main.py", KindRoot, "entry point"}, {"l/json/decoder.py", "import", "app/main.py:1"}, {"l/json/__init__.py", "package", ""}}
	if diff := cmp.Diff(want, g.Why("l/json")[:3]); diff != "" {
		t.Errorf("Why (-want +got):\n%s", diff)
	}
}

// The pipeline hands over finders in any order; the chains may not change.
func TestOrderOfFindersDoesNotShow(t *testing.T) {
	tr := system(t, "a", "b")
	one, two := edges{"a": {{To: "b", Kind: "data"}}}, edges{"a": {{To: "b", Kind: "import"}}}
	for _, finders := range [][]Finder{{one, two}, {two, one}} {
		g, err := Walk(t.Context(), tr, []plan.Root{{Path: "a"}}, finders...)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Why("b")[1].Kind; got != "data" {
			t.Errorf("reached by %s", got)
		}
	}
}

func TestNamed(t *testing.T) {
	tr := system(t, "l/json/__init__.py", "l/json/decoder.py", "l/libx.so.3")
	for x, want := range map[string][]string{
		"/l/json":        {"l/json"},
		"json.decoder":   {"l/json/decoder.py"},
		"dist:some.dist": {"l/json/__init__.py", "l/json/decoder.py", "l/libx.so.3"},
		"libx.so.3":      {"l/libx.so.3"},
		"nothing":        nil,
	} {
		if diff := cmp.Diff(want, Named(tr, x)); diff != "" {
			t.Errorf("Named(%q) (-want +got):\n%s", x, diff)
		}
	}
}

// A stored graph may be damaged or made by hand: it is refused, or it can be
// asked and written again.
func FuzzGraphJSON(f *testing.F) {
	f.Add([]byte(`{"version":1,"origins":[{}],"nodes":[{"p":"a","o":0,"f":-1,"k":"root"},{"p":"b","o":0,"f":0,"k":"x"}],"out":{"0:.":["c"]}}`))
	f.Add([]byte(`{"version":1,"origins":[{}],"nodes":[{"p":"a","o":0,"f":1,"k":"x"},{"p":"b","o":0,"f":0,"k":"x"}]}`))
	f.Add([]byte(`{"version":1,"origins":[],"nodes":[{"p":"a","o":7}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var g Graph
		if json.Unmarshal(data, &g) != nil {
			return
		}
		for _, p := range g.Paths() {
			if g.Why(p) == nil && clean(p) == p {
				t.Errorf("no chain for kept %q", p)
			}
		}
		g.WhyNot("a.b")
		if _, err := json.Marshal(&g); err != nil {
			t.Error(err)
		}
	})
}
