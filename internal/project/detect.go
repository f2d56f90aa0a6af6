package project

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// maxText bounds every file that is read as text: locks are the largest, and
// ones of 10 MB have been seen.
const maxText = 64 << 20

// Options are what Detect needs beside the path.
type Options struct {
	Cache     *cas.Store
	Overrides Settings // of the command line; they win over the project's
	Dir       string   // what a relative path is relative to; "" is the working directory
}

// detection is one run of Detect.
type detection struct {
	o    Options
	root *os.Root
	p    *Project
	py   pyproject
}

// Detect finds out what is at path, a directory or a Python script. It runs
// nothing. What the project gets wrong, and what cannot be decided, is a
// [*fault.Error] of kind Project; the hint of the latter has the choices and
// the flag that makes one.
func Detect(ctx context.Context, name string, o Options) (*Project, error) {
	if o.Dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(o.Dir, name)
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Project, "give a project directory or a .py file", "%s does not exist", name)
	case err != nil:
		return nil, fault.Wrap(err, fault.Project, "give a project directory or a .py file that can be read", "looking at the project")
	}
	dir, file := name, ""
	if !fi.IsDir() {
		dir, file = filepath.Split(name)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Project, "give a project directory that can be read", "opening the project")
	}
	defer root.Close()
	d := &detection{o: o, root: root, p: &Project{Dir: filepath.Clean(dir)}}
	switch {
	case strings.HasSuffix(file, ".py"):
		return d.script(ctx, file)
	case file != "" && file != "pyproject.toml":
		return nil, fault.New(fault.Project, "give a project directory or a .py file", "%s is neither a directory nor a Python script", name)
	}
	return d.directory(ctx)
}

// directory detects a project directory.
func (d *detection) directory(ctx context.Context) (*Project, error) {
	doc := document{name: "pyproject.toml"}
	if d.has(doc.name) {
		var err error
		if doc.data, err = d.read(doc.name); err != nil {
			return nil, err
		}
	}
	if err := doc.decode(&d.py); err != nil {
		return nil, err
	}
	settings, err := readSettings(doc)
	if err != nil {
		return nil, err
	}
	if err := d.settle(settings); err != nil {
		return nil, err
	}
	if err := d.describe(); err != nil {
		return nil, err
	}
	if err := d.form(); err != nil {
		return nil, err
	}
	if err := d.groupsAndExtras(); err != nil {
		return nil, err
	}
	if err := d.name(filepath.Base(d.p.Dir)); err != nil {
		return nil, err
	}
	if err := d.python(); err != nil {
		return nil, err
	}
	if d.p.Files, err = d.files(ctx); err != nil {
		return nil, err
	}
	if d.p.Sources, err = d.sources(); err != nil {
		return nil, err
	}
	if d.p.Observations, err = d.observations(); err != nil {
		return nil, err
	}
	if d.p.Form == Bare && !d.hasPython() {
		return nil, fault.New(fault.Project, "give a directory with a pyproject.toml, a requirements.txt or a .py file", "no Python project in %s", d.p.Dir)
	}
	return d.p, d.entries()
}

// script detects a single file: it alone goes into the image.
func (d *detection) script(ctx context.Context, file string) (*Project, error) {
	data, err := d.read(file)
	if err != nil {
		return nil, err
	}
	p := d.p
	p.ScriptFile, p.Form = file, Bare
	doc, ok, err := inlineMetadata(file, data)
	if err != nil {
		return nil, err
	}
	var settings Settings
	if ok {
		var meta inline
		if err := doc.decode(&meta); err != nil {
			return nil, err
		}
		if settings, err = readSettings(doc); err != nil {
			return nil, err
		}
		p.Form, p.DependencyFile, p.RequiresPython = Script, file, meta.RequiresPython
		if lock := file + ".lock"; d.has(lock) {
			p.DependencyFile = lock
		}
	}
	if err := d.settle(settings); err != nil {
		return nil, err
	}
	if err := d.choose(nil, nil); err != nil {
		return nil, err
	}
	if err := d.name(strings.TrimSuffix(file, ".py")); err != nil {
		return nil, err
	}
	if err := d.python(); err != nil {
		return nil, err
	}
	if p.Files, err = d.keepAll(ctx, p.origin(), file); err != nil {
		return nil, err
	}
	if p.Observations, err = d.observations(); err != nil {
		return nil, err
	}
	if p.Sources, err = d.sources(); err != nil {
		return nil, err
	}
	if ok { // its code states no dependency, so that changing it changes none
		if p.Sources, err = p.Sources.With(tree.File(file, 0o644, doc.block, p.origin())); err != nil {
			return nil, err
		}
	}
	if len(p.Settings.Entry) == 0 {
		p.Settings.Entry = []string{file}
	}
	return p, d.entries()
}

// settle merges the settings and checks them.
func (d *detection) settle(s Settings) error {
	d.p.Settings = Merge(s, d.o.Overrides)
	return d.p.Settings.Check()
}

// form finds how the dependencies are stated.
func (d *detection) form() error {
	p := d.p
	locked, err := d.pylock()
	if err != nil {
		return err
	}
	forms := []struct {
		form Form
		file string
		has  bool
	}{
		{UVLock, "uv.lock", d.has("uv.lock")},
		{PyLock, locked, locked != ""},
		{PoetryLock, "poetry.lock", d.has("poetry.lock")},
		{Requirements, "requirements.txt", d.has("requirements.txt")},
		{PyProject, "pyproject.toml", d.has("pyproject.toml") && d.dependencies()},
		{PyProject, "setup.py", d.has("setup.py")},
		{Bare, "", true},
	}
	for _, f := range forms {
		if f.has {
			p.Form, p.DependencyFile = f.form, f.file
			break
		}
	}
	switch {
	case p.Form == UVLock && d.py.Project == nil:
		return fault.New(fault.Project, "add the pyproject.toml that it was made from", "uv.lock has no pyproject.toml with a [project] table beside it")
	case p.Form == PyProject && d.py.Project == nil && d.py.Tool.Poetry != nil && !p.BuildSystem:
		return fault.New(fault.Project, "run: poetry lock", "a Poetry project that is no package needs a poetry.lock")
	case p.Form == Bare, p.Form == PyProject && p.DependencyFile == "pyproject.toml":
		return d.elsewhere()
	}
	return nil
}

// pylock finds a lock file of PEP 751: pylock.toml, or the only pylock.*.toml.
func (d *detection) pylock() (string, error) {
	if d.has("pylock.toml") {
		return "pylock.toml", nil
	}
	named, err := fs.Glob(d.root.FS(), "pylock.*.toml")
	switch {
	case err != nil || len(named) == 0:
		return "", err
	case len(named) == 1:
		return named[0], nil
	case d.has("uv.lock"): // is better than any of them
		return "", nil
	}
	return "", fault.New(fault.Project, "copy the one that is meant to pylock.toml", "cannot tell which lock is meant: %s", strings.Join(named, ", "))
}

// elsewhere refuses to leave out dependencies that are stated where exuvia
// does not read them.
func (d *detection) elsewhere() error {
	if member, at := d.workspaceMember(); member && d.p.Form == PyProject {
		return fault.New(fault.Project, fmt.Sprintf("in %s run: uv export --package %s --format pylock.toml -o %s", at, d.p.Name, filepath.Join(d.p.Dir, "pylock.toml")),
			"%s is a member of the uv workspace %s, whose uv.lock is not its own", d.p.Dir, at)
	}
	if d.p.Form != Bare {
		return nil
	}
	if d.has("Pipfile") || d.has("Pipfile.lock") {
		return fault.New(fault.Project, "run: pipenv requirements --hash > requirements.txt", "dependencies stated in a Pipfile cannot be read")
	}
	if d.has("environment.yml") || d.has("environment.yaml") {
		return fault.New(fault.Project, "state what pip can install in a requirements.txt", "dependencies stated in a conda environment cannot be read")
	}
	var found []string
	for _, pattern := range []string{"requirements*.txt", "requirements*.in", "requirements/*.txt", "requirements/*.in"} {
		m, err := fs.Glob(d.root.FS(), pattern)
		if err != nil {
			return err
		}
		found = append(found, m...)
	}
	if len(found) == 0 {
		return nil
	}
	return fault.New(fault.Project, `name the one that is meant in a requirements.txt: "-r `+found[0]+`"`,
		"cannot tell which requirements are meant: %s", strings.Join(found, ", "))
}

// workspaceMember reports whether a directory above holds a uv workspace that
// this project is a member of.
func (d *detection) workspaceMember() (bool, string) {
	rel := ""
	for dir := d.p.Dir; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if rel != "" {
			var py struct {
				Tool struct {
					UV struct {
						Workspace struct {
							Members []string `toml:"members"`
							Exclude []string `toml:"exclude"`
						} `toml:"workspace"`
					} `toml:"uv"`
				} `toml:"tool"`
			}
			if data, err := readBounded(filepath.Join(dir, "pyproject.toml")); err == nil && (document{data: data}).decode(&py) == nil {
				is := func(pattern string) bool { ok, err := path.Match(path.Clean(pattern), rel); return err == nil && ok }
				w := py.Tool.UV.Workspace
				if slices.ContainsFunc(w.Members, is) && !slices.ContainsFunc(w.Exclude, is) {
					return true, dir
				}
			}
		}
		rel = path.Join(filepath.Base(dir), rel)
	}
	return false, ""
}

func readBounded(name string) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxText {
		return nil, fmt.Errorf("%s: not a file, or too large", name)
	}
	return os.ReadFile(name)
}

// name settles the project's name.
func (d *detection) name(fallback string) error {
	d.p.Name = Normalise(cmp.Or(d.p.Name, fallback))
	if d.p.Name = strings.Trim(d.p.Name, "-"); !validName.MatchString(d.p.Name) {
		cleaned := strings.Trim(Normalise(strings.Map(plain, d.p.Name)), "-")
		if d.py.Project != nil && d.py.Project.Name != "" || cleaned == "" {
			return fault.New(fault.Project, "give a name of letters, digits and dashes in [project] of pyproject.toml", "%q is no name for a project", Clip(d.p.Name))
		}
		d.p.Name = cleaned
	}
	return nil
}

// plain replaces what a name cannot have; directories are called anything.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// python settles which versions of Python will do.
func (d *detection) python() error {
	p := d.p
	if _, err := Satisfies(p.RequiresPython, "3.11"); err != nil {
		return fault.Wrap(err, fault.Project, `write requires-python as in ">=3.11,<3.14"`, "reading requires-python")
	}
	p.PythonPin = p.Settings.Python
	from := "--python"
	if p.PythonPin == "" && d.has(".python-version") {
		data, err := d.read(".python-version")
		if err != nil {
			return err
		}
		if p.PythonPin, err = readPin(string(data)); err != nil {
			return err
		}
		from = ".python-version"
	}
	if p.PythonPin == "" {
		return nil
	}
	ok, err := Satisfies(p.RequiresPython, p.PythonPin)
	if err == nil && !ok {
		err = fault.New(fault.Project, "change one of the two, or choose with --python", "%s wants Python %s, requires-python is %q", from, p.PythonPin, p.RequiresPython)
	}
	return err
}

// has reports whether the project has a regular file of that name.
func (d *detection) has(name string) bool {
	fi, err := d.root.Stat(name)
	return err == nil && fi.Mode().IsRegular()
}

// read reads a file that has to be text of a sane size.
func (d *detection) read(name string) ([]byte, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.Project, "make it a readable file inside the project", "reading %s", name)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxText {
		return nil, fault.New(fault.Project, "make it a text file of a sane size", "%s is no file, or one of more than %d bytes", name, maxText)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		return nil, fault.Wrap(err, fault.Project, "check the file", "reading %s", name)
	}
	return data, nil
}

func (d *detection) hasPython() bool {
	for e := range d.p.Files.All() {
		if e.IsRegular() && strings.HasSuffix(e.Path, ".py") {
			return true
		}
	}
	return false
}

// origin is that of the project's files.
func (p *Project) origin() tree.Origin {
	return tree.Origin{Kind: tree.Project, Name: p.Name, Version: p.Version}
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func normalised(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, Normalise(s))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// chosen checks names of the settings against those that the project has.
func chosen(what string, want, have []string) ([]string, error) {
	known := normalised(have)
	want = normalised(want)
	for _, w := range want {
		if slices.Contains(known, w) {
			continue
		}
		hint := fmt.Sprintf("the project has no %ss; leave out --%ss", what, what)
		if len(known) > 0 {
			hint = fmt.Sprintf("choose with --%ss from: %s", what, strings.Join(known, ", "))
		}
		return nil, fault.New(fault.Project, hint, "no %s is called %q", what, Clip(w))
	}
	return want, nil
}
