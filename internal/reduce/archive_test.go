package reduce

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// fakePython stands in for the interpreter: bytecode is the text of the source,
// its file name and its options; what contains "syntax error" is none.
type fakePython struct {
	steps int
	jobs  []string // file names
}

func (f *fakePython) Run(_ context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	f.steps++
	input := trees[s.Inputs[0].Tree]
	e, _ := input.Lookup("jobs")
	jobs, err := e.ReadAll(1 << 20)
	if err != nil {
		return nil, err
	}
	var out []tree.Entry
	for line := range strings.Lines(string(jobs)) {
		p := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 6)
		src, ok := input.Lookup("src/" + p[1])
		if !ok {
			return nil, fmt.Errorf("no source for %s", p[5])
		}
		text, err := src.ReadAll(1 << 20)
		if err != nil {
			return nil, err
		}
		f.jobs = append(f.jobs, p[5])
		name, body := compileOut[1:]+"/"+p[0]+".pyc", []byte{0xa7, 0x0d, 0x0d, 0x0a, p[3][0] - '0', 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
		body = fmt.Appendf(body, "%s|O%s|hook%s|%s", p[5], p[2], p[4], text)
		if bytes.Contains(text, []byte("syntax error")) {
			name, body = compileOut[1:]+"/"+p[0]+".err", []byte("SyntaxError: invalid syntax")
		}
		out = append(out, tree.File(name, 0o644, body, tree.Origin{Kind: tree.Made, Name: s.Name}))
	}
	return tree.New(out...)
}

var (
	debOrigin = tree.Origin{Kind: tree.Deb, Name: "libpython3.11-stdlib"}
	appOrigin = tree.Origin{Kind: tree.Project, Name: "app"}
	pydantic  = tree.Origin{Kind: tree.Dist, Name: "Pydantic_Core", Version: "2"}
)

const (
	stdlibDir = "usr/lib/python3.11"
	siteDir   = "usr/local/lib/python3.11/dist-packages"
)

// sourceTree is a small image before its passes.
func sourceTree(t *testing.T) Input {
	t.Helper()
	file := func(o tree.Origin, mode int, name, text string) tree.Entry {
		e := tree.File(name, 0o644, []byte(text), o)
		if mode == 755 {
			e.Mode = 0o755
		}
		return e
	}
	full, err := tree.New(
		file(debOrigin, 644, stdlibDir+"/os.py", "os"),
		file(debOrigin, 755, stdlibDir+"/base64.py", "#! /usr/bin/python3"),
		file(debOrigin, 644, stdlibDir+"/encodings/__init__.py", "encodings"),
		file(debOrigin, 644, stdlibDir+"/encodings/utf_8.py", "utf-8"),
		file(debOrigin, 644, stdlibDir+"/__pycache__/os.cpython-311.pyc", "stale"),
		tree.Symlink(stdlibDir+"/sitecustomize.py", "/etc/python3.11/sitecustomize.py", debOrigin),
		file(debOrigin, 644, "etc/python3.11/sitecustomize.py", "customize"),
		file(debOrigin, 644, "usr/share/gdb/auto-load/python.py", "not imported"),
		file(pydantic, 644, siteDir+"/pydantic_core/__init__.py", "import inspect; inspect.getsource(x)"),
		file(pydantic, 644, siteDir+"/pydantic_core/template.py", "syntax error"),
		file(pydantic, 644, siteDir+"/pydantic_core/core.so", "ELF"),
		file(appOrigin, 644, "app/pkg/__init__.py", ""),
		file(appOrigin, 644, "app/pkg/views.py", "views"),
		file(appOrigin, 644, "app/pkg/0001_initial.py", "a migration of Django's"),
		file(appOrigin, 644, "app/my-tool.py", "cannot be imported"),
		file(appOrigin, 644, "app/gunicorn.conf.py", "cannot be imported"),
		file(appOrigin, 644, "app/settings_prod.py", "read as a file"),
		file(appOrigin, 644, "app/Procfile.txt", "web: gunicorn -c settings_prod.py"),
		file(appOrigin, 755, "app/manage.py", "#!/usr/bin/env python\n"),
		file(appOrigin, 644, "app/alembic/script.py.mako", ""),
		file(appOrigin, 644, "app/alembic/versions/ab12.py", "revision"),
	)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Tree: full, Engine: &fakePython{}, Store: store, Systems: Systems{Python: full}, Options: map[string]string{},
		Python: &python.Runtime{
			Exe: "usr/bin/python3.11", Full: "3.11.2", Version: "3.11", CacheTag: "cpython-311", Magic: "a70d0d0a",
			Stdlib: stdlibDir, DynLoad: stdlibDir + "/lib-dynload", Site: siteDir,
			Path: []string{stdlibDir, siteDir}, Builtin: []string{"zlib"}, Suffixes: []string{".so"},
		},
	}
}

// files lists the tree's files with an abbreviation of their contents.
func files(t *testing.T, tr *tree.Tree) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for e := range tr.All() {
		if !e.IsRegular() {
			continue
		}
		data, err := e.ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		out[e.Path] = string(data)
		if strings.HasSuffix(e.Path, ".pyc") && len(data) > pycHead {
			out[e.Path] = fmt.Sprintf("%d:%s", data[4], data[pycHead:])
		}
		if strings.HasSuffix(e.Path, ".pya") {
			out[e.Path] = "archive"
		}
	}
	return out
}

func TestBytecode(t *testing.T) {
	in := sourceTree(t)
	in.Options["optimize"] = "1"
	out, err := Bytecode.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	std, site := "/"+stdlibDir, "/"+siteDir
	want := map[string]string{
		stdlibDir + "/os.pyc":                                   "1:" + std + "/os.py|O1|hook0|os",
		stdlibDir + "/base64.pyc":                               "1:" + std + "/base64.py|O1|hook0|#! /usr/bin/python3",
		stdlibDir + "/encodings/__init__.pyc":                   "1:" + std + "/encodings/__init__.py|O1|hook0|encodings",
		stdlibDir + "/encodings/utf_8.pyc":                      "1:" + std + "/encodings/utf_8.py|O1|hook0|utf-8",
		stdlibDir + "/sitecustomize.pyc":                        "1:" + std + "/sitecustomize.py|O1|hook0|customize",
		"etc/python3.11/sitecustomize.py":                       "customize",
		"usr/share/gdb/auto-load/python.py":                     "not imported",
		siteDir + "/pydantic_core/__init__.pyc":                 "1:" + site + "/pydantic_core/__init__.py|O1|hook0|import inspect; inspect.getsource(x)",
		siteDir + "/pydantic_core/template.py":                  "syntax error",
		siteDir + "/pydantic_core/core.so":                      "ELF",
		"app/pkg/__init__.pyc":                                  "1:/app/pkg/__init__.py|O1|hook0|",
		"app/pkg/views.pyc":                                     "1:/app/pkg/views.py|O1|hook0|views",
		"app/pkg/0001_initial.pyc":                              "1:/app/pkg/0001_initial.py|O1|hook0|a migration of Django's",
		"app/my-tool.py":                                        "cannot be imported",
		"app/gunicorn.conf.py":                                  "cannot be imported",
		"app/settings_prod.py":                                  "read as a file",
		"app/__pycache__/settings_prod.cpython-311.pyc":         "3:/app/settings_prod.py|O1|hook0|read as a file",
		"app/Procfile.txt":                                      "web: gunicorn -c settings_prod.py",
		"app/manage.py":                                         "#!/usr/bin/env python\n",
		"app/__pycache__/manage.cpython-311.pyc":                "3:/app/manage.py|O1|hook0|#!/usr/bin/env python\n",
		"app/alembic/script.py.mako":                            "",
		"app/alembic/versions/ab12.py":                          "revision",
		"app/alembic/versions/__pycache__/ab12.cpython-311.pyc": "3:/app/alembic/versions/ab12.py|O1|hook0|revision",
	}
	if diff := cmp.Diff(want, files(t, out.Tree)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	notes := make(map[string]string)
	for _, n := range out.Notes {
		notes[n.Path] = n.Text
	}
	if diff := cmp.Diff(map[string]string{
		siteDir + "/pydantic_core/__init__.py": "reads sources when it runs, which are not there; keep-source keeps them",
		siteDir + "/pydantic_core/template.py": "does not compile and stays as it is: SyntaxError: invalid syntax",
		"app/settings_prod.py":                 "keeps its source: the project names it as a file",
		"app/manage.py":                        "keeps its source: it is a program",
		"app/alembic/versions/ab12.py":         "keeps its source: alembic loads it as a file",
	}, notes); diff != "" {
		t.Errorf("notes (-want +got)\n%s", diff)
	}
	if len(out.Env) > 0 {
		t.Errorf("bytecode in place of sources is taken at any level, and yet the environment is %q", out.Env)
	}
	if e, _ := out.Tree.Lookup(stdlibDir + "/base64.pyc"); e.Mode != 0o644 || e.From != debOrigin {
		t.Errorf("base64.pyc has mode %v and is from %v", e.Mode, e.From)
	}
	if !slices.Contains(out.Moves, Move{From: "app/pkg/views.py", To: "app/pkg/views.pyc"}) ||
		!slices.Contains(out.Moves, Move{From: stdlibDir + "/__pycache__/os.cpython-311.pyc", Why: "bytecode is made anew"}) {
		t.Errorf("moves: %v", out.Moves)
	}
}

// With its sources an image has bytecode under the name of its level, where an
// interpreter of that level looks, and it must hold whatever times files have.
func TestBytecodeInPycache(t *testing.T) {
	for _, tt := range []struct {
		optimize, suffix string
		env              []string
	}{{"0", "", nil}, {"1", ".opt-1", []string{"PYTHONOPTIMIZE=1"}}, {"2", ".opt-2", []string{"PYTHONOPTIMIZE=2"}}} {
		t.Run(tt.optimize, func(t *testing.T) {
			in := sourceTree(t)
			in.Options["mode"], in.Options["optimize"] = "pycache", tt.optimize
			out, err := Bytecode.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			want := files(t, in.Tree)
			delete(want, stdlibDir+"/__pycache__/os.cpython-311.pyc") // made anew
			for p, text := range files(t, in.Tree) {
				if importable(p, roots(in)) && text != "syntax error" {
					dir, base := path.Split(p)
					level := tt.optimize
					if strings.HasPrefix(p, "app/") && level == "2" {
						level = "1" // docstrings of the project stay
					}
					want[dir+"__pycache__/"+strings.TrimSuffix(base, ".py")+".cpython-311"+tt.suffix+".pyc"] = "3:/" + p + "|O" + level + "|hook0|" + text
				}
			}
			want[stdlibDir+"/__pycache__/sitecustomize.cpython-311"+tt.suffix+".pyc"] = "3:/" + stdlibDir + "/sitecustomize.py|O" + tt.optimize + "|hook0|customize"
			if diff := cmp.Diff(want, files(t, out.Tree)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tt.env, out.Env); diff != "" {
				t.Errorf("environment (-want +got)\n%s", diff)
			}
			if len(out.Notes) != 1 || !strings.Contains(out.Notes[0].Text, "does not compile") {
				t.Errorf("notes %v", out.Notes)
			}
		})
	}
}

func TestBytecodeKeepsSources(t *testing.T) {
	for _, tt := range []struct{ option, path string }{
		{"pydantic-core", siteDir + "/pydantic_core/__init__.py"},
		{"dist:pydantic.core", siteDir + "/pydantic_core/__init__.py"},
		{"other, /app/pkg", "app/pkg/views.py"},
		{"/" + stdlibDir + "/os.py", stdlibDir + "/os.py"},
	} {
		t.Run(tt.option, func(t *testing.T) {
			in := sourceTree(t)
			in.Options["keep-source"] = tt.option
			out, err := Bytecode.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := out.Tree.Lookup(tt.path); !ok {
				t.Errorf("%s is gone", tt.path)
			}
			if _, ok := out.Tree.Lookup("app/pkg/views.py"); ok != (tt.path == "app/pkg/views.py") {
				t.Error("more sources stay than were asked for")
			}
		})
	}
}

// A project that looks at its own sources finds them, wherever it is
// installed; what it does not own goes as ever, and a distribution's list of
// its files is no use of them.
func TestBytecodeOfAProjectThatReadsSources(t *testing.T) {
	own := tree.Origin{Kind: tree.Dist, Name: "my-tool"}
	for _, tt := range []struct {
		project, text string
		want          bool
	}{
		{"my.tool", "from inspect import getsource\nprint(getsource(b.f))", true},
		{"my.tool", "import b", false},
		{"other", "from inspect import getsource\nprint(getsource(b.f))", false},
	} {
		in := sourceTree(t)
		in.Options["project"] = tt.project
		var err error
		if in.Tree, err = in.Tree.With(
			tree.File(siteDir+"/mytool/a.py", 0o644, []byte(tt.text), own),
			tree.File(siteDir+"/mytool/b.py", 0o644, []byte("def f(): pass"), own),
			tree.File(siteDir+"/my_tool-1.dist-info/RECORD", 0o644, []byte("mytool/a.py,,\nmytool/b.py,,\n"), own),
		); err != nil {
			t.Fatal(err)
		}
		out, err := Bytecode.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := out.Tree.Lookup(siteDir + "/mytool/b.py"); ok != tt.want {
			t.Errorf("%s, %q: b.py is there: %v, want %v", tt.project, tt.text, ok, tt.want)
		}
		if _, ok := out.Tree.Lookup(siteDir + "/pydantic_core/__init__.py"); ok {
			t.Errorf("%s, %q: sources of a dependency stay", tt.project, tt.text)
		}
	}
}

// A changed line must not compile the rest anew, and a changed place must.
func TestBytecodeCache(t *testing.T) {
	in := sourceTree(t)
	if _, err := Bytecode.Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(in *Input) error
		want []string
	}{
		{"nothing", func(*Input) error { return nil }, nil},
		{"a line", func(in *Input) (err error) {
			in.Tree, err = in.Tree.With(tree.File("app/pkg/views.py", 0o644, []byte("changed"), appOrigin))
			return err
		}, []string{"/app/pkg/views.py"}},
		{"a copy elsewhere", func(in *Input) (err error) {
			in.Tree, err = in.Tree.With(tree.File("app/pkg/copy.py", 0o644, []byte("views"), appOrigin))
			return err
		}, []string{"/app/pkg/copy.py"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := &fakePython{}
			again := in
			again.Engine = fake
			if err := tt.edit(&again); err != nil {
				t.Fatal(err)
			}
			if _, err := Bytecode.Run(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, fake.jobs); diff != "" {
				t.Errorf("compiled (-want +got)\n%s", diff)
			}
		})
	}
}

func TestBytecodeRefuses(t *testing.T) {
	in := sourceTree(t)
	in.Options["optimize"] = "3"
	_, err := Bytecode.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage {
		t.Errorf("got %v, want a usage fault", err)
	}
	in = sourceTree(t)
	in.Options["mode"] = "none"
	_, err = Bytecode.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage {
		t.Errorf("got %v for a mode that there is not, want a usage fault", err)
	}
	in = sourceTree(t)
	in.Engine = broken{}
	if _, err := Bytecode.Run(t.Context(), in); err == nil || !strings.Contains(err.Error(), "the compiler gave no result") {
		t.Errorf("got %v for a compiler that does nothing", err)
	}
}

type broken struct{}

func (broken) Run(context.Context, plan.Step, engine.Trees) (*tree.Tree, error) {
	return &tree.Tree{}, nil
}

func TestArchive(t *testing.T) {
	in := sourceTree(t)
	loose, err := Bytecode.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Tree = loose.Tree
	in.Options = map[string]string{"loose": "/app/pkg/views.pyc"}
	out, err := Archive.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got := files(t, out.Tree)
	for name := range got {
		if strings.HasSuffix(name, ".pyc") && !strings.Contains(name, "__pycache__") && !slices.Contains([]string{
			stdlibDir + "/os.pyc", stdlibDir + "/_exuvia.pyc", stdlibDir + "/encodings/__init__.pyc", "app/pkg/views.pyc",
		}, name) {
			t.Errorf("%s is loose", name)
		}
	}
	if want := "1:/" + stdlibDir + "/encodings/__init__.py|O0|hook1|encodings"; got[stdlibDir+"/encodings/__init__.pyc"] != want {
		t.Errorf("encodings is %q, want %q", got[stdlibDir+"/encodings/__init__.pyc"], want)
	}
	contents := make(map[string][]string)
	for _, name := range archives {
		e, ok := out.Tree.Lookup("usr/lib/exuvia/" + name + ".pya")
		if !ok {
			t.Fatalf("no archive %s", name)
		}
		data, err := e.ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		a, err := readArchive(data)
		if err != nil {
			t.Fatal(err)
		}
		if !a.Deflate || hex.EncodeToString(a.Magic[:]) != in.Python.Magic {
			t.Errorf("archive %s: %v %x", name, a.Deflate, a.Magic)
		}
		for _, m := range a.Modules {
			contents[name] = append(contents[name], m.Dir+"/"+m.Name+" "+string(m.Code))
		}
	}
	std, site := "/"+stdlibDir, "/"+siteDir
	if diff := cmp.Diff(map[string][]string{
		"system": {
			std + "/base64 " + std + "/base64.py|O0|hook0|#! /usr/bin/python3",
			std + "/sitecustomize " + std + "/sitecustomize.py|O0|hook0|customize",
			std + "/encodings/utf_8 " + std + "/encodings/utf_8.py|O0|hook0|utf-8",
		},
		"dependencies": {site + "/pydantic_core/__init__ " + site + "/pydantic_core/__init__.py|O0|hook0|import inspect; inspect.getsource(x)"},
		"app": {
			"/app/pkg/0001_initial /app/pkg/0001_initial.py|O0|hook0|a migration of Django's",
			"/app/pkg/__init__ /app/pkg/__init__.py|O0|hook0|",
		},
	}, contents); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !slices.Contains(out.Moves, Move{
		From: stdlibDir + "/base64.pyc", To: "usr/lib/exuvia/system.pya", Member: stdlibDir + "/base64.py",
	}) {
		t.Errorf("moves: %v", out.Moves)
	}
	if e, ok := out.Tree.Lookup("app/pkg"); !ok || !e.IsDir() {
		t.Error("a package's directory is gone")
	}
}

func TestArchiveStaysOut(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Input)
	}{
		{"sources", func(*Input) {}},
		{"frozen encodings", func(in *Input) { in.Python.Frozen = []string{"encodings"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := sourceTree(t)
			tt.edit(&in)
			out, err := Archive.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Notes) != 1 || len(tree.Diff(in.Tree, out.Tree)) != 0 {
				t.Errorf("notes %v, changes %v", out.Notes, tree.Diff(in.Tree, out.Tree))
			}
		})
	}
}

func TestArchiveOf(t *testing.T) {
	for _, tt := range []struct {
		origin        tree.Origin
		project, want string
	}{
		{debOrigin, "x", "system"},
		{tree.Origin{Kind: tree.Made}, "", "system"},
		{pydantic, "", "dependencies"},
		{pydantic, "pydantic-core", "app"},
		{appOrigin, "", "app"},
	} {
		if got := archiveOf(ofProject(tt.origin, tt.project)); got != tt.want {
			t.Errorf("archive of %v with project %q is %s, want %s", tt.origin, tt.project, got, tt.want)
		}
	}
}

func sample(deflate bool) archive {
	return archive{Magic: [4]byte{0xa7, 13, 13, 10}, Deflate: deflate, Modules: []module{
		{"/usr/lib/python3.11", "abc", []byte("code of abc")},
		{"/usr/lib/python3.11/json", "__init__", bytes.Repeat([]byte("json"), 100)},
		{"/usr/lib/python3.11/é", "empty", []byte{}},
	}}
}

func TestArchiveFormat(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		var first, second bytes.Buffer
		a := sample(deflate)
		if err := a.write(&first); err != nil {
			t.Fatal(err)
		}
		got, err := readArchive(first.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		slices.Reverse(a.Modules)
		if err := a.write(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("another order gives other bytes (%v)", err)
		}
		for n := range first.Len() {
			if _, err := readArchive(first.Bytes()[:n]); err == nil {
				t.Errorf("the first %d of %d bytes are accepted", n, first.Len())
			}
		}
	}
}

func TestArchiveWriteRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		modules []module
	}{
		{"twice", []module{{"/a", "b", nil}, {"/a", "b", nil}}},
		{"relative", []module{{"a", "b", nil}}},
		{"in the root", []module{{"/", "b", nil}}},
		{"nameless", []module{{"/a", "", nil}}},
		{"no UTF-8", []module{{"/a\xff", "b", nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := (archive{Modules: tt.modules}).write(io.Discard); err == nil {
				t.Error("no error")
			}
		})
	}
}

// FuzzReadArchive: what is read and can be written again says the same.
func FuzzReadArchive(f *testing.F) {
	for _, deflate := range []bool{false, true} {
		var b bytes.Buffer
		if err := sample(deflate).write(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readArchive(data)
		if err != nil {
			if !errors.Is(err, errArchive) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		var b bytes.Buffer
		if a.write(&b) != nil {
			return // directories that this program does not write
		}
		again, err := readArchive(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(a.Modules, compareModules)
		if diff := cmp.Diff(a, again); diff != "" {
			t.Errorf("(-first +second)\n%s", diff)
		}
	})
}
