package reduce

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"exuvia/internal/fault"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Bytecode puts bytecode in place of Python sources.
var Bytecode = Pass{
	Name:  "bytecode",
	Short: "sources become bytecode",
	Doc: `Every Python module that can be imported becomes bytecode beside the place of
its source (module.pyc), which goes; nothing is compiled at the start and no
__pycache__ is needed. Tracebacks keep file names and line numbers. Sources
stay, with checked bytecode in __pycache__, where they may be read or run as
files: programs of the project with "#!", files that the project's own files
name, all of the project's where one of them reads sources (with inspect, for
instance), migrations of alembic, and what the option keep-source lists (paths
and distributions, by commas). What does not compile stays as it is. The option
mode says so: legacy, which is the default. With mode=pycache all sources stay
and bytecode is in __pycache__, where Python itself puts it. It holds by the
hash of its source, since files of an image have no times of their own; so what
is mounted over a source is compiled anew, which costs no start that was
measured anything. The option optimize is 0, 1 or 2, as python, python -O and
python -OO; but the project's own docstrings stay, for frameworks show them: as
the help of a command, as the description of a route; and so do those of the
distributions in the option keep-docstrings. From __pycache__ an interpreter takes bytecode of its own level
only, so with mode=pycache the image sets PYTHONOPTIMIZE to it; bytecode in
place of a source is taken at any level, and what Python compiles at run time
stays as it was. Project names the distribution that is the app, where it is
installed as one.`,
	Options: []string{"mode", "optimize", "keep-source", "keep-docstrings", "project"},
	Run:     runBytecode,
}

// maxSource is how large a source may be, in bytes.
const maxSource = 16 << 20

func runBytecode(ctx context.Context, in Input) (Output, error) {
	optimize, pycache, err := bytecodeOptions(in.Options)
	if err != nil {
		return Output{}, err
	}
	k, err := newKeeper(in)
	if err != nil {
		return Output{}, err
	}
	k.all = pycache
	var out Output
	if pycache && optimize > 0 {
		out.Env = []string{"PYTHONOPTIMIZE=" + strconv.Itoa(optimize)}
	}
	var sources []source
	var origins []tree.Entry // the entry that a source is for; a link, where Entry is what it leads to
	for e := range in.Tree.All() {
		if !importable(e.Path, k.roots) {
			continue
		}
		s, err := k.source(e, &out)
		if err != nil {
			return Output{}, err
		}
		if s != nil {
			s.Optimize = optimize
			if k.origin(e) == tree.Project || e.From.Kind == tree.Dist && k.docs[normal(e.From.Name)] {
				s.Optimize = min(optimize, 1) // its docstrings are texts that frameworks show
			}
			sources, origins = append(sources, *s), append(origins, e)
		}
	}
	results, err := compile(ctx, in, sources)
	if err != nil {
		return Output{}, err
	}
	gone := make(map[string]bool)
	var made []tree.Entry
	for i, r := range results {
		e, s := origins[i], sources[i]
		if r.Err != "" {
			out.Notes = append(out.Notes, note(e, "does not compile and stays as it is: "+r.Err))
			continue
		}
		name := strings.TrimSuffix(e.Path, ".py") + ".pyc"
		if s.Flags == checkedHash {
			level := 0 // in place of sources bytecode is of one level, and taken by interpreters that have another
			if pycache {
				level = optimize
			}
			name = cachedName(e.Path, in.Python.CacheTag, level)
		} else {
			gone[e.Path] = true
			out.Moves = append(out.Moves, Move{From: e.Path, To: name})
		}
		pyc := in.Store.Entry(name, s.Entry.Mode.Perm()&^0o111, r.Blob, e.From)
		pyc.UID, pyc.GID = s.Entry.UID, s.Entry.GID
		made = append(made, pyc)
	}
	out.Tree, err = in.Tree.Filter(func(e tree.Entry) bool {
		if stale(e.Path) {
			if !e.IsDir() {
				out.Moves = append(out.Moves, Move{From: e.Path, Why: "bytecode is made anew"})
			}
			return false
		}
		return !gone[e.Path]
	}).With(made...)
	return out, err
}

// bytecodeOptions reads the options that have few values.
func bytecodeOptions(options map[string]string) (optimize int, pycache bool, err error) {
	if o := options["optimize"]; o != "" {
		if optimize, err = strconv.Atoi(o); err != nil || optimize < 0 || optimize > 2 {
			return 0, false, fault.New(fault.Usage, "use 0, 1 or 2", "bytecode cannot be optimized to level %q", o)
		}
	}
	switch mode := options["mode"]; mode {
	case "", "legacy":
		return optimize, false, nil
	case "pycache":
		return optimize, true, nil
	default:
		return 0, false, fault.New(fault.Usage, "use legacy or pycache", "bytecode has no mode %q", mode)
	}
}

// cachedName is where an interpreter that runs at an optimization level looks
// for the bytecode of a source: PEP 3147 and 488.
func cachedName(source, tag string, optimize int) string {
	if optimize > 0 {
		tag += ".opt-" + strconv.Itoa(optimize)
	}
	dir, base := path.Split(source)
	return path.Join(dir, "__pycache__", strings.TrimSuffix(base, ".py")+"."+tag+".pyc")
}

func note(e tree.Entry, text string) report.Note {
	return report.Note{Where: "bytecode", Path: e.Path, Text: text}
}

// stale reports whether a path is in a __pycache__ directory or is one.
func stale(name string) bool {
	return slices.Contains(strings.Split(name, "/"), "__pycache__")
}

// moduleName is what an import statement, or import_module with any string
// that people use, can name: letters, digits (0001_initial), underscores.
var moduleName = regexp.MustCompile(`^[\pL\pN_]+$`)

// importable reports whether name is a source below a directory of the search
// path that an import can name.
func importable(name string, roots []string) bool {
	stem, ok := strings.CutSuffix(name, ".py")
	if !ok || !utf8.ValidString(name) || stale(name) {
		return false
	}
	for _, root := range roots {
		rel, ok := strings.CutPrefix(stem, root+"/")
		if !ok {
			continue
		}
		for part := range strings.SplitSeq(rel, "/") {
			if !moduleName.MatchString(part) {
				return false
			}
		}
		return true
	}
	return false
}

// roots are the directories from which modules are imported, inner ones first.
func roots(in Input) []string {
	names := append([]string{"app", in.Python.Stdlib, in.Python.Site}, in.Python.Path...)
	for i, n := range names {
		names[i] = in.Tree.Real(n)
		if e, ok := in.Tree.Resolve(n); ok {
			names[i] = e.Path
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	slices.Reverse(names)
	return names
}

// keeper decides which sources stay.
type keeper struct {
	tree   *tree.Tree
	roots  []string
	dists  map[string]bool // normalised names
	docs   map[string]bool // of those that keep their docstrings
	paths  []string        // files or directories
	named  map[string]bool // base names of sources that files of the project name
	alters []string        // directories of alembic
	own    string          // the distribution that is the project
	reads  string          // source of the project that reads sources; "" for none
	all    bool            // every source stays, and nothing is to be said of it
}

var (
	nameSeparators = regexp.MustCompile(`[-_.]+`)
	fileNames      = regexp.MustCompile(`[\pL\pN_]+\.py\b`)
	readsSource    = regexp.MustCompile(`\b(getsource|getsourcelines|findsource|linecache\.getlines?)\(|open\(__file__|Path\(__file__\)\.read_`)
)

// normal is a distribution's name as PEP 503 normalises it.
func normal(name string) string {
	return strings.ToLower(nameSeparators.ReplaceAllString(name, "-"))
}

func newKeeper(in Input) (*keeper, error) {
	k := &keeper{tree: in.Tree, roots: roots(in), dists: make(map[string]bool), docs: make(map[string]bool), named: make(map[string]bool), own: in.Options["project"]}
	for item := range strings.SplitSeq(in.Options["keep-source"], ",") {
		item = strings.TrimSpace(item)
		switch {
		case item == "":
		case strings.HasPrefix(item, "/"):
			k.paths = append(k.paths, strings.Trim(item, "/"))
		default:
			k.dists[normal(strings.TrimPrefix(item, "dist:"))] = true
		}
	}
	for item := range strings.SplitSeq(in.Options["keep-docstrings"], ",") {
		k.docs[normal(strings.TrimPrefix(strings.TrimSpace(item), "dist:"))] = true
	}
	for e := range in.Tree.All() {
		if k.origin(e) != tree.Project || !e.IsRegular() || strings.Contains(e.Path, ".dist-info/") { // RECORD names every file
			continue
		}
		if path.Base(e.Path) == "script.py.mako" {
			k.alters = append(k.alters, path.Dir(e.Path))
		}
		if e.Size > 1<<20 {
			continue
		}
		text, err := e.ReadAll(1 << 20)
		if err != nil {
			return nil, fmt.Errorf("looking for names of files: %w", err)
		}
		for _, name := range fileNames.FindAll(text, -1) {
			k.named[string(name)] = true
		}
		if k.reads == "" && path.Ext(e.Path) == ".py" && readsSource.Match(text) {
			k.reads = e.Path
		}
	}
	return k, nil
}

// origin is where e is from, by kind.
func (k *keeper) origin(e tree.Entry) tree.Kind { return ofProject(e.From, k.own).Kind }

// source decides what becomes of an importable source; nil leaves it alone.
func (k *keeper) source(e tree.Entry, out *Output) (*source, error) {
	file := e
	if e.IsSymlink() {
		file, _ = k.tree.Resolve(e.Path)
	}
	if !file.IsRegular() {
		return nil, nil
	}
	if file.Size > maxSource {
		out.Notes = append(out.Notes, note(e, "is too large to be compiled and stays as it is"))
		return nil, nil
	}
	if k.all {
		return &source{Entry: file, Filename: "/" + e.Path, Flags: checkedHash}, nil
	}
	text, err := file.ReadAll(maxSource)
	if err != nil {
		return nil, fmt.Errorf("compiling: %w", err)
	}
	s := &source{Entry: file, Filename: "/" + e.Path, Flags: uncheckedHash}
	if why := k.why(e, file, text); why != "" {
		s.Flags = checkedHash
		if why != readsWhy || e.Path == k.reads { // one note stands for all
			out.Notes = append(out.Notes, note(e, "keeps its source: "+why))
		}
		return s, nil
	}
	if (e.From.Kind == tree.Dist || e.From.Kind == tree.Project) && readsSource.Match(text) {
		out.Notes = append(out.Notes, note(e, "reads sources when it runs, which are not there; keep-source keeps them"))
	}
	return s, nil
}

const readsWhy = "the project reads sources when it runs, so all of its own stay"

// why says why a source stays; "" if it does not.
func (k *keeper) why(e, file tree.Entry, text []byte) string {
	under := func(dir string) bool { return e.Path == dir || strings.HasPrefix(e.Path, dir+"/") }
	switch {
	case e.From.Kind == tree.Dist && k.dists[normal(e.From.Name)]:
		return "distribution " + e.From.Name + " is listed in keep-source"
	case slices.ContainsFunc(k.paths, under):
		return "it is listed in keep-source"
	case k.origin(e) != tree.Project:
		return ""
	case slices.ContainsFunc(k.alters, under):
		return "alembic loads it as a file"
	case file.Mode&0o111 != 0 && strings.HasPrefix(string(text), "#!"):
		return "it is a program"
	case path.Base(e.Path) != "__init__.py" && k.named[path.Base(e.Path)]:
		return "the project names it as a file"
	case k.reads != "":
		return readsWhy
	}
	return ""
}
