package variant

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

// tools are the scripts that steps of freezing run, in the system's Python.
//
//go:embed freezers
var tools embed.FS

// freezer is what a tool that freezes is told: the file freeze.json.
//
// A frozen program has no interpreter of its own to ask for more, so it is
// told all that the analysis found, whatever the tool finds by itself.
type freezer struct {
	Name      string      `json:"name"`      // of the executable
	Dir       string      `json:"dir"`       // where it and what it needs are put: "/opt/NAME"
	Path      []string    `json:"path"`      // first on sys.path, for the search
	Modules   []string    `json:"modules"`   // full names
	Excludes  []string    `json:"excludes"`  // modules that are not for the app
	Files     [][2]string `json:"files"`     // file of the system → its path relative to the modules
	Libraries []string    `json:"libraries"` // names of those that the image has outside of the bundle
	// LibraryDirs are where every loader looks.
	LibraryDirs []string          `json:"libraryDirs"`
	Scripts     map[string]string `json:"scripts"` // module to make → console script that it is
	Links       map[string]string `json:"links"`   // other names of the executable → what they lead to
	Own         []string          `json:"own"`     // sources whose docstrings stay: those of the project, which frameworks show
	Optimize    int               `json:"optimize"`
	Strip       bool              `json:"strip"`
	OneFile     bool              `json:"onefile"`
}

// launch is how the launcher starts an entry point.
type launch struct {
	Executable string   `json:"executable"` // the path that it is called by in the image
	Argv0      string   `json:"argv0"`      // what the unreduced app has in sys.argv[0]
	Path       []string `json:"path"`       // first on sys.path, as in the unreduced app
	Kind       string   `json:"kind"`       // "module", "function", "script"
	Module     string   `json:"module"`
	Function   string   `json:"function"`
}

// frozen is what is decided for any tool that freezes.
type frozen struct {
	freezer
	launches    []launch
	entrypoints [][]string // argv in the image
	roots       []plan.Root
}

// freeze decides what there is to freeze. All entry points are one executable,
// which has a name for each and starts the one that it is called as.
func freeze(in Input) (*frozen, error) {
	f := &frozen{freezer: freezer{
		Dir: "/opt/" + in.Project.Name, Excludes: []string{}, Own: []string{}, Scripts: map[string]string{}, Links: map[string]string{},
		Optimize: in.Project.Settings.Optimize, Strip: in.Project.Settings.Strip == nil || *in.Project.Settings.Strip,
	}}
	f.Modules = slices.DeleteFunc(slices.Clone(in.Needs.Modules), func(m string) bool { return m == "__main__" })
	for i, e := range in.Project.Entries {
		if err := f.entry(in, i, e); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(f.Path, "/app") {
		f.Path = append(f.Path, "/app")
	}
	slices.Sort(f.Modules)
	f.Modules = slices.Compact(f.Modules)
	f.roots = slices.Clone(in.Roots.Contract)
	f.data(in)
	f.libraries(in)
	return f, nil
}

// entry adds the i-th entry point.
func (f *frozen) entry(in Input, i int, e project.Entry) error {
	argv := in.Entrypoints[i]
	l := launch{Argv0: argv[0], Kind: string(e.Kind), Module: e.Module, Function: e.Func, Path: f.first(in, e)}
	name := path.Base(argv[0])
	switch {
	case e.Kind == project.EntryScript:
		l.Path, l.Module = []string{path.Dir(argv[0])}, f.script(argv[0])
	case e.Module == "__main__": // the launcher's own name
		l.Kind, l.Module = string(project.EntryScript), f.script("/"+path.Join("app", e.Path))
	default:
		f.Modules = append(f.Modules, e.Module)
	}
	for _, o := range f.launches {
		if o.Argv0 == l.Argv0 {
			f.entrypoints = append(f.entrypoints, append([]string{o.Executable}, argv[1:]...))
			return nil
		}
		if path.Base(o.Executable) == name {
			name = fmt.Sprintf("%d/%s", i, path.Base(name))
		}
		if o.Module == l.Module && !slices.Equal(o.Path, l.Path) {
			return fault.New(fault.Project, "leave one of them out", "entry points %q and %q are different modules called %s, of which a frozen program can have one",
				in.Project.Entries[0].Spec, e.Spec, e.Module)
		}
	}
	if f.Name == "" {
		f.Name = name
	} else {
		f.Links[name] = strings.Repeat("../", strings.Count(name, "/")) + f.Name
	}
	l.Executable = f.Dir + "/" + name
	f.launches = append(f.launches, l)
	f.entrypoints = append(f.entrypoints, append([]string{l.Executable}, argv[1:]...))
	for _, p := range l.Path {
		if e.Kind != project.EntryScript && !slices.Contains(f.Path, p) {
			f.Path = append(f.Path, p)
		}
	}
	return nil
}

// first is what the unreduced stub has first on sys.path.
func (f *frozen) first(in Input, e project.Entry) []string {
	dir := "/app"
	if _, ok := in.App.Lookup(path.Join("app", e.Path)); ok && e.Path != "" {
		dir = path.Join(dir, e.Dir)
	}
	if dir == "/app" {
		return []string{dir}
	}
	return []string{dir, "/app"}
}

// script names the module that a file becomes.
func (f *frozen) script(file string) string {
	name := fmt.Sprintf("exuvia_script_%d", len(f.Scripts))
	for n, s := range f.Scripts {
		if s == file {
			name = n
		}
	}
	f.Scripts[name] = file
	return name
}

// data adds the files that modules read: where they are relative to their
// modules, and the project's own also where they are in the unreduced app.
func (f *frozen) data(in Input) {
	wanted := make(map[string]bool)
	for _, r := range in.Roots.Own {
		if strings.HasSuffix(r.Path, ".py") {
			f.Own = append(f.Own, "/"+r.Path)
		}
		if !f.staysFile(in, r.Path) {
			continue
		}
		wanted[r.Path] = true
		if _, ok := relative(in.Python.Path, r.Path); !ok && path.Dir(r.Path) != in.Python.Scripts {
			f.roots = append(f.roots, r)
		}
	}
	for _, p := range in.Needs.Data {
		wanted[p] = true
	}
	for _, p := range in.Needs.Programs {
		f.roots = append(f.roots, plan.Root{Path: p, Why: "a program that the project starts"})
	}
	metadata := make(map[string]bool)
	for _, m := range in.Needs.Metadata {
		metadata[project.Normalise(m)] = true
	}
	dirs := slices.Clone(in.Python.Path)
	for _, d := range f.Path {
		dirs = append(dirs, strings.TrimPrefix(d, "/"))
	}
	for _, t := range []*tree.Tree{in.System.Tree, in.App} {
		for e := range t.All() {
			rel, ok := relative(dirs, e.Path)
			if !ok || e.IsDir() {
				continue
			}
			if wanted[e.Path] || metadata[describes(rel)] {
				f.Files = append(f.Files, [2]string{"/" + e.Path, rel})
			}
		}
	}
}

// relative is p relative to the innermost of dirs that it is below.
func relative(dirs []string, p string) (string, bool) {
	below := ""
	for _, d := range dirs {
		if strings.HasPrefix(p, d+"/") && len(d) > len(below) {
			below = d
		}
	}
	return strings.TrimPrefix(p, below+"/"), below != ""
}

// staysFile reports whether a file of the project is one in the image too: it
// is no module, or its source is to stay.
func (f *frozen) staysFile(in Input, p string) bool {
	rel, _ := relative(append([]string{"app"}, in.Python.Path...), p)
	for _, suffix := range append([]string{".py", ".pyc"}, in.Python.Suffixes...) {
		stem, ok := strings.CutSuffix(rel, suffix)
		if !ok {
			continue
		}
		if suffix == ".py" && keptSource(in, p) {
			return true
		}
		// A file that no import can name is run or read by its path.
		_, module := slices.BinarySearch(f.Modules, strings.ReplaceAll(strings.TrimSuffix(stem, "/__init__"), "/", "."))
		return !module && suffix != ".pyc" && (suffix != ".py" || strings.ContainsAny(stem, "-. "))
	}
	return true
}

// keptSource reports whether the settings keep the source p: they name it, a
// directory that it is in, or its distribution.
func keptSource(in Input, p string) bool {
	e, _ := in.App.Lookup(p)
	return slices.ContainsFunc(in.Project.Settings.KeepSource, func(k string) bool {
		k = strings.Trim(k, "/")
		for _, name := range []string{k, "app/" + k} {
			if p == name || strings.HasPrefix(p, name+"/") {
				return true
			}
		}
		return e.From.Kind == tree.Dist && e.From.Name == project.Normalise(k)
	})
}

// describes names the distribution whose metadata a file is of, normalised;
// "" for any other file.
func describes(rel string) string {
	dir, _, _ := strings.Cut(rel, "/")
	name, _, ok := strings.Cut(dir, "-")
	if ext := path.Ext(dir); !ok || ext != ".dist-info" && ext != ".egg-info" {
		return ""
	}
	return project.Normalise(name)
}

// libraries are those of the system that the image has for all: they are at
// their own places, where a base can have them too. Those of distributions
// are found by the tool, beside their modules.
func (f *frozen) libraries(in Input) {
	paths := slices.Clone(in.Needs.Libraries)
	for _, r := range in.Roots.Contract {
		paths = append(paths, r.Path)
	}
	triplet := strings.TrimPrefix(in.Python.Platform, "linux-") + "-linux-gnu" // wiki.debian.org/Multiarch/Tuples
	f.LibraryDirs = []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib", "/usr/lib", "/lib64", "/usr/lib64"}
	for i, p := range paths {
		_, app := in.App.Lookup(p)
		base := path.Base(p)
		if app || strings.HasPrefix(base, "libpython") { // which every tool brings along, or links
			continue
		}
		if i < len(in.Needs.Libraries) {
			f.roots = append(f.roots, plan.Root{Path: p, Why: "a shared library that the app needs"})
		}
		if strings.HasPrefix(base, "lib") && strings.Contains(base, ".so") && slices.Contains(f.LibraryDirs, "/"+path.Dir(p)) {
			f.Libraries = append(f.Libraries, base)
		}
	}
	slices.Sort(f.Libraries)
	f.Libraries = slices.Compact(f.Libraries)
}

// files are the scripts of the tool and what they read.
func (f *frozen) files(names ...string) ([]plan.File, error) {
	settings, err := json.MarshalIndent(f.freezer, "", " ")
	if err != nil {
		return nil, err
	}
	launcher, err := f.launcher()
	if err != nil {
		return nil, err
	}
	out := []plan.File{{Path: "freeze.json", Text: string(settings) + "\n"}, {Path: "exuvia_launcher.py", Text: launcher}}
	for _, n := range append([]string{"freeze.py"}, names...) {
		text, err := tools.ReadFile("freezers/" + n)
		if err != nil {
			return nil, err
		}
		out = append(out, plan.File{Path: n, Text: string(text)})
	}
	return out, nil
}

// launcher is the main program of the executable.
func (f *frozen) launcher() (string, error) {
	text, err := tools.ReadFile("freezers/exuvia_launcher.py")
	if err != nil {
		return "", err
	}
	entries, err := json.MarshalIndent(f.launches, "", "    ") // strings and lists are the same in Python
	if err != nil {
		return "", err
	}
	oneFile := "False"
	if f.OneFile {
		oneFile = "True"
	}
	return fmt.Sprintf("ONE_FILE = %s\nENTRIES = %s\n\n%s", oneFile, entries, text), nil
}
