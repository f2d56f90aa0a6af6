package reduce

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

//go:embed compile.py
var compiler []byte

const (
	compileDir = "/run/exuvia/compile"     // where helper and sources are mounted
	compileOut = "/run/exuvia/compile.out" // where the bytecode appears
	maxReason  = 64 << 10
)

// How an interpreter is to treat bytecode whose source it has: PEP 552.
const (
	uncheckedHash = 1 // never look at the source
	checkedHash   = 3 // compile anew if the source has another hash
)

// source is one file to compile.
type source struct {
	Entry    tree.Entry // its contents
	Filename string     // co_filename: absolute path of the module's source in the image
	Optimize int        // 0, 1, 2, as python -O
	Flags    int        // uncheckedHash or checkedHash
	Hook     bool       // import _exuvia before anything else
}

// compiled is what became of a source.
type compiled struct {
	Blob cas.Blob `json:"blob,omitzero"`
	Err  string   `json:"err,omitempty"` // why it does not compile; "" if it does
}

// key identifies the bytecode of s by all that it depends on.
func (s source) key(in Input) string {
	helper := sha256.Sum256(compiler)
	return cas.Key(hex.EncodeToString(helper[:]), in.Python.Full, in.Python.Magic,
		s.Entry.Sum, s.Filename, s.Optimize, s.Flags, s.Hook)
}

// compile compiles sources in one step, except for those whose bytecode the
// store has, and gives the results in the order of the sources.
func compile(ctx context.Context, in Input, sources []source) ([]compiled, error) {
	results := make([]compiled, len(sources))
	missing := make(map[string][]int) // key → places in sources
	var jobs strings.Builder
	var files []tree.Entry
	for i, s := range sources {
		key := s.key(in)
		if in.Store.Lookup("bytecode", key, &results[i]) && (results[i].Err != "" || in.Store.Has(results[i].Blob)) {
			continue
		}
		missing[key] = append(missing[key], i)
		if len(missing[key]) > 1 {
			continue
		}
		hook := 0
		if s.Hook {
			hook = 1
		}
		fmt.Fprintf(&jobs, "%s %s %d %d %d %s\n", key, s.Entry.Sum, s.Optimize, s.Flags, hook, s.Filename)
		files = append(files, tree.Entry{
			Path: "src/" + s.Entry.Sum, Mode: 0o644, Size: s.Entry.Size, Sum: s.Entry.Sum, Open: s.Entry.Open,
		})
	}
	if len(missing) == 0 {
		return results, nil
	}
	out, err := runCompiler(ctx, in, jobs.String(), files)
	if err != nil {
		return nil, err
	}
	for key, places := range missing {
		c, err := result(out, key)
		if err != nil {
			return nil, fmt.Errorf("compiling %s: %w", sources[places[0]].Filename, err)
		}
		if err := in.Store.Record("bytecode", key, c); err != nil {
			return nil, err
		}
		for _, i := range places {
			results[i] = c
		}
	}
	return results, nil
}

func runCompiler(ctx context.Context, in Input, jobs string, files []tree.Entry) (*tree.Tree, error) {
	from := tree.Origin{Kind: tree.Made, Name: "bytecode"}
	files = append(files, tree.File("compile.py", 0o644, compiler, from), tree.File("jobs", 0o644, []byte(jobs), from))
	input, err := tree.New(files...)
	if err != nil {
		return nil, err
	}
	out, err := in.Engine.Run(ctx, plan.Step{
		Name:   "compiling bytecode",
		System: "system",
		Args: []string{
			"/" + in.Python.Exe, "-s", "-S", "-B", "-W", "ignore",
			compileDir + "/compile.py", compileDir + "/jobs", compileDir + "/src", compileOut,
		},
		Inputs: []plan.Mount{{Tree: "compile", At: compileDir}},
		Outs:   []string{compileOut},
		Limit:  10 * time.Minute,
	}, engine.Trees{"system": in.Systems.Python, "compile": input})
	if err != nil {
		return nil, fmt.Errorf("compiling bytecode: %w", err)
	}
	return in.Store.Keep(ctx, out)
}

// result finds what the compiler made of a source.
func result(out *tree.Tree, key string) (compiled, error) {
	name := path.Join(compileOut[1:], key)
	if e, ok := out.Lookup(name + ".pyc"); ok && e.IsRegular() {
		return compiled{Blob: cas.Blob{Sum: e.Sum, Size: e.Size}}, nil
	}
	e, ok := out.Lookup(name + ".err")
	if !ok {
		return compiled{}, fmt.Errorf("the compiler gave no result")
	}
	reason, err := e.ReadAll(maxReason)
	if err != nil {
		return compiled{}, err
	}
	return compiled{Err: engine.LastLines(string(reason)+"\n ", 3)}, nil
}
