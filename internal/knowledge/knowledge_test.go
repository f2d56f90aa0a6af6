package knowledge

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

const site = "usr/lib/python3/dist-packages/"

// helperFunc is an engine that runs one helper.
type helperFunc func() ([]byte, error)

func (f helperFunc) Run(_ context.Context, s plan.Step, _ engine.Trees) (*tree.Tree, error) {
	answer, err := f()
	if err != nil || answer == nil {
		return &tree.Tree{}, err
	}
	return tree.New(tree.File(strings.TrimPrefix(s.Outs[0], "/")+"/hooks.json", 0o644, answer, tree.Origin{}))
}

func world(t testing.TB, paths ...string) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	for _, p := range paths {
		entries = append(entries, tree.File(p, 0o644, []byte(p), tree.Origin{Kind: tree.Dist, Name: "d"}))
	}
	out, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// in finds modules of a tree by their names.
func in(t *tree.Tree) func(string) (string, bool) {
	return func(module string) (string, bool) {
		stem := site + strings.ReplaceAll(module, ".", "/")
		for _, p := range []string{stem + "/__init__.py", stem + ".py"} {
			if e, ok := t.Lookup(p); ok {
				return e.Path, true
			}
		}
		return "", false
	}
}

func ask(t *testing.T, cache *cas.Store, tr *tree.Tree, helper helperFunc) ([]Hook, error) {
	t.Helper()
	return Ask(t.Context(), Input{Tree: tr, Engine: helper, Python: &python.Runtime{Exe: "usr/bin/python3"}, Cache: cache})
}

func newCache(t *testing.T) *cas.Store {
	t.Helper()
	cache, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// The hooks of a tree are asked once, those of another one anew.
func TestAsk(t *testing.T) {
	cache, runs := newCache(t), 0
	helper := func() ([]byte, error) {
		runs++
		return []byte(`[{"module": "p", "source": "hooks 1", "imports": ["p.a"], "whole": ["p.b"], "files": ["/x"]}, {"module": "q.r", "source": "hooks 1", "error": "no"}]`), nil
	}
	want := []Hook{
		{Module: "p", Source: "hooks 1", Imports: []string{"p.a"}, Whole: []string{"p.b"}, Files: []string{"/x"}},
		{Module: "q.r", Source: "hooks 1", Error: "no"},
	}
	for _, tr := range []*tree.Tree{world(t, "a"), world(t, "a"), world(t, "b")} {
		got, err := ask(t, cache, tr, helper)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if runs != 2 {
		t.Errorf("the helper ran %d times for two trees", runs)
	}
	notes := []report.Note{{Where: "hooks", Text: "hook-q.r of hooks 1 says nothing: no"}}
	if diff := cmp.Diff(notes, Notes(want)); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// What cannot be believed is an error, and is not kept.
func TestAskRefuses(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for name, answer := range map[string]string{
		"no JSON":        `[{`,
		"another field":  `[{"module": "p", "modules": []}]`,
		"no module":      `[{"source": "hooks 1"}]`,
		"a bad name":     `[{"module": "../p"}]`,
		"one twice":      `[{"module": "p"}, {"module": "p"}]`,
		"a long error":   `[{"module": "p", "error": "` + long + `"}]`,
		"a long source":  `[{"module": "p", "source": "` + long + `"}]`,
		"an object":      `{"error": "looking for hooks"}`,
		"no answer":      "",
		"a failing step": "fail",
	} {
		t.Run(name, func(t *testing.T) {
			cache := newCache(t)
			bad := func() ([]byte, error) {
				switch answer {
				case "":
					return nil, nil
				case "fail":
					return nil, errors.New("exit code 1")
				}
				return []byte(answer), nil
			}
			if got, err := ask(t, cache, world(t, "a"), bad); err == nil {
				t.Fatalf("gave %+v", got)
			}
			good := func() ([]byte, error) { return []byte("[]"), nil }
			if got, err := ask(t, cache, world(t, "a"), good); err != nil || len(got) != 0 {
				t.Errorf("afterwards gave %+v, %v", got, err)
			}
		})
	}
}

func TestFinder(t *testing.T) {
	tr := world(t, "app/main.py",
		site+"p/__init__.py", site+"p/a.py", site+"p/b.py", site+"p/c.py", site+"p/data/one.txt", site+"p/data/__pycache__/two.pyc",
		strings.TrimPrefix(plan.ToolDir, "/")+"/t.txt", site+"q.py")
	hooks := []Hook{
		{
			Module: "p", Source: "hooks 1", Imports: []string{"p.a", "p.gone", "..", "p.data"}, Whole: []string{"p.a", "p.b", "p.gone"},
			Files: []string{"/" + site + "p/data/one.txt", "/" + site + "p/data/__pycache__/two.pyc", plan.ToolDir + "/t.txt", "/" + site + "p/data", "/../../etc/shadow", ""},
		},
		{Module: "q", Source: "hooks 1", Error: "no"},
		{Module: "gone", Source: "hooks 1", Imports: []string{"p.c"}},
	}
	root := []plan.Root{{Path: site + "p/__init__.py", Why: "a test"}, {Path: site + "q.py", Why: "a test"}}
	g, err := reach.Walk(t.Context(), tr, root, NewFinder(tr, hooks, in(tr)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{site + "p/__init__.py", site + "p/a.py", site + "p/data/one.txt", site + "q.py"}
	if diff := cmp.Diff(want, g.Paths()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	for _, p := range want[1:3] {
		chain := g.Why(p)
		if diff := cmp.Diff(reach.Link{Path: p, Kind: KindHook, Note: "hook-p of hooks 1"}, chain[len(chain)-1]); diff != "" {
			t.Errorf("why %s (-want +got):\n%s", p, diff)
		}
	}
	if a := g.WhyNot(site + "p/b.py"); a.Verdict != reach.Cut || !strings.Contains(a.Text, whole) {
		t.Errorf("why not p.b: %+v", a)
	}
	if a := g.WhyNot(site + "p/c.py"); a.Verdict != reach.Unnamed {
		t.Errorf("a hook of a module that is not there was followed: %+v", a)
	}
	// A module that nothing reaches has no say.
	if g, err = reach.Walk(t.Context(), tr, []plan.Root{{Path: "app/main.py", Why: "a test"}}, NewFinder(tr, hooks, in(tr))); err != nil || len(g.Paths()) != 1 {
		t.Errorf("kept %q, %v", g.Paths(), err)
	}
}

// Whatever the helper says, walking by it ends, and keeps only what is there.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`[{"module": "p", "source": "hooks 1", "imports": ["p.a", "..", "/x", ""], "whole": ["p"], "files": ["/app/main.py", "../..", "", "\u0000"]}]`))
	f.Add([]byte(`[{"module": "p", "error": "no"}, {"module": "p.a", "files": ["/"]}]`))
	f.Add([]byte(`{"error": "no"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		hooks, err := decode(data)
		if err != nil {
			if hooks != nil {
				t.Error("both an answer and an error")
			}
			return
		}
		tr := world(t, "app/main.py", site+"p/__init__.py", site+"p/a.py")
		g, err := reach.Walk(t.Context(), tr, []plan.Root{{Path: site + "p/__init__.py", Why: "a test"}}, NewFinder(tr, hooks, in(tr)))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(g.Paths()); n < 1 || n > 3 {
			t.Errorf("kept %q", g.Paths())
		}
	})
}
