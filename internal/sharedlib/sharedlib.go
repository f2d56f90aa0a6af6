package sharedlib

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/ldcache"
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
	search  search
	byName  map[string][]string // base name of a library → its paths
	machine elf.Machine         // of the C library; EM_NONE without one
	// inherited are the DT_RPATHs under which a library is loaded, by its
	// path. Who needs a library is asked about before it.
	inherited map[string][]string
	known     map[string]*object // libraries by path, without what they can be asked for
}

// New makes a finder for t, the unreduced system with the app on it.
func New(t *tree.Tree) *Finder {
	f := &Finder{
		search: search{t: t, extra: ldcache.Configured(t)}, byName: make(map[string][]string),
		inherited: make(map[string][]string), known: make(map[string]*object),
	}
	for e := range t.All() {
		if !e.IsDir() && library.MatchString(e.Path) {
			f.byName[path.Base(e.Path)] = append(f.byName[path.Base(e.Path)], e.Path)
		}
	}
	for _, p := range f.byName[libc] {
		if e, ok := t.Resolve(p); ok && f.machine == elf.EM_NONE {
			if o, err := open(e); err == nil && o != nil { // Find meets the error again
				f.machine = o.Machine
			}
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
	var out []reach.Edge
	err := read(e, func(o *object) error {
		if o.damaged != nil {
			out = append(out, reach.Edge{Missing: "what its headers say: " + o.damaged.Error(), Kind: KindNeeded})
			return nil //nolint:nilerr // it is in the edge
		}
		if f.machine != elf.EM_NONE && o.Machine != f.machine {
			return nil // wheels bring some for other machines; nothing here can load them
		}
		o.inherited = f.inherited[e.Path]
		var err error
		out, err = f.object(o)
		return err
	})
	return out, err
}

// object says what an ELF file needs.
func (f *Finder) object(o *object) ([]reach.Edge, error) {
	var out []reach.Edge
	if o.Interp != "" {
		out = append(out, edge(f.search.t, o.Interp, KindLoader, "its loader"))
	}
	for _, name := range o.Needed {
		found, err := f.needed(o, name)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	seen := make(map[string]bool)
	for s := range o.Strings() {
		if soname.MatchString(s) && !slices.Contains(o.Needed, s) && s != o.Soname && !seen[s] {
			seen[s] = true
			out = append(out, f.opened(o, s, "named in its constants")...)
		}
	}
	more, err := f.plugins(o)
	return append(out, more...), err
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

// needed finds a library that the loader looks for, and its forms for newer
// processors. What the loader would not find by itself may be loaded already,
// by a library before: wheels do this, so a file of that name from the same
// source counts, or else from another wheel. A library that lacks symbol
// versions is named with them.
func (f *Finder) needed(o *object, name string) ([]reach.Edge, error) {
	lib, at, ok := f.search.find(o, name)
	if !ok {
		if p := f.before(o, name); p != "" {
			return []reach.Edge{edge(f.search.t, p, KindNeeded, name+", loaded before it")}, nil
		}
		return []reach.Edge{{Missing: name, Kind: KindNeeded, Note: "needed by " + o.entry.Path}}, nil
	}
	out := []reach.Edge{edge(f.search.t, at, KindNeeded, name)}
	if dir, ok := f.search.t.Resolve(path.Dir(at)); ok {
		for _, p := range f.byName[path.Base(at)] {
			if strings.HasPrefix(p, dir.Path+"/glibc-hwcaps/") {
				out = append(out, reach.Edge{To: p, Kind: KindNeeded, Note: name + ", for newer processors", Optional: true})
			}
		}
	}
	if len(o.RunPath) == 0 && f.inherited[lib.Path] == nil {
		f.inherited[lib.Path] = o.own()
	}
	has, ok := f.known[lib.Path]
	if !ok {
		var err error
		if has, err = open(lib); err != nil {
			return nil, err
		}
		f.known[lib.Path] = has
	}
	if lacks := lacking(has, o, name); len(lacks) > 0 {
		out = append(out, reach.Edge{Missing: name + " with " + strings.Join(lacks, ", "), Kind: KindNeeded, Note: "needed by " + o.entry.Path})
	}
	return out, nil
}

// before finds a library that has to be loaded before o; "" is none.
func (f *Finder) before(o *object, name string) string {
	other := ""
	for _, p := range f.byName[path.Base(name)] {
		e, ok := f.search.t.Lookup(p)
		switch {
		case ok && e.From == o.entry.From:
			return p
		case ok && e.From.Kind == tree.Dist && o.entry.From.Kind == tree.Dist && other == "":
			other = p
		}
	}
	return other
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

// loadable are files that a library loads when one of its functions is called:
// all that is in a directory beside the libraries. Who calls the function needs
// them. The C library and those for text call iconv_open for what the locale
// says, which is UTF-8 or ASCII here.
var loadable = []struct {
	symbol, dir, note string
	not               *regexp.Regexp // sonames
}{
	{"iconv_open", "gconv", "it converts text by iconv", regexp.MustCompile(`^lib(c|stdc\+\+|idn2?|unistring|psl)\.so\.`)},
	{"OSSL_PROVIDER_load", "ossl-modules", "it loads providers of OpenSSL", regexp.MustCompile(`^lib(crypto|ssl)\.so\.`)},
	{"ENGINE_by_id", "engines-3", "it loads engines of OpenSSL", regexp.MustCompile(`^lib(crypto|ssl)\.so\.`)},
	{"ENGINE_by_id", "engines-1.1", "it loads engines of OpenSSL", regexp.MustCompile(`^lib(crypto|ssl)\.so\.`)},
	{"sasl_client_init", "sasl2", "it authenticates by SASL", nil},
	{"sasl_server_init", "sasl2", "it authenticates by SASL", nil},
	{"gss_init_sec_context", "krb5/plugins", "it authenticates by Kerberos", nil},
	{"krb5_init_context", "krb5/plugins", "it authenticates by Kerberos", nil},
}

// plugins finds what o needs by the functions that it calls.
func (f *Finder) plugins(o *object) ([]reach.Edge, error) {
	prefixes := make([]string, len(loadable))
	for i, l := range loadable {
		prefixes[i] = l.symbol
	}
	symbols, err := o.Named(prefixes...)
	if err != nil {
		if errors.Is(err, elffile.ErrDamaged) {
			return nil, nil // symbols that cannot be read cannot be bound
		}
		return nil, fmt.Errorf("reading symbols of %s: %w", o.entry.Path, err)
	}
	var out []reach.Edge
	for _, l := range loadable {
		if !slices.Contains(symbols, elffile.Symbol{Name: l.symbol}) || l.not != nil && l.not.MatchString(o.Soname) {
			continue
		}
		for _, dir := range ldcache.Builtin(o.Machine) {
			if e, ok := f.search.t.Resolve(path.Join(dir, l.dir)); ok && e.IsDir() {
				out = append(out, reach.Edge{To: e.Path, Kind: KindDlopen, Note: l.note, Optional: true})
			}
		}
	}
	return out, nil
}

// Names of libraries in Python sources: as a string, or without its ends as
// the argument of find_library.
var (
	literal     = regexp.MustCompile(`["'](lib[\w.+-]+\.so(?:\.\d+)*)["']`)
	findLibrary = regexp.MustCompile(`(?:find_library|dlopen)\(\s*["']([\w.+-]+)["']`)
)

func (f *Finder) source(e tree.Entry) ([]reach.Edge, error) {
	if e.Size > maxSource {
		return nil, nil
	}
	data, err := e.ReadAll(maxSource)
	if err != nil {
		return nil, err
	}
	text := string(data)
	var names []string
	for _, m := range submatches(literal, text, `.so"`, ".so'", ".so.") {
		names = append(names, m[1])
	}
	asked := len(names)
	for _, m := range submatches(findLibrary, text, "find_library(", "dlopen(") {
		if name, _, _ := strings.Cut(m[1], ".so"); strings.HasPrefix(m[1], "lib") && name != m[1] {
			continue // a literal, as above
		}
		names = append(names, "lib"+m[1]+".so")
	}
	var out []reach.Edge
	for i, n := range names {
		note := fmt.Sprintf("%q in %s", n, e.Path)
		paths := f.matching(n)
		for _, p := range paths {
			next := edge(f.search.t, p, KindDlopen, note)
			next.Optional = true
			out = append(out, next)
		}
		if len(paths) == 0 && (i >= asked || soname.MatchString(n)) {
			out = append(out, reach.Edge{Missing: n, Kind: KindDlopen, Note: note, Optional: true})
		}
	}
	return append(out, f.finding(e, text)...), nil
}

// submatches lists the matches of an expression in a text that has one of the
// words: to look for these first takes a tenth of the time.
func submatches(expr *regexp.Regexp, text string, words ...string) [][]string {
	if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) }) {
		return nil
	}
	return expr.FindAllStringSubmatch(text, -1)
}

// finding is what find_library asks by itself: ldconfig, for the loader's
// cache. The module that defines it calls it in its own test only.
func (f *Finder) finding(e tree.Entry, source string) []reach.Edge {
	if !strings.Contains(source, "find_library(") || strings.HasSuffix(e.Path, "/ctypes/util.py") {
		return nil
	}
	var out []reach.Edge
	for _, p := range []string{"sbin/ldconfig", "etc/ld.so.cache"} {
		if _, ok := f.search.t.Resolve(p); !ok {
			return nil // without one of them the other gives no answer
		}
		out = append(out, reach.Edge{To: p, Kind: KindDlopen, Note: "find_library in " + e.Path, Optional: true})
	}
	return out
}

// matching lists the libraries that are meant by a name.
func (f *Finder) matching(name string) []string {
	var out []string
	for n, paths := range f.byName {
		if means(name, n) {
			out = append(out, paths...)
		}
	}
	slices.Sort(out)
	return out
}

// means reports whether name, as a source has it, is that of a file, or that
// without its version.
func means(name, file string) bool { return file == name || strings.HasPrefix(file, name+".") }

// Has reports whether t has a library that a source may mean by this name.
func Has(t *tree.Tree, name string) bool {
	for e := range t.All() {
		if !e.IsDir() && means(name, path.Base(e.Path)) {
			return true
		}
	}
	return false
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
	builtIn := hasNameServices(t)
	add := func(p, why string) { out = append(out, plan.Root{Path: p, Why: "runtime contract: " + why}) }
	for _, c := range contractPaths {
		for _, p := range glob(t, c.pattern) {
			e, _ := t.Lookup(p)
			if builtIn && strings.HasPrefix(path.Base(p), "libnss_") {
				continue
			}
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

// hasNameServices reports whether the C library of t looks names up in files
// and by DNS itself, as glibc does since 2.34; the libraries for it are empty.
func hasNameServices(t *tree.Tree) bool {
	for _, p := range glob(t, "usr/lib/*/"+libc) {
		e, _ := t.Resolve(p)
		if o, err := open(e); err == nil && o != nil && slices.Contains(o.Versions, "GLIBC_2.34") {
			return true
		}
	}
	return false
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
