package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// snapshotOf makes an image of owners, whose files have the owner's name.
func snapshotOf(ref string, owners ...Owner) Snapshot {
	s := Snapshot{Side: Side{Reference: ref, Digest: "sha256:" + strings.Repeat(strconv.Itoa(len(ref)%10), 64)}, Attributed: true}
	for _, o := range owners {
		o.Files = []File{{Path: "lib/" + o.Name + ".py", In: "usr/lib/exuvia/dependencies.pya", Size: o.Size, Sum: o.Version}}
		s.Owners, s.Files = append(s.Owners, o), append(s.Files, o.Files...)
		s.Size += o.Size
		s.Side.Files++
	}
	s.Download = s.Size / 2
	s.Layers = []Layer{{Name: "system", Digest: "sha256:s", Size: 20e6}, {Name: "dependencies", Digest: ref, Size: s.Size - 20e6}}
	s.Config = []Setting{{"env LANG", "C.UTF-8"}, {"user", "65532:65532"}}
	return s
}

func dist(name, version string, size int64) Owner {
	return Owner{Name: name, Version: version, Kind: OwnerDist, Part: PartDependencies, Size: size}
}

var (
	python = Owner{Name: "Python standard library", Version: "3.11.2", Kind: OwnerPython, Part: PartStdlib, Size: 20e6}
	older  = snapshotOf("app:1", python, dist("fastapi", "0.110", 400_123), dist("Typing_Extensions", "4.1", 90_000), dist("gone", "1", 2_000))
	newer  = func() Snapshot {
		s := snapshotOf("app:1.1", python, dist("fastapi", "0.111", 3_400_000), dist("typing-extensions", "4.1", 90_000), dist("httpx", "1", 812))
		s.Config = []Setting{{"entrypoint", "/app/main"}, {"env LANG", "C"}, {"user", "65532:65532"}}
		s.Layers = append(s.Layers, Layer{Name: "app", Digest: "sha256:a", Size: 12})
		return s
	}()
)

// foreign is an image of which only packages and files are known.
func foreign(s Snapshot) Snapshot {
	s.Attributed = false
	owners := s.Owners
	s.Owners = nil
	for _, o := range owners {
		if o.Kind == OwnerDist {
			s.Owners = append(s.Owners, Owner{Name: o.Name, Version: o.Version, Kind: o.Kind})
		}
	}
	return s
}

func TestDiffText(t *testing.T) {
	for name, d := range map[string]Diff{
		"diff": Difference(older, newer), "diff-foreign": Difference(foreign(older), newer), "diff-same": Difference(older, older),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := WriteDiff(&out, d, false); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), out.String()); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// Who reads the JSON should not have to ask for null.
func TestDiffJSONHasNoNull(t *testing.T) {
	data, err := json.Marshal(Difference(older, older))
	if err != nil || bytes.Contains(data, []byte("null")) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestManyFilesAreCut(t *testing.T) {
	var a Snapshot
	for i := range 50 {
		a.Files = append(a.Files, File{Path: strconv.Itoa(i), Size: int64(i)})
	}
	a.Digest = "sha256:1"
	for all, want := range map[bool]int{false: mostFiles, true: 50} {
		var out bytes.Buffer
		if err := WriteDiff(&out, Difference(a, Snapshot{}), all); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), " -  "); n < want || strings.Contains(out.String(), "30 files with smaller") == all {
			t.Errorf("all %v:\n%s", all, out.String())
		}
	}
}

func TestHostileDiff(t *testing.T) {
	const bad = "\x1b[31m\n\u202ex"
	a := snapshotOf(bad, dist(bad, bad, 1))
	a.Config, a.Layers = []Setting{{bad, bad}}, []Layer{{Name: bad}}
	var out bytes.Buffer
	if err := WriteDiff(&out, Difference(a, newer), true); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Fatalf("control character %q", r)
		}
	}
	if what, why := (Budget{Size: Limit{Text: "0B"}}).Over(nil, a); strings.ContainsRune(what+why, '\x1b') {
		t.Errorf("%q, %q", what, why)
	}
}

func TestLimits(t *testing.T) {
	for s, want := range map[string]Limit{
		"35MB": {Text: "35MB", Bytes: 35e6}, "1.5 kB": {Text: "1.5 kB", Bytes: 1500}, "0B": {Text: "0B"}, "2GB": {Text: "2GB", Bytes: 2e9},
		"2%": {Text: "2%", Percent: 2, Share: true}, "0%": {Text: "0%", Share: true},
	} {
		if got, ok := ParseLimit(s); !ok || got != want {
			t.Errorf("%q: %+v, %v", s, got, ok)
		}
	}
	// A MiB is not 10^6 bytes, and a number alone may be meant as either.
	for _, s := range []string{"", "35", "35MiB", "-1MB", "1e3B", "MB", "1,5MB", "9999999999999GB"} {
		if got, ok := ParseLimit(s); ok {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func TestBudget(t *testing.T) {
	limit := func(s string) Limit {
		l, ok := ParseLimit(s)
		if !ok {
			t.Fatalf("%q is no limit", s)
		}
		return l
	}
	for _, c := range []struct {
		name      string
		budget    Budget
		before    *Snapshot
		what, why string
	}{
		{"no limits", Budget{}, &older, "", ""},
		{"within", Budget{limit("25MB"), limit("20%")}, &older, "", ""},
		{"just within", Budget{Growth: limit("2998689B")}, &older, "", ""},
		{"one byte over", Budget{Growth: limit("2998688B")}, &older, "app:1.1 grew by 3.0 MB (14.6%) to 23.5 MB, more than the 2998688B of --max-growth", "what grew most: fastapi 0.110 → 0.111 +3.0 MB, httpx 1 +812 B"},
		{"percent", Budget{Growth: limit("5%")}, &older, "app:1.1 grew by 3.0 MB (14.6%) to 23.5 MB, more than the 5% of --max-growth", "what grew most: fastapi 0.110 → 0.111 +3.0 MB, httpx 1 +812 B"},
		{"nothing before", Budget{Growth: limit("0%")}, nil, "", ""},
		{"too large", Budget{Size: limit("23MB")}, &older, "app:1.1 has 23.5 MB, 490.8 kB more than the 23MB of --max-size", "what grew most: fastapi 0.110 → 0.111 +3.0 MB, httpx 1 +812 B"},
		{"was too large before", Budget{Size: limit("20MB")}, &older, "app:1.1 has 23.5 MB, 3.5 MB more than the 20MB of --max-size", "the largest are Python standard library 20.0 MB, fastapi 3.4 MB, typing-extensions 90.0 kB"},
		{"too large at first", Budget{Size: limit("20MB")}, nil, "app:1.1 has 23.5 MB, 3.5 MB more than the 20MB of --max-size", "the largest are Python standard library 20.0 MB, fastapi 3.4 MB, typing-extensions 90.0 kB"},
	} {
		if what, why := c.budget.Over(c.before, newer); what != c.what || why != c.why {
			t.Errorf("%s: %q, %q", c.name, what, why)
		}
	}
	other := foreign(older)
	if _, why := (Budget{Growth: limit("0%")}).Over(&other, newer); !strings.Contains(why, "lib/fastapi.py +3.0 MB") {
		t.Errorf("of an image that was built elsewhere: %q", why)
	}
}
