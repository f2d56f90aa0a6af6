package sharedlib

import (
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/ldcache"
	"exuvia/internal/tree"
)

// Cached is a file of which the loader finds a library by its cache only.
type Cached struct {
	File tree.Entry
	Dirs []string // where the libraries are, as paths of the tree, in order and without duplicates
}

// NeedCache lists the files of t, an image without a loader's cache, whose
// libraries are in t, but where only etc/ld.so.conf of the system full says to
// look. What the loader would not find with its cache either is not its
// subject: another file brings it along.
func NeedCache(t, full *tree.Tree) ([]Cached, error) {
	extra := ldcache.Configured(full)
	if len(extra) == 0 {
		return nil, nil
	}
	all, err := objects(t)
	if err != nil {
		return nil, err
	}
	with, without := search{t: t, extra: extra}, search{t: t}
	var out []Cached
	for _, p := range slices.Sorted(maps.Keys(all)) {
		o := all[p]
		c := Cached{File: o.entry}
		for _, name := range o.Needed {
			if _, _, ok := without.find(o, name); ok {
				continue
			}
			if _, at, ok := with.find(o, name); ok && !slices.Contains(c.Dirs, path.Dir(at)) {
				c.Dirs = append(c.Dirs, path.Dir(at))
			}
		}
		if len(c.Dirs) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}

// libraryPath is the variable of ld.so(8) that names directories of libraries.
const libraryPath = "LD_LIBRARY_PATH"

// CacheEnv is a setting of LD_LIBRARY_PATH, "KEY=value", with which files find
// in t, an image without a loader's cache, what etc/ld.so.conf of the system
// full leads them to, in its order. It is "" where nothing needs one.
func CacheEnv(t, full *tree.Tree) (string, error) {
	cached, err := NeedCache(t, full)
	if err != nil || len(cached) == 0 {
		return "", err
	}
	var dirs []string
	for _, d := range ldcache.Configured(full) {
		needed := func(c Cached) bool { return slices.Contains(c.Dirs, d) }
		if slices.ContainsFunc(cached, needed) && !slices.Contains(dirs, "/"+d) {
			dirs = append(dirs, "/"+d)
		}
	}
	return libraryPath + "=" + strings.Join(dirs, ":"), nil
}

// EnvPath lists the directories of LD_LIBRARY_PATH in an environment, of lines
// "KEY=value", as paths of a tree. The last setting counts. What is relative
// depends on where a process is, so it is left out.
func EnvPath(env []string) []string {
	var dirs []string
	for _, line := range env {
		value, ok := strings.CutPrefix(line, libraryPath+"=")
		if !ok {
			continue
		}
		dirs = nil
		for _, d := range strings.FieldsFunc(value, func(r rune) bool { return r == ':' || r == ';' }) {
			if path.IsAbs(d) {
				dirs = append(dirs, strings.TrimPrefix(path.Clean(d), "/"))
			}
		}
	}
	return dirs
}
