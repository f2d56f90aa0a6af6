package reduce

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// Docs drops what people and compilers read and programs do not.
var Docs = Pass{
	Name:  "docs",
	Short: "documentation, headers, stubs and test data go",
	Doc: `Drops manuals, documentation, examples, catalogues of the system's translations,
sources of compiled catalogues, headers, static libraries and what build systems read of them, type stubs, and
data of tests none of whose modules is kept. Licences, copyright files and the
metadata of distributions stay, and so does every file of the project.`,
	Run: runDocs,
}

// A drop says which files go, and why.
type drop struct {
	why  string
	only []tree.Kind // origins that it is about; none is all but the project
	path *regexp.Regexp
}

// drops are tried in order.
var drops = []drop{
	{why: "documentation", path: regexp.MustCompile(`^usr/(local/)?share/(doc|doc-base|gtk-doc)/.`)},
	{why: "a manual page", path: regexp.MustCompile(`^usr/(local/)?(share/)?man/.`)},
	{why: "an info page", path: regexp.MustCompile(`^usr/(local/)?share/info/.`)},
	{
		why:  "a translation of messages of the system's programs",
		only: []tree.Kind{tree.Deb, tree.BaseFile},
		path: regexp.MustCompile(`^usr/share/locale/.*\.mo$`),
	},
	{why: "only packagers read it", path: regexp.MustCompile(`^usr/share/(lintian|bug|reportbug|linda)/.`)},
	{why: "only shells complete with it", path: regexp.MustCompile(`^(etc/bash_completion\.d|usr/(local/)?share/(bash-completion|zsh/(site-functions|vendor-completions)|fish/(vendor_)?completions(\.d)?))/.`)},
	{why: "only compilers read headers", path: regexp.MustCompile(`^usr/(local/)?include/.|(^|/)include/(.*/)?[^/]+\.(h|hh|hpp|hxx|h\.in|inc|inl|ipp|cuh)$|\.pxd$`)},
	// ImageMagick finds its coders by png.la, and eBPF programs are .o files.
	{why: "only linkers read it", path: regexp.MustCompile(`(^|/)lib[^/]+\.l?a$|^usr/lib(64)?/.*\.o$`)},
	{why: "only build systems read it", path: regexp.MustCompile(`(^|/)(pkgconfig/[^/]+\.pc|cmake/(.*/)?[^/]+\.cmake)$|^usr/(local/)?share/aclocal/.`)},
}

// licence matches what tells people what they may do with a file.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|unlicense|patents)|[._-](licen[cs]e|copyright)(\.|$)`)

// protected reports whether a file is never dropped.
func protected(e tree.Entry) bool {
	return e.IsDir() || e.From.Kind == tree.Project || licence.MatchString(path.Base(e.Path)) ||
		strings.Contains(e.Path, ".dist-info/") || strings.Contains(e.Path, ".egg-info/") ||
		strings.HasPrefix(e.Path, "usr/share/common-licenses/") ||
		// Documentation of one package in that of another, copyright included.
		e.IsSymlink() && path.Dir(e.Path) == "usr/share/doc"
}

func runDocs(_ context.Context, in Input) (Output, error) {
	var out Output
	d := decider{t: in.Tree, spared: make(map[string]bool)}
	gone := make(map[string]bool)
	for e := range in.Tree.All() {
		why, err := d.why(e)
		if err != nil {
			return Output{}, err
		}
		if why != "" {
			gone[e.Path] = true
			out.Moves = append(out.Moves, Move{From: e.Path, Why: why})
		}
	}
	emptied := emptied(in.Tree, gone)
	out.Tree = in.Tree.Filter(func(e tree.Entry) bool { return !gone[e.Path] && !emptied[e.Path] })
	return out, nil
}

// emptied lists the directories in which something was and nothing is left.
func emptied(t *tree.Tree, gone map[string]bool) map[string]bool {
	had, left := make(map[string]bool), make(map[string]bool)
	for e := range t.All() {
		mark := left
		if gone[e.Path] {
			mark = had
		} else if e.IsDir() {
			continue
		}
		for dir := path.Dir(e.Path); dir != "." && !mark[dir]; dir = path.Dir(dir) {
			mark[dir] = true
		}
	}
	// A directory that was empty before is there for a reason, and so are
	// those above it.
	for e := range t.All() {
		if e.IsDir() && !had[e.Path] {
			for dir := e.Path; dir != "."; dir = path.Dir(dir) {
				left[dir] = true
			}
		}
	}
	for dir := range left {
		delete(had, dir)
	}
	return had
}

// decider says why files go.
type decider struct {
	t      *tree.Tree
	spared map[string]bool // directories of tests, whether they stay
}

// why is "" for what stays.
func (d decider) why(e tree.Entry) (string, error) {
	if protected(e) {
		return "", nil
	}
	for _, r := range drops {
		if r.path.MatchString(e.Path) && (len(r.only) == 0 || slices.Contains(r.only, e.From.Kind)) {
			return r.why, nil
		}
	}
	if stub := path.Base(e.Path) == "py.typed" || strings.HasSuffix(e.Path, ".pyi"); stub {
		used, err := d.reads(e)
		if used || err != nil {
			return "", err
		}
		return "only type checkers read it", nil
	}
	if d.translated(e.Path) {
		return "only translators read it: what programs read is beside it", nil
	}
	return d.tests(e)
}

// translated reports whether a file is the source of a catalogue of messages
// of which the compiled form is there too.
func (d decider) translated(p string) bool {
	stem, ok := strings.CutSuffix(p, ".po")
	if !ok || path.Base(path.Dir(p)) != "LC_MESSAGES" {
		return false
	}
	compiled, ok := d.t.Resolve(stem + ".mo")
	return ok && compiled.IsRegular()
}

// reads reports whether the module that a stub describes reads it: packages
// that attach their submodules lazily find them in their own stub.
func (d decider) reads(stub tree.Entry) (bool, error) {
	module, ok := d.t.Lookup(strings.TrimSuffix(stub.Path, "i"))
	if !ok || !strings.HasSuffix(stub.Path, ".pyi") || !module.IsRegular() || module.Size > maxSource {
		return false, nil
	}
	src, err := module.ReadAll(maxSource)
	return err == nil && (strings.Contains(string(src), "attach_stub") || strings.Contains(string(src), ".pyi")), err
}

// testDir finds the outermost directory of tests or examples of a path.
var testDir = regexp.MustCompile(`^(.*?/(?:tests?|testing_data|test_data|testdata|examples?))/`)

// tests decides about data of a distribution's tests and examples: it goes if
// no module beside it is kept, and no module of the distribution names the
// directory.
func (d decider) tests(e tree.Entry) (string, error) {
	m := testDir.FindStringSubmatch(e.Path)
	if m == nil || e.From.Kind != tree.Dist {
		return "", nil
	}
	dir := m[1]
	spared, ok := d.spared[dir]
	if !ok {
		var err error
		if spared, err = d.spare(dir, e.From); err != nil {
			return "", err
		}
		d.spared[dir] = spared
	}
	if spared {
		return "", nil
	}
	return "data of tests or examples that are not in the image", nil
}

func (d decider) spare(dir string, from tree.Origin) (bool, error) {
	for e := range d.t.Under(dir) {
		if isModule(e) {
			return true, nil
		}
	}
	name := path.Base(dir)
	for e := range d.t.All() {
		if e.From != from || !strings.HasSuffix(e.Path, ".py") || !e.IsRegular() {
			continue
		}
		if e.Size > maxSource {
			return true, nil
		}
		src, err := e.ReadAll(maxSource)
		if err != nil {
			return false, err
		}
		if mentions(string(src), name) {
			return true, nil
		}
	}
	return false, nil
}

func isModule(e tree.Entry) bool {
	switch path.Ext(e.Path) {
	case ".py", ".pyc", ".so":
		return !e.IsDir()
	}
	return false
}

// mentions reports whether name begins or ends a string, or a part of a path
// in one.
func mentions(src, name string) bool {
	for at := 0; ; {
		i := strings.Index(src[at:], name)
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(name)
		if from > 0 && strings.ContainsRune(`"'/`, rune(src[from-1])) && to < len(src) && strings.ContainsRune(`"'/`, rune(src[to])) {
			return true
		}
		at = to
	}
}
