package pyimport

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"exuvia/internal/tree"
)

func FuzzEntryPoints(f *testing.F) {
	f.Add([]byte("[console_scripts]\nuvicorn = uvicorn.main:main\n\n[x.y]\n# c\na=b\nc = d:e [extra]\n"))
	f.Add([]byte("a = b\n[]\n= x\n[a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range parseEntryPoints(data) {
			if p.Group == "" || p.Module == "" || strings.ContainsAny(p.Module+p.Attr, " \n/[]") {
				t.Errorf("accepted %+v", p)
			}
		}
	})
}

func FuzzPth(f *testing.F) {
	f.Add([]byte("import x\n# c\n../a\n/opt/lib\n\n.\n"))
	f.Add([]byte("../../../../../../etc\n\x00\n//\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range parsePth("usr/lib/python3/dist-packages", data) {
			if !fs.ValidPath(p) && strings.ToValidUTF8(p, "") == p {
				t.Errorf("%q is no path of a tree", p)
			}
		}
	})
}

// Whatever a helper says, deciding on it must end, and lead to files that are
// there.
func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"/app/main.py":{"uses":[{"k":"from","n":"..p","l":1,"x":["*","a"]},{"k":"call","n":"p.\u0000","l":2,"x":["\u0001"]},{"k":"walk","n":"p.__path__","l":3}],"flags":["lazy","dynamic","groups"],"strings":{"p.a:x":1,".a":2},"patterns":{"p.\u0000":3,"\u0001.a":4},"all":["a"]}}`))
	f.Add([]byte(`{"/app/main.py":null}`))
	f.Add([]byte(`{"/app/main.py":{"error":{"line":-1,"text":""}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all := make(map[string]*facts)
		if decodeFacts(data, all) != nil {
			return
		}
		tr := world(t, "app/main.py", "site/p/__init__.py", "site/p/a.py", "std/time.py")
		fd := finder(t, tr, canned{})
		e, _ := tr.Lookup("app/main.py")
		e.From = tree.Origin{}
		for _, known := range all {
			fd.facts[e.Path] = known
			edges, err := fd.Find(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			for _, edge := range edges {
				if _, ok := tr.Lookup(edge.To); ok == (edge.Missing != "") {
					t.Errorf("edge to what is not there: %+v", edge)
				}
			}
			if _, err := json.Marshal(known); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzDotted(f *testing.F) {
	f.Add([]byte("a.b.c\x00..x.y_1.z."))
	f.Fuzz(func(t *testing.T, data []byte) {
		eachDotted(data, func(s string) {
			if !strings.Contains(s, ".") || strings.Contains("."+s+".", "..") || len(s) > maxName {
				t.Errorf("found %q", s)
			}
		})
	})
}
