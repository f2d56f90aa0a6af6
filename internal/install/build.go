package install

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/ulikunitz/xz"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

//go:embed build.py
var buildScript []byte

// Bounds of what is read of archives.
const (
	maxMember  = 4 << 20   // bytes of a pyproject.toml in a source distribution
	maxArchive = 16 << 30  // bytes of an unpacked source distribution
	maxMembers = 1_000_000 // files in one
	maxRounds  = 5         // of a backend asking for more
	maxStack   = 20        // of sources that need sources to be built
	buildLimit = time.Hour
)

// wheel is a wheel in the cache.
type wheel struct {
	Name    string // normalised
	Version string
	File    string // its file name
	Blob    cas.Blob
}

// wheels downloads and builds until there is a wheel of every choice. The
// stack names what is being built.
func (j *job) wheels(ctx context.Context, choices []choice, stack []string) ([]wheel, error) {
	var files []file
	for _, c := range choices {
		switch {
		case c.wheel != nil:
			files = append(files, *c.wheel)
		case c.dir == "":
			files = append(files, *c.sdist)
		}
	}
	if n := j.fetch.missing(files); n > 0 {
		j.say("downloading %d distributions", n)
	}
	blobs, err := j.fetch.fetchAll(ctx, j.p, files)
	if err != nil {
		return nil, err
	}
	var out []wheel
	for _, c := range choices {
		var w *wheel
		switch {
		case c.wheel != nil:
			name, err := parseWheelName(c.wheel.name)
			if err != nil {
				return nil, err
			}
			w = &wheel{Name: c.name, Version: name.version, File: c.wheel.name, Blob: blobs[0]}
			j.inputs[c.wheel.name], blobs = blobs[0].Sum, blobs[1:]
		case c.dir != "":
			w, err = j.buildDir(ctx, c.name, c.dir, stack...)
		default:
			w, err = j.buildSdist(ctx, c, blobs[0], stack)
			j.inputs[c.sdist.name], blobs = blobs[0].Sum, blobs[1:]
		}
		if err != nil {
			return nil, err
		}
		out = append(out, *w)
	}
	return out, nil
}

// wheelTree is a directory of wheels.
func (j *job) wheelTree(list []wheel) (*tree.Tree, error) {
	var entries []tree.Entry
	for _, w := range list {
		entries = append(entries, j.o.Cache.Entry(w.File, 0o644, w.Blob, tree.Origin{Kind: tree.Made, Name: "install"}))
	}
	return tree.New(entries...)
}

// backend is [build-system] of a pyproject.toml (PEP 518, PEP 517).
type backend struct {
	Requires []string `toml:"requires" json:"requires"`
	Backend  string   `toml:"build-backend" json:"backend"`
	Path     []string `toml:"backend-path" json:"path"`
}

// backendOf reads [build-system]; what is not said is setuptools, as PEP 517
// has it.
func backendOf(name string, pyproject []byte) (backend, error) {
	var doc struct {
		Build *backend `toml:"build-system"`
	}
	if err := toml.Unmarshal(pyproject, &doc); err != nil {
		return backend{}, fault.Wrap(err, fault.Dependency, "choose another version of "+name, "reading pyproject.toml of %s", name)
	}
	b := backend{}
	if doc.Build != nil {
		b = *doc.Build
	}
	if doc.Build == nil || b.Requires == nil {
		b.Requires = []string{"setuptools>=40.8.0"}
	}
	if err := plainRequirements(name, b.Requires); err != nil {
		return backend{}, err
	}
	if b.Backend == "" {
		b.Backend = "setuptools.build_meta:__legacy__"
	}
	return b, nil
}

// plainRequirements refuses what would not be a requirement, but an option, in
// the file that uv is given.
func plainRequirements(name string, list []string) error {
	for _, r := range list {
		if strings.HasPrefix(strings.TrimSpace(r), "-") || strings.ContainsAny(r, "\r\n\x00") {
			return fault.New(fault.Dependency, "choose another version of "+name, "building %s needs %q, which is no requirement", name, project.Clip(r))
		}
	}
	return nil
}

// source is what a wheel is built of.
type source struct {
	name    string
	version string     // "" where unknown
	tree    *tree.Tree // the files, or one archive
	archive string     // name of the archive in tree; "" where tree is the files
	sub     string     // directory of the project in it
	backend backend
}

// buildDir builds a wheel of a directory of the project.
func (j *job) buildDir(ctx context.Context, name, dir string, stack ...string) (*wheel, error) {
	all, err := j.sourceTree()
	if err != nil {
		return nil, err
	}
	var entries []tree.Entry
	for e := range all.All() {
		rel, below := strings.CutPrefix(e.Path, dir+"/")
		if dir == "." {
			rel, below = e.Path, true
		}
		if below {
			e.Path = rel
			entries = append(entries, e)
		}
	}
	t, err := tree.New(entries...)
	if err != nil {
		return nil, err
	}
	s := source{name: name, tree: t}
	if dir == "." {
		s.version = j.p.Version
	}
	var py []byte
	if e, ok := t.Resolve("pyproject.toml"); ok {
		if py, err = e.ReadAll(maxMember); err != nil {
			return nil, err
		}
	} else if _, ok := t.Resolve("setup.py"); !ok {
		return nil, fault.New(fault.Dependency, "see that the directory is there and that no pattern leaves it out", "%s cannot be built: %s has neither pyproject.toml nor setup.py", name, dir)
	}
	if s.backend, err = backendOf(name, py); err != nil {
		return nil, err
	}
	return j.build(ctx, s, stack)
}

// buildSdist builds a wheel of a source distribution.
func (j *job) buildSdist(ctx context.Context, c choice, b cas.Blob, stack []string) (*wheel, error) {
	e := j.o.Cache.Entry(c.sdist.name, 0o644, b, tree.Origin{Kind: tree.Dist, Name: c.name, Version: c.version})
	py, err := memberOf(e, path.Join(c.sdist.sub, "pyproject.toml"))
	if err != nil {
		return nil, fault.Wrap(err, fault.Dependency, "choose another version of "+c.name, "reading %s", c.sdist.name)
	}
	t, err := tree.New(e)
	if err != nil {
		return nil, err
	}
	s := source{name: c.name, version: c.version, tree: t, archive: c.sdist.name, sub: c.sdist.sub}
	if s.backend, err = backendOf(c.name, py); err != nil {
		return nil, err
	}
	return j.build(ctx, s, stack)
}

// build builds a wheel without network. What the backend asks for is resolved
// and pinned by hash before, in steps and downloads of their own; a backend
// that asks for more while it builds is asked what, and built again.
func (j *job) build(ctx context.Context, s source, stack []string) (*wheel, error) {
	if slices.Contains(stack, s.name) || len(stack) >= maxStack {
		return nil, fault.New(fault.Dependency, "choose a version that has a wheel", "building %s needs %s, built from sources too", strings.Join(stack, ", which needs "), s.name)
	}
	stack = append(slices.Clip(stack), s.name)
	requires := s.backend.Requires
	for range maxRounds {
		tools, err := j.backendWheels(ctx, s.name, requires, stack)
		if err != nil {
			return nil, err
		}
		w, err := j.buildWith(ctx, s, tools)
		failed, ok := errors.AsType[*engine.StepError](err)
		if !ok {
			return w, err
		}
		more, hookErr := j.askBackend(ctx, s, tools)
		if hookErr != nil {
			more = nil // it fails for the same reason as the build, which is told
		}
		wider := slices.Compact(slices.Sorted(slices.Values(slices.Concat(requires, more))))
		if len(wider) == len(slices.Compact(slices.Sorted(slices.Values(requires)))) {
			return nil, j.buildFault(s, failed)
		}
		requires = wider
	}
	return nil, fault.New(fault.Dependency, "choose a version that has a wheel", "building %s: its build backend asks for more again and again", s.name)
}

// backendWheels resolves and gets what a build needs.
func (j *job) backendWheels(ctx context.Context, name string, requires, stack []string) ([]wheel, error) {
	if len(requires) == 0 {
		return nil, nil
	}
	list, err := j.compile(ctx, question{doing: "resolving what building " + name + " needs", text: strings.Join(requires, "\n") + "\n", build: true})
	if err != nil {
		return nil, err
	}
	choices, err := choose(list, j.tags, j.target())
	if err != nil {
		return nil, err
	}
	return j.wheels(ctx, choices, stack)
}

// buildWith builds a wheel with the wheels that its backend needs.
func (j *job) buildWith(ctx context.Context, s source, tools []wheel) (*wheel, error) {
	j.say("building %s", s.name)
	step, err := j.buildStep("building "+s.name, "wheel", s, tools)
	if err != nil {
		return nil, err
	}
	out, err := j.runBuild(ctx, s.name, step)
	if err != nil {
		return nil, err
	}
	for e := range out.All() {
		if !e.IsRegular() || !strings.HasSuffix(e.Path, ".whl") {
			continue
		}
		file := path.Base(e.Path)
		name, err := parseWheelName(file)
		if err != nil {
			return nil, fault.Wrap(err, fault.Dependency, "choose another version of "+s.name, "building %s", s.name)
		}
		if name.name != s.name && s.name == j.p.Name {
			return nil, fault.New(fault.Project, "write it as name in [project] of pyproject.toml", "the project is called %s, but its wheel %s", s.name, name.name)
		}
		if name.name != s.name {
			return nil, fault.New(fault.Dependency, "correct its name where it is required", "building %s gave a wheel of %s", s.name, name.name)
		}
		return &wheel{Name: s.name, Version: name.version, File: file, Blob: cas.Blob{Sum: e.Sum, Size: e.Size}}, nil
	}
	return nil, fault.New(fault.Dependency, "choose a version that has a wheel", "building %s gave no wheel", s.name)
}

// runBuild runs a step of a build; where that fails it is tried again with a
// compiler, if there is one. What has to be built, or names packages to be built
// with, has that at once.
func (j *job) runBuild(ctx context.Context, name string, s step) (*tree.Tree, error) {
	var failure error
	if !slices.Contains(j.sources, name) && len(j.p.Settings.BuildPackages) == 0 {
		out, err := j.run(ctx, s)
		if _, ok := errors.AsType[*engine.StepError](err); !ok || j.o.Compiler == nil {
			return out, err
		}
		failure = err
	}
	compiler := &tree.Tree{}
	if j.o.Compiler != nil {
		var err error
		if compiler, err = j.o.Compiler(ctx); err != nil {
			return nil, err
		}
	}
	if compiler.Len() == 0 && failure != nil {
		return nil, failure
	}
	var err error
	if s.trees["system"], err = tree.Overlay(j.b.Tree, compiler); err != nil {
		return nil, fmt.Errorf("putting a compiler on %s: %w", j.b.Ref, err)
	}
	return j.run(ctx, s)
}

// buildStep runs the helper script on a copy of the sources.
func (j *job) buildStep(doing, mode string, s source, tools []wheel) (step, error) {
	config, err := json.Marshal(map[string]any{
		"mode": mode, "uv": uvAt + "/uv", "python": "/" + j.rt.Exe, "source": sourceAt, "archive": s.archive, "sub": s.sub,
		"wheels": wheelsAt, "out": outAt, "backend": s.backend,
	})
	if err != nil {
		return step{}, err
	}
	helper, err := tree.New(
		tree.File("build.py", 0o644, buildScript, tree.Origin{Kind: tree.Made, Name: "install"}),
		tree.File("config.json", 0o644, config, tree.Origin{Kind: tree.Made, Name: "install"}),
	)
	if err != nil {
		return step{}, err
	}
	wheels, err := j.wheelTree(tools)
	if err != nil {
		return step{}, err
	}
	st := j.uvStep(doing)
	st.Args = []string{"/" + j.rt.Exe, "-s", helperAt + "/build.py", helperAt + "/config.json"}
	st.Env = append(st.Env, "UV_OFFLINE=1", "UV_NO_INDEX=1")
	st.Limit = buildLimit
	st.with("source", sourceAt, s.tree)
	st.with("wheels", wheelsAt, wheels)
	st.with("helper", helperAt, helper)
	return st, nil
}

// askBackend asks a build backend what else it needs (PEP 517's
// get_requires_for_build_wheel).
func (j *job) askBackend(ctx context.Context, s source, tools []wheel) ([]string, error) {
	st, err := j.buildStep("asking the build backend of "+s.name, "requires", s, tools)
	if err != nil {
		return nil, err
	}
	out, err := j.runBuild(ctx, s.name, st)
	if err != nil {
		return nil, err
	}
	data, err := outFile(out, "requires.json")
	if err != nil {
		return nil, err
	}
	var more []string
	if err := json.Unmarshal(data, &more); err != nil {
		return nil, fmt.Errorf("reading what the build backend of %s asks for: %w", s.name, err)
	}
	return more, plainRequirements(s.name, more)
}

// buildFault makes an error for the user of a failed build: its last lines
// say what the backend said.
func (j *job) buildFault(s source, failed *engine.StepError) error {
	hint := "choose a version of " + s.name + ` that has a wheel, or name the Debian packages that it is built with: [tool.exuvia] build-packages = ["libpq-dev"]`
	if s.name == j.p.Name {
		hint = "see that the project builds: uv build --wheel"
	}
	if strings.Contains(failed.Output, "setuptools_scm") || strings.Contains(failed.Output, "setuptools-scm") || strings.Contains(failed.Output, "hatch_vcs") || strings.Contains(failed.Output, "versioningit") {
		hint = "the version comes from git, which is not there in a build: write it down in [project]"
	}
	what := s.name
	if s.version != "" {
		what += " " + s.version
	}
	return &fault.Error{
		Kind: fault.Dependency, What: fmt.Sprintf("%s cannot be built: %s", what, project.Clip(engine.LastLines(failed.Output, 1))), Hint: hint,
		Said: failed.Output,
	}
}

// openZip reads a zip archive of the cache.
func openZip(e tree.Entry) (*zip.Reader, error) {
	data, err := e.ReadAll(maxZip)
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.Path, err)
	}
	if len(z.File) > maxMembers {
		return nil, fmt.Errorf("reading %s: more than %d files", e.Path, maxMembers)
	}
	return z, nil
}

// maxZip bounds archives that are read into memory, in bytes.
const maxZip = 1 << 30

// memberOf reads a file below the only top directory of a source
// distribution; nil where it has none.
func memberOf(e tree.Entry, name string) ([]byte, error) {
	is := func(member string) bool {
		_, rest, ok := strings.Cut(strings.TrimPrefix(path.Clean(member), "./"), "/")
		return ok && rest == name
	}
	if strings.HasSuffix(e.Path, ".zip") {
		z, err := openZip(e)
		if err != nil {
			return nil, err
		}
		for _, f := range z.File {
			if !is(f.Name) {
				continue
			}
			return readMember(f)
		}
		return nil, nil
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	plain, err := decompress(e.Path, r)
	if err != nil {
		return nil, err
	}
	t := tar.NewReader(io.LimitReader(plain, maxArchive))
	for range maxMembers {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg && is(h.Name) {
			return bounded(t, h.Name)
		}
	}
	return nil, fmt.Errorf("more than %d files", maxMembers)
}

func readMember(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return bounded(r, f.Name)
}

func bounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxMember+1))
	if err == nil && len(data) > maxMember {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxMember)
	}
	return data, err
}

// decompress reads the kinds of archives that source distributions come in.
func decompress(name string, r io.Reader) (io.Reader, error) {
	switch {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return gzip.NewReader(r)
	case strings.HasSuffix(name, ".tar.bz2"):
		return bzip2.NewReader(r), nil
	case strings.HasSuffix(name, ".tar.xz"):
		return xz.NewReader(r)
	case strings.HasSuffix(name, ".tar"):
		return r, nil
	}
	return nil, fmt.Errorf("%s is no archive that is known", name)
}
