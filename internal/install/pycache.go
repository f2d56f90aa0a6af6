package install

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

//go:embed compile.py
var compileScript []byte

// WithPycache adds to a system with an app the __pycache__ directories that an
// ordinary image of it would have: those of the standard library, of the
// distributions and of /app. It is what a reduced image is measured against.
// The files are checked by time and size against sources that have cas.Stamp,
// as all trees on disk have.
//
// The three parts are steps of their own, each on a tree without the parts
// that change more often, so that a changed line of the app compiles only the
// app again.
func WithPycache(ctx context.Context, eng engine.Engine, t *tree.Tree, rt *python.Runtime) (*tree.Tree, error) {
	helper, err := tree.New(tree.File("compile.py", 0o644, compileScript, tree.Origin{Kind: tree.Made, Name: "pycache"}))
	if err != nil {
		return nil, err
	}
	isApp := func(p string) bool { return p == "app" || strings.HasPrefix(p, "app/") }
	isSite := func(p string) bool { return p == rt.Site || strings.HasPrefix(p, rt.Site+"/") }
	system := t.Filter(func(e tree.Entry) bool { return !isApp(e.Path) && !isSite(e.Path) })
	noApp := t.Filter(func(e tree.Entry) bool { return !isApp(e.Path) })
	std := []string{rt.Stdlib}
	for _, p := range rt.Path {
		if !isSite(p) && !isApp(p) && !slices.ContainsFunc(std, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") }) {
			std = append(std, p)
		}
	}
	out := t
	for _, part := range []struct {
		name string
		root *tree.Tree
		dirs []string
	}{{"the standard library", system, std}, {"the dependencies", noApp, []string{rt.Site}}, {"the app", t, []string{"app"}}} {
		made, err := compile(ctx, eng, part.root, helper, part.name, part.dirs, rt)
		if err != nil {
			return nil, err
		}
		if out, err = tree.Overlay(out, made); err != nil {
			return nil, fmt.Errorf("adding bytecode of %s: %w", part.name, err)
		}
	}
	return out, nil
}

// compile makes the bytecode of the directories that are there.
func compile(ctx context.Context, eng engine.Engine, root, helper *tree.Tree, name string, dirs []string, rt *python.Runtime) (*tree.Tree, error) {
	args := []string{"/" + rt.Exe, "-s", helperAt + "/compile.py"}
	var outs []string
	for _, d := range dirs {
		if e, ok := root.Resolve(d); ok && e.IsDir() {
			args, outs = append(args, "/"+d), append(outs, "/"+d)
		}
	}
	if len(outs) == 0 {
		return &tree.Tree{}, nil
	}
	made, err := eng.Run(ctx, plan.Step{
		Name: "compiling " + name, System: "system", Args: args, Outs: outs, Limit: 15 * time.Minute,
		Inputs: []plan.Mount{{Tree: "helper", At: helperAt}},
	}, engine.Trees{"system": root, "helper": helper})
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", name, err)
	}
	return made.Filter(func(e tree.Entry) bool {
		return e.IsRegular() && strings.HasSuffix(e.Path, ".pyc") && path.Base(path.Dir(e.Path)) == "__pycache__"
	}), nil
}
