package install

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
	"exuvia/internal/project"
)

// maxLock bounds a lock file, in bytes.
const maxLock = 64 << 20

// locked is one package of a lock. Every form of lock becomes a list of them.
type locked struct {
	name    string // normalised
	version string // "" where only building it tells
	wheels  []file
	sdist   *file
	dir     string   // a directory of the project, "." for its own; "" where it is none
	allowed []string // where not nil: the only SHA-256 sums that will do
}

// file is a distribution file of a lock.
type file struct {
	name string // of the file, without directories
	url  string // "" where path is set
	path string // of the project
	size int64  // bytes, 0 where unknown
	algo string // "sha256", "sha384", "sha512"
	sum  string // hex
	sub  string // subdirectory with the project, of an sdist
}

// The TOML form of PEP 751, as far as it is needed.
type (
	pylock struct {
		Version        string          `toml:"lock-version"`
		RequiresPython string          `toml:"requires-python"`
		Environments   []string        `toml:"environments"`
		Extras         []string        `toml:"extras"`
		Groups         []string        `toml:"dependency-groups"`
		DefaultGroups  []string        `toml:"default-groups"`
		Packages       []pylockPackage `toml:"packages"`
	}
	pylockPackage struct {
		Name           string       `toml:"name"`
		Version        string       `toml:"version"`
		Marker         string       `toml:"marker"`
		RequiresPython string       `toml:"requires-python"`
		VCS            *pylockVCS   `toml:"vcs"`
		Directory      *pylockDir   `toml:"directory"`
		Archive        *pylockFile  `toml:"archive"`
		Sdist          *pylockFile  `toml:"sdist"`
		Wheels         []pylockFile `toml:"wheels"`
	}
	pylockVCS struct {
		URL string `toml:"url"`
	}
	pylockDir struct {
		Path         string `toml:"path"`
		Subdirectory string `toml:"subdirectory"`
	}
	pylockFile struct {
		Name         string            `toml:"name"`
		URL          string            `toml:"url"`
		Path         string            `toml:"path"`
		Size         int64             `toml:"size"`
		Hashes       map[string]string `toml:"hashes"`
		Subdirectory string            `toml:"subdirectory"`
	}
)

// readPylock reads a lock of PEP 751 and gives the packages that the target
// needs. Name is for messages; at is the directory that paths are relative to.
func readPylock(name string, data []byte, at string, env environment) ([]locked, error) {
	var doc pylock
	if err := toml.Unmarshal(data, &doc); err != nil {
		return nil, fault.Wrap(err, fault.Project, "make the lock anew", "reading %s", name)
	}
	if v, _, _ := strings.Cut(doc.Version, "."); v != "1" {
		return nil, fault.New(fault.Project, "make a lock of version 1.0", "%s has lock-version %q", name, doc.Version)
	}
	if ok, err := project.Satisfies(doc.RequiresPython, env.vars["python_full_version"]); err != nil {
		return nil, fault.Wrap(err, fault.Project, "make the lock anew", "reading %s", name)
	} else if !ok {
		return nil, fault.New(fault.Project, "choose another with --python, or make the lock anew", "%s is for Python %s, not %s", name, doc.RequiresPython, env.vars["python_full_version"])
	}
	if err := doc.settle(name, &env); err != nil {
		return nil, err
	}
	var out []locked
	for i, p := range doc.Packages {
		ok, err := env.holds(p.Marker)
		if err != nil {
			return nil, fault.Wrap(err, fault.Project, "make the lock anew", "reading %s", name)
		}
		if !ok {
			continue
		}
		l, err := p.locked(at)
		if err != nil {
			return nil, fmt.Errorf("%s, package %d: %w", name, i+1, err)
		}
		out = append(out, l)
	}
	return out, twice(name, out)
}

// settle checks the groups and extras that are wanted, takes the default
// groups where none are named, and checks the environments.
func (doc *pylock) settle(name string, env *environment) error {
	for _, c := range []struct {
		what       string
		want, have []string
	}{{"extra", env.extras, doc.Extras}, {"dependency group", env.groups, doc.Groups}} {
		for _, w := range c.want {
			has := func(h string) bool { return project.Normalise(h) == w }
			if !slices.ContainsFunc(c.have, has) {
				return fault.New(fault.Project, "it has: "+cmp.Or(strings.Join(c.have, ", "), "none"), "%s has no %s %q", name, c.what, w)
			}
		}
	}
	if len(env.groups) == 0 {
		for _, g := range doc.DefaultGroups {
			env.groups = append(slices.Clip(env.groups), project.Normalise(g))
		}
	}
	if len(doc.Environments) == 0 {
		return nil
	}
	for _, marker := range doc.Environments {
		if ok, err := env.holds(marker); err != nil {
			return fault.Wrap(err, fault.Project, "make the lock anew", "reading %s", name)
		} else if ok {
			return nil
		}
	}
	return fault.New(fault.Project, "lock for this environment too", "%s is not made for Python %s on Linux %s", name, env.vars["python_full_version"], env.vars["platform_machine"])
}

// twice refuses a lock in which two versions of a package are left.
func twice(name string, list []locked) error {
	seen := make(map[string]string)
	for _, l := range list {
		if v, ok := seen[l.name]; ok {
			return fault.New(fault.Project, "make the lock anew", "%s has %s %s and %s for the same environment", name, l.name, v, l.version)
		}
		seen[l.name] = l.version
	}
	return nil
}

var distName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// locked checks one package of a lock.
func (p pylockPackage) locked(at string) (locked, error) {
	l := locked{name: project.Normalise(p.Name), version: p.Version}
	if !distName.MatchString(l.name) {
		return l, fault.New(fault.Project, "make the lock anew", "%q is no name of a package", project.Clip(p.Name))
	}
	switch {
	case p.VCS != nil:
		return l, gitFault(l.name, p.VCS.URL)
	case p.Directory != nil:
		dir := path.Join(at, p.Directory.Path, p.Directory.Subdirectory)
		if path.IsAbs(p.Directory.Path) {
			dir = path.Join(p.Directory.Path, p.Directory.Subdirectory)
		}
		if path.IsAbs(dir) && !path.IsAbs(at) || dir == ".." || strings.HasPrefix(dir, "../") {
			return l, fault.New(fault.Dependency, "move it into the project, or build the directory that holds both", "%s is in %s, outside the project", l.name, project.Clip(p.Directory.Path))
		}
		l.dir = dir
		return l, nil
	case p.Archive != nil:
		f, err := p.Archive.file(at)
		if err != nil {
			return l, err
		}
		if strings.HasSuffix(f.name, ".whl") {
			l.wheels = []file{f}
		} else {
			l.sdist = &f
		}
		return l, nil
	}
	for _, w := range p.Wheels {
		f, err := w.file(at)
		if err != nil {
			return l, err
		}
		l.wheels = append(l.wheels, f)
	}
	if p.Sdist != nil {
		f, err := p.Sdist.file(at)
		if err != nil {
			return l, err
		}
		l.sdist = &f
	}
	if len(l.wheels) == 0 && l.sdist == nil {
		return l, fault.New(fault.Project, "make the lock anew", "%s has no file in the lock", l.name)
	}
	return l, nil
}

// gitFault says why a dependency from version control is not installed.
func gitFault(name, address string) error {
	return fault.New(fault.Dependency, "name a release, an archive's URL with its hash, or a copy inside the project", "%s comes from version control (%s), which exuvia does not fetch", name, project.Clip(project.Redact(address)))
}

// strong are the hashes that a file is trusted by, best known first.
var strong = []string{"sha256", "sha384", "sha512"}

func (f pylockFile) file(at string) (file, error) {
	out := file{name: f.Name, url: f.URL, size: f.Size, sub: f.Subdirectory}
	switch {
	case f.URL != "":
		u, err := url.Parse(f.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return out, fault.New(fault.Dependency, "make the lock anew", "a file of the lock has the address %q", project.Clip(project.Redact(f.URL)))
		}
		out.name = cmp.Or(out.name, path.Base(u.Path))
	case f.Path != "":
		out.path = f.Path
		if !path.IsAbs(f.Path) {
			out.path = path.Join(at, f.Path)
		}
		out.name = cmp.Or(out.name, path.Base(f.Path))
	}
	if out.name == "" || strings.ContainsAny(out.name, "/\x00") {
		return out, fault.New(fault.Project, "make the lock anew", "a file of the lock has no name")
	}
	for _, algo := range strong {
		if sum := strings.ToLower(f.Hashes[algo]); sum != "" {
			out.algo, out.sum = algo, sum
			return out, nil
		}
	}
	return out, fault.New(fault.Integrity, "lock with SHA-256 hashes", "%s has no hash in the lock that can be trusted", project.Clip(out.name))
}

// choice is the file of a package that is installed, or built.
type choice struct {
	locked
	wheel *file // nil: built from sdist or dir
}

// choose takes the best wheel of every package, else its sdist.
func choose(list []locked, t tags, target string) ([]choice, error) {
	var out []choice
	for _, l := range list {
		c := choice{locked: l}
		fits := func(f file) bool { return l.allowed == nil || f.algo == "sha256" && slices.Contains(l.allowed, f.sum) }
		best, bestName, forbidden := 0, wheelName{}, false
		for _, f := range l.wheels {
			w, err := parseWheelName(f.name)
			if err != nil {
				continue // an index may hold anything; uv and pip pass over it too
			}
			rank, ok := t.rank(w)
			if ok && !fits(f) {
				forbidden = true
				continue
			}
			if ok && (c.wheel == nil || rank < best || rank == best && w.build > bestName.build) {
				c.wheel, best, bestName = &f, rank, w
			}
		}
		if c.sdist != nil && !fits(*c.sdist) {
			c.sdist, forbidden = nil, true
		}
		switch {
		case c.wheel != nil || c.sdist != nil || c.dir != "":
		case forbidden:
			return nil, fault.New(fault.Integrity, "make the lock anew from an index that you trust", "no file of %s %s has a hash that the lock allows", l.name, l.version)
		default:
			return nil, fault.New(fault.Dependency, "choose another Python or system, or another version of "+l.name, "%s %s has neither a wheel for %s nor a source distribution", l.name, l.version, target)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b choice) int { return cmp.Compare(a.name, b.name) })
	return out, nil
}
