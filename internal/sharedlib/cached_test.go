package sharedlib

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

// An interpreter in /usr/local whose libpython is beside it in lib, as the
// common Python images have it, starts by the loader's cache alone.
func TestNeedCache(t *testing.T) {
	from := tree.Origin{Kind: tree.BaseFile, Name: "python"}
	lib := func(p string, l elfgen.Library) tree.Entry { return tree.File(p, 0o755, l.Bytes(), from) }
	files := []tree.Entry{
		lib("usr/local/bin/python3.12", elfgen.Library{Interp: "/lib64/ld.so", Needed: []string{"libpython3.12.so.1.0", "libc.so.6", "libopt.so"}}),
		lib("usr/local/lib/libpython3.12.so.1.0", elfgen.Library{Soname: "libpython3.12.so.1.0", Needed: []string{"libc.so.6"}}),
		lib("opt/lib/libopt.so", elfgen.Library{Soname: "libopt.so"}),
		lib("usr/lib/libc.so.6", elfgen.Library{Soname: "libc.so.6"}),
		lib("usr/local/lib/own.so", elfgen.Library{Needed: []string{"libopt.so"}, RunPath: "$ORIGIN/../../../opt/lib"}),
		lib("usr/local/lib/sibling.so", elfgen.Library{Needed: []string{"libbefore.so"}}),
		lib("usr/local/lib/wheel/libbefore.so", elfgen.Library{Soname: "libbefore.so"}),
		lib("usr/local/lib/gone.so", elfgen.Library{Needed: []string{"libgone.so"}}),
	}
	lean, err := tree.New(files...)
	if err != nil {
		t.Fatal(err)
	}
	full, err := lean.With(
		tree.File("etc/ld.so.conf", 0o644, []byte("include /etc/ld.so.conf.d/*.conf\n/opt/lib\n"), from),
		tree.File("etc/ld.so.conf.d/libc.conf", 0o644, []byte("# libc default configuration\n/usr/local/lib\n"), from),
		lib("opt/lib/libgone.so", elfgen.Library{Soname: "libgone.so"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NeedCache(lean, full)
	if err != nil {
		t.Fatal(err)
	}
	dirs := make(map[string][]string)
	for _, c := range got {
		dirs[c.File.Path] = c.Dirs
	}
	want := map[string][]string{"usr/local/bin/python3.12": {"usr/local/lib", "opt/lib"}}
	if diff := cmp.Diff(want, dirs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, err := NeedCache(lean, lean); err != nil || len(got) > 0 {
		t.Errorf("without a configuration: %v, %v", got, err)
	}
	env, err := CacheEnv(lean, full)
	if err != nil || env != "LD_LIBRARY_PATH=/usr/local/lib:/opt/lib" {
		t.Errorf("as an environment: %q, %v", env, err)
	}
	if missing, err := Missing(lean, EnvPath([]string{env})...); err != nil || slices.ContainsFunc(missing, func(m string) bool { return strings.Contains(m, "libopt") }) {
		t.Errorf("with that environment: %q, %v", missing, err)
	}
	if env, err := CacheEnv(lean, lean); err != nil || env != "" {
		t.Errorf("as an environment where none is needed: %q, %v", env, err)
	}
}

// LD_LIBRARY_PATH comes behind a DT_RPATH and before a DT_RUNPATH.
func TestLibraryPathInOrder(t *testing.T) {
	from := tree.Origin{Kind: tree.BaseFile, Name: "x"}
	lib := func(p string, l elfgen.Library) tree.Entry { return tree.File(p, 0o755, l.Bytes(), from) }
	tr, err := tree.New(
		lib("own/libx.so", elfgen.Library{Soname: "libx.so"}), lib("env/libx.so", elfgen.Library{Soname: "libx.so"}),
		lib("old", elfgen.Library{Needed: []string{"libx.so"}, RPath: "/own"}), lib("new", elfgen.Library{Needed: []string{"libx.so"}, RunPath: "/own"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"old": "own/libx.so", "new": "env/libx.so"} {
		e, _ := tr.Lookup(file)
		o, err := open(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, at, _ := (search{t: tr, env: []string{"env"}}).find(o, "libx.so"); at != want {
			t.Errorf("%s loads %s, want %s", file, at, want)
		}
	}
}

func TestEnvPath(t *testing.T) {
	for _, test := range []struct {
		name string
		env  []string
		want []string
	}{
		{"none", []string{"PATH=/bin", "LD_LIBRARY_PATHS=/x"}, nil},
		{"empty", []string{"LD_LIBRARY_PATH="}, nil},
		{"several", []string{"LD_LIBRARY_PATH=/a/:/b/../c;/d::rel:./x"}, []string{"a", "c", "d"}},
		{"last", []string{"LD_LIBRARY_PATH=/a", "LD_LIBRARY_PATH=/b"}, []string{"b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, EnvPath(test.env)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
