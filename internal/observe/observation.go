package observe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

// Observation is what runs of an app used, as a file that can be committed,
// reviewed and united with others. Nothing in it is of the machine on which it
// was made. Lists are sorted.
type Observation struct {
	Version int      `json:"version"` // of this form: 1
	Runs    []string `json:"runs"`    // what was run
	Modules []string `json:"modules"` // of the app and its Python, that were imported
	Files   []string `json:"files"`   // of the system with the app, that are no modules
	Missing []string `json:"missing"` // paths beside files of the app that were looked for in vain
}

// formVersion is the form of observations that is read and written.
const formVersion = 1

// maxObservation bounds a file of observations.
const maxObservation = 64 << 20

// Sum makes an observation of what a run used of the tree t, which has the app.
// Module gives the name of the module that a file of it is.
func (u *Trace) Sum(run string, t *tree.Tree, module func(file string) (string, bool)) Observation {
	modules, files, missing := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(u.Found)) {
		p, ok := inApp(t, name)
		if !ok {
			continue
		}
		if m, ok := module(p); ok {
			modules[m] = true
		} else {
			files[p] = true
		}
	}
	for name := range u.Missed {
		rel := strings.TrimPrefix(name, "/")
		dir, ok := t.Resolve(path.Dir(rel))
		if ok && dir.IsDir() && dir.From.Kind != tree.Deb && path.Dir(rel) != "." && !passedOver(t, rel) {
			missing[rel] = true
		}
	}
	return Observation{
		Version: formVersion, Runs: []string{run},
		Modules: slices.Sorted(maps.Keys(modules)), Files: slices.Sorted(maps.Keys(files)), Missing: slices.Sorted(maps.Keys(missing)),
	}
}

// passedOver reports whether a path is one that Python tries before the source
// of a module, which is there: "app/a.cpython-311-x86_64-linux-gnu.so".
func passedOver(t *tree.Tree, name string) bool {
	dir, file := path.Split(name)
	stem, _, _ := strings.Cut(file, ".")
	_, ok := t.Resolve(dir + stem + ".py")
	return ok && path.Ext(file) == ".so"
}

// inApp finds the file, or the link to one, that a run used under a name:
// compiled modules stand for their sources, and files of the project's directory
// for those of the app.
func inApp(t *tree.Tree, name string) (string, bool) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if rest, ok := strings.CutPrefix(name, project.SourceDir[1:]+"/"); ok {
		name = "app/" + rest
	}
	if dir, file := path.Split(name); path.Base(dir) == "__pycache__" {
		if stem, _, ok := strings.Cut(file, "."); ok {
			name = path.Join(path.Dir(path.Clean(dir)), stem+".py")
		}
	}
	e, ok := t.Resolve(name)
	return t.Real(name), ok && !e.IsDir()
}

// Merge unites observations.
func Merge(list ...Observation) Observation {
	out := Observation{Version: formVersion}
	for _, o := range list {
		out.Runs, out.Modules = append(out.Runs, o.Runs...), append(out.Modules, o.Modules...)
		out.Files, out.Missing = append(out.Files, o.Files...), append(out.Missing, o.Missing...)
	}
	for _, l := range []*[]string{&out.Runs, &out.Modules, &out.Files, &out.Missing} {
		slices.Sort(*l)
		if *l = slices.Compact(*l); *l == nil {
			*l = []string{}
		}
	}
	return out
}

// Read reads an observation. Where says from where, for the error.
func Read(r io.Reader, where string) (Observation, error) {
	const hint = "make it anew with exuvia observe"
	data, err := io.ReadAll(io.LimitReader(r, maxObservation+1))
	if err != nil {
		return Observation{}, fmt.Errorf("reading %s: %w", where, err)
	}
	if len(data) > maxObservation {
		return Observation{}, fault.New(fault.Project, hint, "%s is larger than %d bytes", where, int64(maxObservation))
	}
	var o Observation
	err = json.Unmarshal(data, &o)
	if err == nil && o.Version != formVersion {
		err = fmt.Errorf("it has form %d, known is %d", o.Version, formVersion)
	}
	if err == nil && slices.ContainsFunc(slices.Concat(o.Files, o.Missing), unclean) {
		err = errors.New("a path in it is absolute or not clean")
	}
	if err != nil {
		return Observation{}, fault.Wrap(err, fault.Project, hint, "%s is no file of observations", where)
	}
	return Merge(o), nil
}

func unclean(p string) bool {
	return p == "" || path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "..")
}

// Write writes it as indented JSON, so that differences are lines.
func (o Observation) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(o)
}
