package sysdata

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

func deb(name string) tree.Origin { return tree.Origin{Kind: tree.Deb, Name: name} }

var project = tree.Origin{Kind: tree.Project, Name: "app"}

const status = `Package: libmagic1
Depends: libc6 (>= 2.34),
 libmagic-mgc (= 1:5.44),
 tzdata

Package: libmagic-mgc
Depends: more-magic | other

Package: python3.11-minimal
Depends: libmagic-mgc

Package: viewer
Pre-Depends: helper:any, libmagic1
`

func finder(t *testing.T, locales []string, more ...tree.Entry) *Finder {
	t.Helper()
	file := func(p, pkg string) tree.Entry { return tree.File(p, 0o644, []byte(p), deb(pkg)) }
	tr, err := tree.New(append([]tree.Entry{
		tree.File("var/lib/dpkg/status", 0o644, []byte(status), tree.Origin{Kind: tree.Made}),
		file("usr/lib/libmagic.so.1", "libmagic1"), file("usr/lib/file/magic.mgc", "libmagic-mgc"),
		file("usr/share/doc/libmagic-mgc/copyright", "libmagic-mgc"), file("usr/share/more", "more-magic"),
		file("usr/share/zoneinfo/UTC", "tzdata"), file("usr/bin/helper", "helper"), file("usr/share/helper/data", "helper"),
		file("usr/bin/viewer", "viewer"), file("usr/lib/python3.11/os.py", "python3.11-minimal"),
		file("etc/ssl/certs/ca-certificates.crt", "ca-certificates"), file("etc/mime.types", "media-types"), file("etc/passwd", "base-passwd"),
		file("usr/lib/terminfo/x/xterm", "ncurses-base"), tree.Dir("usr/share/terminfo", 0o755, deb("ncurses-base")),
		file("usr/lib/locale/de_DE.utf8/LC_TIME", "locales-all"), file("usr/lib/locale/de_DE/LC_TIME", "locales-all"),
		file("usr/lib/locale/fr_FR.utf8/LC_TIME", "locales-all"), file("usr/bin/sh", "dash"),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Input{Tree: tr, Own: func(e tree.Entry) bool { return e.From == project }, Locales: locales})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name    string
		locales []string
		entry   tree.Entry
		want    []string
	}{
		{"a library whose data is another package", nil, tree.File("usr/lib/libmagic.so.1", 0o644, nil, deb("libmagic1")), []string{"usr/lib/file/magic.mgc"}},
		{"data of data", nil, tree.File("usr/lib/file/magic.mgc", 0o644, nil, deb("libmagic-mgc")), []string{"usr/share/more"}},
		{"a package that depends on code only", nil, tree.File("usr/bin/viewer", 0o755, nil, deb("viewer")), nil},
		{"the interpreter", nil, tree.File("usr/lib/python3.11/os.py", 0o644, nil, deb("python3.11-minimal")), nil},
		{"OpenSSL", nil, tree.File("usr/lib/libssl.so.3", 0o644, nil, deb("libssl3")), []string{"etc/ssl/certs/ca-certificates.crt"}},
		{"Python's OpenSSL", nil, tree.File("usr/lib/_ssl.cpython-311-x86_64-linux-gnu.so", 0o644, nil, deb("python3.11-minimal")), []string{"etc/ssl/certs/ca-certificates.crt"}},
		{"terminals", nil, tree.File("lib/libtinfo.so.6", 0o644, nil, deb("libtinfo6")), []string{"usr/lib/terminfo"}},
		{"neither", nil, tree.File("lib/libz.so.1", 0o644, nil, deb("zlib1g")), nil},
		{"a file that a source names", nil, tree.File("m.py", 0o644, []byte(`["/etc/mime.types", "/etc/none", "/usr/lib/file", "/usr/bin/sh", "/etc/../etc/passwd"]`), tree.Origin{}), []string{"etc/mime.types"}},
		{"a locale that the project names", nil, tree.File("app/m.py", 0o644, []byte(`setlocale(0, "de_DE.UTF-8"); "xx_XX"`), project), []string{"usr/lib/locale/de_DE.utf8"}},
		{"without a codeset", nil, tree.File("app/m.py", 0o644, []byte(`'de_DE'`), project), []string{"usr/lib/locale/de_DE"}},
		{"a locale of a dependency", nil, tree.File("dep.py", 0o644, []byte(`"de_DE.UTF-8"`), tree.Origin{Kind: tree.Dist}), nil},
		{"a locale of the environment", []string{"fr_FR.UTF-8"}, tree.File("app/m.py", 0o644, nil, project), []string{"usr/lib/locale/fr_FR.utf8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			edges, err := finder(t, c.locales).Find(t.Context(), c.entry)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range edges {
				got = append(got, e.To)
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("edges (-want +got):\n%s", diff)
			}
		})
	}
}

// A system with one archive of all locales keeps that.
func TestLocaleArchive(t *testing.T) {
	f := finder(t, nil, tree.File(localeArchive, 0o644, nil, tree.Origin{Kind: tree.BaseFile}))
	edges, err := f.Find(t.Context(), tree.File("app/m.py", 0o644, []byte(`"pt_BR.UTF-8"`), project))
	if err != nil || len(edges) != 1 || edges[0].To != localeArchive {
		t.Errorf("%v, %v", edges, err)
	}
}

// What dpkg's status says comes from outside: any of it gives names only.
func FuzzDependencies(f *testing.F) {
	f.Add(status)
	f.Add("Depends: a\nPackage: b\nDepends: ../x, c (>= 1) | d [amd64]\n\n Package: e")
	f.Fuzz(func(t *testing.T, text string) {
		for name, list := range dependencies(text) {
			if name == "" || slices.Contains(list, "") {
				t.Errorf("%q depends on %q", name, list)
			}
		}
	})
}
