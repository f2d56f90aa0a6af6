package sharedlib

import (
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/tree"
)

// Missing says which libraries and symbol versions the loader would not find
// in t, a finished image without a loader's cache: a line for people each. A
// library that another file of the same source brings along counts as found:
// it may be loaded before. Dirs are those of LD_LIBRARY_PATH, where
// the image sets it, as paths of t: see [EnvPath].
func Missing(t *tree.Tree, dirs ...string) ([]string, error) {
	s := search{t: t, env: dirs}
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
		if o.damaged != nil {
			out = append(out, fmt.Sprintf("%s cannot be loaded: %v", o.entry.Path, o.damaged))
		}
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

// Unmet lists the sonames that files of the part need and that the loader
// finds nowhere in t, each with the first file that needs it. The part is
// within t. A library that another file of the part has in itself counts as
// found.
func Unmet(t, part *tree.Tree) (map[string]string, error) {
	found, err := objects(part)
	if err != nil {
		return nil, err
	}
	loaded := make(map[string]bool)
	for _, o := range found {
		loaded[o.Soname] = true
	}
	out := make(map[string]string)
	for _, p := range slices.Sorted(maps.Keys(found)) {
		for _, name := range found[p].Needed {
			if loaded[name] || out[name] != "" {
				continue
			}
			if _, _, ok := (search{t: t}).find(found[p], name); !ok {
				out[name] = p
			}
		}
	}
	return out, nil
}

// objects reads all ELF files of t, by path, that its own loader could load.
func objects(t *tree.Tree) (map[string]*object, error) {
	out := make(map[string]*object)
	var errs error
	machine := elf.EM_NONE
	for e := range t.All() {
		o, err := open(e)
		errs = errors.Join(errs, err)
		if o == nil {
			continue
		}
		out[e.Path] = o
		if o.Soname == libc && machine == elf.EM_NONE {
			machine = o.Machine
		}
	}
	maps.DeleteFunc(out, func(_ string, o *object) bool {
		return machine != elf.EM_NONE && o.damaged == nil && o.Machine != machine
	})
	return out, errs
}

// lacking lists the symbol versions of the library name that o needs and lib
// does not define.
func lacking(lib, o *object, name string) []string {
	if lib == nil {
		return nil
	}
	return o.Lacks(name, lib.File)
}

// glibc are the libraries of one build of the C library. They share what no
// symbol version tells, so they come from one side, all of them.
var glibc = regexp.MustCompile(`^(ld-linux[\w.-]*|lib(c|m|mvec|dl|rt|pthread|util|resolv|anl|BrokenLocale|thread_db|nss_\w+|nsl))\.so\.\d+$`)

// OfLibc reports whether a library of this soname is a part of the C library.
func OfLibc(soname string) bool { return glibc.MatchString(soname) }

// Subtract drops from t the libraries that the base has: the loader would
// find one with the same soname there, and it defines all symbol versions
// that the files of t need of it. Libraries that only a search path of their
// own leads to are private to a wheel and stay. It says which were dropped.
// Both are put together later, so a file at the same path is kept only by one
// of them.
func Subtract(t, base *tree.Tree) (*tree.Tree, []string, error) {
	ours, err := objects(t)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := objects(base)
	if err != nil {
		return nil, nil, err
	}
	drop := make(map[string]bool)
	whole := true // the base has all of the C library that t has
	for p, o := range ours {
		drop[p] = replaceable(t, base, ours, theirs, o)
		whole = whole && (drop[p] || !glibc.MatchString(o.Soname))
	}
	for p, o := range ours {
		drop[p] = drop[p] && (whole || !glibc.MatchString(o.Soname))
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

// replaceable reports whether a library of the base does for all that need o.
func replaceable(t, base *tree.Tree, ours, theirs map[string]*object, o *object) bool {
	if o.Soname == "" {
		return false
	}
	anyone := &object{File: &elffile.File{Machine: o.Machine}}
	if e, _, ok := (search{t: t}).find(anyone, o.Soname); !ok || e.Path != o.entry.Path {
		return false
	}
	e, _, ok := (search{t: base}).find(anyone, o.Soname)
	lib := theirs[e.Path]
	if !ok || lib == nil || lib.Machine != o.Machine || lib.Soname != o.Soname {
		return false
	}
	for _, user := range ours {
		if len(lacking(lib, user, o.Soname)) > 0 {
			return false
		}
		if _, ok := base.Resolve(user.Interp); !ok && user.Interp != "" && path.Base(user.Interp) == o.Soname {
			return false // the kernel would not find this loader
		}
	}
	return true
}
