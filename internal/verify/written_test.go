package verify

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
)

// leaves makes the answer of a program that left files, given as names and
// contents in turn.
func leaves(files ...string) answer {
	var e engine.Exit
	for i := 0; i < len(files); i += 2 {
		e.Files = append(e.Files, engine.File{Path: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Digest: files[i+1]})
	}
	return ended("x", e).leaving(Subject{Unpacks: []string{"/tmp/unpacked/"}}, e)
}

func TestExplainFiles(t *testing.T) {
	for _, tt := range []struct {
		name      string
		lean      answer
		full      []answer
		left, met []string
	}{
		{"none", leaves(), []answer{leaves()}, nil, nil},
		{"equal", leaves("/tmp/a", "1"), []answer{leaves("/tmp/a", "1")}, nil, nil},
		{"contents", leaves("/tmp/a", "2"), []answer{leaves("/tmp/a", "1"), leaves("/tmp/a", "1")}, []string{"content:/tmp/a"}, nil},
		{"variable contents", leaves("/tmp/a", "3"), []answer{leaves("/tmp/a", "1"), leaves("/tmp/a", "2")}, nil, []string{"content:/tmp/a"}},
		// That contents vary does not allow to write nothing at all.
		{
			"missing", leaves(),
			[]answer{leaves("/tmp/a", "1"), leaves("/tmp/a", "2")},
			[]string{"file:/tmp/a"},
			[]string{"content:/tmp/a"},
		},
		{"one more", leaves("/tmp/a", "1"), []answer{leaves(), leaves()}, []string{"content:/tmp/a", "file:/tmp/a"}, nil},
		{"sometimes", leaves(), []answer{leaves("/tmp/a", "1"), leaves()}, nil, []string{"content:/tmp/a", "file:/tmp/a"}},
		{"unpacked", leaves("/tmp/unpacked/a", "1"), []answer{leaves()}, nil, nil},
		{"random name", leaves("/tmp/r-zz.csv", "1"), []answer{leaves("/tmp/r-xa.csv", "1"), leaves("/tmp/r-xb.csv", "1")}, nil, nil},
		{
			"random name, other contents", leaves("/tmp/r-zz.csv", "2"),
			[]answer{leaves("/tmp/r-xa.csv", "1"), leaves("/tmp/r-xb.csv", "1")},
			[]string{"content:/tmp/….csv"},
			nil,
		},
		{
			"random name that is missing", leaves(),
			[]answer{leaves("/tmp/r-xa.csv", "1"), leaves("/tmp/r-xb.csv", "2")},
			[]string{"file:/tmp/….csv"},
			[]string{"content:/tmp/….csv"},
		},
		{
			"random directory", leaves("/tmp/tmpe/f/out.csv", "1"),
			[]answer{leaves("/tmp/tmpa/b/out.csv", "1"), leaves("/tmp/tmpc/d/out.csv", "1")},
			nil, nil,
		},
		// A name that all runs have is not taken for a random one.
		{
			"beside a steady one", leaves("/tmp/a.csv", "3", "/tmp/z.csv", "1"),
			[]answer{leaves("/tmp/a.csv", "1", "/tmp/x.csv", "1"), leaves("/tmp/a.csv", "1", "/tmp/y.csv", "1")},
			[]string{"content:/tmp/a.csv"},
			nil,
		},
		{
			"of another form", leaves("/tmp/z.txt", "1"),
			[]answer{leaves("/tmp/x.csv", "1"), leaves("/tmp/y.csv", "1")},
			[]string{"content:/tmp/z.txt", "content:/tmp/….csv", "file:/tmp/z.txt", "file:/tmp/….csv"},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			left, met := explain(tt.full[0], tt.lean, tt.full[1:], nil)
			var fields []string
			for _, d := range left {
				fields = append(fields, d.field)
			}
			slices.Sort(fields)
			slices.Sort(tt.left)
			if diff := cmp.Diff([2][]string{tt.left, tt.met}, [2][]string{fields, met}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What a file is counts as well as what is in it, and so does that there are too
// many to look at.
func TestFilesOfOtherKinds(t *testing.T) {
	file := func(f engine.File) answer {
		f.Path = "/tmp/a"
		e := engine.Exit{Files: []engine.File{f}}
		return ended("x", e).leaving(Subject{}, e)
	}
	much := engine.Exit{ManyFiles: true}
	full := file(engine.File{Mode: 0o644, Size: 1, Digest: "1"})
	for name, lean := range map[string]answer{
		"mode":    file(engine.File{Mode: 0o600, Size: 1, Digest: "1"}),
		"link":    file(engine.File{Mode: fs.ModeSymlink | 0o777, Link: "b"}),
		"pipe":    file(engine.File{Mode: fs.ModeNamedPipe | 0o644}),
		"too big": ended("x", much).leaving(Subject{}, much),
	} {
		if left, _ := explain(full, lean, []answer{full}, nil); len(left) == 0 {
			t.Errorf("%s: no difference", name)
		}
	}
}

// Files count of commands and of runs that end, and the error says how to allow
// what varies.
func TestFilesOfCommands(t *testing.T) {
	var n atomic.Int64
	writes := func(digest string) func([]string, string) app {
		return func(argv []string, _ string) app {
			random := engine.File{Path: "/tmp/" + strings.Repeat("x", int(n.Add(1)))}
			return app{exit: engine.Exit{Files: []engine.File{{Path: "/tmp/" + argv[len(argv)-1], Size: 1, Digest: digest}, random}}}
		}
	}
	in, _ := input(t, writes("1"), writes("1"))
	in.Probe.Commands = [][]string{{"main", "do"}}
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !strings.Contains(c.Detail, "files written: 2") {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	in, _ = input(t, writes("1"), writes("2"))
	_, err = Run(t.Context(), in)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Differs || !strings.Contains(f.What, `main runs: content:/tmp/8000: image "1 bytes, sha256 2", unreduced app "1 bytes, sha256 1"`) ||
		!strings.Contains(f.Hint, `variable = ["content:/tmp/8000"]`) {
		t.Errorf("error is %+v", err)
	}
	in.Probe.Variable = []string{"content:/tmp/8000", "content:/tmp/--help"}
	if _, err := Run(t.Context(), in); err != nil {
		t.Error(err)
	}
}
