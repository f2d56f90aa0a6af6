package pyimport

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

//go:embed helper/facts.py
var factsHelper []byte

// Where a helper and its list are, and where its answers go. The system and
// the app are the root.
const (
	helperDir = "/run/exuvia/pyimport"
	outDir    = "/run/exuvia/pyimport.out"
	// maxAnswer bounds one file of answers: 900 files gave 0.3 MB.
	maxAnswer = 256 << 20
	// maxSource bounds a source; larger ones are tables that import nothing.
	maxSource = 16 << 20
)

// facts are what is written in one file, wherever it is.
type facts struct {
	Uses     []use          `json:"uses,omitempty"`
	Strings  map[string]int `json:"strings,omitempty"`  // to their lines
	Patterns map[string]int `json:"patterns,omitempty"` // strings of which only parts are known, see [unknown]
	All      []string       `json:"all,omitempty"`      // __all__
	Flags    []string       `json:"flags,omitempty"`
	Error    *syntaxError   `json:"error,omitempty"`
}

// use is a statement or a call. Kinds: import, from, call, iter, walk, path,
// dist, resource; group is that of entry points, given to a call that loads
// them; plugin is a string without dots in a list that is a constant.
type use struct {
	Kind  string   `json:"k"`
	Name  string   `json:"n"`
	Line  int      `json:"l"`
	Flags int      `json:"f,omitempty"`
	More  []string `json:"x,omitempty"` // names of a from, the package of a call
}

type syntaxError struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Flags of a use.
const (
	optional   = 1 // inside try … except ImportError
	inFunction = 2
	mainOnly   = 4 // under if __name__ == "__main__"
)

// What a pattern has in place of parts that are not constant.
const (
	unknown   = "\x00"
	selfName  = "\x01" // __name__
	ownParent = "\x02" // __package__
)

func (f *facts) has(flag string) bool { return slices.Contains(f.Flags, flag) }

// learn fills in the facts of files, from the cache or from the helper.
func (f *Finder) learn(ctx context.Context, files []tree.Entry) error {
	var ask []tree.Entry
	for _, e := range files {
		if f.facts[e.Path] != nil {
			continue
		}
		known := new(facts)
		switch {
		case e.Size > maxSource:
			f.note(e.Path, fmt.Sprintf("has %d bytes and was not looked into", e.Size))
		case !f.in.Cache.Lookup("pyfacts", f.factsKey(e), known):
			ask = append(ask, e)
			continue
		}
		f.facts[e.Path] = known
	}
	if len(ask) == 0 {
		return nil
	}
	answers, err := f.askFacts(ctx, ask)
	if err != nil {
		return err
	}
	for _, e := range ask {
		known := answers["/"+e.Path]
		if known == nil {
			return fmt.Errorf("reading sources: no answer about %s", e.Path)
		}
		f.facts[e.Path] = known
		if err := f.in.Cache.Record("pyfacts", f.factsKey(e), known); err != nil {
			return err
		}
	}
	return nil
}

// factsKey is all that facts depend on: the contents, whether they are read as
// a .pth file, the interpreter whose platform and version conditions are
// decided by, and the helper.
func (f *Finder) factsKey(e tree.Entry) string {
	return cas.Key(e.Sum, isPth(e.Path), f.in.Python.Full, f.in.Python.Platform, f.helper)
}

func (f *Finder) askFacts(ctx context.Context, ask []tree.Entry) (map[string]*facts, error) {
	paths := make([]string, len(ask))
	for i, e := range ask {
		paths[i] = "/" + e.Path
	}
	slices.Sort(paths)
	list, err := json.Marshal(slices.Compact(paths))
	if err != nil {
		return nil, err
	}
	out, err := f.run(ctx, "reading Python sources", "facts.py", factsHelper, list, "-I", "-S")
	if err != nil {
		return nil, fmt.Errorf("reading sources: %w", err)
	}
	all := make(map[string]*facts)
	for _, data := range out {
		if err := decodeFacts(data, all); err != nil {
			return nil, fmt.Errorf("reading sources: %w", err)
		}
	}
	return all, nil
}

// decodeFacts adds one file of the helper's answers to all. The helper runs
// in a system that nobody has checked.
func decodeFacts(data []byte, all map[string]*facts) error {
	var some map[string]*facts
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&some); err != nil {
		return fmt.Errorf("understanding the helper: %w", err)
	}
	for p, known := range some {
		if known == nil {
			return fmt.Errorf("understanding the helper: nothing about %s", p)
		}
		if all[p] != nil {
			return fmt.Errorf("understanding the helper: two answers about %s", p)
		}
		for _, u := range known.Uses {
			if named := slices.Contains([]string{"import", "from", "call", "dist", "resource", "plugin", "group"}, u.Kind); u.Name == "" && named {
				return fmt.Errorf("understanding the helper: %s of nothing in %s", u.Kind, p)
			}
		}
		all[p] = known
	}
	return nil
}

// run starts a helper with the interpreter of the tree and gives its answers.
func (f *Finder) run(ctx context.Context, doing, name string, script, list []byte, flags ...string) ([][]byte, error) {
	from := tree.Origin{Kind: tree.Made, Name: "pyimport"}
	inputs, err := tree.New(tree.File(name, 0o644, script, from), tree.File("list", 0o644, list, from), python.Forked(from))
	if err != nil {
		return nil, err
	}
	step := plan.Step{
		Name:   doing,
		System: "app",
		Args:   slices.Concat([]string{"/" + f.in.Python.Exe}, flags, []string{"-B", helperDir + "/" + name, helperDir + "/list", outDir}),
		Inputs: []plan.Mount{{Tree: "pyimport", At: helperDir}},
		Outs:   []string{outDir},
		Limit:  10 * time.Minute,
	}
	out, err := f.in.Engine.Run(ctx, step, engine.Trees{"app": f.in.Tree, "pyimport": inputs})
	if err != nil {
		return nil, err
	}
	var answers [][]byte
	for e := range out.Under(strings.TrimPrefix(outDir, "/")) {
		if !e.IsRegular() || path.Ext(e.Path) != ".json" {
			continue
		}
		data, err := e.ReadAll(maxAnswer)
		if err != nil {
			return nil, err
		}
		answers = append(answers, data)
	}
	if len(answers) == 0 {
		return nil, errors.New("the helper gave no answer")
	}
	return answers, nil
}
