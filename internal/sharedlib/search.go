// Package sharedlib finds the shared libraries that files need, by the rules
// of the dynamic loader (ld.so(8)): in a system that is to be reduced, where
// the loader has its cache, and in a finished image, where it has none. It
// also knows what the C library itself leans on without naming it.
package sharedlib

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/tree"
)

// maxFile bounds an ELF file. The largest in wheels have some 2 GB; they are
// read whole.
const maxFile = 4 << 30

// object is an ELF file of a tree.
type object struct {
	entry tree.Entry
	*elffile.File
}

// library matches the names that shared libraries have.
var library = regexp.MustCompile(`\.so(\.[0-9A-Za-z_.-]+)?$`)

// open reads e if it is an ELF file that a loader loads. It is nil for others.
// A damaged file is an error.
func open(e tree.Entry) (*object, error) {
	if !e.IsRegular() || !library.MatchString(e.Path) && e.Mode&0o111 == 0 {
		return nil, nil //nolint:nilnil // most files are none
	}
	data, err := e.ReadAll(maxFile)
	if err != nil {
		return nil, err
	}
	if !elffile.IsELF(data) {
		return nil, nil //nolint:nilnil // a script, or a linker script under a library's name
	}
	f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	if f.Type != elf.ET_DYN && f.Type != elf.ET_EXEC {
		return nil, nil //nolint:nilnil // an object file or a core: nothing loads it
	}
	return &object{e, f}, nil
}

// triplets are Debian's multiarch names (wiki.debian.org/Multiarch/Tuples).
var triplets = map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}

// builtin are the directories that Debian's loader knows without its cache.
func builtin(m elf.Machine) []string {
	dirs := []string{"lib", "usr/lib", "lib64", "usr/lib64"}
	if t, ok := triplets[m]; ok {
		dirs = append([]string{"lib/" + t, "usr/lib/" + t}, dirs...)
	}
	return dirs
}

// search is where a loader looks in a tree.
type search struct {
	t     *tree.Tree
	extra []string // directories of ld.so.conf, where the tree has a cache of them
}

// find gives the entry that the loader takes for name, needed by from, with
// links followed, and the path that it was found under.
func (s search) find(from *object, name string) (e tree.Entry, at string, ok bool) {
	if strings.Contains(name, "/") {
		p := expand(name, from.entry.Path)
		e, ok = s.t.Resolve(p)
		return e, p, ok && e.IsRegular()
	}
	for _, dir := range s.dirs(from) {
		p := path.Join(dir, name)
		if e, ok := s.t.Resolve(p); ok && e.IsRegular() {
			return e, p, true
		}
	}
	return tree.Entry{}, "", false
}

// dirs lists where the loader looks for what from needs, in its order.
// LD_LIBRARY_PATH is not set in any image of ours.
func (s search) dirs(from *object) []string {
	own := from.RunPath
	if len(own) == 0 {
		own = from.RPath
	}
	var dirs []string
	for _, d := range own {
		dirs = append(dirs, expand(d, from.entry.Path))
	}
	return slices.Concat(dirs, s.extra, builtin(from.Machine))
}

// expand puts in what the loader puts into paths, and makes them the tree's.
func expand(p, file string) string {
	dir := path.Dir(file)
	for _, r := range [][2]string{{"$ORIGIN", "/" + dir}, {"${ORIGIN}", "/" + dir}, {"$LIB", "lib"}, {"${LIB}", "lib"}} {
		p = strings.ReplaceAll(p, r[0], r[1])
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

// configured lists the directories of etc/ld.so.conf, whose cache the loader
// of the unreduced system has.
func configured(t *tree.Tree) []string {
	var dirs []string
	seen := make(map[string]bool)
	var read func(name string)
	read = func(name string) {
		e, ok := t.Resolve(name)
		if !ok || !e.IsRegular() || seen[e.Path] || len(seen) > 1000 {
			return
		}
		seen[e.Path] = true
		data, err := e.ReadAll(1 << 20)
		if err != nil {
			return // not a configuration that a loader would read either
		}
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			f := strings.Fields(line)
			switch {
			case len(f) == 2 && f[0] == "include":
				pattern := strings.TrimPrefix(path.Join("/etc", f[1]), "/")
				if path.IsAbs(f[1]) {
					pattern = f[1][1:]
				}
				for _, c := range t.Children(path.Dir(pattern)) {
					if ok, err := path.Match(pattern, c.Path); ok && err == nil {
						read(c.Path)
					}
				}
			case len(f) == 1 && path.IsAbs(f[0]):
				dirs = append(dirs, path.Clean(f[0])[1:])
			}
		}
	}
	read("etc/ld.so.conf")
	return dirs
}
