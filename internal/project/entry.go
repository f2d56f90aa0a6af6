package project

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/fault"
)

// entries settles the ways into the project: those that are named, else the
// one that can be found.
func (d *detection) entries() error {
	p := d.p
	specs := p.Settings.Entry
	if len(specs) == 0 {
		var err error
		if specs, err = d.guess(); err != nil {
			return err
		}
	}
	for _, spec := range specs {
		e, err := d.entry(spec)
		if err != nil {
			return err
		}
		p.Entries = append(p.Entries, e)
	}
	return d.nameEntries()
}

var (
	dotted     = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)
	function   = regexp.MustCompile(`^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)$`)
	scriptName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	python     = regexp.MustCompile(`^python(3(\.\d+)?)?$`)
)

// entry understands one entry point:
//
//	main.py                a file, run as `python main.py` would
//	-m pkg, pkg.mod        a module, run as `python -m` would
//	pkg.mod:func           a function
//	uvicorn app.main:app   a console script, of the project or a dependency
//
// each with arguments that are always given. A leading "python" is dropped.
func (d *detection) entry(spec string) (Entry, error) {
	bad := func(what string, args ...any) (Entry, error) {
		return Entry{}, fault.New(fault.Project, `name one with --entry: "main.py", "pkg.mod", "pkg.mod:func" or a console script with arguments`,
			"entry point %q: %s", Clip(spec), fmt.Sprintf(what, args...))
	}
	words, err := Words(spec)
	if err != nil {
		return bad("%v", err)
	}
	if len(words) > 1 && python.MatchString(words[0]) {
		words = words[1:]
	}
	asModule := false
	if len(words) > 1 && words[0] == "-m" {
		asModule, words = true, words[1:]
	}
	if len(words) == 0 {
		return bad("it is empty")
	}
	word := words[0]
	e := Entry{Args: words[1:], Spec: spec}
	if len(e.Args) == 0 {
		e.Args = nil
	}
	switch m := function.FindStringSubmatch(word); {
	case strings.HasSuffix(word, ".py") && !asModule:
		if e.Path = path.Clean(word); !d.file(e.Path) {
			return bad("the project has no file %s%s", e.Path, d.alternatives())
		}
		return d.fileEntry(e)
	case m != nil && !asModule:
		e.Kind, e.Module, e.Func = EntryFunction, m[1], m[2]
		e.Name, e.Path = lastName(m[1]), d.modulePath(m[1], false)
		e.Dir = srcDir(e.Path)
		if d.p.Scripts[e.Name] != word {
			for _, name := range names(d.p.Scripts) {
				if d.p.Scripts[name] == word {
					e.Name = name
					break
				}
			}
		}
		return e, nil
	case !asModule && d.p.Scripts[word] != "":
		return d.scriptEntry(e, word, bad)
	case dotted.MatchString(word):
		file := d.modulePath(word, true)
		if asModule || file != "" || strings.Contains(word, ".") {
			if file == "" && d.modulePath(word, false) != "" {
				return bad("the package %s has no __main__.py", word)
			}
			e.Kind, e.Module, e.Name, e.Path, e.Dir = EntryModule, word, lastName(word), file, srcDir(file)
			return e, nil
		}
	}
	if asModule || !scriptName.MatchString(word) {
		return bad("%s is no name of a module or a script", Clip(word))
	}
	e.Kind, e.Name = EntryScript, word
	return e, nil
}

// fileEntry is a file as `python FILE` would run it: its directory is first on
// sys.path, unless the file belongs to a package.
func (d *detection) fileEntry(e Entry) (Entry, error) {
	e.Kind = EntryModule
	dir, base := path.Split(e.Path)
	stem := strings.TrimSuffix(base, ".py")
	e.Name, e.Module = stem, stem
	dir = strings.TrimSuffix(dir, "/")
	for dir != "" && d.file(path.Join(dir, "__init__.py")) {
		e.Module = path.Base(dir) + "." + e.Module
		if dir = path.Dir(dir); dir == "." {
			dir = ""
		}
	}
	e.Dir = dir
	if stem == "__main__" {
		if e.Module = strings.TrimSuffix(e.Module, ".__main__"); e.Module == stem {
			e.Name = d.p.Name
		} else {
			e.Name = lastName(e.Module)
		}
	}
	if strings.Contains(stem, ".") || !scriptName.MatchString(e.Name) {
		return Entry{}, fault.New(fault.Project, "rename the file", "%s cannot be run: its name is no name of a module", e.Path)
	}
	return e, nil
}

// scriptEntry is one of [project.scripts]. Where the project is not installed
// there is no such script, and the function stands for it.
func (d *detection) scriptEntry(e Entry, name string, bad func(string, ...any) (Entry, error)) (Entry, error) {
	if !scriptName.MatchString(name) {
		return bad("it is no name for a script")
	}
	e.Name = name
	if d.p.BuildSystem {
		e.Kind = EntryScript
		return e, nil
	}
	target, _, _ := strings.Cut(d.p.Scripts[name], "[") // extras, long deprecated
	m := function.FindStringSubmatch(strings.ReplaceAll(target, " ", ""))
	if m == nil {
		return bad("[project.scripts] says %q, not module:function", Clip(d.p.Scripts[name]))
	}
	e.Kind, e.Module, e.Func, e.Path = EntryFunction, m[1], m[2], d.modulePath(m[1], false)
	e.Dir = srcDir(e.Path)
	return e, nil
}

// modulePath finds the file of a module in the project; with run, the one that
// running it starts. Src is where projects with a build system keep packages.
func (d *detection) modulePath(module string, run bool) string {
	p := strings.ReplaceAll(module, ".", "/")
	ends := []string{".py", "/__init__.py"}
	if run {
		ends = []string{".py", "/__main__.py"}
	}
	for _, dir := range []string{"", "src/"} {
		for _, end := range ends {
			if d.file(dir + p + end) {
				return dir + p + end
			}
		}
	}
	return ""
}

// srcDir is where a file's packages are: src, or the project itself.
func srcDir(file string) string {
	if strings.HasPrefix(file, "src/") {
		return "src"
	}
	return ""
}

// nameEntries gives every stub a name of its own, which no file of the
// project has.
func (d *detection) nameEntries() error {
	taken := make(map[string]string)
	for i := range d.p.Entries {
		e := &d.p.Entries[i]
		if e.Kind == EntryScript { // two ways to call one script are fine
			continue
		}
		for _, name := range []string{e.Name, "run-" + e.Name, strings.ReplaceAll(e.Module, ".", "-"), "run-" + strings.ReplaceAll(e.Module, ".", "-")} {
			_, file := d.p.Files.Lookup(name)
			if taken[name] == "" && !file {
				e.Name = name
				break
			}
		}
		if other, ok := taken[e.Name]; ok {
			return fault.New(fault.Project, "leave one of them out", "entry points %q and %q would both be called %s", Clip(other), Clip(e.Spec), e.Name)
		}
		taken[e.Name] = e.Spec
	}
	return nil
}

// file reports whether the project keeps a regular file.
func (d *detection) file(name string) bool {
	if !fs.ValidPath(name) { // Resolve would take ".." for the project itself
		return false
	}
	e, ok := d.p.Files.Resolve(name)
	return ok && e.IsRegular()
}

// alternatives names the Python files that an entry point may have meant.
func (d *detection) alternatives() string {
	top := d.topModules()
	if len(top) == 0 {
		return ""
	}
	return ", but " + strings.Join(top[:min(len(top), 8)], ", ")
}

func lastName(module string) string {
	parts := strings.Split(module, ".")
	if n := len(parts); n > 1 && parts[n-1] == "__main__" {
		parts = parts[:n-1]
	}
	return parts[len(parts)-1]
}

// Words splits a command line as a POSIX shell does, with quotes and
// backslashes and nothing else.
func Words(s string) ([]string, error) {
	var words []string
	var word []rune
	var quote rune
	in, escaped := false, false
	for _, r := range s {
		switch {
		case r == 0 || r == '\n':
			return nil, fmt.Errorf("it is not one line of text")
		case escaped:
			word, escaped, in = append(word, r), false, true
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word = append(word, r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t':
			if in {
				words = append(words, string(word))
			}
			word, in = nil, false
		default:
			word, in = append(word, r), true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if in {
		words = append(words, string(word))
	}
	return words, nil
}

// Environ gives variables as lines NAME=value, in order of their names.
func Environ(m map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return out
}

// Line writes words so that Words reads them.
func Line(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote writes a word so that Words reads it.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t'\"\\") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// unique sorts and drops duplicates.
func unique(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}
