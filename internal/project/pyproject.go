package project

import (
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/fault"
)

// pyproject is what is read of pyproject.toml. Values of tables that other
// tools own are taken as they come.
type pyproject struct {
	Project *struct {
		Name           string              `toml:"name"`
		Version        string              `toml:"version"`
		RequiresPython string              `toml:"requires-python"`
		Dependencies   []string            `toml:"dependencies"`
		Extras         map[string][]string `toml:"optional-dependencies"`
		Scripts        map[string]string   `toml:"scripts"`
		Dynamic        []string            `toml:"dynamic"`
		Readme         any                 `toml:"readme"` // a path, or a table with one
	} `toml:"project"`
	BuildSystem *struct {
		Backend string `toml:"build-backend"`
	} `toml:"build-system"`
	Groups map[string]any `toml:"dependency-groups"`
	Tool   struct {
		UV struct {
			Package *bool `toml:"package"`
			Dev     []any `toml:"dev-dependencies"`
		} `toml:"uv"`
		Poetry *poetry `toml:"poetry"`
	} `toml:"tool"`
}

type poetry struct {
	Name         string         `toml:"name"`
	Version      string         `toml:"version"`
	PackageMode  *bool          `toml:"package-mode"`
	Dependencies map[string]any `toml:"dependencies"`
	Scripts      map[string]any `toml:"scripts"`
	Groups       map[string]any `toml:"group"`
	Extras       map[string]any `toml:"extras"`
	Dev          map[string]any `toml:"dev-dependencies"`
}

// describe takes over what the file says of the project.
func (d *detection) describe() error {
	p, py := d.p, &d.py
	if py.Project != nil {
		p.Name, p.Version, p.RequiresPython = py.Project.Name, py.Project.Version, py.Project.RequiresPython
		p.Scripts = py.Project.Scripts
		for _, field := range py.Project.Dynamic {
			p.Dynamic = p.Dynamic || field == "dependencies" || field == "optional-dependencies"
		}
	}
	p.BuildSystem = py.BuildSystem != nil
	if py.Tool.UV.Package != nil {
		p.BuildSystem = *py.Tool.UV.Package
	}
	if py.BuildSystem == nil && py.Project == nil && py.Tool.Poetry == nil && d.has("setup.py") {
		p.BuildSystem, p.Dynamic = true, true // PEP 517: setuptools, when nothing else is said
	}
	if py.Tool.Poetry != nil {
		return d.describePoetry(py.Tool.Poetry)
	}
	if p.BuildSystem && py.Project == nil {
		p.Dynamic = true
		p.Name = d.setuptoolsName()
	}
	return nil
}

// Where a project of setuptools alone writes its name. A name that is computed
// is not found, and shows when the wheel is built.
var (
	nameInCfg = regexp.MustCompile(`(?ms)^\[metadata\][^\[]*?^name[ \t]*[=:][ \t]*([A-Za-z0-9._-]+)[ \t]*$`)
	nameInPy  = regexp.MustCompile(`\bname[ \t]*=[ \t]*["']([A-Za-z0-9._-]+)["']`)
)

// setuptoolsName finds the name in setup.cfg or setup.py, "" where it is not
// plain to see.
func (d *detection) setuptoolsName() string {
	for _, f := range []struct {
		file string
		name *regexp.Regexp
	}{{"setup.cfg", nameInCfg}, {"setup.py", nameInPy}} {
		if !d.has(f.file) {
			continue
		}
		data, err := d.read(f.file)
		if err != nil {
			return "" // it fails again, with its reason, when it is kept
		}
		if m := f.name.FindSubmatch(data); m != nil {
			return string(m[1])
		}
	}
	return ""
}

// describePoetry reads what projects of Poetry before version 2 state in its
// own table; [project] wins.
func (d *detection) describePoetry(t *poetry) error {
	p := d.p
	if p.Name == "" {
		p.Name = t.Name
	}
	if p.Version == "" {
		p.Version = t.Version
	}
	if python, ok := t.Dependencies["python"].(string); ok && p.RequiresPython == "" {
		requires, err := PoetryConstraint(python)
		if err != nil {
			return fault.Wrap(err, fault.Project, "correct python in [tool.poetry.dependencies]", "reading pyproject.toml")
		}
		p.RequiresPython = requires
	}
	for name, v := range t.Scripts {
		target, ok := v.(string)
		if table, isTable := v.(map[string]any); isTable {
			target, ok = table["reference"].(string)
		}
		if _, taken := p.Scripts[name]; ok && !taken {
			if p.Scripts == nil {
				p.Scripts = make(map[string]string)
			}
			p.Scripts[name] = target
		}
	}
	if t.PackageMode != nil && !*t.PackageMode {
		p.BuildSystem = false
	}
	p.Dynamic = p.Dynamic || d.py.Project == nil && p.BuildSystem // only Poetry reads its own syntax
	return nil
}

// readme is the file that a build backend puts into the metadata, "" for none.
func (py *pyproject) readme() string {
	if py.Project == nil {
		return ""
	}
	if table, ok := py.Project.Readme.(map[string]any); ok {
		file, _ := table["file"].(string)
		return file
	}
	file, _ := py.Project.Readme.(string)
	return file
}

// dependencies reports whether pyproject.toml itself states any, or says that
// its build backend will.
func (d *detection) dependencies() bool {
	if t := d.py.Tool.Poetry; t != nil && len(t.Dependencies) > 0 {
		return true
	}
	return d.py.Project != nil || d.p.Dynamic
}

var separators = regexp.MustCompile(`[-_.]+`)

// Normalise gives the name of a distribution, extra or group as PEP 503 has
// it.
func Normalise(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// groupsAndExtras checks that what the settings name is there.
func (d *detection) groupsAndExtras() error {
	groups := names(d.py.Groups)
	if len(d.py.Tool.UV.Dev) > 0 {
		groups = append(groups, "dev")
	}
	var extras []string
	if d.py.Project != nil {
		extras = names(d.py.Project.Extras)
	}
	if t := d.py.Tool.Poetry; t != nil {
		groups = append(groups, names(t.Groups)...)
		extras = append(extras, names(t.Extras)...)
		if len(t.Dev) > 0 {
			groups = append(groups, "dev")
		}
	}
	if d.p.Form == PyLock { // states its own; the file is read when it is installed
		d.p.Groups, d.p.Extras = normalised(d.p.Settings.Groups), normalised(d.p.Settings.Extras)
		d.p.TestGroups, d.p.TestExtras = normalised(d.p.Settings.TestGroups), normalised(d.p.Settings.TestExtras)
		return nil
	}
	return d.choose(groups, extras)
}

// choose takes over the groups and extras that the settings name, of those that
// there are. Tests get uv's default group where the settings say nothing.
func (d *detection) choose(groups, extras []string) error {
	s := d.p.Settings
	if len(s.Tests) > 0 && len(s.TestGroups)+len(s.TestExtras) == 0 && slices.Contains(groups, "dev") {
		s.TestGroups = []string{"dev"}
	}
	for _, c := range []struct {
		what       string
		want, have []string
		to         *[]string
	}{
		{"group", s.Groups, groups, &d.p.Groups},
		{"extra", s.Extras, extras, &d.p.Extras},
		{"test-group", s.TestGroups, groups, &d.p.TestGroups},
		{"test-extra", s.TestExtras, extras, &d.p.TestExtras},
	} {
		var err error
		if *c.to, err = chosen(c.what, c.want, c.have); err != nil {
			return err
		}
	}
	return nil
}
