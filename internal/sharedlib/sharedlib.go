package sharedlib

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// The kinds of edges.
const (
	KindNeeded = "needed" // DT_NEEDED
	KindLoader = "loader" // PT_INTERP
	KindDlopen = "dlopen" // a library's name among the constants of a file
)

// Finder is a [reach.Finder] for ELF files, and for the names of libraries in
// Python sources (ctypes).
type Finder struct {
	search search
	byName map[string][]string // base name of a library → its paths
}

// New makes a finder for t, the unreduced system with the app on it.
func New(t *tree.Tree) *Finder {
	f := &Finder{search: search{t, configured(t)}, byName: make(map[string][]string)}
	for e := range t.All() {
		if !e.IsDir() && library.MatchString(e.Path) {
			f.byName[path.Base(e.Path)] = append(f.byName[path.Base(e.Path)], e.Path)
		}
	}
	return f
}

// maxSource bounds a Python source that is looked through.
const maxSource = 8 << 20

// Find implements [reach.Finder].
func (f *Finder) Find(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	if strings.HasSuffix(e.Path, ".py") && e.IsRegular() {
		return f.source(e)
	}
	o, err := open(e)
	if o == nil || err != nil {
		return nil, err
	}
	var out []reach.Edge
	if o.Interp != "" {
		out = append(out, edge(f.search.t, o.Interp, KindLoader, "its loader"))
	}
	for _, name := range o.Needed {
		out = append(out, f.needed(o, name))
	}
	seen := make(map[string]bool)
	for s := range o.Strings() {
		if soname.MatchString(s) && !slices.Contains(o.Needed, s) && s != o.Soname && !seen[s] {
			seen[s] = true
			out = append(out, f.opened(o, s, "named in its constants")...)
		}
	}
	return out, nil
}

// soname is a library's name with a version, as dlopen is given.
var soname = regexp.MustCompile(`^lib[\w.+-]+\.so\.\d+(\.\d+)*$`)

func edge(t *tree.Tree, p, kind, note string) reach.Edge {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if _, ok := t.Resolve(p); !ok {
		return reach.Edge{Missing: p, Kind: kind, Note: note}
	}
	return reach.Edge{To: p, Kind: kind, Note: note}
}

// needed finds a library that the loader looks for. What it would not find by
// itself may be loaded already, by a library before: wheels do this, so a file
// of that name from the same source counts.
func (f *Finder) needed(o *object, name string) reach.Edge {
	if _, at, ok := f.search.find(o, name); ok {
		return edge(f.search.t, at, KindNeeded, name)
	}
	for _, p := range f.byName[path.Base(name)] {
		if e, ok := f.search.t.Lookup(p); ok && e.From == o.entry.From {
			return edge(f.search.t, p, KindNeeded, name+", loaded before it")
		}
	}
	return reach.Edge{Missing: name, Kind: KindNeeded, Note: "needed by " + o.entry.Path}
}

// opened is a library that a file may open by its name, if it is there.
func (f *Finder) opened(o *object, name, note string) []reach.Edge {
	if _, at, ok := f.search.find(o, name); ok {
		e := edge(f.search.t, at, KindDlopen, note)
		e.Optional = true
		return []reach.Edge{e}
	}
	return nil
}

// Names of libraries in Python sources: as a string, or without its ends as
// the argument of find_library.
var (
	literal     = regexp.MustCompile(`["'](lib[\w.+-]+\.so(?:\.\d+)*)["']`)
	findLibrary = regexp.MustCompile(`find_library\(\s*["']([\w.+-]+)["']`)
)

func (f *Finder) source(e tree.Entry) ([]reach.Edge, error) {
	if e.Size > maxSource {
		return nil, nil
	}
	data, err := e.ReadAll(maxSource)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range literal.FindAllStringSubmatch(string(data), -1) {
		names = append(names, m[1])
	}
	for _, m := range findLibrary.FindAllStringSubmatch(string(data), -1) {
		names = append(names, "lib"+m[1]+".so")
	}
	var out []reach.Edge
	for _, n := range names {
		for _, p := range f.matching(n) {
			next := edge(f.search.t, p, KindDlopen, fmt.Sprintf("%q in %s", n, e.Path))
			next.Optional = true
			out = append(out, next)
		}
	}
	return out, nil
}

// matching lists the libraries called name, or name with a version behind it.
func (f *Finder) matching(name string) []string {
	var out []string
	for n, paths := range f.byName {
		if n == name || strings.HasPrefix(n, name+".") {
			out = append(out, paths...)
		}
	}
	slices.Sort(out)
	return out
}

// contractPaths are what the C library leans on without naming it, or names
// only by what a user may configure. What a system does not have of them it
// does not need: name services other than files and dns, for one, are built
// into newer C libraries.
var contractPaths = []struct{ pattern, why string }{
	{"usr/lib/*/libnss_files.so.2", "name lookup"},
	{"usr/lib/*/libnss_dns.so.2", "name lookup"},
	{"usr/lib/*/libgcc_s.so.1", "the C library loads it to end a thread"},
	{"usr/lib/locale/C.utf8", "the C.UTF-8 locale"},
	{"usr/lib/locale/C.UTF-8", "the C.UTF-8 locale"},
	{"etc/nsswitch.conf", "name lookup"},
	{"etc/host.conf", "name lookup"},
	{"etc/hosts", "name lookup"},
	{"etc/gai.conf", "name lookup"},
	{"etc/services", "names of services"},
	{"etc/protocols", "names of protocols"},
	{"etc/rpc", "names of services"},
	{"etc/ethertypes", "names of protocols"},
	{"etc/localtime", "the time zone"},
	{"etc/timezone", "the time zone"},
	{"usr/share/zoneinfo", "time zones: TZ may name any"},
}

// skippedZones are other forms of the same zones.
var skippedZones = []string{"usr/share/zoneinfo/right/", "usr/share/zoneinfo/posix/"}

// ContractRoots lists what any process may lean on in t.
func ContractRoots(t *tree.Tree) []plan.Root {
	var out []plan.Root
	add := func(p, why string) { out = append(out, plan.Root{Path: p, Why: "runtime contract: " + why}) }
	for _, c := range contractPaths {
		for _, p := range glob(t, c.pattern) {
			e, _ := t.Lookup(p)
			if !e.IsDir() {
				add(p, c.why)
				continue
			}
			for f := range t.Under(p) {
				if !f.IsDir() && !slices.ContainsFunc(skippedZones, func(s string) bool { return strings.HasPrefix(f.Path, s) }) {
					add(f.Path, c.why)
				}
			}
		}
	}
	return out
}

// glob matches the components of a pattern against a tree.
func glob(t *tree.Tree, pattern string) []string {
	dir, rest, found := strings.Cut(pattern, "*")
	if !found {
		if _, ok := t.Lookup(pattern); ok {
			return []string{pattern}
		}
		return nil
	}
	var out []string
	for _, c := range t.Children(strings.TrimSuffix(dir, "/")) {
		if _, ok := t.Lookup(c.Path + rest); ok {
			out = append(out, c.Path+rest)
		}
	}
	return out
}
