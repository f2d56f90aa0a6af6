package pyimport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// canned answers for the helpers: facts by path, as JSON, and probes by
// module. A file without facts is empty.
type canned struct {
	facts  map[string]string
	probes map[string]probe
	fail   error
	mu     *sync.Mutex
	asked  *[]string
}

func (c canned) Run(_ context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return nil, c.fail
	}
	e, _ := trees["pyimport"].Lookup("list")
	list, err := e.ReadAll(1 << 20)
	if err != nil {
		return nil, err
	}
	name := "facts-0.json"
	var answer []byte
	if strings.Contains(strings.Join(s.Args, " "), "probe.py") {
		name = "probe.json"
		if answer, err = json.Marshal(c.probes); err != nil {
			return nil, err
		}
	} else {
		var paths []string
		if err := json.Unmarshal(list, &paths); err != nil {
			return nil, err
		}
		*c.asked = append(*c.asked, paths...)
		var parts []string
		for _, p := range paths {
			known := c.facts[p[1:]]
			if known == "" {
				known = "{}"
			}
			parts = append(parts, fmt.Sprintf("%q:%s", p, known))
		}
		answer = []byte("{" + strings.Join(parts, ",") + "}")
	}
	return tree.New(tree.File(strings.TrimPrefix(outDir, "/")+"/"+name, 0o644, answer, tree.Origin{}))
}

const (
	std  = "usr/lib/python3.11"
	site = "usr/local/lib/python3.11/dist-packages"
)

var runtime = &python.Runtime{
	Exe: "usr/bin/python3.11", Version: "3.11", Full: "3.11.2", Platform: "linux-x86_64",
	Stdlib: std, DynLoad: std + "/lib-dynload", Site: site, Scripts: "usr/local/bin",
	Path:     []string{std, std + "/lib-dynload", site},
	Builtin:  []string{"sys", "time", "_io"},
	Frozen:   []string{"_frozen_importlib", "os"},
	Suffixes: []string{".cpython-311-x86_64-linux-gnu.so", ".abi3.so", ".so"},
	Initial:  []string{"_frozen_importlib", "encodings", "os", "site", "sys", "time"},
}

// world is a system: std/… and site/… are short for their directories; a
// file's contents are after a blank.
func world(t *testing.T, files ...string) *tree.Tree {
	t.Helper()
	entries := []tree.Entry{
		tree.File("usr/bin/python3.11", 0o755, []byte("elf"), tree.Origin{Kind: tree.Deb, Name: "python3.11-minimal"}),
		tree.Symlink(site+"/linked", "p/b", tree.Origin{}),
		tree.Symlink("usr/bin/python3", "python3.11", tree.Origin{Kind: tree.Deb, Name: "python3-minimal"}),
		tree.Dir(std, 0o755, tree.Origin{}), tree.Dir(site, 0o755, tree.Origin{}),
	}
	for _, f := range files {
		name, data, ok := strings.Cut(f, " ")
		if !ok { // equal contents have equal facts
			data = "# " + name
		}
		from := tree.Origin{Kind: tree.Project, Name: "demo"}
		if rest, ok := strings.CutPrefix(name, "std/"); ok {
			name, from = std+"/"+rest, tree.Origin{Kind: tree.Deb, Name: "python3.11"}
		} else if rest, ok := strings.CutPrefix(name, "site/"); ok {
			name, from = site+"/"+rest, tree.Origin{Kind: tree.Dist, Name: "d"}
		}
		mode := tree.File(name, 0o644, []byte(data), from)
		if strings.HasPrefix(data, "#!") {
			mode.Mode = 0o755
		}
		entries = append(entries, mode)
	}
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func finder(t *testing.T, tr *tree.Tree, c canned, main ...string) *Finder {
	t.Helper()
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if c.mu == nil {
		c.mu, c.asked = new(sync.Mutex), new([]string)
	}
	f, err := New(t.Context(), Input{Tree: tr, Engine: c, Python: runtime, Cache: store, Main: main})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// short writes edges as "kind to" with the directories' short names; a cut
// one is "(kind to)", a missing one "kind !name" or, if optional, "kind ?name".
func short(edges []reach.Edge) []string {
	var out []string
	r := strings.NewReplacer(std+"/", "std/", site+"/", "site/")
	for _, e := range edges {
		s := e.Kind + " " + r.Replace(e.To)
		switch {
		case e.Cut != "":
			s = "(" + s + ")"
		case e.Missing != "" && e.Optional:
			s = e.Kind + " ?" + e.Missing
		case e.Missing != "":
			s = e.Kind + " !" + e.Missing
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func TestDecisions(t *testing.T) {
	pkg := []string{"site/p/__init__.py", "site/p/a.py", "site/p/b/__init__.py", "site/p/b/c.py", "site/q.py", "site/ns/m.py", "std/json/__init__.py", "std/json/decoder.py", "std/pdb.py", "std/posixpath.py", "std/os.py", "std/_strptime.py", "app/main.py", "app/lib/helper.py"}
	tests := []struct {
		name  string
		file  string
		facts string
		extra []string
		want  []string
	}{
		{"absolute, its parents are its own affair", "app/main.py", `{"uses":[{"k":"import","n":"p.b.c","l":1}]}`, nil, []string{"import site/p/b/c.py"}},
		{"parents", "site/p/b/c.py", `{}`, nil, []string{"package site/p/__init__.py", "package site/p/b/__init__.py"}},
		{"relative", "site/p/b/c.py", `{"uses":[{"k":"from","n":"..a","l":1,"x":["x"]},{"k":"from","n":".","l":2,"x":["nothing"]}]}`, nil, []string{"import site/p/a.py", "package site/p/__init__.py", "package site/p/b/__init__.py"}},
		{"relative beyond the top", "site/q.py", `{"uses":[{"k":"from","n":"...a","l":1,"x":["x"]}]}`, nil, []string{"import ?...a"}},
		{"submodule by from", "app/main.py", `{"uses":[{"k":"from","n":"p","l":1,"x":["a","attribute"]}]}`, nil, []string{"import site/p/__init__.py", "import site/p/a.py"}},
		{"namespace package", "app/main.py", `{"uses":[{"k":"from","n":"ns","l":1,"x":["m","none"]}]}`, nil, []string{"import !ns.none", "import site/ns/m.py"}},
		{"missing", "app/main.py", `{"uses":[{"k":"import","n":"gone","l":1},{"k":"import","n":"maybe.x","l":2,"f":1},{"k":"import","n":"p.made","l":3}]}`, nil, []string{"import !gone", "import ?maybe.x", "import ?p.made", "import site/p/__init__.py"}},
		{"missing in a function of a dependency", "site/q.py", `{"uses":[{"k":"import","n":"gone","l":1,"f":2}]}`, nil, []string{"import ?gone"}},
		{"os.path", "app/main.py", `{"uses":[{"k":"import","n":"os.path","l":1}]}`, nil, []string{"import std/os.py", "import std/posixpath.py"}},
		{"built in, with what C imports", "app/main.py", `{"uses":[{"k":"import","n":"time","l":1},{"k":"import","n":"_frozen_importlib","l":2}]}`, nil, []string{"implicit std/_strptime.py"}},
		{"developer modules count for others", "app/main.py", `{"uses":[{"k":"import","n":"pdb","l":1}]}`, nil, []string{"import std/pdb.py"}},
		{"and not for the standard library", "std/json/decoder.py", `{"uses":[{"k":"import","n":"pdb","l":1}]}`, nil, []string{"(import std/pdb.py)", "package std/json/__init__.py"}},
		{"what one imports that is in all the same", "std/pdb.py", `{"uses":[{"k":"import","n":"bdb","l":1},{"k":"import","n":"code","l":2,"f":2}]}`, []string{"std/bdb.py", "std/code.py"}, []string{"(import std/code.py)", "import std/bdb.py"}},
		{"under __main__ and not run", "site/q.py", `{"uses":[{"k":"import","n":"p","l":1,"f":4}]}`, nil, nil},
		{"under __main__ and run", "app/main.py", `{"uses":[{"k":"import","n":"p","l":1,"f":4}]}`, nil, []string{"import site/p/__init__.py"}},
		{"import_module", "site/p/a.py", `{"uses":[{"k":"call","n":".b.c","l":1,"x":["\u0001"]},{"k":"call","n":".b","l":2,"x":["\u0002"]},{"k":"call","n":"q","l":3}]}`, nil, []string{"import site/p/b/__init__.py", "import site/q.py", "package site/p/__init__.py"}},
		{"import of what is put together", "app/main.py", `{"uses":[{"k":"call","n":"p.\u0000","l":1}]}`, nil, []string{"pattern site/p/__init__.py", "pattern site/p/a.py", "pattern site/p/b/__init__.py"}},
		{"import of its own parts", "site/p/__init__.py", `{"uses":[{"k":"call","n":".\u0000","l":1,"x":["\u0001"]}]}`, nil, []string{"pattern site/p/a.py", "pattern site/p/b/__init__.py"}},
		{"relative import of what is put together", "site/p/__init__.py", `{"uses":[{"k":"call","n":".a\u0000","l":1}]}`, nil, []string{"pattern site/p/a.py"}},
		{"of those that a table names", "site/p/__init__.py", `{"flags":["dynamic","lazy"],"strings":{".a":1,"Name":2},"uses":[{"k":"call","n":".\u0000","l":1}]}`, nil, []string{"lazy site/p/a.py"}},
		{"pattern", "app/main.py", `{"patterns":{"p.b.\u0000":1}}`, nil, []string{"pattern site/p/b/__init__.py", "pattern site/p/b/c.py"}},
		{"pattern that looks like a span", "app/main.py", `{"patterns":{"p.\u0000":1,"json.\u0000":2}}`, nil, nil},
		{"string with a factory", "app/main.py", `{"strings":{"p.a:app":1}}`, nil, []string{"string site/p/a.py"}},
		{"string with a class", "app/main.py", `{"strings":{"p.b.c.Class.method":1}}`, nil, []string{"string site/p/b/c.py"}},
		{"string of one part and a factory", "site/q.py", `{"strings":{"main:app":1}}`, nil, []string{"string app/main.py"}},
		{"strings of dependencies name no standard library", "site/q.py", `{"strings":{"json.decoder":1}}`, nil, nil},
		{"those of the project do", "app/main.py", `{"strings":{"json.decoder.JSONDecoder":1,"pdb.Pdb":2}}`, nil, []string{"string std/json/decoder.py"}},
		{"text that begins like a package", "app/main.py", `{"strings":{"p.unknown":1}}`, nil, nil},
		{"lazy table", "site/p/__init__.py", `{"flags":["lazy"],"strings":{"a":1,".b":2,"b.c":3,"Name":4}}`, nil, []string{"lazy site/p/a.py", "lazy site/p/b/__init__.py", "lazy site/p/b/c.py"}},
		{"strings and an import by variable", "app/main.py", `{"flags":["dynamic"],"strings":{"q":1,"json":2,"pdb":3},"uses":[{"k":"call","n":"\u0000","l":9}]}`, nil, []string{"lazy site/q.py", "lazy std/json/__init__.py"}},
		{"string that names a package of plugins", "app/main.py", `{"strings":{"p.b":1}}`, []string{"site/p/b/tests/__init__.py", "site/p/b/sub/__init__.py"}, []string{"string site/p/b/__init__.py", "string site/p/b/c.py", "string site/p/b/sub/__init__.py"}},
		{"which dependencies do not do", "site/q.py", `{"strings":{"p.b":1}}`, nil, []string{"string site/p/b/__init__.py"}},
		{"application of Django", "app/main.py", `{"strings":{"p.b.apps.Config":1}}`, []string{"site/p/b/apps.py"}, []string{"string site/p/b/__init__.py", "string site/p/b/apps.py", "string site/p/b/c.py"}},
		{"list of plugins", "app/main.py", `{"uses":[{"k":"plugin","n":"p","l":1},{"k":"plugin","n":"json","l":2},{"k":"plugin","n":"q","l":3}]}`, nil, []string{"string site/p/__init__.py", "string site/p/a.py", "string site/p/b/__init__.py", "string site/p/b/c.py"}},
		{"list in a dependency", "site/q.py", `{"uses":[{"k":"plugin","n":"p","l":1}]}`, nil, nil},
		{"end of a name", "site/p/a.py", `{"uses":[{"k":"call","n":"\u0000.b.\u0000","l":1},{"k":"call","n":"\u0000.none","l":2}]}`, nil, []string{"package site/p/__init__.py", "pattern site/p/b/__init__.py", "pattern site/p/b/c.py"}},
		{"languages of Django", "site/django/utils/formats.py", `{}`, []string{"site/django/utils/formats.py", "site/django/conf/__init__.py", "site/django/conf/locale/__init__.py", "site/django/conf/locale/de/formats.py"}, []string{"implicit site/django/conf/locale/de/formats.py"}},
		{"walk_packages", "site/p/__init__.py", `{"uses":[{"k":"walk","n":"__path__","l":1}]}`, nil, []string{"walk site/p/a.py", "walk site/p/b/__init__.py", "walk site/p/b/c.py"}},
		{"iter_modules of another", "app/main.py", `{"uses":[{"k":"from","n":"p","l":1,"x":["b"]},{"k":"iter","n":"b.__path__","l":2}]}`, nil, []string{"import site/p/__init__.py", "import site/p/b/__init__.py", "walk site/p/b/c.py"}},
		{"walk_packages of a variable", "site/q.py", `{"strings":{"p.b":1,"json.tool":1,"p":1},"uses":[{"k":"walk","n":"pkg.__path__","l":2}]}`, nil, []string{"string site/p/b/__init__.py", "walk site/p/b/c.py"}},
		{"star", "app/main.py", `{"uses":[{"k":"from","n":"p","l":1,"x":["*"]}]}`, nil, []string{"import site/p/__init__.py", "import site/p/b/__init__.py"}},
		{"group of entry points", "app/main.py", `{"flags":["groups"],"strings":{"plug.ins":1}}`, []string{"site/q-1.dist-info/entry_points.txt [plug.ins]\nx = q:f [extra]\ny = gone\n"}, []string{"entry-point site/q-1.dist-info/entry_points.txt", "entry-point site/q.py"}},
		{"group given to a loader", "app/main.py", `{"uses":[{"k":"group","n":"plugins","l":1}]}`, []string{"site/q-1.dist-info/entry_points.txt [plugins]\nx = q\n"}, []string{"entry-point site/q-1.dist-info/entry_points.txt", "entry-point site/q.py"}},
		{"group by its name", "site/p/a.py", `{"strings":{"plug.ins":1}}`, []string{"site/q-1.dist-info/entry_points.txt [plug.ins]\nx = q\n"}, []string{"entry-point site/q-1.dist-info/entry_points.txt", "entry-point site/q.py", "package site/p/__init__.py"}},
		{"group by a pattern", "app/main.py", `{"flags":["groups"],"patterns":{"plug.\u0000":1}}`, []string{"site/q-1.dist-info/entry_points.txt [plug.ins]\nx = q\n"}, []string{"entry-point site/q-1.dist-info/entry_points.txt", "entry-point site/q.py"}},
		{"version of a distribution", "app/main.py", `{"uses":[{"k":"dist","n":"Some.Thing","l":1},{"k":"dist","n":"none","l":2}]}`, []string{"site/some_thing-1.dist-info/METADATA x"}, []string{"metadata site/some_thing-1.dist-info/METADATA"}},
		{"python -m", "site/p/__init__.py", `{}`, []string{"site/p/__main__.py"}, []string{"run site/p/__main__.py"}},
		{"script", "usr/local/bin/tool", `{"uses":[{"k":"from","n":"p.a","l":2,"x":["main"]}]}`, []string{"usr/local/bin/tool #!/usr/bin/python3\nx"}, []string{"import site/p/a.py", "shebang usr/bin/python3"}},
		{"stub that runs a file", "app/run", `{"uses":[{"k":"path","n":"/app/main.py","l":1},{"k":"path","n":"/gone.py","l":2}]}`, []string{"app/run #!/usr/bin/env python3\nx"}, []string{"import app/main.py", "shebang usr/bin/python3"}},
		{"package behind a link", "app/main.py", `{"uses":[{"k":"from","n":"linked","l":1,"x":["c"]}]}`, nil, []string{"import site/linked/__init__.py", "import site/linked/c.py"}},
		{"pth", site + "/x.pth", `{"uses":[{"k":"import","n":"q","l":1}]}`, []string{"site/x.pth import q\n"}, []string{"import site/q.py"}},
		{"directory of a pth", "app/main.py", `{"uses":[{"k":"import","n":"far","l":1}]}`, []string{"site/x.pth ../elsewhere\n", "usr/local/lib/python3.11/elsewhere/far.py"}, []string{"import usr/local/lib/python3.11/elsewhere/far.py"}},
		{"module beside the script", "app/lib/x.py", `{"uses":[{"k":"import","n":"helper","l":1}]}`, []string{"app/lib/x.py"}, []string{"import app/lib/helper.py"}},
		{"syntax error of a dependency", "site/p/a.py", `{"error":{"line":3,"text":"bad"}}`, nil, []string{"package site/p/__init__.py"}},
		{"configuration", "app/log.ini", ``, []string{"app/log.ini class=json.decoder.Handler\nargs=p.b.c"}, []string{"string site/p/b/c.py", "string std/json/decoder.py"}},
		{"sysconfig", std + "/sysconfig.py", `{}`, []string{"std/sysconfig.py", "std/_sysconfigdata__x.py"}, []string{"implicit std/_sysconfigdata__x.py"}},
		{"bytecode only", site + "/late.pyc", ``, []string{"site/late.pyc"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := strings.NewReplacer("std/", std+"/", "site/", site+"/").Replace(tt.file)
			tr := world(t, append(slices.Clone(pkg), tt.extra...)...)
			f := finder(t, tr, canned{facts: map[string]string{name: tt.facts, site + "/p/__init__.py": `{"all":["b","Name"]}`}}, "main")
			if name == site+"/p/__init__.py" {
				f = finder(t, tr, canned{facts: map[string]string{name: tt.facts}}, "main")
			}
			e, ok := tr.Lookup(name)
			if !ok {
				t.Fatalf("no %s", name)
			}
			edges, err := f.Find(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, short(edges)); diff != "" {
				t.Errorf("edges (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtensionModule(t *testing.T) {
	so := "site/p/_c.cpython-311-x86_64-linux-gnu.so"
	tr := world(t, "site/p/__init__.py", "site/qq/__init__.py", "site/qq/rr.py", "std/numbers.py", "std/doctest.py", so+" ELF\x00qq.rr\x00doctest.x\x001.5\x00")
	f := finder(t, tr, canned{probes: map[string]probe{"p._c": {Files: map[string]string{"numbers": "/" + std + "/numbers.py", "sys": "", "odd": "/../../nowhere"}, Error: "ImportError: no"}}})
	e, _ := tr.Lookup(strings.Replace(so, "site", site, 1))
	edges, err := f.Find(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"loads std/numbers.py", "package site/p/__init__.py", "string site/qq/rr.py"}
	if diff := cmp.Diff(want, short(edges)); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
	notes := f.Notes()
	if len(notes) != 1 || !strings.Contains(notes[0].Text, "ImportError: no") {
		t.Errorf("a module that cannot be imported is not noted: %v", notes)
	}
}

// A module of the project that cannot be parsed is the user's to mend; the
// place has to be shown.
func TestSyntaxErrorOfTheProject(t *testing.T) {
	tr := world(t, "app/main.py")
	f := finder(t, tr, canned{facts: map[string]string{"app/main.py": `{"error":{"line":7,"text":"invalid syntax"}}`}})
	e, _ := tr.Lookup("app/main.py")
	_, err := f.Find(t.Context(), e)
	fe, ok := errors.AsType[*fault.Error](err)
	if !ok || fe.Kind != fault.Project || fe.What != "main.py:7: invalid syntax" || fe.Hint == "" {
		t.Errorf("got %v", err)
	}
}

func TestHelperFails(t *testing.T) {
	tr := world(t, "app/main.py")
	f := finder(t, tr, canned{fail: &engine.StepError{Step: "s", Exit: 1}})
	e, _ := tr.Lookup("app/main.py")
	if _, err := f.Find(t.Context(), e); err == nil {
		t.Error("a file of which nothing is known passed")
	}
}

// One changed line may cost one file, not all.
func TestFactsAreKept(t *testing.T) {
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	walk := func(body string) []string {
		tr := world(t, "app/main.py "+body, "app/other.py")
		asked := new([]string)
		f, err := New(t.Context(), Input{Tree: tr, Engine: canned{mu: new(sync.Mutex), asked: asked, facts: map[string]string{"app/main.py": `{"uses":[{"k":"import","n":"other","l":1}]}`}}, Python: runtime, Cache: store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reach.Walk(t.Context(), tr, []plan.Root{{Path: "app/main.py", Why: "test"}}, f); err != nil {
			t.Fatal(err)
		}
		return *asked
	}
	for i, want := range [][]string{{"/app/main.py", "/app/other.py"}, nil, {"/app/main.py"}} {
		if diff := cmp.Diff(want, walk([]string{"1", "1", "2"}[i])); diff != "" {
			t.Errorf("round %d asked (-want +got):\n%s", i, diff)
		}
	}
}

func TestWhyNotSaysWhoIsOut(t *testing.T) {
	tr := world(t, "app/main.py", "app/b.py import c\n", "app/c.py", "std/test/x.py import c")
	f := finder(t, tr, canned{})
	g, err := reach.Walk(t.Context(), tr, []plan.Root{{Path: "app/main.py", Why: "test"}}, f)
	if err != nil {
		t.Fatal(err)
	}
	if a := g.WhyNot("c"); a.Verdict != reach.Chained || a.By[0] != "app/b.py" {
		t.Errorf("got %+v", a)
	}
}

// A package that is found through a link must be found through it in the
// image too.
func TestLinksAreKept(t *testing.T) {
	tr := world(t, "site/p/__init__.py", "site/p/b/__init__.py", "app/main.py")
	f := finder(t, tr, canned{facts: map[string]string{"app/main.py": `{"uses":[{"k":"import","n":"linked","l":1}]}`}})
	g, err := reach.Walk(t.Context(), tr, []plan.Root{{Path: "app/main.py", Why: "test"}}, f)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := g.Tree().Resolve(site + "/linked/__init__.py"); !ok {
		t.Errorf("only %v are kept", g.Paths())
	}
}

func TestRuntimeRoots(t *testing.T) {
	tr := world(t, "std/os.py", "std/site.py", "std/encodings/__init__.py", "std/encodings/idna.py", "std/_strptime.py", "std/runpy.py", "std/json/__init__.py", "site/x.pth import q", "site/y.txt", "site/q.py")
	var got []string
	for _, r := range RuntimeRoots(runtime, tr) {
		got = append(got, strings.NewReplacer(std+"/", "std/", site+"/", "site/").Replace(r.Path)+": "+r.Why)
	}
	want := []string{
		"std/_strptime.py: runtime contract: imported in C by time",
		"std/encodings/__init__.py: runtime contract: the start of the interpreter",
		"std/encodings/idna.py: runtime contract: imported in C by encodings",
		"std/os.py: runtime contract: the start of the interpreter",
		"std/runpy.py: runtime contract: python -m",
		"std/site.py: runtime contract: the start of the interpreter",
		"site/x.pth: runtime contract: site reads it at every start",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
}

// A reason without words explains nothing, and a cut of what the start of the
// interpreter needs would break every image.
func TestTable(t *testing.T) {
	for name, why := range developer {
		if why == "" {
			t.Errorf("%s has no reason", name)
		}
	}
	for e, why := range selfTests {
		if why == "" || e.from == "" || e.to == "" {
			t.Errorf("%v has no reason", e)
		}
	}
	for name, k := range unseen {
		if k.why == "" || len(k.names) == 0 {
			t.Errorf("%s has no reason", name)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(implicit)), []string{"site", "runpy", "warnings", "traceback"}) {
		if why, ok := cut("x", name); ok {
			t.Errorf("%s is cut: %s", name, why)
		}
	}
	if _, ok := cut("unittest.case", "unittest.util"); ok {
		t.Error("a developer module that is in has lost a part of itself")
	}
	if why, ok := cut("json", "lib2to3.pgen2"); !ok || !strings.HasPrefix(why, "lib2to3 is a developer module") {
		t.Errorf("lib2to3.pgen2: %q", why)
	}
}

func TestDottedRuns(t *testing.T) {
	var got []string
	eachDotted([]byte("a.bc\x00x.y.z1 .lead.in..no 1.25 trail.ing. "+strings.Repeat("l", 300)+".x"), func(s string) { got = append(got, s) })
	if diff := cmp.Diff([]string{"x.y.z1", "trail.ing"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
