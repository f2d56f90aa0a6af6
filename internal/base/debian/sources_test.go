package debian

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show makes sources comparable.
func show(sources []source) []string {
	var out []string
	for _, s := range sources {
		line := fmt.Sprintf("%s %s", s.URI, s.Suite)
		if s.SignedBy != "" {
			line += " key:" + strings.ReplaceAll(s.SignedBy, "\n", "|")
		}
		if s.NoDate {
			line += " nodate"
		}
		if s.NoValidUntil {
			line += " novaliduntil"
		}
		out = append(out, line)
	}
	return out
}

func TestParseOneLine(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
		fails    bool
	}{
		{name: "plain", in: "deb http://m.example/debian bookworm main contrib\n", want: []string{"http://m.example/debian bookworm"}},
		{name: "comment", in: "# deb http://m.example/debian bookworm main\ndeb http://m.example/debian sid main # mine", want: []string{"http://m.example/debian sid"}},
		{name: "source packages", in: "deb-src http://m.example/debian bookworm main"},
		{
			name: "options", in: "deb [ arch=amd64,arm64 signed-by=/a.gpg,/b.gpg check-date=no ] https://u:p@m.example/debian trixie-security main",
			want: []string{"https://u:p@m.example/debian trixie-security key:/a.gpg /b.gpg nodate novaliduntil"},
		},
		{name: "options without blanks", in: "deb [check-valid-until=no]http://m.example/d stable main", want: []string{"http://m.example/d stable novaliduntil"}},
		{name: "another vendor's suite", in: "deb http://m.example/ubuntu jammy main"},
		{name: "another component", in: "deb http://m.example/debian bookworm stable"},
		{name: "exact path", in: "deb http://m.example/debian bookworm/"},
		{name: "old security", in: "deb http://m.example/s buster/updates main", want: []string{"http://m.example/s buster/updates"}},
		{name: "other ways of fetching", in: "deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/debian bookworm main\ndeb tor+http://m.example/debian bookworm main"},
		{name: "open bracket", in: "deb [ arch=amd64 http://m.example/debian bookworm main", fails: true},
		{name: "too short", in: "deb http://m.example/debian\ndeb http://m.example/debian sid main", want: []string{"http://m.example/debian sid"}, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseOneLine([]byte(tt.in))
			if (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %v", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, show(got)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseDeb822(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
		fails    bool
	}{
		{
			name: "two stanzas", in: "Types: deb deb-src\nURIs: http://m.example/debian http://n.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n" +
				"Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n# a comment\nTypes: deb\nURIs: http://m.example/s\nSuites: bookworm-security\nComponents: main\nCheck-Valid-Until: no\n",
			want: []string{
				"http://m.example/debian bookworm key:/usr/share/keyrings/debian-archive-keyring.gpg",
				"http://m.example/debian bookworm-updates key:/usr/share/keyrings/debian-archive-keyring.gpg",
				"http://n.example/debian bookworm key:/usr/share/keyrings/debian-archive-keyring.gpg",
				"http://n.example/debian bookworm-updates key:/usr/share/keyrings/debian-archive-keyring.gpg",
				"http://m.example/s bookworm-security novaliduntil",
			},
		},
		{name: "switched off", in: "Types: deb\nEnabled: no\nURIs: http://m.example/debian\nSuites: sid\nComponents: main\n"},
		{
			name: "inline key", in: "Types: deb\nURIs: http://m.example/debian\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n",
			want: []string{"http://m.example/debian sid key:-----BEGIN|.|abc"},
		},
		{name: "continuation first", in: " x\n", fails: true},
		{name: "no field", in: "Types deb\n", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseDeb822([]byte(tt.in))
			if (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %v", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, show(got)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Cloud images name a list of mirrors in place of an address.
func TestHostSources(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"etc/apt/sources.list":              "deb http://old.example/debian bookworm main\n",
		"etc/apt/sources.list.d/c.sources":  "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n",
		"etc/apt/sources.list.d/b.list":     "deb http://b.example/debian bookworm-updates main\n",
		"etc/apt/sources.list.d/x.list.bak": "deb http://x.example/debian bookworm main\n",
		"etc/apt/mirrors/debian.list":       "# mirrors\nhttps://one.example/debian\tpriority:1\nhttps://two.example/debian\n",
	})
	want := []string{
		"http://old.example/debian bookworm", "http://b.example/debian bookworm-updates",
		"https://one.example/debian bookworm", "https://two.example/debian bookworm",
	}
	if diff := cmp.Diff(want, show(host{dir, slog.New(slog.DiscardHandler)}.sources())); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestMirrorSources(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
		fails    bool
	}{
		{name: "none", in: " "},
		{name: "one", in: "http://m.example/debian/", want: []string{"http://m.example/debian/ stable", "http://m.example/debian/ stable-updates", "http://m.example/debian-security stable-security"}},
		{name: "two", in: "http://m.example/a http://m.example/b", want: []string{"http://m.example/a stable", "http://m.example/a stable-updates", "http://m.example/b stable-security"}},
		{name: "three", in: "http://a.example/a http://a.example/b http://a.example/c", fails: true},
		{name: "no address", in: "m.example/debian", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mirrorSources(tt.in, "")
			if (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %v", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, show(got)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseConf(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     conf
		fails    bool
	}{
		{name: "flat", in: `Acquire::Check-Date "false";`, want: conf{"acquire::check-date": "false"}},
		{name: "nested", in: "Acquire { http { Proxy \"http://p.example:1\"; }; Check-Date no; };", want: conf{"acquire::http::proxy": "http://p.example:1", "acquire::check-date": "no"}},
		{name: "comments", in: "// a\n# b \"\n/* c\n { */ A \"x // y\";", want: conf{"a": "x // y"}},
		{name: "lists", in: "DPkg::Post-Invoke { \"a; b\"; \"c\"; };\nAPT::NeverAutoRemove:: \"x\";", want: conf{}},
		{name: "clear", in: "A::B \"1\"; A::B::C \"2\"; A::BC \"3\"; #clear A::B;", want: conf{"a::bc": "3"}},
		{name: "last wins", in: "A 1; a 2;", want: conf{"a": "2"}},
		{name: "open brace", in: "A { B 1;", want: conf{"a::b": "1"}, fails: true},
		{name: "closed twice", in: "};", want: conf{}, fails: true},
		{name: "open quote", in: "A \"b", want: conf{}, fails: true},
		{name: "open comment", in: "/* b", want: conf{}, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(conf)
			if err := got.parse(tt.in); (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %v", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

// Every source that is found can be fetched from and is of Debian, whatever
// the file holds.
func FuzzSources(f *testing.F) {
	f.Add("deb [signed-by=/k check-date=no] http://m.example/debian bookworm main\n")
	f.Add("Types: deb\nURIs: http://m.example/debian\nSuites: sid trixie-updates\nComponents: main\nSigned-By:\n x\n .\n")
	f.Fuzz(func(t *testing.T, text string) {
		one, _ := parseOneLine([]byte(text))
		stanzas, _ := parseDeb822([]byte(text))
		for _, s := range append(one, stanzas...) {
			if _, ok := roleOf(s.Suite); !ok || s.URI.Host == "" && s.URI.Scheme != "mirror+file" {
				t.Errorf("%q gives the source %s %s", text, s.URI, s.Suite)
			}
		}
	})
}

// What was read can be written in apt's flat form and read again.
func FuzzConf(f *testing.F) {
	f.Add("Acquire { http { Proxy \"http://p.example:1\"; }; };\n#clear A;\n// x\n")
	f.Add("A::B \"1\"; /* x */ c { \"1\"; };")
	f.Fuzz(func(t *testing.T, text string) {
		got := make(conf)
		if got.parse(text) != nil {
			return
		}
		var flat strings.Builder
		for _, k := range sortedKeys(got) {
			if strings.Trim(k, "abcdefghijklmnopqrstuvwxyz:-") != "" {
				return // a name that needs care of its own in the flat form
			}
			fmt.Fprintf(&flat, "%s \"%s\";\n", k, got[k])
		}
		again := make(conf)
		if err := again.parse(flat.String()); err != nil {
			t.Fatalf("%q: %v", flat.String(), err)
		}
		for k, v := range got {
			if k != "" && !strings.HasSuffix(k, "::") && again[k] != v {
				t.Errorf("%q: %q is %q, then %q", text, k, v, again[k])
			}
		}
	})
}
