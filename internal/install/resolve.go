package install

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

// lock settles what has to be installed, from whatever states it. Own is the
// project's wheel where only that knows the dependencies.
func (j *job) lock(ctx context.Context, own *wheel) ([]locked, error) {
	p := j.p
	switch p.Form {
	case project.UVLock:
		return j.export(ctx)
	case project.PyLock:
		data, err := j.source(p.DependencyFile)
		if err != nil {
			return nil, err
		}
		return readPylock(p.DependencyFile, data, path.Dir(p.DependencyFile), j.env)
	case project.PoetryLock:
		return j.poetry(ctx)
	case project.Requirements:
		return j.requirements(ctx)
	case project.PyProject:
		return j.unlocked(ctx, own)
	case project.Script:
		if strings.HasSuffix(p.DependencyFile, ".lock") {
			return j.export(ctx)
		}
		return j.compile(ctx, question{doing: "resolving the script's dependencies", source: j.p.Sources, args: []string{sourceAt + "/" + p.ScriptFile}})
	}
	return nil, nil
}

// source reads a file that states dependencies.
func (j *job) source(name string) ([]byte, error) {
	e, ok := j.p.Sources.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("the project's sources lack %s", name)
	}
	return e.ReadAll(maxLock)
}

// export turns uv.lock into a lock of PEP 751, without network.
func (j *job) export(ctx context.Context) ([]locked, error) {
	args := []string{"export", "--frozen", "--offline", "--quiet", "--no-header", "--format", "pylock.toml", "--output-file", outAt + "/pylock.toml"}
	if j.p.Form == project.Script {
		args = append(args, "--script", sourceAt+"/"+j.p.ScriptFile)
	} else {
		args = append(args, "--no-emit-project", "--no-default-groups")
		for _, g := range j.p.Groups {
			args = append(args, "--group", g)
		}
		for _, e := range j.p.Extras {
			args = append(args, "--extra", e)
		}
	}
	s := j.uvStep("reading "+j.p.DependencyFile, args...)
	s.Dir = sourceAt
	s.with("source", sourceAt, j.p.Sources)
	out, err := j.run(ctx, s)
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		return nil, fault.New(fault.Project, "run uv lock again", "reading %s: %s", j.p.DependencyFile, uvReason(failed.Output))
	}
	if err != nil {
		return nil, err
	}
	data, err := outFile(out, "pylock.toml")
	if err != nil {
		return nil, err
	}
	return j.answer(j.p.DependencyFile, data)
}

// answer reads a lock that uv has written for the target.
func (j *job) answer(name string, data []byte) ([]locked, error) {
	env := j.env
	env.extras, env.groups = nil, nil // uv has chosen already
	list, err := readPylock(name, data, outAt, env)
	if err != nil {
		return nil, err
	}
	return list, inProject(list)
}

// outFile reads a file that a step has written.
func outFile(out *tree.Tree, name string) ([]byte, error) {
	e, ok := out.Lookup(strings.TrimPrefix(outAt, "/") + "/" + name)
	if !ok {
		return nil, fmt.Errorf("a step did not write %s", name)
	}
	return e.ReadAll(maxLock)
}

// question is what uv's resolver is asked.
type question struct {
	doing  string // for messages: "resolving requirements.txt"
	text   string // requirements, beside what args name
	args   []string
	source *tree.Tree // what is at sourceAt; nil for nothing
	pinned bool       // what is named is all there is
	build  bool       // it is what building needs, under the constraints of the project
	wheels *tree.Tree
}

// compile asks uv for the newest versions that meet requirements, with the
// hashes of their files. This is a step with network. Where there are
// credentials it may build nothing, not even to learn what a source
// distribution depends on; where there are none it may.
func (j *job) compile(ctx context.Context, q question) ([]locked, error) {
	j.say("%s", q.doing)
	args := []string{"pip", "compile", "--quiet", "--no-header", "--no-annotate", "--format", "pylock.toml", "--output-file", outAt + "/pylock.toml", "--python", "/" + j.rt.Exe}
	args = append(args, q.args...)
	if q.text != "" {
		args = append(args, inAt+"/requirements.in")
	}
	if q.build {
		args = append(args, "--constraints", inAt+"/constraints.txt")
	}
	if q.pinned {
		args = append(args, "--no-deps")
	}
	if j.cfg.private() {
		args = append(args, "--no-build")
	}
	s := j.uvStep(q.doing, args...)
	in, err := tree.New(
		tree.File("requirements.in", 0o644, []byte(q.text), tree.Origin{}),
		tree.File("constraints.txt", 0o644, []byte(j.buildConstraints()), tree.Origin{}),
	)
	if err != nil {
		return nil, err
	}
	s.with("in", inAt, in)
	if q.source != nil {
		s.Dir = sourceAt
		s.with("source", sourceAt, q.source)
	}
	if q.wheels != nil {
		s.with("wheels", wheelsAt, q.wheels)
	}
	j.cfg.apply(&s.Step)
	out, err := j.run(ctx, s)
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		return nil, uvFault(failed, q.doing)
	}
	if err != nil {
		return nil, err
	}
	data, err := outFile(out, "pylock.toml")
	if err != nil {
		return nil, err
	}
	return j.answer(q.doing, data)
}

// inProject turns paths of a step into paths of the project, where the lock is
// of what was mounted from it.
func inProject(list []locked) error {
	under := func(p string) (string, bool) {
		rel, ok := strings.CutPrefix(p+"/", sourceAt+"/")
		return path.Clean("./" + rel), ok
	}
	for i := range list {
		l := &list[i]
		if l.dir != "" {
			dir, ok := under(l.dir)
			if !ok {
				return fault.New(fault.Dependency, "move it into the project, or build the directory that holds both", "%s is in %s, outside the project", l.name, project.Clip(l.dir))
			}
			l.dir = dir
		}
		for w := range l.wheels {
			if p, ok := under(l.wheels[w].path); ok {
				l.wheels[w].path = p
			}
		}
		if l.sdist == nil {
			continue
		}
		if p, ok := under(l.sdist.path); ok {
			l.sdist.path = p
		}
	}
	return nil
}

// sourceTree is all that resolving and building may look at.
func (j *job) sourceTree() (*tree.Tree, error) {
	return tree.Overlay(j.p.Files, j.p.Sources)
}

// local is a requirement that is a place on disk, or a table of uv's that may
// name one.
var local = regexp.MustCompile(`(?m)^[ \t]*(-e\b|--editable\b|\.{0,2}/|file:)|@[ \t]*(file:|\.)|^[ \t]*\[tool\.uv\.sources`)

// stating is what resolving may look at: the files that state dependencies,
// and all others only where one of those names a place on disk. So a changed
// line of code is no reason to resolve again.
func (j *job) stating() (*tree.Tree, error) {
	for e := range j.p.Sources.All() {
		if !e.IsRegular() {
			continue
		}
		data, err := e.ReadAll(maxLock)
		if err != nil {
			return nil, err
		}
		if local.Match(data) {
			return j.sourceTree()
		}
	}
	return j.p.Sources, nil
}

// unlocked resolves what pyproject.toml, setup.py or the project's own wheel
// asks for.
func (j *job) unlocked(ctx context.Context, own *wheel) ([]locked, error) {
	if own != nil {
		extras := ""
		if len(j.p.Extras) > 0 {
			extras = "[" + strings.Join(j.p.Extras, ",") + "]"
		}
		wheels, err := j.wheelTree([]wheel{*own})
		if err != nil {
			return nil, err
		}
		return j.compile(ctx, question{
			doing: "resolving " + j.p.DependencyFile, wheels: wheels, text: fmt.Sprintf("%s%s @ file://%s/%s\n", own.Name, extras, wheelsAt, own.File),
		})
	}
	args := []string{sourceAt + "/" + j.p.DependencyFile}
	for _, e := range j.p.Extras {
		args = append(args, "--extra", e)
	}
	for _, g := range j.p.Groups {
		args = append(args, "--group", sourceAt+"/pyproject.toml:"+g)
	}
	source, err := j.stating()
	if err != nil {
		return nil, err
	}
	return j.compile(ctx, question{doing: "resolving " + j.p.DependencyFile, args: args, source: source})
}

// requirements resolves requirements.txt. Hashes in it are the only ones that
// will do, and where there are any, what it names is all there is, as pip has
// it.
func (j *job) requirements(ctx context.Context) ([]locked, error) {
	allowed, err := j.hashes()
	if err != nil {
		return nil, err
	}
	source, err := j.stating()
	if err != nil {
		return nil, err
	}
	list, err := j.compile(ctx, question{
		doing: "resolving " + j.p.DependencyFile, args: []string{sourceAt + "/" + j.p.DependencyFile}, source: source, pinned: len(allowed) > 0,
	})
	if err != nil || len(allowed) == 0 {
		return list, err
	}
	for i := range list {
		sums, ok := allowed[list[i].name]
		if !ok && list[i].dir == "" {
			return nil, fault.New(fault.Project, "give every requirement a hash, or none", "%s has hashes, but none for %s", j.p.DependencyFile, list[i].name)
		}
		list[i].allowed = sums
	}
	return list, nil
}

// hashes reads the --hash options of the requirements files: normalised name
// → SHA-256 sums.
func (j *job) hashes() (map[string][]string, error) {
	out := make(map[string][]string)
	for e := range j.p.Sources.All() {
		isList := strings.HasSuffix(e.Path, ".txt") || strings.HasSuffix(e.Path, ".in")
		if !e.IsRegular() || !isList {
			continue
		}
		data, err := e.ReadAll(maxLock)
		if err != nil {
			return nil, err
		}
		for name, sums := range requirementHashes(string(data)) {
			out[name] = append(out[name], sums...)
		}
	}
	return out, nil
}

// requirementHashes reads the hashes of one file. Lines go on after a
// backslash; only SHA-256 counts.
func requirementHashes(text string) map[string][]string {
	out := make(map[string][]string)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\\\n", " ")
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		end := strings.IndexFunc(line, func(r rune) bool { return !nameRune(r) })
		if end <= 0 || line[0] == '-' {
			continue
		}
		name := project.Normalise(line[:end])
		for f := range strings.FieldsSeq(line[end:]) {
			f = strings.TrimPrefix(f, "--hash=")
			if sum, ok := strings.CutPrefix(f, "sha256:"); ok {
				out[name] = append(out[name], strings.ToLower(sum))
			}
		}
	}
	return out
}

func nameRune(r rune) bool {
	return r == '-' || r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// buildConstraints are uv's own constraints on build dependencies.
func (j *job) buildConstraints() string {
	var py struct {
		Tool struct {
			UV struct {
				Build []string `toml:"build-constraint-dependencies"`
			} `toml:"uv"`
		} `toml:"tool"`
	}
	data, err := j.source("pyproject.toml")
	if err != nil || toml.Unmarshal(data, &py) != nil {
		return ""
	}
	return strings.Join(slices.Compact(py.Tool.UV.Build), "\n")
}
