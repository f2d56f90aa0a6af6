package debian_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/testkit/debarchive"
	"exuvia/internal/testkit/elfgen"
	"exuvia/internal/tree"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// tiny is a suite with what every system asks for, and Python.
func tiny(more ...debarchive.Package) []debarchive.Package {
	essential := map[string]string{"Essential": "yes", "Priority": "required"}
	out := []debarchive.Package{
		{Name: "base-files", Fields: map[string]string{"Essential": "yes", "Pre-Depends": "awk"}, Files: []debarchive.File{
			{Path: "./bin/"},
			{Path: "./lib/"},
			{Path: "./usr/"},
			{Path: "./usr/bin/"},
			{Path: "./tmp/", Mode: 0o1777},
			{Path: "./root/", Mode: 0o700},
			{Path: "./var/run/"},
			{Path: "./var/lock/"},
			{Path: "./etc/os-release", Type: tar.TypeSymlink, Link: "../usr/lib/os-release"},
			{Path: "./usr/lib/os-release", Body: "ID=debian\n"},
			{Path: "./usr/share/base-files/dot.profile", Body: "umask 022\n"},
			{Path: "./usr/share/doc/base-files/README", Body: "read me"},
			{Path: "./usr/share/doc/base-files/copyright", Body: "public domain"},
		}},
		{Name: "base-passwd", Fields: map[string]string{"Depends": "libc6, debconf | debconf-2.0"}, Files: []debarchive.File{
			{Path: "./usr/share/base-passwd/passwd.master", Body: "root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33::/var/www:/x\n"},
			{Path: "./usr/share/base-passwd/group.master", Body: "root:*:0:\nmail:*:8:\n"},
		}},
		{Name: "libc6", Version: "2.36-9", Fields: map[string]string{"Multi-Arch": "same"}, Packing: "zst", Files: []debarchive.File{
			{Path: "./lib/x86_64-linux-gnu/libc.so.6", Body: "the C library", Mode: 0o755},
			{Path: "./lib64/ld-linux-x86-64.so.2", Type: tar.TypeSymlink, Link: "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
			{Path: "./usr/lib/x86_64-linux-gnu/libc.so.6.again", Type: tar.TypeLink, Link: "./lib/x86_64-linux-gnu/libc.so.6"},
		}},
		{Name: "ca-certificates", Arch: "all", Fields: map[string]string{"Depends": "openssl (>= 1), debconf"}, Files: []debarchive.File{
			{Path: "./usr/share/ca-certificates/mozilla/B.crt", Body: "-----B-----"}, {Path: "./usr/share/ca-certificates/mozilla/A.crt", Body: "-----A-----\n"},
		}},
		{Name: "mawk", Fields: map[string]string{"Provides": "awk"}, Packing: "xz", Files: []debarchive.File{{Path: "./usr/bin/mawk", Body: "mawk"}}},
		{
			Name: "netbase", Arch: "all", Files: []debarchive.File{{Path: "./etc/services", Body: "http 80/tcp\n"}},
			Control: map[string]string{"conffiles": "/etc/services\n"},
		},
		{Name: "python3", Version: "3.11.2-1", Fields: map[string]string{"Depends": "python3.11 (>= 3.11.2)"}, Files: []debarchive.File{
			{Path: "./usr/bin/python3", Type: tar.TypeSymlink, Link: "python3.11"},
		}},
		{Name: "python3.11", Version: "3.11.2-6", Fields: map[string]string{"Depends": "libc6 (>= 2.34)"}, Files: []debarchive.File{{Path: "./usr/bin/python3.11", Body: "python"}}},
		{Name: "dash", Fields: essential, Files: []debarchive.File{{Path: "./bin/dash", Body: "dash"}, {Path: "./usr/bin/setuid", Body: "x", Mode: 0o4755, GID: 42}}},
	}
	for _, name := range []string{"bash", "coreutils", "grep", "libc-bin", "ncurses-base", "sed", "tzdata"} {
		out = append(out, debarchive.Package{Name: name, Fields: map[string]string{"Depends": "dpkg (>= 1.19)"}, Files: []debarchive.File{{Path: "./usr/share/" + name + "/x", Body: name}}})
	}
	return append(out, more...)
}

func bookworm(more ...debarchive.Package) debarchive.Suite {
	return debarchive.Suite{Name: "bookworm", Packages: tiny(more...)}
}

// use makes an Archive that reads a served one.
func use(t *testing.T, a *debarchive.Archive, change ...func(*debian.Options)) *debian.Archive {
	t.Helper()
	o := debian.Options{Root: a.Root(t), Now: func() time.Time { return debarchive.Date.Add(24 * time.Hour) }, Client: &http.Client{}}
	for _, c := range change {
		c(&o)
	}
	if o.Cache == nil {
		o.Cache = store(t)
	}
	d, err := debian.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func store(t *testing.T) *cas.Store {
	t.Helper()
	c, err := cas.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func with(c *cas.Store) func(*debian.Options) { return func(o *debian.Options) { o.Cache = c } }

func pull(o *debian.Options) { o.Pull = true }

func mustBase(t *testing.T, d *debian.Archive, ref string) *base.Base {
	t.Helper()
	b, err := d.Base(t.Context(), ref, amd64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func contents(t *testing.T, tr *tree.Tree, name string) string {
	t.Helper()
	e, ok := tr.Resolve(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	data, err := e.ReadAll(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A system has the merged layout, its origins, and what scripts would have
// made of it.
func TestBase(t *testing.T) {
	d := use(t, debarchive.New(t, bookworm()))
	b := mustBase(t, d, "debian:bookworm")
	if b.Python != "usr/bin/python3.11" || b.Libc != "glibc 2.36" || b.Ref != "debian:bookworm" || !strings.HasPrefix(b.Inputs["bookworm InRelease"], "sha256:") {
		t.Errorf("facts: %q %q %q %v", b.Python, b.Libc, b.Ref, b.Inputs)
	}
	var got []string
	for e := range b.Tree.All() {
		if e.IsDir() || strings.HasPrefix(e.Path, "var/lib/dpkg/info/") {
			continue
		}
		line := fmt.Sprintf("%s %s %d:%d %s", e.Path, e.Mode, e.UID, e.GID, e.From)
		if e.Link != "" {
			line += " → " + e.Link
		}
		got = append(got, line)
	}
	for _, want := range []string{
		"bin Lrwxrwxrwx 0:0 made usrmerge → usr/bin",
		"lib64 Lrwxrwxrwx 0:0 made usrmerge → usr/lib64",
		"etc/passwd -rw-r--r-- 0:0 made base-passwd",
		"etc/shadow -rw-r----- 0:42 made base-passwd",
		"etc/ssl/certs/ca-certificates.crt -rw-r--r-- 0:0 made ca-certificates",
		"root/.profile -rw-r--r-- 0:0 made base-files",
		"usr/bin/awk Lrwxrwxrwx 0:0 made alternatives → /usr/bin/mawk",
		"usr/bin/dash -rwxr-xr-x 0:0 deb dash 1.0-1",
		"usr/bin/python Lrwxrwxrwx 0:0 made alternatives → python3",
		"usr/bin/setuid urwxr-xr-x 0:42 deb dash 1.0-1",
		"usr/bin/sh Lrwxrwxrwx 0:0 made alternatives → /usr/bin/dash",
		"usr/lib/ssl/cert.pem Lrwxrwxrwx 0:0 made ca-certificates → /etc/ssl/certs/ca-certificates.crt",
		"usr/lib/x86_64-linux-gnu/libc.so.6.again -rwxr-xr-x 0:0 deb libc6 2.36-9 → usr/lib/x86_64-linux-gnu/libc.so.6",
		"usr/lib64/ld-linux-x86-64.so.2 Lrwxrwxrwx 0:0 deb libc6 2.36-9 → /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"usr/share/doc/base-files/copyright -rw-r--r-- 0:0 deb base-files 1.0-1",
		"var/run Lrwxrwxrwx 0:0 made base-files → /run",
	} {
		if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	if _, ok := b.Tree.Lookup("usr/share/doc/base-files/README"); ok {
		t.Error("documentation stayed")
	}
	if e, _ := b.Tree.Lookup("tmp"); e.Mode != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("tmp has mode %s", e.Mode)
	}
	if diff := cmp.Diff("-----A-----\n-----B-----\n", contents(t, b.Tree, "usr/lib/ssl/cert.pem")); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/x\n", contents(t, b.Tree, "etc/passwd")); diff != "" {
		t.Errorf("passwd (-want +got):\n%s", diff)
	}
	if t.Failed() {
		t.Log(strings.Join(got, "\n"))
	}
}

// A system takes packages that are asked for, and those that have libraries; it
// has the loader's cache where it has a program that reads it.
func TestWith(t *testing.T) {
	elf := func(soname string) string { return string(elfgen.Library{Soname: soname}.Bytes()) }
	d := use(t, debarchive.New(t, bookworm(
		debarchive.Package{Name: "libmagic1", Files: []debarchive.File{{Path: "./usr/lib/x86_64-linux-gnu/libmagic.so.1", Body: elf("libmagic.so.1")}}},
		debarchive.Package{Name: "libpq5", Files: []debarchive.File{{Path: "./usr/lib/x86_64-linux-gnu/libpq.so.5", Body: elf("libpq.so.5")}}},
		debarchive.Package{Name: "tool", Files: []debarchive.File{{Path: "./usr/sbin/ldconfig", Body: "x", Mode: 0o755}}},
	)))
	b, err := d.With(t.Context(), "debian:bookworm", base.More{Packages: []string{"tool"}, Libraries: []string{"libmagic.so", "libpq.so.5", "libnone.so", "libnone.so.3"}}, amd64)
	if err != nil {
		t.Fatal(err)
	}
	cache := contents(t, b.Tree, "etc/ld.so.cache")
	for _, name := range []string{"libmagic.so.1", "libpq.so.5"} {
		if !strings.Contains(cache, "\x00/lib/x86_64-linux-gnu/"+name+"\x00") {
			t.Errorf("the loader's cache does not have %s: %q", name, cache)
		}
	}
	if _, ok := mustBase(t, d, "debian:bookworm").Tree.Lookup("etc/ld.so.cache"); ok {
		t.Error("a system without ldconfig has a cache")
	}
	_, err = d.With(t.Context(), "debian:bookworm", base.More{Packages: []string{"no-such-package"}}, amd64)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base {
		t.Errorf("a package that the suite does not have: %v", err)
	}
}

// Scanners read the status file and the lists beside it.
func TestDpkgStatus(t *testing.T) {
	b := mustBase(t, use(t, debarchive.New(t, bookworm())), "debian:bookworm")
	status := contents(t, b.Tree, "var/lib/dpkg/status")
	paragraphs := strings.Split(strings.TrimSpace(status), "\n\n")
	installed := make(map[string]bool)
	for e := range b.Tree.All() {
		if e.From.Kind == tree.Deb {
			installed[e.From.Name] = true
		}
	}
	if len(paragraphs) != len(installed) {
		t.Errorf("%d packages in it, want %d", len(paragraphs), len(installed))
	}
	want := `Package: netbase
Status: install ok installed
Version: 1.0-1
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a package of a test
 It has a long description.
Conffiles:
 /etc/services 2c252a1a72e3a95864b5662bebb55e23`
	for _, p := range paragraphs {
		if strings.HasPrefix(p, "Package: netbase\n") {
			if diff := cmp.Diff(want, p); diff != "" {
				t.Errorf("netbase (-want +got):\n%s", diff)
			}
		}
	}
	if diff := cmp.Diff("/.\n/lib/x86_64-linux-gnu/libc.so.6\n/lib64/ld-linux-x86-64.so.2\n/usr/lib/x86_64-linux-gnu/libc.so.6.again\n",
		contents(t, b.Tree, "var/lib/dpkg/info/libc6:amd64.list")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if got := contents(t, b.Tree, "var/lib/dpkg/info/mawk.md5sums"); !strings.HasSuffix(got, "  usr/bin/mawk\n") {
		t.Errorf("md5sums: %q", got)
	}
}

func TestFlavours(t *testing.T) {
	a := debarchive.New(t, bookworm(
		debarchive.Package{Name: "python3.12", Files: []debarchive.File{{Path: "./usr/bin/python3.12", Body: "newer"}}},
		debarchive.Package{Name: "libssl3", Files: []debarchive.File{{Path: "./usr/lib/x86_64-linux-gnu/libssl.so.3", Body: "ssl"}}},
	))
	d := use(t, a)
	for _, tt := range []struct {
		ref, python string
		has, hasNot []string
	}{
		{"debian:bookworm-bare", "", []string{"usr/bin/sh"}, []string{"usr/bin/python", "usr/bin/python3"}},
		{"debian:bookworm-distroless", "", []string{"usr/lib/x86_64-linux-gnu/libssl.so.3", "etc/passwd"}, []string{"usr/bin/dash", "usr/bin/sh", "usr/bin/awk"}},
		{"debian:bookworm-python3.12", "usr/bin/python3.12", []string{"usr/bin/python", "usr/bin/python3"}, []string{"usr/bin/python3.11"}},
		{"debian:bookworm-python3.11", "usr/bin/python3.11", []string{"usr/bin/python3"}, []string{"usr/bin/python3.12"}},
	} {
		t.Run(tt.ref, func(t *testing.T) {
			b := mustBase(t, d, tt.ref)
			if b.Python != tt.python {
				t.Errorf("Python is %q, not %q", b.Python, tt.python)
			}
			for _, name := range tt.has {
				if _, ok := b.Tree.Resolve(name); !ok {
					t.Errorf("no %s", name)
				}
			}
			for _, name := range tt.hasNot {
				if _, ok := b.Tree.Lookup(name); ok {
					t.Errorf("it has %s", name)
				}
			}
		})
	}
}

func TestSystem(t *testing.T) {
	a := debarchive.New(t, bookworm(
		debarchive.Package{Name: "patchelf", Fields: map[string]string{"Depends": "libstdc++6 (>= 5)"}, Files: []debarchive.File{{Path: "./usr/bin/patchelf", Body: "p"}}},
		debarchive.Package{Name: "libstdc++6", Version: "12.2.0-14", Files: []debarchive.File{{Path: "./usr/lib/x86_64-linux-gnu/libstdc++.so.6", Body: "c++"}}},
	))
	b, err := use(t, a).System(t.Context(), "bookworm", []string{"patchelf", "python3-distutils?"}, amd64)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/bin/patchelf", "usr/lib/x86_64-linux-gnu/libstdc++.so.6", "usr/bin/dash", "usr/lib/x86_64-linux-gnu/libc.so.6"} {
		if _, ok := b.Tree.Lookup(name); !ok {
			t.Errorf("no %s", name)
		}
	}
	if b.Python != "" {
		t.Errorf("it has the Python %s", b.Python)
	}
}

// Security updates count; the same request gives the same tree in any cache.
func TestCompanionsAndReproducibility(t *testing.T) {
	newer := debarchive.Package{Name: "libc6", Version: "2.36-9+deb12u1", Files: []debarchive.File{{Path: "./lib/x86_64-linux-gnu/libc.so.6", Body: "mended"}}}
	a := debarchive.New(t, bookworm(), debarchive.Suite{Name: "bookworm-security", Packages: []debarchive.Package{newer}})
	one := mustBase(t, use(t, a), "debian:bookworm")
	if got := contents(t, one.Tree, "lib/x86_64-linux-gnu/libc.so.6"); got != "mended" {
		t.Errorf("libc is %q", got)
	}
	if len(one.Inputs) != 2 {
		t.Errorf("inputs: %v", one.Inputs)
	}
	if two := mustBase(t, use(t, a), "debian:bookworm"); two.Tree.Digest() != one.Tree.Digest() {
		t.Error("two caches, two trees")
	}
}

// A suite stays what it was, needs no network, and changes when it is pulled.
func TestPull(t *testing.T) {
	a := debarchive.New(t, bookworm())
	c := store(t)
	first := mustBase(t, use(t, a, with(c)), "debian:bookworm")
	a.Asked()
	a.Publish(t, bookworm(debarchive.Package{Name: "sed", Version: "2.0-1", Files: []debarchive.File{{Path: "./usr/share/sed/x", Body: "new"}}}))
	again := mustBase(t, use(t, a, with(c)), "debian:bookworm")
	if asked := a.Asked(); len(asked) > 0 || again.Tree.Digest() != first.Tree.Digest() {
		t.Errorf("not the same without --pull; asked for %v", asked)
	}
	pulled := use(t, a, with(c), pull)
	if got := contents(t, mustBase(t, pulled, "debian:bookworm").Tree, "usr/share/sed/x"); got != "new" {
		t.Errorf("after --pull sed is %q", got)
	}
	a.Asked()
	mustBase(t, pulled, "debian:bookworm-bare")
	for _, name := range a.Asked() {
		if strings.HasSuffix(name, "InRelease") {
			t.Errorf("a second system of one run asked for %s again", name)
		}
	}
}

// What is in the cache needs no network, also for a system never assembled.
func TestOffline(t *testing.T) {
	a := debarchive.New(t, bookworm())
	c := store(t)
	mustBase(t, use(t, a, with(c)), "debian:bookworm")
	a.Change("", func([]byte) []byte { return nil })
	mustBase(t, use(t, a, with(c)), "debian:bookworm")
	mustBase(t, use(t, a, with(c)), "debian:bookworm-bare")
}

// kindOf gives the kind of a fault, or fails.
func kindOf(t *testing.T, err error) fault.Kind {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("not an error for the user: %v", err)
	}
	if f.Hint == "" || strings.Contains(f.What, "\n") {
		t.Errorf("What %q, Hint %q", f.What, f.Hint)
	}
	return f.Kind
}

func TestFaults(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for _, tt := range []struct {
		name   string
		ref    string
		suite  debarchive.Suite
		damage func(*testing.T, *debarchive.Archive)
		want   fault.Kind
		says   string
	}{
		{name: "unknown suite", ref: "debian:potato", want: fault.Base, says: "potato"},
		{name: "unknown flavour", ref: "debian:bookworm-fat", want: fault.Base, says: "fat"},
		{name: "a Python the suite has not", ref: "debian:bookworm-python3.7", want: fault.Base, says: "python3.7"},
		{name: "suite not served", ref: "debian:trixie", want: fault.Base, says: "trixie"},
		{name: "changed text", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Change("InRelease", func(b []byte) []byte { return bytes.Replace(b, []byte("Label: Debian"), []byte("Label: Debiam"), 1) })
		}, want: fault.Integrity, says: "signature"},
		{name: "unsigned", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Change("InRelease", func([]byte) []byte { return []byte("Codename: bookworm\n") })
		}, want: fault.Integrity, says: "not a signed file"},
		{name: "another key", damage: func(t *testing.T, a *debarchive.Archive) {
			other := debarchive.New(t, bookworm()).Sign(t, "Codename: bookworm\n")
			a.Change("InRelease", func([]byte) []byte { return other })
		}, want: fault.Integrity, says: "none of the keys"},
		{name: "text after the signature", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Change("InRelease", func(b []byte) []byte { return append(b, "Codename: x\n"...) })
		}, want: fault.Integrity, says: "after the signature"},
		{name: "another suite", suite: debarchive.Suite{Name: "bookworm", Fields: map[string]string{"Codename": "buster"}}, want: fault.Integrity, says: "buster"},
		{name: "expired", suite: debarchive.Suite{Name: "bookworm", Fields: map[string]string{"Valid-Until": "Fri, 02 Jan 2026 12:00:00 UTC"}}, want: fault.Integrity, says: "valid until"},
		{name: "from the future", suite: debarchive.Suite{Name: "bookworm", Fields: map[string]string{"Date": "Tue, 06 Jan 2026 12:00:00 UTC"}}, want: fault.Integrity, says: "future"},
		{name: "no date", suite: debarchive.Suite{Name: "bookworm", Fields: map[string]string{"Date": ""}}, want: fault.Integrity, says: "date"},
		{name: "another vendor", suite: debarchive.Suite{Name: "bookworm", Fields: map[string]string{"Origin": "Elsewhere"}}, want: fault.Base, says: "no archive has"},
		{name: "changed index", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Change("binary-amd64", flip)
		}, want: fault.Integrity, says: "SHA-256"},
		{name: "changed package", damage: func(_ *testing.T, a *debarchive.Archive) { a.Change("mawk", flip) }, want: fault.Integrity, says: "SHA-256"},
		{name: "longer package", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Change("mawk", func(b []byte) []byte { return append(b, 'x') })
		}, want: fault.Integrity, says: "larger"},
		{name: "package gone", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Change("mawk", func([]byte) []byte { return nil })
		}, want: fault.Network, says: "mawk"},
		{name: "forbidden", damage: func(_ *testing.T, a *debarchive.Archive) {
			a.Fail("/debian/dists/bookworm/InRelease", http.StatusForbidden)
		}, want: fault.Network, says: "403"},
		{
			name: "unmet dependency", suite: debarchive.Suite{Name: "bookworm", Packages: onlyGrep()},
			want: fault.Base, says: "nothing-has-this (>= 2), needed by grep 1.0-1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			suite := tt.suite
			if suite.Name == "" {
				suite = bookworm()
			} else if suite.Packages == nil {
				suite.Packages = tiny()
			}
			a := debarchive.New(t, suite)
			if tt.damage != nil {
				tt.damage(t, a)
			}
			ref := tt.ref
			if ref == "" {
				ref = "debian:bookworm"
			}
			_, err := use(t, a).Base(t.Context(), ref, amd64)
			if err == nil {
				t.Fatal("no error")
			}
			if kind := kindOf(t, err); kind != tt.want || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("kind %d: %v; want kind %d and %q", kind, err, tt.want, tt.says)
			}
		})
	}
}

// onlyGrep is a suite whose grep can never be there.
func onlyGrep() []debarchive.Package {
	out := tiny()
	for i := range out {
		if out[i].Name == "grep" {
			out[i].Fields = map[string]string{"Depends": "nothing-has-this (>= 2)"}
		}
	}
	return out
}

// The same expired suite is taken where apt is told to take it.
func TestDatesUnchecked(t *testing.T) {
	a := debarchive.New(t, debarchive.Suite{Name: "bookworm", Packages: tiny(), Fields: map[string]string{"Valid-Until": "Fri, 02 Jan 2026 12:00:00 UTC"}})
	for _, setting := range []string{"Acquire::Check-Valid-Until \"false\";", "Acquire { Check-Date no; };"} {
		root := a.Root(t)
		if err := os.WriteFile(filepath.Join(root, "etc/apt/apt.conf"), []byte(setting), 0o644); err != nil {
			t.Fatal(err)
		}
		mustBase(t, use(t, a, func(o *debian.Options) { o.Root = root }), "debian:bookworm")
	}
}

// A mirror that stumbles is asked again; one that is gone is named.
func TestRetry(t *testing.T) {
	a := debarchive.New(t, bookworm())
	a.Fail("/debian/dists/bookworm/InRelease", http.StatusBadGateway)
	mustBase(t, use(t, a), "debian:bookworm")
}

func TestNoNetwork(t *testing.T) {
	a := debarchive.New(t, bookworm())
	d := use(t, a, func(o *debian.Options) {
		o.Client = &http.Client{Transport: refuse{}}
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too slow"))
	defer cancel()
	_, err := d.Base(ctx, "debian:bookworm", amd64)
	if err == nil || kindOf(t, err) != fault.Network || !strings.Contains(err.Error(), "InRelease") {
		t.Errorf("got %v", err)
	}
}

// refuse is a network without a way out.
type refuse struct{}

func (refuse) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

func TestNoSource(t *testing.T) {
	d, err := debian.New(debian.Options{Cache: store(t), Root: t.TempDir(), Now: func() time.Time { return debarchive.Date }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Base(t.Context(), "debian:bookworm", amd64)
	if err == nil || kindOf(t, err) != fault.Base || !strings.Contains(err.Error(), "no apt source") {
		t.Errorf("got %v", err)
	}
}

func TestPlatforms(t *testing.T) {
	d := use(t, debarchive.New(t, bookworm()))
	if _, err := d.Base(t.Context(), "debian:bookworm", v1.Platform{OS: "linux", Architecture: "s390x"}); err == nil || kindOf(t, err) != fault.Base {
		t.Errorf("s390x: %v", err)
	}
	// All packages of the tiny suite but two are made for amd64.
	if _, err := d.Base(t.Context(), "debian:bookworm", v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}); err == nil || kindOf(t, err) != fault.Base {
		t.Errorf("arm64: %v", err)
	}
}

// A damaged file of the cache is noticed and made anew.
func TestDamagedCache(t *testing.T) {
	a := debarchive.New(t, bookworm())
	c := store(t)
	want := mustBase(t, use(t, a, with(c)), "debian:bookworm").Tree
	err := filepath.WalkDir(filepath.Join(c.Dir(), "blobs"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.WriteFile(p, []byte("damage"), 0o644)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err = cas.Open(c.Dir()) // as the next process: one looks at a file once
	if err != nil {
		t.Fatal(err)
	}
	got := mustBase(t, use(t, a, with(c)), "debian:bookworm").Tree
	if got.Digest() != want.Digest() || contents(t, got, "usr/bin/mawk") != "mawk" {
		t.Error("not the same system")
	}
}

// Nothing of a package reaches beyond its system.
func TestHostilePackages(t *testing.T) {
	for _, tt := range []struct {
		name string
		file debarchive.File
		kind fault.Kind
		says string
	}{
		{"out of the root", debarchive.File{Path: "../../etc/passwd", Body: "x"}, fault.Integrity, "leads out"},
		{"device", debarchive.File{Path: "./dev/sda", Type: tar.TypeBlock}, fault.Integrity, "neither file"},
		{"hard link outside", debarchive.File{Path: "./x", Type: tar.TypeLink, Link: "../../etc/shadow"}, fault.Integrity, "leads out"},
		{"hard link to nothing", debarchive.File{Path: "./x", Type: tar.TypeLink, Link: "./y"}, fault.Integrity, "no file before"},
		{"newline", debarchive.File{Path: "./x\n/etc/y", Body: "x"}, fault.Integrity, "leads out"},
		{"conflict", debarchive.File{Path: "./usr/bin/mawk", Body: "another"}, fault.Base, "comes both from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := debarchive.New(t, bookworm(debarchive.Package{Name: "evil", Files: []debarchive.File{tt.file}}))
			_, err := use(t, a).System(t.Context(), "bookworm", []string{"evil"}, amd64)
			if err == nil || kindOf(t, err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// Replaces lets a package take over a file, as with dpkg.
func TestReplaces(t *testing.T) {
	a := debarchive.New(t, bookworm(debarchive.Package{
		Name: "better-awk", Fields: map[string]string{"Replaces": "mawk (<< 2)"}, Files: []debarchive.File{{Path: "./usr/bin/mawk", Body: "better"}},
	}))
	b, err := use(t, a).System(t.Context(), "bookworm", []string{"better-awk"}, amd64)
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, b.Tree, "usr/bin/mawk"); got != "better" {
		t.Errorf("mawk is %q", got)
	}
}

func TestSuiteFor(t *testing.T) {
	for _, tt := range []struct{ want, suite, python string }{
		{"3.9", "bullseye", "3.9"}, {"3.11", "bookworm", "3.11"}, {"3.15", "sid", "3.15"}, {"", "trixie", "3.13"},
	} {
		s, python, ok := debian.SuiteFor(func(p string) bool { return tt.want == "" || p == tt.want })
		if !ok || s.Name != tt.suite || python != tt.python {
			t.Errorf("for %q: %s %s %v", tt.want, s.Name, python, ok)
		}
	}
	if _, _, ok := debian.SuiteFor(func(string) bool { return false }); ok {
		t.Error("a suite for no Python")
	}
	if got := debian.Ref("sid", "slim", "3.15"); got != "debian:sid-slim-python3.15" {
		t.Error(got)
	}
}
