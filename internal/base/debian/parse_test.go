package debian

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pault.ag/go/debian/dependency"
	"pault.ag/go/debian/version"

	"exuvia/internal/cas"
	"exuvia/internal/testkit/debarchive"
	"exuvia/internal/tree"
)

const sum0 = "0000000000000000000000000000000000000000000000000000000000000000"

// offer makes a universe of packages written "name version; Field: value; …".
func offer(tb testing.TB, packages ...string) *universe {
	tb.Helper()
	var text strings.Builder
	for i, p := range packages {
		fields := strings.Split(p, ";")
		name, v, _ := strings.Cut(strings.TrimSpace(fields[0]), " ")
		fmt.Fprintf(&text, "Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: pool/%d.deb\nSize: 1\nSHA256: %s\n", name, v, i, sum0)
		for _, f := range fields[1:] {
			text.WriteString(strings.TrimSpace(f) + "\n")
		}
		text.WriteString("\n")
	}
	var out bytes.Buffer
	if err := compact(strings.NewReader(text.String()), &out); err != nil {
		tb.Fatal(err)
	}
	u := &universe{rows: make(map[string][]row), providers: make(map[string][]row)}
	u.add(out.String(), nil)
	return u
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name      string
		offer     []string
		wishes    []string
		essential bool
		waived    []string
		want      []string
		says      string // of the error
	}{
		{name: "chain", offer: []string{"a 1; Depends: b (>= 2)", "b 2; Pre-Depends: c", "c 1; Recommends: d", "d 1"}, wishes: []string{"a"}, want: []string{"a 1", "b 2", "c 1"}},
		{name: "circle", offer: []string{"a 1; Depends: b", "b 1; Depends: a"}, wishes: []string{"a"}, want: []string{"a 1", "b 1"}},
		{name: "newest", offer: []string{"a 1.2", "a 1.10", "a 1.10~rc1"}, wishes: []string{"a"}, want: []string{"a 1.10"}},
		{name: "older where it must be", offer: []string{"a 1; Depends: b (<< 2)", "b 1", "b 2"}, wishes: []string{"a"}, want: []string{"a 1", "b 1"}},
		{name: "epoch", offer: []string{"a 1:0.1", "a 9"}, wishes: []string{"a"}, want: []string{"a 1:0.1"}},
		{name: "first alternative", offer: []string{"a 1; Depends: b | c", "b 1", "c 1"}, wishes: []string{"a"}, want: []string{"a 1", "b 1"}},
		{name: "alternative that is there", offer: []string{"a 1; Depends: b | c", "b 1", "c 1"}, wishes: []string{"c", "a"}, want: []string{"a 1", "c 1"}},
		{name: "alternative asked for later", offer: []string{"a 1; Depends: b | c", "b 1", "c 1"}, wishes: []string{"a", "c"}, want: []string{"a 1", "c 1"}},
		{name: "second alternative", offer: []string{"a 1; Depends: b (>= 2) | c", "b 1", "c 1"}, wishes: []string{"a"}, want: []string{"a 1", "c 1"}},
		{name: "alternative that cannot be", offer: []string{"a 1; Depends: b | c", "b 1; Depends: nowhere", "c 1"}, wishes: []string{"a"}, want: []string{"a 1", "c 1"}},
		{name: "provided", offer: []string{"a 1; Depends: v", "z 1; Provides: v", "b 1; Provides: v, w"}, wishes: []string{"a"}, want: []string{"a 1", "b 1"}},
		{name: "provided by the more important one", offer: []string{"a 1; Depends: v", "z 1; Provides: v; Priority: required", "b 1; Provides: v"}, wishes: []string{"a"}, want: []string{"a 1", "z 1"}},
		{name: "real before provided", offer: []string{"a 1; Depends: v", "b 1; Provides: v", "v 1"}, wishes: []string{"a"}, want: []string{"a 1", "v 1"}},
		{name: "provided version", offer: []string{"a 1; Depends: v (>= 2)", "b 1; Provides: v", "c 1; Provides: v (= 2.1)"}, wishes: []string{"a"}, want: []string{"a 1", "c 1"}},
		{name: "provided version too old", offer: []string{"a 1; Depends: v (>= 2)", "c 1; Provides: v (= 1)"}, wishes: []string{"a"}, says: "v (>= 2), needed by a 1"},
		{name: "any architecture", offer: []string{"a 1; Depends: p:any (>= 3), q:amd64", "p 3; Multi-Arch: allowed", "q 1"}, wishes: []string{"a"}, want: []string{"a 1", "p 3", "q 1"}},
		{name: "another architecture", offer: []string{"a 1; Depends: q:i386", "q 1"}, wishes: []string{"a"}, says: "needed by a"},
		{name: "conflict leads to the other", offer: []string{"x 1; Conflicts: b", "a 1; Depends: b | c", "b 1", "c 1"}, wishes: []string{"x", "a"}, want: []string{"a 1", "c 1", "x 1"}},
		{name: "breaks an old one", offer: []string{"x 1; Breaks: b (<< 2)", "b 1"}, wishes: []string{"x", "b"}, says: "x conflicts with b"},
		{name: "breaks no new one", offer: []string{"x 1; Breaks: b (<< 2)", "b 2"}, wishes: []string{"x", "b"}, want: []string{"b 2", "x 1"}},
		{name: "conflicts with what it provides", offer: []string{"a 1; Provides: v; Conflicts: v"}, wishes: []string{"a"}, want: []string{"a 1"}},
		{name: "essential", offer: []string{"e 1; Essential: yes; Depends: f", "f 1", "g 1"}, essential: true, want: []string{"e 1", "f 1"}},
		{name: "waived", offer: []string{"a 1; Depends: dpkg (>= 1), b", "b 1", "dpkg 1"}, wishes: []string{"a"}, waived: []string{"dpkg"}, want: []string{"a 1", "b 1"}},
		{name: "waived, yet asked for", offer: []string{"a 1; Depends: dpkg", "dpkg 1"}, wishes: []string{"a", "dpkg"}, waived: []string{"dpkg"}, want: []string{"a 1", "dpkg 1"}},
		{name: "optional", offer: []string{"a 1"}, wishes: []string{"a", "b?"}, want: []string{"a 1"}},
		{name: "too old", offer: []string{"a 1; Depends: b (>= 2)", "b 1"}, wishes: []string{"a"}, says: "b (>= 2), needed by a 1: the suite has only b 1"},
		{name: "missing", offer: []string{"a 1"}, wishes: []string{"b"}, says: "b, asked for"},
		{name: "not a package", offer: []string{"a 1"}, wishes: []string{"a ("}, says: "is not a package"},
		{name: "unreadable field", offer: []string{"a 1; Depends: b (>> "}, wishes: []string{"a"}, says: "relation \"b (>>\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 3 { // the order of maps must not matter
				chosen, err := resolve(offer(t, tt.offer...), "amd64", tt.wishes, tt.essential, tt.waived)
				if tt.says != "" {
					if err == nil || !strings.Contains(err.Error(), tt.says) {
						t.Fatalf("got %v, want %q", err, tt.says)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, p := range chosen {
					got = append(got, p.Name+" "+p.Version)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Fatalf("chosen (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What is chosen meets every dependency and breaks no conflict, or there is
// an error; and the search ends.
func FuzzResolve(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		relation := func() string {
			p := fmt.Sprintf("p%d", random.IntN(8))
			if random.IntN(2) == 0 {
				p += fmt.Sprintf(" (%s %d)", []string{"<<", "<=", "=", ">=", ">>"}[random.IntN(5)], 1+random.IntN(3))
			}
			return p
		}
		var packages []string
		for i := range 8 {
			for v := range 1 + random.IntN(3) {
				p := fmt.Sprintf("p%d %d", i, v+1)
				for range random.IntN(2) {
					p += "; Depends: " + relation() + " | " + relation() + ", " + relation()
				}
				if random.IntN(4) == 0 {
					p += fmt.Sprintf("; Provides: p%d (= %d)", random.IntN(8), 1+random.IntN(3))
				}
				if random.IntN(4) == 0 {
					p += "; Conflicts: " + relation()
				}
				packages = append(packages, p)
			}
		}
		u := offer(t, packages...)
		chosen, err := resolve(u, "amd64", []string{"p0", "p1"}, false, nil)
		if err != nil {
			return
		}
		check(t, packages, chosen)
	})
}

// check looks at a choice afresh, without the resolver's own bookkeeping.
func check(t *testing.T, packages []string, chosen []*pkg) {
	t.Helper()
	meets := func(p *pkg, want dependency.Possibility) bool {
		have := []dependency.Possibility{{Name: p.Name, Version: &dependency.VersionRelation{Operator: "=", Number: p.Version}}}
		if d, err := dependency.Parse(p.Provides); err == nil {
			for _, rel := range d.Relations {
				have = append(have, rel.Possibilities...)
			}
		}
		return slices.ContainsFunc(have, func(h dependency.Possibility) bool {
			if h.Name != want.Name || want.Version == nil || h.Version == nil {
				return h.Name == want.Name && want.Version == nil
			}
			v, err := version.Parse(h.Version.Number)
			return err == nil && satisfies(v, want.Version)
		})
	}
	for _, p := range chosen {
		needs, _ := dependency.Parse(p.Depends)
		for _, rel := range needs.Relations {
			if !slices.ContainsFunc(rel.Possibilities, func(want dependency.Possibility) bool {
				return slices.ContainsFunc(chosen, func(o *pkg) bool { return meets(o, want) })
			}) {
				t.Errorf("%s %s lacks %v\n%s", p.Name, p.Version, rel, strings.Join(packages, "\n"))
			}
		}
		bars, _ := dependency.Parse(p.Conflicts)
		for _, rel := range bars.Relations {
			for _, o := range chosen {
				if o != p && meets(o, rel.Possibilities[0]) {
					t.Errorf("%s %s conflicts with %s %s\n%s", p.Name, p.Version, o.Name, o.Version, strings.Join(packages, "\n"))
				}
			}
		}
	}
}

// An index that is read has one line a paragraph, and every line that makes a
// package makes one that can be fetched.
func FuzzIndex(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nFilename: pool/a.deb\nSize: 3\nSHA256: " + sum0 + "\nDescription: x\n y\n\nPackage: b\nVersion: 1\nFilename: pool/b.deb\n")
	f.Add("Package: a\n b\nVersion:\t1\nFilename: ../../x\n")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if compact(strings.NewReader(text), &out) != nil {
			return
		}
		u := &universe{rows: make(map[string][]row), providers: make(map[string][]row)}
		u.add(out.String(), nil)
		for _, rows := range u.rows {
			for _, r := range rows {
				p, err := parseRow(r.text, nil)
				if err != nil {
					continue
				}
				if strings.Contains(p.File, "..") && !filepath.IsLocal(p.File) || strings.HasPrefix(p.File, "/") || p.Blob.Size <= 0 || !isSum(p.Blob.Sum) {
					t.Errorf("%q gives %+v", text, p)
				}
			}
		}
	})
}

// Only what has a hash and a size enters a release.
func FuzzRelease(f *testing.F) {
	f.Add("Origin: Debian\nCodename: x\nDate: Sat, 02 Jan 2026 03:04:05 UTC\nSHA256:\n " + sum0 + " 12 main/binary-amd64/Packages.gz\n")
	f.Add("Date: Sat, 2 Jan 2026 03:04:05 UTC\nSHA256:\n x 12 Packages\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRelease([]byte(text))
		if (r == nil || r.Files == nil) != (err != nil) && err == nil {
			t.Fatalf("neither a release nor an error for %q", text)
		}
		if err != nil {
			return
		}
		for name, b := range r.Files {
			if !isSum(b.Sum) || b.Size < 0 || !strings.HasPrefix(filepath.Base(name), "Packages") {
				t.Errorf("%q has %s %+v", text, name, b)
			}
		}
	})
}

// A signature that was made by nobody we know never verifies.
func FuzzInRelease(f *testing.F) {
	a := debarchive.New(f, debarchive.Suite{Name: "bookworm"})
	other, err := readKeys([]byte(debarchive.New(f).Key(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.Sign(f, "Codename: bookworm\nDate: Sat, 02 Jan 2026 03:04:05 UTC\n"))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n-----BEGIN PGP SIGNATURE-----\n\n=AAAA\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := verifyRelease(data, other, debarchive.Date); err == nil {
			t.Errorf("verified: %+v", r)
		}
	})
}

// Whatever a .deb holds, its files stay below the root and in the merged
// layout.
func FuzzDeb(f *testing.F) {
	good := debarchive.Package{Name: "a", Files: []debarchive.File{
		{Path: "./lib/x", Body: "x"}, {Path: "./usr/lib/y", Type: '1', Link: "./lib/x"}, {Path: "./bin/", Mode: 0o755}, {Path: "./bin/z", Type: '2', Link: "/usr/bin/z"},
	}}
	f.Add(good.Deb(f))
	f.Add(debarchive.Ar(debarchive.Member{Name: "control.tar.gz"}, debarchive.Member{Name: "data.tar.gz"}))
	f.Add([]byte("!<arch>\nx               0           0     0     100644  -10       `\n"))
	c, err := cas.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := readDeb(t.Context(), c, &pkg{Name: "a", Version: "1.0-1"}, bytes.NewReader(data))
		if err != nil {
			return
		}
		for e := range got.All() {
			if !filepath.IsLocal(e.Path) || !strings.HasPrefix(e.Path, "var/lib/dpkg") && merged(e.Path) != e.Path || e.From.Kind == tree.Project {
				t.Errorf("entry %+v", e)
			}
		}
	})
}

func TestAr(t *testing.T) {
	for _, tt := range []struct{ name, in, says string }{
		{"no magic", "PK\x03\x04xxxx", "not an ar archive"},
		{"negative size", "!<arch>\n" + fmt.Sprintf("%-48s%-10s`\n", "x", "-60"), "not an ar header"},
		{"cut header", "!<arch>\nabc", "cut off"},
		{"cut member", "!<arch>\n" + fmt.Sprintf("%-48s%-10s`\n", "x", "60") + "abc", "cut off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := newArReader(strings.NewReader(tt.in))
			for err == nil {
				_, err = r.next()
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}
