package install

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
	"exuvia/internal/project"
)

// poetryLock is what is read of a poetry.lock, of lock-version 1.1 to 2.1.
type poetryLock struct {
	Packages []poetryPackage     `toml:"package"`
	Extras   map[string][]string `toml:"extras"`
	Metadata struct {
		Version string                  `toml:"lock-version"`
		Files   map[string][]poetryFile `toml:"files"` // before 2.0
	} `toml:"metadata"`
}

type poetryPackage struct {
	Name         string         `toml:"name"`
	Version      string         `toml:"version"`
	Optional     bool           `toml:"optional"`
	Groups       []string       `toml:"groups"`  // from 2.1
	Markers      any            `toml:"markers"` // from 2.1: one, or one a group
	Files        []poetryFile   `toml:"files"`
	Dependencies map[string]any `toml:"dependencies"`
	Source       struct {
		Type string `toml:"type"`
		URL  string `toml:"url"`
	} `toml:"source"`
}

type poetryFile struct {
	File string `toml:"file"`
	Hash string `toml:"hash"` // "sha256:…"
}

// versionText are the characters of a version (PEP 440); more would be able to
// add an option to the requirements that uv is given.
var versionText = regexp.MustCompile(`^[A-Za-z0-9.!+_-]{1,200}$`)

// poetryRoots is what pyproject.toml asks for in Poetry's own table.
type poetryRoots struct {
	Tool struct {
		Poetry struct {
			Dependencies map[string]any      `toml:"dependencies"`
			Dev          map[string]any      `toml:"dev-dependencies"`
			Extras       map[string][]string `toml:"extras"`
			Groups       map[string]struct {
				Dependencies map[string]any `toml:"dependencies"`
			} `toml:"group"`
		} `toml:"poetry"`
	} `toml:"tool"`
}

// poetry reads a poetry.lock, which uv does not, and asks uv for the addresses
// of what it pins, which the lock does not have.
func (j *job) poetry(ctx context.Context) ([]locked, error) {
	data, err := j.source("poetry.lock")
	if err != nil {
		return nil, err
	}
	var roots poetryRoots
	if py, err := j.source("pyproject.toml"); err == nil {
		if err := toml.Unmarshal(py, &roots); err != nil {
			return nil, fault.Wrap(err, fault.Project, "correct pyproject.toml", "reading pyproject.toml")
		}
	}
	chosen, err := readPoetry(data, roots, j.env)
	if err != nil {
		return nil, err
	}
	return j.pinned(ctx, chosen)
}

// readPoetry gives the packages of a poetry.lock that the target needs.
func readPoetry(data []byte, roots poetryRoots, env environment) ([]poetryPackage, error) {
	const again = "run poetry lock again, with a current Poetry"
	var lock poetryLock
	if err := toml.Unmarshal(data, &lock); err != nil {
		return nil, fault.Wrap(err, fault.Project, again, "reading poetry.lock")
	}
	if v := lock.Metadata.Version; !strings.HasPrefix(v, "1.") && !strings.HasPrefix(v, "2.") {
		return nil, fault.New(fault.Project, again, "poetry.lock has lock-version %q", project.Clip(v))
	}
	hasGroups := false
	for i := range lock.Packages {
		p := &lock.Packages[i]
		if p.Files == nil {
			p.Files = lock.Metadata.Files[p.Name]
		}
		p.Name = project.Normalise(p.Name)
		if !distName.MatchString(p.Name) || !versionText.MatchString(p.Version) || strings.ContainsAny(p.Source.URL, " \t\r\n") {
			return nil, fault.New(fault.Project, again, "poetry.lock has the package %q, version %q", project.Clip(p.Name), project.Clip(p.Version))
		}
		hasGroups = hasGroups || p.Groups != nil
	}
	var out []poetryPackage
	var err error
	if hasGroups {
		out, err = lock.byGroup(env)
	} else {
		out, err = lock.byNeed(roots, env)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Project, again, "reading poetry.lock")
	}
	return out, nil
}

// byGroup chooses by the groups and markers that a lock of version 2.1 has.
func (lock *poetryLock) byGroup(env environment) ([]poetryPackage, error) {
	var out []poetryPackage
	for _, p := range lock.Packages {
		wanted := false
		for _, g := range p.Groups {
			if g = project.Normalise(g); g != "main" && !slices.Contains(env.groups, g) {
				continue
			}
			marker, _ := p.Markers.(string)
			if table, ok := p.Markers.(map[string]any); ok {
				marker, _ = table[g].(string)
			}
			ok, err := env.holds(marker)
			if err != nil {
				return nil, err
			}
			wanted = wanted || ok && (!p.Optional || strings.Contains(marker, "extra") || lock.inExtras(p.Name, env.extras))
		}
		if wanted {
			out = append(out, p)
		}
	}
	return out, nil
}

// inExtras reports whether one of the extras asks for a package.
func (lock *poetryLock) inExtras(name string, extras []string) bool {
	for extra, members := range lock.Extras {
		is := func(m string) bool {
			m, _, _ = strings.Cut(m, " ")
			return project.Normalise(m) == name
		}
		if slices.Contains(extras, project.Normalise(extra)) && slices.ContainsFunc(members, is) {
			return true
		}
	}
	return false
}

// need is one dependency as Poetry writes it.
type need struct {
	version, markers, python string
	optional                 bool
	extras                   []string
}

// needs understands the ways to write a dependency: a version, a table, or a
// list of tables of which those apply whose markers hold.
func needs(v any) []need {
	switch v := v.(type) {
	case string:
		return []need{{version: v}}
	case []any:
		var out []need
		for _, e := range v {
			out = append(out, needs(e)...)
		}
		return out
	case map[string]any:
		n := need{}
		n.version, _ = v["version"].(string)
		n.markers, _ = v["markers"].(string)
		n.python, _ = v["python"].(string)
		n.optional, _ = v["optional"].(bool)
		list, _ := v["extras"].([]any)
		for _, e := range list {
			if s, ok := e.(string); ok {
				n.extras = append(n.extras, project.Normalise(s))
			}
		}
		return []need{n}
	}
	return nil
}

// byNeed walks an older lock from what pyproject.toml asks for.
func (lock *poetryLock) byNeed(roots poetryRoots, env environment) ([]poetryPackage, error) {
	root := roots.Tool.Poetry
	if len(root.Dependencies) == 0 {
		return nil, fmt.Errorf("it says of no package which group it is for, and pyproject.toml has no [tool.poetry.dependencies]")
	}
	w := &poetryWalk{lock: lock, env: env, extras: make(map[int][]string)}
	top := poetryLock{Extras: root.Extras}
	for _, name := range sortedKeys(root.Dependencies) {
		for _, n := range needs(root.Dependencies[name]) {
			if n.optional && !top.inExtras(project.Normalise(name), env.extras) {
				continue
			}
			if err := w.add(name, n, env.extras); err != nil {
				return nil, err
			}
		}
	}
	groups := []map[string]any{}
	for name, g := range root.Groups {
		if slices.Contains(env.groups, project.Normalise(name)) {
			groups = append(groups, g.Dependencies)
		}
	}
	if slices.Contains(env.groups, "dev") {
		groups = append(groups, root.Dev)
	}
	for _, g := range groups {
		if err := w.addAll(g, nil); err != nil {
			return nil, err
		}
	}
	var out []poetryPackage
	for _, i := range slices.Sorted(maps.Keys(w.extras)) {
		out = append(out, lock.Packages[i])
	}
	return out, nil
}

// poetryWalk follows dependencies through a lock.
type poetryWalk struct {
	lock   *poetryLock
	env    environment
	extras map[int][]string // place in the lock → extras it was asked for with
}

func (w *poetryWalk) addAll(deps map[string]any, extras []string) error {
	for _, name := range sortedKeys(deps) {
		for _, n := range needs(deps[name]) {
			if err := w.add(name, n, extras); err != nil {
				return err
			}
		}
	}
	return nil
}

// add follows one dependency of a package that was asked for with extras.
func (w *poetryWalk) add(name string, n need, extras []string) error {
	if name = project.Normalise(name); name == "python" {
		return nil
	}
	env := w.env
	env.extras = extras
	if ok, err := env.holds(n.markers); err != nil || !ok {
		return err
	}
	python, err := project.PoetryConstraint(n.python)
	if err != nil {
		return err
	}
	if ok, err := project.Satisfies(python, env.vars["python_full_version"]); err != nil || !ok {
		return err
	}
	i, err := w.find(name, n.version)
	if err != nil {
		return err
	}
	before, seen := w.extras[i]
	now := slices.Compact(slices.Sorted(slices.Values(slices.Concat(before, n.extras))))
	if seen && len(now) == len(before) {
		return nil
	}
	w.extras[i] = now
	return w.addAll(w.lock.Packages[i].Dependencies, now)
}

// find gives the place of the locked package that a dependency means.
func (w *poetryWalk) find(name, version string) (int, error) {
	found := -1
	for i, p := range w.lock.Packages {
		if p.Name != name {
			continue
		}
		if found < 0 {
			found = i
			continue
		}
		specs, err := project.PoetryConstraint(version) // several versions: the one that fits
		if err != nil {
			return 0, err
		}
		if ok, err := project.Satisfies(specs, p.Version); err == nil && ok {
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("it lacks %s", name)
	}
	return found, nil
}

// pinned finds the files of packages that are pinned by version and hash.
func (j *job) pinned(ctx context.Context, packages []poetryPackage) ([]locked, error) {
	var out []locked
	var b strings.Builder
	// Any index may serve a file: its hash says whether it is the one.
	q := question{doing: "finding what poetry.lock names", pinned: true, args: []string{"--index-strategy", "unsafe-best-match"}}
	allowed := make(map[string][]string)
	for _, p := range packages {
		for _, f := range p.Files {
			if sum, ok := strings.CutPrefix(f.Hash, "sha256:"); ok {
				allowed[p.Name] = append(allowed[p.Name], strings.ToLower(sum))
			}
		}
		switch p.Source.Type {
		case "", "legacy", "pypi":
			fmt.Fprintf(&b, "%s==%s\n", p.Name, p.Version)
		case "url":
			fmt.Fprintf(&b, "%s @ %s\n", p.Name, p.Source.URL)
		case "directory":
			if path.IsAbs(p.Source.URL) || strings.HasPrefix(path.Clean(p.Source.URL), "..") {
				return nil, fault.New(fault.Dependency, "move it into the project, or build the directory that holds both", "%s is in %s, outside the project", p.Name, project.Clip(p.Source.URL))
			}
			out = append(out, locked{name: p.Name, dir: path.Clean(p.Source.URL)})
		case "file":
			f, err := pylockFile{Path: p.Source.URL, Hashes: map[string]string{"sha256": strings.Join(allowed[p.Name], "")}}.file(".")
			if err != nil {
				return nil, err
			}
			l := locked{name: p.Name, version: p.Version}
			if strings.HasSuffix(f.name, ".whl") {
				l.wheels = []file{f}
			} else {
				l.sdist = &f
			}
			out = append(out, l)
		default:
			return nil, gitFault(p.Name, p.Source.URL)
		}
	}
	if q.text = b.String(); q.text == "" {
		return out, nil
	}
	list, err := j.compile(ctx, q)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].allowed = allowed[list[i].name]; list[i].allowed == nil {
			return nil, fault.New(fault.Integrity, "run poetry lock again", "poetry.lock has no SHA-256 hash for %s", list[i].name)
		}
	}
	return append(out, list...), nil
}
