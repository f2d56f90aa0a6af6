package reduce

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/elffile"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// rewriteVersion enters the key of every rewritten file; raise it when what is
// accepted changes.
const rewriteVersion = 2

const (
	rewriteDir = "/run/exuvia/rewrite"     // where originals are mounted
	rewriteOut = "/run/exuvia/rewrite.out" // where the tool puts its files

	rewriteLimit = time.Hour // packing takes a second or two for a megabyte
)

// rewriter is a tool that makes another ELF file of one.
type rewriter struct {
	pass  string     // its name, for keys and notes
	step  string     // for people: "stripping"
	tools *tree.Tree // where the tool runs
	// accept says why a file that the tool made must not be used; useless is
	// for one that is right but brings nothing.
	accept func(old, made []byte) (why string, useless bool)
	// strict leaves a file as it is also where it does not load before: what
	// the tool made of it cannot be tried.
	strict bool
}

// rewriting is one file's.
type rewriting struct {
	entry  tree.Entry
	tool   func(from, to string) []string // command line
	unpack bool                           // what was made is a program that unpacks itself and then starts a loader
}

// rewritten is what became of a file, as it is kept. Blob is empty where the
// file stays as it is; then Why may say why: "after stripping it has no end".
type rewritten struct {
	Blob cas.Blob `json:"blob,omitzero"`
	Why  string   `json:"why,omitempty"`
}

// run lets the tool work on files, and notes what stays as it was.
func (w rewriter) run(ctx context.Context, in Input, files []rewriting) (Output, error) {
	out, left, err := w.work(ctx, in, files)
	for _, l := range left {
		out.Notes = append(out.Notes, report.Note{Where: w.pass, Path: l.path, Text: "left as it was: " + l.why})
	}
	return out, err
}

// leftover is a file that stays as it was.
type leftover struct{ path, why string }

// work lets the tool work on files in one step, loads what it made in another,
// and puts what is good in place. Files of which the store knows the result
// are in neither. It also gives those that stay, in the order of files.
func (w rewriter) work(ctx context.Context, in Input, files []rewriting) (Output, []leftover, error) {
	out := Output{Tree: in.Tree}
	if len(files) == 0 {
		return out, nil, nil
	}
	keys, missing, results := w.known(in, files)
	if len(missing) > 0 {
		if err := w.make(ctx, in, files, keys, missing, results); err != nil {
			return Output{}, nil, err
		}
	}
	var changed []tree.Entry
	var left []leftover
	for i, f := range files {
		r := results[keys[i]]
		if r.Why != "" {
			left = append(left, leftover{f.entry.Path, r.Why})
		}
		if r.Blob != (cas.Blob{}) {
			changed = append(changed, f.replaced(in.Store, r.Blob))
		}
	}
	var err error
	out.Tree, err = in.Tree.With(changed...)
	return out, left, err
}

// known gives the key of each file, the results that the store has, by key,
// and one file for each of the others.
func (w rewriter) known(in Input, files []rewriting) (keys []string, missing []int, results map[string]rewritten) {
	tools := w.tools.Digest()
	results = make(map[string]rewritten)
	keys = make([]string, len(files))
	for i, f := range files {
		keys[i] = cas.Key(rewriteVersion, w.pass, tools, f.entry.Sum, f.tool("", ""))
		if _, ok := results[keys[i]]; ok {
			continue
		}
		var r rewritten
		if in.Store.Lookup("rewritten", keys[i], &r) && (r.Blob == cas.Blob{} || in.Store.Has(r.Blob)) {
			results[keys[i]] = r
			continue
		}
		results[keys[i]] = r
		missing = append(missing, i)
	}
	return keys, missing, results
}

// replaced is the file with other contents.
func (f rewriting) replaced(s *cas.Store, b cas.Blob) tree.Entry {
	e := f.entry
	e.Sum, e.Size, e.Open = b.Sum, b.Size, s.Entry(e.Path, 0, b, e.From).Open
	return e
}

// make fills in the results of the files that are missing. Only what does not
// depend on the rest of the system is kept for other builds: that a file was
// made and loads, or that the tool's work is no good. That a file did not load
// is found anew, for something else may have been the cause.
func (w rewriter) make(ctx context.Context, in Input, files []rewriting, keys []string, missing []int, results map[string]rewritten) error {
	made, err := w.tool(ctx, in, files, keys, missing)
	if err != nil {
		return err
	}
	var changed []tree.Entry
	users := make(map[string][]string) // key → paths, in the order of files
	for _, i := range missing {
		r, err := w.judge(made, keys[i], files[i].entry)
		if err != nil {
			return err
		}
		results[keys[i]] = r
		if r.Blob == (cas.Blob{}) {
			if err := in.Store.Record("rewritten", keys[i], r); err != nil {
				return err
			}
		}
	}
	for i, f := range files {
		if r := results[keys[i]]; r.Blob != (cas.Blob{}) {
			changed = append(changed, f.replaced(in.Store, r.Blob))
			users[keys[i]] = append(users[keys[i]], f.entry.Path)
		}
	}
	failed, err := w.culprits(ctx, in, changed, files)
	if err != nil {
		return err
	}
	for _, i := range missing {
		r := results[keys[i]]
		if r.Blob == (cas.Blob{}) {
			continue
		}
		for _, p := range users[keys[i]] {
			if why := failed[p]; why != "" {
				r = rewritten{Why: fmt.Sprintf("after %s it does not load: %s", w.step, why)}
			}
		}
		results[keys[i]] = r
		if r.Blob != (cas.Blob{}) {
			if err := in.Store.Record("rewritten", keys[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

// culprits lists the changed files that must stay as they were, so that all
// others load. A file that needs one that fails is tried anew without that
// one's change: it may not be its own fault.
func (w rewriter) culprits(ctx context.Context, in Input, changed []tree.Entry, files []rewriting) (map[string]string, error) {
	found := make(map[string]string)
	for {
		failed, err := w.worse(ctx, in, changed, files)
		if err != nil {
			return nil, err
		}
		causes, err := causes(failed, files)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, causes)
		if len(causes) == len(failed) {
			return found, nil
		}
		changed = slices.DeleteFunc(slices.Clone(changed), func(e tree.Entry) bool { return causes[e.Path] != "" })
	}
}

// causes are those of the files that fail which need no other of them; all of
// them, where each needs another.
func causes(failed map[string]string, files []rewriting) (map[string]string, error) {
	needs := make(map[string][]string)  // path → sonames
	owners := make(map[string][]string) // soname or name → paths
	for _, f := range files {
		p := f.entry.Path
		if failed[p] == "" {
			continue
		}
		o, _, err := readELF(f.entry)
		if err != nil {
			return nil, err
		}
		needs[p] = o.Needed
		for _, name := range []string{path.Base(p), o.Soname} {
			owners[name] = append(owners[name], p)
		}
	}
	out := make(map[string]string)
	for p, why := range failed {
		other := func(name string) bool {
			return slices.ContainsFunc(owners[name], func(owner string) bool { return owner != p })
		}
		if !slices.ContainsFunc(needs[p], other) {
			out[p] = why
		}
	}
	if len(out) == 0 {
		return failed, nil
	}
	return out, nil
}

// worse lists the changed files that do not load although they did before.
func (w rewriter) worse(ctx context.Context, in Input, changed []tree.Entry, files []rewriting) (map[string]string, error) {
	unpack := make(map[string]bool)
	for _, f := range files {
		unpack[f.entry.Path] = f.unpack
	}
	failed, err := loads(ctx, in, changed, unpack)
	if err != nil || len(failed) == 0 {
		return nil, err
	}
	var originals []tree.Entry
	for _, f := range files {
		if failed[f.entry.Path] != "" {
			originals = append(originals, f.entry)
		}
	}
	before, err := loadAll(ctx, in, originals, nil, nil)
	if err != nil {
		return nil, err
	}
	for p, why := range before {
		if delete(failed, p); w.strict {
			failed[p] = "neither did it before, so it cannot be tried: " + why
		}
	}
	return failed, nil
}

// judge takes up what the tool made of a file.
func (w rewriter) judge(made *tree.Tree, key string, original tree.Entry) (rewritten, error) {
	name := rewriteOut[1:] + "/" + key
	e, there := made.Lookup(name)
	if _, ok := made.Lookup(name + ".ok"); !ok || !there || !e.IsRegular() {
		said := ""
		if log, ok := made.Lookup(name + ".log"); ok && log.IsRegular() {
			data, err := log.ReadAll(maxLoads)
			if err != nil {
				return rewritten{}, err
			}
			said = strings.ReplaceAll(engine.LastLines(string(data), 1), rewriteDir+"/"+key, "it")
		}
		return rewritten{Why: fmt.Sprintf("%s failed: %s", w.step, said)}, nil
	}
	_, old, err := readELF(original)
	if err != nil {
		return rewritten{}, err
	}
	data, err := e.ReadAll(2 * maxELF)
	if err != nil {
		return rewritten{}, err
	}
	why, useless := w.accept(old, data)
	switch {
	case useless:
		return rewritten{}, nil
	case why != "":
		return rewritten{Why: fmt.Sprintf("after %s %s", w.step, why)}, nil
	}
	return rewritten{Blob: cas.Blob{Sum: e.Sum, Size: e.Size}}, nil
}

// tool runs the tool on the files that are missing, and gives what appeared.
func (w rewriter) tool(ctx context.Context, in Input, files []rewriting, keys []string, missing []int) (*tree.Tree, error) {
	var script strings.Builder
	var inputs []tree.Entry
	for _, i := range missing {
		key := keys[i]
		from, to := rewriteDir+"/"+key, rewriteOut+"/"+key
		for _, arg := range files[i].tool(from, to) {
			script.WriteString(quote(arg) + " ")
		}
		fmt.Fprintf(&script, ">%s.log 2>&1 && : >%s.ok\n", to, to)
		e := files[i].entry
		inputs = append(inputs, tree.Entry{Path: key, Mode: 0o755, Size: e.Size, Sum: e.Sum, Open: e.Open}) // upx asks for the x bit
	}
	script.WriteString("exit 0\n")
	inputs = append(inputs, tree.File("script", 0o644, []byte(script.String()), tree.Origin{Kind: tree.Made, Name: w.pass}))
	input, err := tree.New(inputs...)
	if err != nil {
		return nil, err
	}
	out, err := in.Engine.Run(ctx, plan.Step{
		Name:   w.step,
		System: "tools",
		Args:   []string{"/bin/sh", rewriteDir + "/script"},
		Inputs: []plan.Mount{{Tree: "files", At: rewriteDir}},
		Outs:   []string{rewriteOut},
		Limit:  rewriteLimit,
	}, engine.Trees{"tools": w.tools, "files": input})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.step, err)
	}
	return in.Store.Keep(ctx, out)
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// loadable matches the names that shared libraries have.
var loadable = regexp.MustCompile(`\.so(\.[0-9A-Za-z_.-]+)?$`)

// objects gives the ELF files of the tree that a loader or the kernel loads.
// What cannot be read as one stays as it is, and is noted.
func objects(in Input, pass string, use func(tree.Entry, *elffile.File)) ([]report.Note, error) {
	var notes []report.Note
	for e := range in.Tree.All() {
		if !e.IsRegular() || !loadable.MatchString(e.Path) && e.Mode&0o111 == 0 {
			continue
		}
		f, _, err := readELF(e)
		if bad, ok := errors.AsType[*damagedError](err); ok {
			notes = append(notes, report.Note{Where: pass, Path: e.Path, Text: "left as it was: " + bad.Unwrap().Error()})
			continue
		}
		if err != nil {
			return nil, err
		}
		if f == nil && e.Size > maxELF {
			notes = append(notes, report.Note{Where: pass, Path: e.Path, Text: fmt.Sprintf("left as it was: it has more than %d bytes", maxELF)})
		}
		if f == nil || f.Type != elf.ET_DYN && f.Type != elf.ET_EXEC {
			continue
		}
		use(e, f)
	}
	return notes, nil
}

// program reports whether f is started and not loaded by another. The C
// library has an interpreter too, and a soname.
func program(f *elffile.File) bool {
	return f.Type == elf.ET_EXEC || f.Interp != "" && f.Soname == ""
}

// damagedError is an ELF file that cannot be read.
type damagedError struct {
	path string
	err  error
}

func (e *damagedError) Error() string { return e.path + ": " + e.err.Error() }

func (e *damagedError) Unwrap() error { return e.err }

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
