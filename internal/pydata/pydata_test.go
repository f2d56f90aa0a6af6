package pydata

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

const (
	std  = "usr/lib/python3.11"
	site = "usr/local/lib/python3.11/dist-packages"
)

var (
	rt      = &python.Runtime{Stdlib: std, DynLoad: std + "/lib-dynload", Site: site, Path: []string{std, site}}
	python3 = tree.Origin{Kind: tree.Deb, Name: "python3.11"}
	wheel   = tree.Origin{Kind: tree.Dist, Name: "My.Dist", Version: "1"}
	project = tree.Origin{Kind: tree.Project, Name: "demo"}
)

const record = `p/__init__.py,sha256=x,1
p/data.json,,
"p/with, comma.txt",,
../../../bin/tool,,
../../../share/man/tool.1,,
/etc/shadow,,
../../../../../../../../etc/shadow,,
p/__pycache__/gone.pyc,,
beside.txt,,
single.py,,
my_dist.libs/libz.so.1,,
My_Dist-1.dist-info/METADATA,,
My_Dist-1.dist-info/RECORD,,
`

func system(t *testing.T) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	add := func(from tree.Origin, names ...string) {
		for _, n := range names {
			name, data, _ := strings.Cut(n, " ")
			entries = append(entries, tree.File(name, 0o644, []byte(data), from))
		}
	}
	add(wheel,
		site+"/p/__init__.py", site+"/p/mod.py", site+"/p/_c.cpython-311-x86_64-linux-gnu.so", site+"/p/libq.so", site+"/p/py.typed", site+"/p/data.json", site+"/p/with,comma.txt",
		site+"/p/templates/a.html", site+"/p/templates/deep/env.py", site+"/p/templates/deep/x.mako", site+"/p/part/only.py",
		site+"/p/sub/__init__.py", site+"/p/sub/own.dat", site+"/p/__pycache__/mod.cpython-311.pyc",
		site+"/ns/m.py", site+"/ns/n.dat", site+"/single.py", site+"/beside.txt", site+"/my_dist.libs/libz.so.1",
		"usr/local/bin/tool", "usr/local/share/man/tool.1",
		site+"/My_Dist-1.dist-info/METADATA", site+"/My_Dist-1.dist-info/entry_points.txt", site+"/My_Dist-1.dist-info/licenses/LICENSE",
	)
	add(wheel, site+"/My_Dist-1.dist-info/RECORD "+record)
	add(python3, std+"/os.py", std+"/json/__init__.py", std+"/lib2to3/__init__.py", std+"/lib2to3/Grammar.txt", std+"/LICENSE.txt")
	add(tree.Origin{Kind: tree.Deb, Name: "base-files"}, "usr/share/common-licenses/GPL-2", "usr/share/common-licenses/BSD")
	add(tree.Origin{Kind: tree.Deb, Name: "passwd"}, "etc/shadow")
	add(python3, "usr/share/doc/python3.11/copyright See /usr/share/common-licenses/GPL-2. Or /usr/share/common-licenses/NONE")
	add(project, "app/main.py", "app/a.txt", "app/static/b.css")
	entries = append(entries, tree.File("usr/lib/libgcc.so.1", 0o644, nil, tree.Origin{Kind: tree.Deb, Name: "libgcc-s1"}),
		tree.File("usr/share/doc/gcc-12-base/copyright", 0o644, nil, tree.Origin{Kind: tree.Deb, Name: "gcc-12-base"}),
		tree.Symlink("usr/share/doc/libgcc-s1", "gcc-12-base", tree.Origin{Kind: tree.Deb, Name: "libgcc-s1"}))
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestFind(t *testing.T) {
	tr := system(t)
	f, err := New(t.Context(), Input{Tree: tr, Python: rt, DataUse: func(p string) string {
		if strings.HasSuffix(p, "/sub/__init__.py") {
			return "importlib.resources"
		}
		return ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	const info = "site/My_Dist-1.dist-info/"
	tests := []struct {
		name, file string
		want       []string
	}{
		{"package", site + "/p/__init__.py", []string{
			"data site/p/data.json", "data site/p/libq.so", "data site/p/py.typed", "data site/p/templates/a.html",
			"data site/p/templates/deep/env.py", "data site/p/templates/deep/x.mako", "data site/p/with,comma.txt", "metadata " + info + "RECORD",
		}},
		{"module of a package", site + "/p/mod.py", []string{"metadata " + info + "RECORD"}},
		{"subpackage", site + "/p/sub/__init__.py", []string{"data site/p/sub/own.dat", "metadata " + info + "RECORD"}},
		{"namespace package", site + "/ns/m.py", []string{"data site/ns/n.dat", "metadata " + info + "RECORD"}},
		{"module at the top", site + "/single.py", []string{"metadata " + info + "RECORD"}},
		{"RECORD", site + "/My_Dist-1.dist-info/RECORD", []string{"metadata " + info + "METADATA", "metadata " + info + "entry_points.txt", "metadata " + info + "licenses/LICENSE", "script site/beside.txt", "script usr/local/bin/tool", "script usr/local/share/man/tool.1"}},
		{"METADATA asks for no script", site + "/My_Dist-1.dist-info/METADATA", []string{"metadata " + info + "entry_points.txt", "metadata " + info + "licenses/LICENSE"}},
		{"entry points", site + "/My_Dist-1.dist-info/entry_points.txt", []string{"metadata " + info + "METADATA"}},
		{"standard library", std + "/os.py", []string{"licence usr/share/doc/python3.11/copyright"}},
		{"its packages", std + "/lib2to3/__init__.py", []string{"data std/lib2to3/Grammar.txt", "licence usr/share/doc/python3.11/copyright"}},
		{"licence", "usr/share/doc/python3.11/copyright", []string{"licence usr/share/common-licenses/GPL-2"}},
		{"licence behind a link", "usr/lib/libgcc.so.1", []string{"licence usr/share/doc/libgcc-s1/copyright"}},
		{"project", "app/main.py", []string{"project app/a.txt"}},
		{"project's first", "app/a.txt", []string{"project app/static/b.css"}},
		{"claimed by RECORD", "etc/shadow", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, ok := tr.Lookup(tt.file)
			if !ok {
				t.Fatalf("no %s", tt.file)
			}
			edges, err := f.Find(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, edge := range edges {
				got = append(got, edge.Kind+" "+strings.NewReplacer(std+"/", "std/", site+"/", "site/").Replace(edge.To))
				if strings.HasSuffix(edge.To, "own.dat") && !strings.Contains(edge.Note, "importlib.resources") {
					t.Errorf("the chain does not say how the data is read: %q", edge.Note)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("edges (-want +got):\n%s", diff)
			}
		})
	}
}

// From one module everything of its distribution that scanners and
// importlib.metadata ask for is reached, and nothing that is code.
func TestWalkFromOneModule(t *testing.T) {
	tr := system(t)
	f, err := New(t.Context(), Input{Tree: tr, Python: rt})
	if err != nil {
		t.Fatal(err)
	}
	g, err := reach.Walk(t.Context(), tr, []plan.Root{{Path: site + "/single.py", Why: "test"}}, f)
	if err != nil {
		t.Fatal(err)
	}
	info := site + "/My_Dist-1.dist-info/"
	want := []string{"usr/local/bin/tool", info + "METADATA", info + "RECORD", info + "entry_points.txt", info + "licenses/LICENSE", site + "/beside.txt", site + "/single.py", "usr/local/share/man/tool.1"}
	if diff := cmp.Diff(want, g.Paths()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"My_Dist"}, f.Distributions(g.Paths())); diff != "" {
		t.Errorf("distributions (-want +got):\n%s", diff)
	}
}

func TestBrokenRecord(t *testing.T) {
	tr, err := tree.New(tree.File(site+"/x-1.dist-info/RECORD", 0o644, []byte("a,b\n\"open"), wheel))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Input{Tree: tr, Python: rt}); err != nil {
		t.Errorf("lenient reading, as importlib.metadata's: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(record))
	f.Add([]byte("\"a\nb\",,\n,,\n\x00,,\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseRecord(data)
		if err != nil && names != nil {
			t.Error("both names and an error")
		}
		for _, n := range names {
			if n == "" || strings.ContainsRune(n, 0) {
				t.Errorf("accepted %q", n)
			}
		}
	})
}
