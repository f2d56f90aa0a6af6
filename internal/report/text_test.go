package report

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var demo = Build{
	Variant: "lean", Reference: "rest-app:latest", Digest: "sha256:" + strings.Repeat("ab", 32),
	Size: 29_649_999, Download: 15_050_000, Files: 1234,
	Layers: []Layer{
		{Name: "system", Size: 16_000_000, Download: 7_949_999, Files: 312},
		{Name: "dependencies", Size: 13_649_000, Download: 7_100_000, Files: 920},
		{Name: "app", Size: 999, Download: 1, Files: 2},
	},
	Base: "scratch", System: "debian:bookworm", Python: "3.11.2", Platform: "linux/amd64", Engine: "namespaces", Verified: true,
	Checks: []Check{
		{Name: "GET /", OK: true, Detail: "200, application/json"},
		{Name: "main --help", OK: true},
	},
	Timings: []Timing{{"detect", 0.04}, {"install", 3.15}},
	Notes:   []Note{{Where: "strip", Path: "usr/lib/x.so", Text: "did not load when stripped; left as it was"}, {Where: "install", Text: "built from source"}},
	Inputs:  []Input{{Name: "debian bookworm InRelease", Digest: strings.Repeat("0f", 32)}},
	Published: []string{
		"registry.example/rest-app@sha256:" + strings.Repeat("ab", 32),
	},
}

func TestWriteText(t *testing.T) {
	failed := demo
	failed.Reference, failed.Verified, failed.Notes, failed.Inputs, failed.Published, failed.Timings = "", false, nil, nil, nil, nil
	failed.Checks = []Check{
		{Name: "GET /", OK: true, Detail: "200"},
		{Name: "GET /items/\x1b[31mred", Detail: "unreduced: 200\nimage: 500 \x1b]0;title\x07\tInternal\xffError\n"},
	}
	cached := Build{Variant: "lean", Reference: "x:1", Digest: "sha256:00", Cached: true, Files: 1, Platform: "linux/arm64"}
	for name, b := range map[string]Build{"verified": demo, "failed": failed, "cached": cached} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := WriteText(&got, b); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteTextSaysThatItCouldNotWrite(t *testing.T) {
	if err := WriteText(full{}, demo); err == nil {
		t.Error("an error of the writer was swallowed")
	}
}

func TestMegabytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0.0 MB", 49_999: "0.0 MB", 50_001: "0.1 MB", 32_000_000: "32.0 MB", 1_234_560_000: "1234.6 MB"} {
		if got := Megabytes(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

// An app's answer must not be able to move the cursor or colour the report.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "plain", "é✓", "\x1b[2J", "a\tb\nc", "\xff\xfe", "\ufffd", "\u202e", "\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("clean(%q) is not UTF-8: %q", s, got)
		}
		for _, r := range got {
			if r != unicode.ReplacementChar && !unicode.IsGraphic(r) {
				t.Errorf("clean(%q) has %q left", s, r)
			}
		}
		if again := clean(got); again != got {
			t.Errorf("cleaning twice changes %q to %q", got, again)
		}
	})
}
