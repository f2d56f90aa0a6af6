// Package knowledge reads what others keep about single distributions and what
// no analysis can see: PyInstaller's hooks, those of pyinstaller-hooks-contrib,
// and those that distributions bring for themselves. They are asked in the
// sandbox, by PyInstaller's own code; nothing of them is part of exuvia. What
// hooks want left out is not asked for: knowledge only ever adds.
//
// What follows from an answer is for a [Finder]; which tree has PyInstaller, and
// what is to be done without one, is for those who ask.
package knowledge

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

//go:embed helper/hooks.py
var helper []byte

// Where the helper is, and where its answer goes.
const (
	helperDir = "/run/exuvia/knowledge"
	outDir    = "/run/exuvia/knowledge.out"
	// maxAnswer bounds the answer: all of Django's modules are 0.1 MB.
	maxAnswer = 64 << 20
	maxText   = 4 << 10
)

const (
	// hookLimit is how many seconds a hook may take: some import all of a
	// package, one module at a time.
	hookLimit = 120
	allLimit  = 10 * time.Minute
)

// Hook is what one hook says that a module needs.
type Hook struct {
	Module  string   `json:"module"`
	Source  string   `json:"source"`            // distribution that has it, "pyinstaller-hooks-contrib 2026.9"
	Imports []string `json:"imports,omitempty"` // modules, by full names
	Whole   []string `json:"whole,omitempty"`   // modules that it has of a list of all there are in a top-level package
	Files   []string `json:"files,omitempty"`   // absolute paths of data, libraries and metadata
	Error   string   `json:"error,omitempty"`   // why it says nothing
}

// Name is how people call it: "hook-lxml.etree of pyinstaller-hooks-contrib 2026.9".
func (h Hook) Name() string { return "hook-" + h.Module + " of " + h.Source }

// Input is what hooks are asked with.
type Input struct {
	Tree   *tree.Tree // the system with the app's distributions, and PyInstaller in plan.ToolDir
	Engine engine.Engine
	Python *python.Runtime
	Cache  *cas.Store
}

// Ask runs the hooks of all modules of the tree's distributions, or takes from
// the cache what they said of the very same tree.
func Ask(ctx context.Context, in Input) ([]Hook, error) {
	var hooks []Hook
	key := cas.Key(in.Tree.Digest(), in.Python.Exe, string(helper), python.Forked(tree.Origin{}).Sum)
	if in.Cache.Lookup("hooks", key, &hooks) {
		return hooks, nil
	}
	data, err := run(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("asking hooks: %w", err)
	}
	if hooks, err = decode(data); err != nil {
		return nil, fmt.Errorf("asking hooks: %w", err)
	}
	return hooks, in.Cache.Record("hooks", key, hooks)
}

func run(ctx context.Context, in Input) ([]byte, error) {
	from := tree.Origin{Kind: tree.Made, Name: "knowledge"}
	files, err := tree.New(tree.File("hooks.py", 0o644, helper, from), python.Forked(from))
	if err != nil {
		return nil, err
	}
	step := plan.Step{
		Name:   "asking PyInstaller's hooks",
		System: "app",
		Args:   []string{"/" + in.Python.Exe, "-s", "-B", helperDir + "/hooks.py", plan.ToolDir, strconv.Itoa(hookLimit), outDir},
		Inputs: []plan.Mount{{Tree: "knowledge", At: helperDir}},
		Outs:   []string{outDir},
		Limit:  allLimit,
	}
	out, err := in.Engine.Run(ctx, step, engine.Trees{"app": in.Tree, "knowledge": files})
	if err != nil {
		return nil, err
	}
	e, ok := out.Lookup(strings.TrimPrefix(outDir, "/") + "/hooks.json")
	if !ok || !e.IsRegular() {
		return nil, errors.New("the helper gave no answer")
	}
	return e.ReadAll(maxAnswer)
}

// decode reads the helper's answer, which code of distributions had a part in.
func decode(data []byte) ([]Hook, error) {
	var hooks []Hook
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&hooks); err != nil {
		return nil, fmt.Errorf("understanding the helper: %w", err)
	}
	seen := make(map[string]bool)
	for _, h := range hooks {
		if !dotted.MatchString(h.Module) || seen[h.Module] || len(h.Source) > maxText || len(h.Error) > maxText {
			return nil, fmt.Errorf("understanding the helper: a bad answer about %q", project.Clip(h.Module))
		}
		seen[h.Module] = true
	}
	return hooks, nil
}

// dotted is the full name of a module.
var dotted = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)*$`)

// Notes say which hooks failed.
func Notes(hooks []Hook) []report.Note {
	var out []report.Note
	for _, h := range hooks {
		if h.Error != "" {
			out = append(out, report.Note{Where: "hooks", Text: h.Name() + " says nothing: " + h.Error})
		}
	}
	return out
}
