package sharedlib

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/tree"
)

// Missing says which libraries and symbol versions the loader would not find
// in t, a finished image without a loader's cache: a line for people each. A
// library that another file of the same source brings along counts as found:
// it may be loaded before.
func Missing(t *tree.Tree) ([]string, error) {
	s := search{t: t}
	objects, err := objects(t)
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]bool) // names under which something is there
	for _, o := range objects {
		loaded[o.Soname] = true
	}
	var out []string
	for _, o := range objects {
		if o.Interp != "" {
			if _, ok := t.Resolve(o.Interp); !ok {
				out = append(out, fmt.Sprintf("%s needs the loader %s", o.entry.Path, o.Interp))
			}
		}
		for _, name := range o.Needed {
			e, _, ok := s.find(o, name)
			if !ok && !loaded[name] {
				out = append(out, fmt.Sprintf("%s needs %s", o.entry.Path, name))
			}
			if lacks := lacking(objects[e.Path], o, name); ok && len(lacks) > 0 {
				out = append(out, fmt.Sprintf("%s needs %s with %s", o.entry.Path, name, strings.Join(lacks, ", ")))
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// objects reads all ELF files of t, by path.
func objects(t *tree.Tree) (map[string]*object, error) {
	out := make(map[string]*object)
	var errs error
	for e := range t.All() {
		o, err := open(e)
		errs = errors.Join(errs, err)
		if o != nil {
			out[e.Path] = o
		}
	}
	return out, errs
}

// lacking lists the symbol versions of the library name that o needs and lib
// does not define.
func lacking(lib, o *object, name string) []string {
	if lib == nil {
		return nil
	}
	i := slices.IndexFunc(o.Needs, func(n elffile.Need) bool { return n.Library == name })
	if i < 0 {
		return nil
	}
	var out []string
	for _, v := range o.Needs[i].Versions {
		if !slices.Contains(lib.Versions, v) {
			out = append(out, v)
		}
	}
	return out
}

// Subtract drops from t the libraries that the base has: the loader would
// find one with the same soname there, and it defines all symbol versions
// that the files of t need of it. It says which were dropped. Both are put
// together later, so a file at the same path is kept only by one of them.
func Subtract(t, base *tree.Tree) (*tree.Tree, []string, error) {
	ours, err := objects(t)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := objects(base)
	if err != nil {
		return nil, nil, err
	}
	s := search{t: base}
	drop := make(map[string]bool)
	for p, o := range ours {
		if o.Soname == "" {
			continue
		}
		e, _, ok := s.find(o, o.Soname)
		if !ok {
			continue
		}
		enough := true
		for _, user := range ours {
			enough = enough && len(lacking(theirs[e.Path], user, o.Soname)) == 0
		}
		drop[p] = enough
	}
	var dropped []string
	left := t.Filter(func(e tree.Entry) bool {
		p := e.Path
		if e.IsSymlink() {
			target, _ := t.Resolve(p)
			p = target.Path
		}
		if drop[p] {
			dropped = append(dropped, e.Path)
		}
		return !drop[p]
	})
	return left, dropped, nil
}
