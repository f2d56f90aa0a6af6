package reduce

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"exuvia/internal/elffile"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

//go:embed loadcheck.py
var loader []byte

const (
	loadDir  = "/run/exuvia/loadcheck"     // where the script is mounted
	loadOut  = "/run/exuvia/loadcheck.out" // where it puts its answer
	perFile  = 20                          // seconds that a file may take to load
	maxLoads = 64 << 20                    // bytes of the answer
)

// loads says which of the changed files do not load in the unreduced system
// with all of them in their places, and why. Where the interpreter itself does
// not start with them, halves are tried apart: the one that breaks it is found
// and the others are not blamed. Unpack has the paths of programs that unpack
// themselves.
func loads(ctx context.Context, in Input, changed []tree.Entry, unpack map[string]bool) (map[string]string, error) {
	if len(changed) == 0 {
		return nil, nil
	}
	failed, err := loadAll(ctx, in, changed, changed, unpack)
	step, broke := errors.AsType[*engine.StepError](err)
	switch {
	case !broke:
		return failed, err
	case len(changed) > 1 && step.Reason == "":
		half := len(changed) / 2
		first, err := loads(ctx, in, changed[:half], unpack)
		if err != nil {
			return nil, err
		}
		second, err := loads(ctx, in, changed[half:], unpack)
		if err != nil {
			return nil, err
		}
		failed = make(map[string]string)
		maps.Copy(failed, first)
		maps.Copy(failed, second)
		return failed, nil
	}
	failed = make(map[string]string)
	for _, e := range changed {
		failed[e.Path] = "with it Python does not run: " + step.Error()
	}
	return failed, nil
}

// loadJob is a file to load.
type loadJob struct {
	Path   string `json:"path"`   // absolute
	Loader string `json:"loader"` // absolute; of a program
	Unpack bool   `json:"unpack"` // a program that unpacks itself and then starts its loader
}

// loadAll loads files in the unreduced system in which over stands in place of
// its own files, and gives those that do not load and why.
func loadAll(ctx context.Context, in Input, files, over []tree.Entry, unpack map[string]bool) (map[string]string, error) {
	system, err := in.Systems.Python.With(over...)
	if err != nil {
		return nil, fmt.Errorf("placing changed files: %w", err)
	}
	jobs := struct {
		Limit  int       `json:"limit"`
		Loader string    `json:"loader"`
		Files  []loadJob `json:"files"`
	}{Limit: perFile}
	if exe, ok := in.Systems.Python.Resolve(in.Python.Exe); ok {
		if f, _, err := readELF(exe); err == nil && f != nil {
			jobs.Loader = f.Interp
		}
	}
	for _, e := range files {
		f, _, err := readELF(e)
		if err != nil {
			return nil, err
		}
		if f == nil || !f.Dynamic && !unpack[e.Path] {
			continue // nothing loads it; it is not for this check to judge
		}
		job := loadJob{Path: "/" + e.Path, Unpack: unpack[e.Path]}
		if program(f) {
			job.Loader = f.Interp
		}
		jobs.Files = append(jobs.Files, job)
	}
	if len(jobs.Files) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(jobs)
	if err != nil {
		return nil, err
	}
	from := tree.Origin{Kind: tree.Made, Name: "loadcheck"}
	helper, err := tree.New(tree.File("loadcheck.py", 0o644, loader, from), tree.File("jobs.json", 0o644, list, from))
	if err != nil {
		return nil, err
	}
	out, err := in.Engine.Run(ctx, plan.Step{
		Name:   "loading changed files",
		System: "system",
		Args: []string{
			"/" + in.Python.Exe, "-s", "-S", "-B", "-W", "ignore",
			loadDir + "/loadcheck.py", loadDir + "/jobs.json", loadOut + "/result.json",
		},
		Inputs: []plan.Mount{{Tree: "loadcheck", At: loadDir}},
		Outs:   []string{loadOut},
		Limit:  10 * time.Minute,
	}, engine.Trees{"system": system, "loadcheck": helper})
	if err != nil {
		return nil, fmt.Errorf("loading changed files: %w", err)
	}
	return answers(out, jobs.Files)
}

// answers reads the script's result. A file of which it says nothing did not
// load.
func answers(out *tree.Tree, jobs []loadJob) (map[string]string, error) {
	e, ok := out.Lookup(loadOut[1:] + "/result.json")
	if !ok {
		return nil, errors.New("loading changed files: there is no result")
	}
	data, err := e.ReadAll(maxLoads)
	if err != nil {
		return nil, err
	}
	var result map[string]string
	if err := json.Unmarshal(data, &result); err != nil {
		return nil, fmt.Errorf("loading changed files: reading the result: %w", err)
	}
	failed := make(map[string]string)
	for _, j := range jobs {
		why, ok := result[j.Path]
		if !ok {
			why = "nothing was said of it"
		}
		if why != "" {
			failed[j.Path[1:]] = engine.LastLines(why, 1)
		}
	}
	return failed, nil
}

// maxELF bounds an ELF file that is rewritten, in bytes. Larger ones, of which
// machine learning has some, stay as they are.
const maxELF = 1 << 30

// readELF reads what e is, and its contents. It is nil for what is no ELF file
// or a larger one than maxELF.
func readELF(e tree.Entry) (*elffile.File, []byte, error) {
	if !e.IsRegular() || e.Size < 64 || e.Size > maxELF {
		return nil, nil, nil
	}
	if is, err := startsAsELF(e); !is || err != nil {
		return nil, nil, err
	}
	data, err := e.ReadAll(maxELF)
	if err != nil {
		return nil, nil, err
	}
	f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, &damagedError{e.Path, err}
	}
	return f, data, nil
}

func startsAsELF(e tree.Entry) (bool, error) {
	r, err := e.Open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	head := make([]byte, 4)
	n, err := r.Read(head)
	return elffile.IsELF(head[:n]), ignoreEOF(err)
}
