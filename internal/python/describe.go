package python

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

//go:embed describe.py
var script []byte

const (
	helperDir = "/run/exuvia/describe"     // where the script is mounted
	outDir    = "/run/exuvia/describe.out" // where it puts its answer
	answer    = "python.json"
	maxAnswer = 4 << 20
	hint      = "a system needs a CPython of 3.9 or newer that starts; see `python3 -c pass` in it"
)

// Oldest is the oldest minor version of Python 3 that exuvia works with.
const Oldest = 9

var (
	version = regexp.MustCompile(`^3\.(\d{1,3})$`)
	full    = regexp.MustCompile(`^3\.\d{1,3}\.\d{1,3}((a|b|rc)\d{1,3})?$`)
)

// Describe starts the interpreter exe of t once, as a step of eng, and gives
// what it says of itself. Exe is a path in t and may be a link. An interpreter
// that is missing, does not start, is no CPython or is older than 3.9 is a
// [*fault.Error] of kind Base.
func Describe(ctx context.Context, eng engine.Engine, t *tree.Tree, exe string) (*Runtime, error) {
	e, ok := t.Resolve(exe)
	if !ok || !e.IsRegular() {
		return nil, fault.New(fault.Base, hint, "no Python interpreter at /%s", strings.TrimPrefix(exe, "/"))
	}
	helper, err := tree.New(tree.File("describe.py", 0o644, script, tree.Origin{Kind: tree.Made, Name: "describe"}))
	if err != nil {
		return nil, err
	}
	out, err := eng.Run(ctx, plan.Step{
		Name:   "describing " + path.Base(e.Path),
		System: "system",
		Args:   []string{"/" + e.Path, "-s", helperDir + "/describe.py", outDir + "/" + answer},
		Inputs: []plan.Mount{{Tree: "helper", At: helperDir}},
		Outs:   []string{outDir},
		Limit:  2 * time.Minute,
	}, engine.Trees{"system": t, "helper": helper})
	failed, ok := errors.AsType[*engine.StepError](err)
	if ok && strings.Contains(failed.Reason, syscall.ENOEXEC.Error()) {
		return nil, fault.New(fault.Base, "build on a machine of its kind, or install emulation for it: qemu-user-static with binfmt-support",
			"the Python at /%s is for another kind of machine than this one", e.Path)
	}
	if ok {
		return nil, fault.Wrap(failed, fault.Base, hint, "the Python at /%s does not start", e.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("describing /%s: %w", e.Path, err)
	}
	file, ok := out.Lookup(strings.TrimPrefix(outDir+"/"+answer, "/"))
	if !ok {
		return nil, fault.New(fault.Base, hint, "the Python at /%s gave no answer", e.Path)
	}
	data, err := file.ReadAll(maxAnswer)
	if err != nil {
		return nil, err
	}
	r, err := parse(data)
	if err != nil {
		return nil, fault.Wrap(err, fault.Base, hint, "the Python at /%s cannot be used", e.Path)
	}
	r.Exe = e.Path
	return r, nil
}

// parse reads the script's answer. It trusts nothing in it: the interpreter is
// a program of the system that is being looked at.
func parse(data []byte) (*Runtime, error) {
	var a struct {
		Runtime
		Implementation string `json:"implementation"`
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("reading its answer: %w", err)
	}
	r := a.Runtime
	if a.Implementation != "cpython" {
		return nil, fmt.Errorf("it is %q, not CPython", a.Implementation)
	}
	m := version.FindStringSubmatch(r.Version)
	if m == nil || !full.MatchString(r.Full) || !strings.HasPrefix(r.Full, r.Version+".") {
		return nil, fmt.Errorf("it says its version is %q, %q", r.Version, r.Full)
	}
	if len(m[1]) == 1 && int(m[1][0]-'0') < Oldest {
		return nil, fmt.Errorf("it is Python %s", r.Full)
	}
	if b, err := hex.DecodeString(r.Magic); err != nil || len(b) != 4 {
		return nil, fmt.Errorf("it says its bytecode magic is %q", r.Magic)
	}
	if r.CacheTag == "" || strings.ContainsAny(r.CacheTag, "/\x00") {
		return nil, fmt.Errorf("it says its cache tag is %q", r.CacheTag)
	}
	for _, p := range []*string{&r.Stdlib, &r.DynLoad, &r.Site, &r.Scripts} {
		if err := relative(p); err != nil {
			return nil, err
		}
	}
	for i := range r.Path {
		if err := relative(&r.Path[i]); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

// relative makes an absolute path one of the tree's.
func relative(p *string) error {
	rel := strings.TrimPrefix(path.Clean(*p), "/")
	if !path.IsAbs(*p) || rel == "" || !fs.ValidPath(rel) || strings.ContainsRune(rel, 0) {
		return fmt.Errorf("it names the directory %q", *p)
	}
	*p = rel
	return nil
}
