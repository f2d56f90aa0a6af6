package reduce

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

func TestDocs(t *testing.T) {
	var (
		deb  = tree.Origin{Kind: tree.Deb, Name: "libc6"}
		dist = tree.Origin{Kind: tree.Dist, Name: "demo"}
		lazy = tree.Origin{Kind: tree.Dist, Name: "lazy"}
		app  = tree.Origin{Kind: tree.Project, Name: "app"}
	)
	const site = "usr/local/lib/python3.11/dist-packages/"
	files := []struct {
		path string
		from tree.Origin
		text string
		gone string
	}{
		{path: "usr/share/doc/libc6/copyright", from: deb},
		{path: "usr/share/doc/libc6/NEWS.gz", from: deb, gone: "documentation"},
		{path: "usr/share/doc/libc6/examples/a.c", from: deb, gone: "documentation"},
		{path: "usr/share/doc/libc6/NOTICE", from: deb},
		{path: "usr/share/common-licenses/GPL-3", from: deb},
		{path: "usr/share/man/man1/python.1.gz", from: deb, gone: "a manual page"},
		{path: "usr/local/share/man/man1/tool.1", from: dist, gone: "a manual page"},
		{path: "usr/share/info/libc.info.gz", from: deb, gone: "an info page"},
		{path: "usr/share/locale/de/LC_MESSAGES/libc.mo", from: deb, gone: "a translation of messages of the system's programs"},
		{path: "usr/share/locale/de/LC_MESSAGES/demo.mo", from: dist},
		{path: "usr/share/locale/locale.alias", from: deb},
		{path: site + "demo/locale/de/LC_MESSAGES/demo.mo", from: dist},
		{path: site + "demo/locale/de/LC_MESSAGES/demo.po", from: dist, gone: "only translators read it: what programs read is beside it"},
		{path: site + "demo/locale/fr/LC_MESSAGES/demo.po", from: dist},
		{path: site + "demo/po/demo.po", from: dist},
		{path: "app/locale/de/LC_MESSAGES/a.mo", from: app},
		{path: "app/locale/de/LC_MESSAGES/a.po", from: app},
		{path: "usr/share/lintian/overrides/libc6", from: deb, gone: "only packagers read it"},
		{path: "usr/share/bash-completion/completions/pip", from: deb, gone: "only shells complete with it"},
		{path: "usr/include/python3.11/Python.h", from: deb, gone: "only compilers read headers"},
		{path: site + "demo/core/include/demo/x.h", from: dist, gone: "only compilers read headers"},
		{path: site + "demo/include/data.json", from: dist},
		{path: site + "demo/core/_x.pxd", from: dist, gone: "only compilers read headers"},
		{path: site + "demo/x.h", from: dist},
		{path: "usr/lib/x86_64-linux-gnu/libc.a", from: deb, gone: "only linkers read it"},
		{path: "usr/lib/x86_64-linux-gnu/crt1.o", from: deb, gone: "only linkers read it"},
		{path: "usr/lib/x86_64-linux-gnu/libx.la", from: deb, gone: "only linkers read it"},
		{path: "usr/lib/x86_64-linux-gnu/ImageMagick/coders/png.la", from: deb},
		{path: site + "demo/trace.bpf.o", from: dist},
		{path: "usr/lib/x86_64-linux-gnu/pkgconfig/x.pc", from: deb, gone: "only build systems read it"},
		{path: site + "demo/share/cmake/demo/demo-config.cmake", from: dist, gone: "only build systems read it"},
		{path: site + "demo/py.typed", from: dist, gone: "only type checkers read it"},
		{path: site + "demo/__init__.pyi", from: dist, gone: "only type checkers read it"},
		{path: site + "demo/__init__.py", from: dist, text: "import latests\nx = 'mytests'\n"},
		{path: site + "demo/tests/data/a.json", from: dist, gone: "data of tests or examples that are not in the image"},
		{path: site + "demo/tests/LICENSE", from: dist},
		{path: site + "demo/testsuite/a.json", from: dist},
		{path: site + "demo/sub/test/a.py", from: dist},
		{path: site + "demo/sub/test/a.json", from: dist},
		{path: site + "demo-1.dist-info/METADATA", from: dist},
		{path: site + "demo-1.dist-info/licenses/doc/x.a", from: dist},
		{path: site + "lazy/__init__.py", from: lazy, text: "__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)"},
		{path: site + "lazy/__init__.pyi", from: lazy},
		{path: site + "lazy/data.py", from: lazy, text: "open(here / 'examples' / name)"},
		{path: site + "lazy/examples/a.json", from: lazy},
		{path: "app/docs/readme.md", from: app},
		{path: "app/main.pyi", from: app},
		{path: "app/py.typed", from: app},
		{path: "app/include/x.h", from: app},
		{path: "app/tests/a.json", from: app},
		{path: "app/lib.a", from: app},
	}
	entries := []tree.Entry{
		tree.Symlink("usr/share/doc/libc-bin", "libc6", deb),
		tree.Dir("usr/share/man/man7", 0o755, deb),
	}
	want := make(map[string]string)
	for _, f := range files {
		entries = append(entries, tree.File(f.path, 0o644, []byte(f.text), f.from))
		if f.gone != "" {
			want[f.path] = f.gone
		}
	}
	in, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Docs.Run(t.Context(), Input{Tree: in})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, m := range out.Moves {
		got[m.From] = m.Why
		if m.To != "" {
			t.Errorf("%s went to %s", m.From, m.To)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	for e := range in.All() {
		_, left := out.Tree.Lookup(e.Path)
		if gone := got[e.Path] != ""; !e.IsDir() && left == gone {
			t.Errorf("%s: in the tree %t, among the moves %t", e.Path, left, gone)
		}
	}
	for dir, want := range map[string]bool{
		"usr/share/man/man1": false, "usr/share/man/man7": true, "usr/include": false, "usr/share/info": false,
		site + "demo/tests/data": false, site + "demo/tests": true, "usr/share/doc/libc6": true,
	} {
		if _, got := out.Tree.Lookup(dir); got != want {
			t.Errorf("directory %s is there: %t, want %t", dir, got, want)
		}
	}
}
