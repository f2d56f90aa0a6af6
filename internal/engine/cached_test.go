package engine

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

func treeOf(t *testing.T, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	out, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func file(name, text string) tree.Entry {
	return tree.File(name, 0o644, []byte(text), tree.Origin{Kind: tree.Made, Name: "test"})
}

func TestStepKey(t *testing.T) {
	trees := func() Trees {
		return Trees{"system": treeOf(t, file("a", "1")), "app": treeOf(t, file("b", "2")), "other": treeOf(t, file("c", "3"))}
	}
	base := func() plan.Step {
		return plan.Step{
			Name: "compiling", System: "system", Args: []string{"python3", "x.py"}, Env: []string{"A=1"},
			Inputs: []plan.Mount{{Tree: "app", At: "/app"}}, Outs: []string{"/out"},
		}
	}
	want := stepKey(base(), trees())
	for name, c := range map[string]struct {
		edit func(*plan.Step, Trees)
		same bool
	}{
		"nothing":        {func(*plan.Step, Trees) {}, true},
		"a secret file":  {func(s *plan.Step, _ Trees) { s.Secrets = []plan.Secret{{File: "/home/u/.netrc", At: "/tmp/netrc"}} }, true},
		"a secret":       {func(s *plan.Step, _ Trees) { s.SecretEnv = []string{"TOKEN=x"} }, true},
		"an unused tree": {func(_ *plan.Step, t Trees) { delete(t, "other") }, true},
		"an argument":    {func(s *plan.Step, _ Trees) { s.Args[1] = "y.py" }, false},
		"the environment": {func(s *plan.Step, _ Trees) {
			s.Env = append(s.Env, "B=2")
		}, false},
		"the limit":         {func(s *plan.Step, _ Trees) { s.Limit = time.Second }, false},
		"an output":         {func(s *plan.Step, _ Trees) { s.Outs = []string{"/o"} }, false},
		"a place":           {func(s *plan.Step, _ Trees) { s.Inputs[0].At = "/b" }, false},
		"the system":        {func(_ *plan.Step, tt Trees) { tt["system"] = treeOf(t, file("a", "changed")) }, false},
		"an input":          {func(_ *plan.Step, tt Trees) { tt["app"] = treeOf(t, file("b", "changed")) }, false},
		"trees that switch": {func(_ *plan.Step, tt Trees) { tt["app"], tt["system"] = tt["system"], tt["app"] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, tt := base(), trees()
			c.edit(&s, tt)
			if got := stepKey(s, tt); (got == want) != c.same {
				t.Errorf("key is the same: %v, want %v", got == want, c.same)
			}
		})
	}
}

// counter is an engine that counts.
type counter struct {
	runs int
	out  *tree.Tree
	err  error
}

func (c *counter) Run(context.Context, plan.Step, Trees) (*tree.Tree, error) {
	c.runs++
	return c.out, c.err
}

func TestCached(t *testing.T) {
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{err: errors.New("no")}
	cached := Cached{Engine: c, Store: store}
	s, trees := plan.Step{Name: "x", System: "root"}, Trees{"root": treeOf(t, file("a", "1"))}
	if _, err := cached.Run(t.Context(), s, trees); !errors.Is(err, c.err) {
		t.Errorf("error is %v, want %v", err, c.err)
	}
	c.out, c.err = treeOf(t, file("out/x", "made")), nil
	for range 2 { // the error was not kept, the tree is
		out, err := cached.Run(t.Context(), s, trees)
		if err != nil {
			t.Fatal(err)
		}
		if out.Digest() != c.out.Digest() {
			t.Error("the cache gives another tree")
		}
		x, _ := out.Lookup("out/x")
		if data, err := x.ReadAll(10); err != nil || string(data) != "made" || x.From.Name != "test" {
			t.Errorf("out/x holds %q, %v, from %s", data, err, x.From)
		}
	}
	if c.runs != 2 {
		t.Errorf("ran %d times, want 2", c.runs)
	}
}

// With Pull, what asks the network is asked again, and the new answer is the
// one that others get.
func TestCachedPull(t *testing.T) {
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trees := Trees{"root": treeOf(t, file("a", "1"))}
	for _, network := range []bool{true, false} {
		s := plan.Step{Name: "x", System: "root", Network: network}
		var got []string
		for i, pull := range []bool{false, true, false} {
			c := Cached{Engine: &counter{out: treeOf(t, file("out/x", strconv.Itoa(i)))}, Store: store, Pull: pull}
			out, err := c.Run(t.Context(), s, trees)
			if err != nil {
				t.Fatal(err)
			}
			x, _ := out.Lookup("out/x")
			data, err := x.ReadAll(10)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(data))
		}
		want := []string{"0", "0", "0"}
		if network {
			want = []string{"0", "1", "1"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("with network %v: answers are %v, want %v", network, got, want)
		}
	}
}

func TestStepErrorText(t *testing.T) {
	for _, c := range []struct {
		err  StepError
		want string
	}{
		{StepError{Step: "a", Exit: 2}, "a: exit code 2"},
		{StepError{Step: "a", Exit: 137, Reason: "time limit of 1s"}, "a: time limit of 1s"},
		{StepError{Step: "a", Exit: 1, Output: "1\n\n2\n 3 \n4\n\n"}, "a: exit code 1: 2 | 3 | 4"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
