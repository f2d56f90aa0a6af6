package python

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// says is an engine whose every step writes the text, or fails.
type says struct {
	text string
	err  error
	step plan.Step
}

func (s *says) Run(_ context.Context, step plan.Step, _ engine.Trees) (*tree.Tree, error) {
	s.step = step
	if s.err != nil {
		return nil, s.err
	}
	return tree.New(tree.File(strings.TrimPrefix(outDir, "/")+"/"+answer, 0o644, []byte(s.text), tree.Origin{Kind: tree.Made}))
}

const debian = `{"implementation": "cpython", "version": "3.11", "full": "3.11.2", "cacheTag": "cpython-311",
	"platform": "linux-x86_64", "magic": "a70d0d0a", "stdlib": "/usr/lib/python3.11", "dynLoad": "/usr/lib/python3.11/lib-dynload",
	"site": "/usr/local/lib/python3.11/dist-packages", "scripts": "/usr/local/bin",
	"path": ["/usr/lib/python3.11", "/usr/lib/python3/dist-packages"],
	"builtin": ["zlib"], "frozen": ["os"], "suffixes": [".so"], "initial": ["sys"]}`

func system(t *testing.T) *tree.Tree {
	t.Helper()
	from := tree.Origin{Kind: tree.Deb, Name: "python3.11-minimal"}
	sys, err := tree.New(
		tree.File("usr/bin/python3.11", 0o755, []byte("ELF"), from),
		tree.Symlink("usr/bin/python3", "python3.11", from),
	)
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func TestDescribe(t *testing.T) {
	eng := &says{text: debian}
	got, err := Describe(t.Context(), eng, system(t), "usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	want := &Runtime{
		Exe: "usr/bin/python3.11", Version: "3.11", Full: "3.11.2", CacheTag: "cpython-311",
		Platform: "linux-x86_64", Magic: "a70d0d0a", Stdlib: "usr/lib/python3.11", DynLoad: "usr/lib/python3.11/lib-dynload",
		Site: "usr/local/lib/python3.11/dist-packages", Scripts: "usr/local/bin",
		Path:    []string{"usr/lib/python3.11", "usr/lib/python3/dist-packages"},
		Builtin: []string{"zlib"}, Frozen: []string{"os"}, Suffixes: []string{".so"}, Initial: []string{"sys"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if eng.step.Args[0] != "/usr/bin/python3.11" || eng.step.Network {
		t.Errorf("step is %+v", eng.step)
	}
}

func TestDescribeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"other implementation", `"cpython", "version"`, `"pypy", "version"`, `it is "pypy", not CPython`},
		{"too old", `"3.11", "full": "3.11.2"`, `"3.8", "full": "3.8.1"`, "it is Python 3.8.1"},
		{"versions that differ", `"full": "3.11.2"`, `"full": "3.1.2"`, `its version is "3.11", "3.1.2"`},
		{"bad magic", "a70d0d0a", "a70d", `bytecode magic is "a70d"`},
		{"cache tag with a slash", `"cpython-311"`, `"../x"`, `cache tag is "../x"`},
		{"relative directory", `"/usr/lib/python3.11",`, `"usr/lib",`, `names the directory "usr/lib"`},
		{"root as directory", `["/usr/lib/python3.11"`, `["/.."`, `names the directory "/.."`},
		{"no JSON", `{"impl`, `Traceback`, "reading its answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(debian, tt.old, tt.new, 1)
			if text == debian {
				t.Fatal("the table changes nothing")
			}
			_, err := Describe(t.Context(), &says{text: text}, system(t), "usr/bin/python3")
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != fault.Base || !strings.Contains(f.What, tt.want) {
				t.Errorf("got %v, want a base fault with %q", err, tt.want)
			}
		})
	}
}

func TestDescribeWithoutPython(t *testing.T) {
	failing := &says{err: &engine.StepError{Step: "describing python3.11", Exit: 127, Output: "libz.so.1: no such file"}}
	for _, tt := range []struct{ name, exe, want string }{
		{"missing", "usr/bin/python4", "no Python interpreter at /usr/bin/python4"},
		{"does not start", "usr/bin/python3", "does not start: describing python3.11: exit code 127: libz.so.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Describe(t.Context(), failing, system(t), tt.exe)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != fault.Base || !strings.Contains(f.What, tt.want) {
				t.Errorf("got %v, want a base fault with %q", err, tt.want)
			}
		})
	}
	cause := errors.New("disk is gone")
	if _, err := Describe(t.Context(), &says{err: cause}, system(t), "usr/bin/python3"); !errors.Is(err, cause) {
		t.Errorf("got %v, want the engine's error", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(debian))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if (r == nil) == (err == nil) {
			t.Fatal("neither result nor error, or both")
		}
		if r == nil {
			return
		}
		for _, p := range append([]string{r.Stdlib, r.DynLoad, r.Site, r.Scripts}, r.Path...) {
			if _, err := tree.New(tree.Dir(p, 0o755, tree.Origin{})); err != nil {
				t.Errorf("path %q: %v", p, err)
			}
		}
	})
}
