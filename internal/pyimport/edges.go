package pyimport

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// file is what names in a file are relative to.
type file struct {
	tree.Entry
	module    string // "" where it cannot be imported
	pkg       string // __isPackage_
	isPackage bool
	std       bool
	main      bool // runs as __main__
}

func (f *Finder) sourceOf(e tree.Entry) file {
	s := file{Entry: e}
	name, isPackage, std, ok := f.mods.name(e.Path)
	if !ok || strings.HasSuffix(e.Path, ".pth") {
		s.main = !strings.HasSuffix(e.Path, ".py")
		return s
	}
	s.module, s.isPackage, s.std, s.pkg = name, isPackage, std, name
	if !isPackage {
		s.pkg, _, _ = cutLast(name)
	}
	s.main = f.main[name] || path.Base(e.Path) == "__main__.py" || isPackage && f.main[name+".__main__"]
	return s
}

// absolute makes a name with leading dots absolute in the package. It reports
// false for one that leads out of the top, or has no package.
func (file) absolute(name, pkg string) (string, bool) {
	rest := strings.TrimLeft(name, ".")
	up := len(name) - len(rest)
	if up == 0 {
		return name, name != ""
	}
	if pkg == "" {
		return "", false
	}
	parts := strings.Split(pkg, ".")
	if up > len(parts) {
		return "", false
	}
	parts = parts[:len(parts)-up+1]
	if rest != "" {
		parts = append(parts, rest)
	}
	return strings.Join(parts, "."), true
}

// decision gathers the edges of one file, each target once.
type decision struct {
	*Finder
	file  file
	edges []reach.Edge
	seen  map[string]bool
	firm  bool // the import at hand is made whenever the file is imported
}

func (f *Finder) decide(s file) *decision {
	return &decision{Finder: f, file: s, seen: make(map[string]bool)}
}

func (d *decision) at(line int) string { return fmt.Sprintf("%s:%d", d.file.Path, line) }

// to adds an edge to a module that was found, and to what is imported with it.
func (d *decision) to(m module, kind, note string, isOptional bool) {
	if d.file.std && kind != KindPackage && kind != KindLoads {
		why, ok := cut(d.file.module, m.name)
		if ok && (!d.firm || !isDeveloper(d.file.module)) { // one that is in after all needs what it imports
			if m.file != "" && !d.seen["cut "+m.file] {
				d.seen["cut "+m.file] = true
				d.edges = append(d.edges, reach.Edge{To: m.file, Kind: kind, Note: note, Optional: isOptional, Cut: why}) // as WhyNot asks for it
			}
			return
		}
	}
	if m.file != "" && m.file != d.file.Path && !d.seen[m.file] {
		d.seen[m.file] = true
		d.edges = append(d.edges, reach.Edge{To: d.mods.spell(m.file), Kind: kind, Note: note, Optional: isOptional})
	}
	if m.builtin { // files answer for themselves
		for _, i := range implicitOf(d.mods, m.name) {
			d.to(i, KindImplicit, note+", with "+m.name, isOptional)
		}
	}
}

// plain adds an edge to a file that is no module.
func (d *decision) plain(file, kind, note string) {
	if !d.seen[file] {
		d.seen[file] = true
		d.edges = append(d.edges, reach.Edge{To: file, Kind: kind, Note: note, Optional: true})
	}
}

func (d *decision) missing(name, kind, note string, isOptional bool) {
	if !d.seen["missing "+name] {
		d.seen["missing "+name] = true
		d.edges = append(d.edges, reach.Edge{Missing: name, Kind: kind, Note: note, Optional: isOptional})
	}
}

// parents are the packages that importing the file imports first, and what
// the table says that it imports in ways that nobody sees.
func (d *decision) parents() {
	for name := d.file.module; name != ""; {
		parent, _, ok := cutLast(name)
		if !ok {
			break
		}
		if m, ok := d.mods.find(parent); ok {
			d.to(m, KindPackage, "importing "+d.file.module+" imports "+parent, false)
		}
		name = parent
	}
	for _, m := range implicitOf(d.mods, d.file.module) {
		d.to(m, KindImplicit, d.file.module+" imports it unseen", true)
	}
	if k, ok := unseen[d.file.module]; ok && !d.file.std {
		for _, m := range listOf(d.mods, k.names) {
			d.to(m, KindImplicit, d.file.module+" "+k.why, true)
		}
	}
	if d.file.isPackage && !d.file.std {
		if p := d.mods.with(path.Dir(d.file.Path) + "/__main__"); p != "" {
			d.to(module{name: d.file.module + ".__main__", file: p}, KindRun, "python -m "+d.file.module, true)
		}
	}
}

// ofSource decides on the facts of a Python file.
func (f *Finder) ofSource(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	s := f.sourceOf(e)
	known := f.facts[e.Path]
	d := f.decide(s)
	if known.Error != nil {
		if e.From.Kind == tree.Project {
			return nil, fault.New(fault.Project, "correct the file, or leave it out with [tool.exuvia] exclude",
				"%s:%d: %s", strings.TrimPrefix(e.Path, "app/"), known.Error.Line, known.Error.Text)
		}
		f.note(e.Path, fmt.Sprintf("line %d: %s; what it imports is not known", known.Error.Line, known.Error.Text))
		d.parents()
		return d.edges, nil
	}
	if to, ok := f.shebang(e); ok {
		d.edges = append(d.edges, reach.Edge{To: to, Kind: KindShebang, Note: "its first line"})
	}
	d.parents()
	for _, u := range known.Uses {
		if u.Flags&mainOnly == 0 || s.main {
			d.use(u)
		}
	}
	d.patterns(known)
	d.strings(known)
	return d.edges, nil
}

func (d *decision) use(u use) {
	d.firm = u.Flags&(optional|inFunction|mainOnly) == 0
	defer func() { d.firm = false }()
	isOptional := u.Flags&optional != 0 || d.file.std || u.Flags&inFunction != 0 && d.file.From.Kind != tree.Project
	switch u.Kind {
	case "import":
		d.module(u.Name, KindImport, d.at(u.Line), isOptional)
	case "from":
		d.from(u, isOptional)
	case "call":
		d.call(u, isOptional)
	case "iter", "walk":
		d.listed(u)
	case "path":
		if r, ok := d.in.Tree.Resolve(u.Name); ok && r.IsRegular() && r.Path != d.file.Path {
			d.plain(strings.TrimPrefix(path.Clean("/"+u.Name), "/"), KindImport, d.at(u.Line))
		}
	case "dist":
		if p, ok := d.metadata[canonical(u.Name)]; ok {
			d.plain(p, KindMetadata, d.at(u.Line))
		}
	case "group":
		d.group(u.Name, d.at(u.Line))
	case "plugin":
		if d.file.From.Kind == tree.Project {
			d.plugin(u.Name, d.at(u.Line))
		}
	case "resource":
		if m, ok := d.mods.find(d.filled(u.Name)); ok && !m.std {
			d.to(m, KindImport, d.at(u.Line), true)
		}
	}
}

// aliases are names that modules put into sys.modules for others.
var aliases = map[string]string{"os.path": "posixpath"}

// module adds the module of this name, or the packages of it that there are.
func (d *decision) module(name, kind, note string, isOptional bool) (module, bool) {
	if real, ok := aliases[name]; ok {
		d.module("os", kind, note, isOptional)
		name = real
	}
	if m, ok := d.look(name); ok {
		d.to(m, kind, note, isOptional)
		return m, true
	}
	for parent, _, ok := cutLast(name); ok; parent, _, ok = cutLast(parent) {
		if m, found := d.look(parent); found {
			d.to(m, kind, note, isOptional)
			d.missing(name, kind, note, true) // may be made by the package, as six.moves is
			return m, false
		}
	}
	d.missing(name, kind, note, isOptional)
	return module{}, false
}

// look finds an absolute name; code that puts its own directory, or one of
// vendored packages, on sys.path finds it there.
func (d *decision) look(name string) (module, bool) {
	if m, ok := d.mods.find(name); ok {
		return m, true
	}
	if d.file.std {
		return module{}, false
	}
	top, rest, _ := strings.Cut(name, ".")
	root, _ := d.mods.root(d.file.Path)
	for dir := path.Dir(d.file.Path); dir != "." && dir != root; dir = path.Dir(dir) {
		rel := strings.ReplaceAll(strings.TrimPrefix(dir, root+"/"), "/", ".")
		for _, prefix := range []string{rel + ".", rel + "._vendor."} {
			if m, ok := d.mods.find(prefix + top); !ok || m.file == "" && rest == "" {
				continue
			}
			if m, ok := d.mods.find(prefix + name); ok {
				return m, true
			}
		}
	}
	return module{}, false
}

func (d *decision) from(u use, isOptional bool) {
	name, ok := d.file.absolute(u.Name, d.file.pkg)
	if !ok {
		d.missing(u.Name, KindImport, d.at(u.Line), true)
		return
	}
	m, ok := d.module(name, KindImport, d.at(u.Line), isOptional)
	if !ok || len(m.dirs) == 0 {
		return
	}
	names := u.More
	if slices.Contains(names, "*") {
		names = nil
		if all := d.facts[m.file]; all != nil {
			names = all.All
		}
	}
	for _, n := range names {
		if sub, ok := d.mods.find(m.name + "." + n); ok {
			d.to(sub, KindImport, d.at(u.Line), isOptional)
		} else if m.file == "" { // nothing but modules can come from a namespace package
			d.missing(m.name+"."+n, KindImport, d.at(u.Line), isOptional)
		}
	}
}

// filled puts the file's own names into a pattern.
func (d *decision) filled(pattern string) string {
	return strings.NewReplacer(selfName, d.file.module, ownParent, d.file.pkg).Replace(pattern)
}

// call is importlib.import_module and its like.
func (d *decision) call(u use, isOptional bool) {
	name, pkg := d.filled(u.Name), d.file.pkg
	if len(u.More) > 0 && !strings.Contains(u.More[0], unknown) {
		pkg = d.filled(u.More[0])
	}
	known, _, dynamic := strings.Cut(name, unknown)
	if dynamic {
		if d.tabled(known) || d.tail(name, d.at(u.Line)) {
			return
		}
		if !strings.Contains(known, ".") {
			if d.file.From.Kind == tree.Project {
				d.note(d.file.Path, fmt.Sprintf("line %d imports a module whose name is not known before it runs; name such modules with [tool.exuvia] keep", u.Line))
			}
			return
		}
		if abs, ok := d.file.absolute(known+"x", pkg); ok {
			d.under(strings.TrimSuffix(abs, "x"), d.at(u.Line), true)
		}
		return
	}
	name, _, _ = strings.Cut(name, ":")
	abs, ok := d.file.absolute(name, pkg)
	if !ok {
		return
	}
	if _, ok := d.look(abs); ok || !strings.Contains(abs, ".") {
		d.module(abs, KindImport, d.at(u.Line), isOptional)
		return
	}
	d.named(abs, KindImport, d.at(u.Line), 1, true)
}

// tabled reports whether what is imported is any submodule of the own package
// and a table of strings in the file says which: then the strings are enough.
// So does pydantic's __getattr__.
func (d *decision) tabled(prefix string) bool {
	known := d.facts[d.file.Path]
	if !known.has("lazy") || prefix != "." && prefix != d.file.pkg+"." {
		return false
	}
	for s := range known.Strings {
		name, ok := d.file.absolute("."+strings.TrimLeft(s, "."), d.file.pkg)
		if m, found := d.mods.find(name); ok && found && m.file != "" {
			return true
		}
	}
	return false
}

// tail takes a name of which only the end or the middle is known, as
// "?.management.commands.?": what it is in the packages that the file is in.
// Of packages that the project names, see plugin, all modules are there. It
// reports whether name is of that form.
func (d *decision) tail(name, note string) bool {
	rest, ok := strings.CutPrefix(name, unknown+".")
	tail, listed := strings.CutSuffix(rest, "."+unknown)
	if !ok || tail == "" || strings.Contains(tail, unknown) {
		return false
	}
	for pkg := d.file.pkg; pkg != ""; pkg, _, _ = cutLast(pkg) {
		m, ok := d.mods.find(pkg + "." + tail)
		if !ok || m.std {
			continue
		}
		d.to(m, KindPattern, note+": …."+tail, true)
		if listed {
			for _, c := range d.mods.children(m) {
				d.to(c, KindPattern, note+": …."+tail+".…", true)
			}
		}
	}
	return true
}

// plugin adds all modules of a package that the project's own code names by a
// string, as settings name applications and backends: who reads the string
// imports parts of the package whose names are a convention, such as
// "?.models" and "?.base". Tests are for none of these.
func (d *decision) plugin(name, note string) {
	m, ok := d.mods.find(name)
	if !ok || m.std || len(m.dirs) == 0 || m.file == "" {
		return
	}
	note += ": names the package " + name
	d.to(m, KindString, note, true)
	for _, c := range d.mods.below(m) {
		if !tests.MatchString(strings.TrimPrefix(c.name, name)) {
			d.to(c, KindString, note, true)
		}
	}
}

var tests = regexp.MustCompile(`\.(tests?|conftest)(\.|$)`)

// under adds every module whose name begins with the prefix, up to the next
// dot: "anyio._backends._" has _asyncio and _trio.
func (d *decision) under(prefix, note string, std bool) {
	pkg, begin, ok := cutLast(prefix)
	if !ok {
		return
	}
	m, ok := d.mods.find(pkg)
	if !ok || m.std && !std || len(m.dirs) == 0 {
		return
	}
	d.to(m, KindPattern, note, true)
	for _, c := range d.mods.children(m) {
		if _, base, _ := cutLast(c.name); strings.HasPrefix(base, begin) {
			d.to(c, KindPattern, note+": "+prefix+"…", true)
		}
	}
}

// listed is pkgutil.iter_modules and walk_packages: of the package whose
// __path__ is given, else of the own one and, where the package is that of a
// variable, of those that strings of the file name.
func (d *decision) listed(u use) {
	if d.file.std {
		return
	}
	list := d.mods.children
	if u.Kind == "walk" {
		list = d.mods.below
	}
	packages := []string{d.file.pkg}
	if name, ok := strings.CutSuffix(u.Name, ".__path__"); ok {
		if full, ok := d.bound(name); ok {
			packages = []string{full}
		} else {
			packages = append(packages, slices.Sorted(maps.Keys(d.facts[d.file.Path].Strings))...)
		}
	}
	for i, pkg := range packages {
		m, ok := d.mods.find(pkg)
		if !ok || i > 0 && (m.std || !strings.Contains(pkg, ".")) {
			continue
		}
		for _, c := range list(m) {
			d.to(c, KindWalk, d.at(u.Line), true)
		}
	}
}

// bound finds the module that an import of the file has given this name.
func (d *decision) bound(name string) (string, bool) {
	if m, ok := d.mods.find(name); ok {
		return m.name, true
	}
	for _, u := range d.facts[d.file.Path].Uses {
		if u.Kind != "from" || !slices.Contains(u.More, name) {
			continue
		}
		if base, ok := d.file.absolute(u.Name, d.file.pkg); ok {
			if m, ok := d.mods.find(base + "." + name); ok {
				return m.name, true
			}
		}
	}
	return "", false
}

func (d *decision) patterns(known *facts) {
	for _, p := range slices.Sorted(maps.Keys(known.Patterns)) {
		note := d.at(known.Patterns[p])
		full := d.filled(p)
		prefix, _, dynamic := strings.Cut(full, unknown)
		switch {
		case dynamic && known.has("groups"):
			for _, g := range slices.Sorted(maps.Keys(d.groups)) {
				if prefix != "" && strings.HasPrefix(g, prefix) {
					d.group(g, note)
				}
			}
			fallthrough
		case dynamic:
			if abs, ok := d.file.absolute(prefix+"x", d.file.pkg); ok && d.suspect(prefix, known) {
				d.under(strings.TrimSuffix(abs, "x"), note, false)
			}
		default:
			d.named(full, KindString, note, 1, false)
		}
	}
}

// suspect reports whether a pattern that is not itself imported is likely to
// be a module's name: "." alone says nothing, "pkg." is as often the name of
// a span or a logger, unless the file imports by variables.
func (d *decision) suspect(prefix string, known *facts) bool {
	dots := strings.Count(strings.TrimLeft(prefix, "."), ".")
	if strings.HasPrefix(prefix, ".") {
		return known.has("dynamic") && len(prefix) > 1
	}
	return dots > 1 || known.has("dynamic") && !d.tabled(prefix)
}

// strings looks at constant strings. The standard library names modules in
// strings only where it imports them by a variable.
func (d *decision) strings(known *facts) {
	lazy, dynamic := known.has("lazy"), known.has("dynamic")
	for _, s := range slices.Sorted(maps.Keys(known.Strings)) {
		note := d.at(known.Strings[s])
		if known.has("groups") || strings.Contains(s, ".") && !d.file.std {
			d.group(s, note) // a group's name often is a constant beside the code that asks for it
		}
		name, _, colon := strings.Cut(s, ":")
		switch {
		case d.file.std:
			if m, ok := d.mods.find(name); ok && dynamic && strings.Contains(name, ".") && m.file != "" {
				d.to(m, KindString, note, true)
			}
		case !identifiers.MatchString(name):
		case strings.HasPrefix(name, "."):
			if abs, ok := d.file.absolute(name, d.file.pkg); ok && (lazy || dynamic) {
				d.named(abs, KindLazy, note, 1, false)
			}
		default:
			if lazy || dynamic {
				d.lazily(name, note, dynamic)
			}
			if strings.Contains(name, ".") && d.file.From.Kind == tree.Project {
				d.plugin(configured(name), note)
			}
			if colon || strings.Contains(name, ".") {
				d.named(name, KindString, note, 2, d.file.From.Kind == tree.Project)
			}
		}
	}
}

// configured is the package that "package.apps.Config" stands for in the
// settings of Django; any other name is what it is.
func configured(name string) string {
	if pkg, _, ok := strings.Cut(name, ".apps."); ok {
		return pkg
	}
	return name
}

// identifiers is a dotted name, relative or not.
var identifiers = regexp.MustCompile(`^\.{0,3}[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)*$`)

// lazily takes a string of a module that imports by tables: a submodule of its
// own package or, where it calls import_module itself, any module.
func (d *decision) lazily(name, note string, anywhere bool) {
	if m, ok := d.mods.find(d.file.pkg + "." + name); ok && d.file.pkg != "" && m.file != "" {
		d.to(m, KindLazy, note, true)
		return
	}
	if m, ok := d.mods.find(name); ok && anywhere && m.file != "" {
		if _, dev := cut("", name); !dev || !m.std {
			d.to(m, KindLazy, note, true)
		}
	}
}

// named adds the module that a string names, by itself or as the beginning of
// "module.Class" or "module.Class.method": what is left of it has to have at
// least two parts, as "text.x" names no module of a package called text.
func (d *decision) named(name, kind, note string, drop int, std bool) {
	for i := 0; i <= drop; i++ {
		if i > 0 && strings.Count(name, ".") < 1 {
			return
		}
		if m, ok := d.mods.find(name); ok && m.file != "" {
			if _, dev := cut("", m.name); !m.std || std && !dev {
				d.to(m, kind, note, true)
			}
			return
		}
		parent, _, ok := cutLast(name)
		if !ok {
			return
		}
		name = parent
	}
}

// group adds what the distributions declare for a group of entry points.
func (d *decision) group(name, note string) {
	for _, p := range d.groups[name] {
		where := note + ": " + name
		d.plain(p.file, KindEntryPoint, where)
		if _, ok := d.mods.find(p.Module); ok {
			d.module(p.Module, KindEntryPoint, where+", "+p.Name, true)
		}
	}
}
