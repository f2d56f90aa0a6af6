package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// image is a row that is OK; sizes in MB.
func image(variant, base string, size, download float64, files int, start, pss, build float64, parts ...float64) Row {
	r := Row{
		Variant: variant, Base: base, Reference: "rest-app:" + variant, State: StateOK, OK: true, Checks: 14,
		Size: int64(size * 1e6), Download: int64(download * 1e6), Files: files, Layers: 2, StartMS: start, PSS: int64(pss * 1e6), BuildS: build,
	}
	for i, p := range parts {
		if p > 0 {
			r.Parts = append(r.Parts, Part{partOrder[i], int64(p * 1e6)})
		}
	}
	return r
}

func with(r Row, change func(*Row)) Row {
	change(&r)
	return r
}

const (
	distroless = "debian:bookworm-distroless"
	fullSystem = "debian:bookworm-full"
	slimSystem = "debian:bookworm-slim"
)

// compared has every state, options, notes, and sizes from 31 MB to 1 GB.
var compared = Comparison{
	Project: "rest-app", Python: "3.11.2", Platform: "linux/amd64", System: "debian:bookworm", Engine: "namespaces", Cores: 2, Starts: 10,
	Rows: []Row{
		image("regular", fullSystem, 967.6, 361.2, 31480, 541, 45.9, 4.2, 7.1, 31.5, 23.4, 0.01, 905.5, 0),
		image("slim", slimSystem, 178.9, 62.3, 6120, 533, 45.2, 9.1, 7.1, 31.5, 34.1, 0.01, 106.2, 0),
		image("lean", "scratch", 31.5, 15.5, 1204, 497, 44.8, 12.4, 6.8, 6.2, 8.1, 0.01, 10.4, 0),
		with(image("lean", "scratch", 24.9, 15.2, 1204, 602, 48.6, 31.7, 1.9, 6.2, 6.4, 0.01, 10.4, 0), func(r *Row) {
			r.Options = map[string]string{"upx": "all", "optimize": "2"}
			r.Reference = "rest-app:lean-optimize-2-upx-all"
			r.Notes = []Note{
				{"upx", "usr/lib/libm.so.6", "did not load when packed; left as it was"},
				{"upx", "usr/lib/libc.so.6", "did not load when packed; left as it was"},
			}
		}),
		image("pyinstaller", distroless, 47.8, 22.6, 611, 555, 47.9, 28.3, 0, 0, 0, 0, 20.3, 27.5),
		image("pyinstaller-onefile", distroless, 33.0, 20.4, 555, 671, 46.3, 22, 0, 0, 0, 0, 20.3, 12.7),
		image("cx_freeze", distroless, 48.3, 21.4, 1966, 661, 46.6, 4.4, 0, 0, 0, 0, 20.3, 28),
		with(image("nuitka", distroless, 52.6, 20.9, 586, 493, 59, 54, 0, 0, 0, 0, 20.3, 32.3), func(r *Row) { r.Cached = true }),
		with(image("cython", distroless, 49.1, 20.1, 1038, 546, 44.5, 6.1, 6.9, 8.1, 13, 0.8, 20.3, 0), func(r *Row) {
			r.State, r.OK, r.Reference = StateDiffers, false, ""
			r.Differs = []Check{
				{Name: "GET /openapi.json", Detail: "unreduced: 200\nimage: 500 Internal Server Error"},
				{Name: "main --help"},
				{Name: "GET /items/1"},
				{Name: "python -m uvicorn"},
			}
			r.Reason = "4 of 14 checks failed"
		}),
		image("pex", slimSystem, 176.2, 60.1, 5021, 734, 51, 11.9, 7.1, 31.5, 31.4, 0.01, 106.2, 0),
		image("shiv", slimSystem, 176.9, 60.8, 5188, 701, 50.2, 8.8, 7.1, 31.5, 32.1, 0.01, 106.2, 0),
		{Variant: "pyoxidizer", Base: distroless, State: StateUnavailable, Reason: "no cargo for linux/amd64 can be assembled"},
		{Variant: "nuitka-onefile", Base: distroless, State: StateFailed, Reason: "exit status 1: FATAL: no C compiler", BuildS: 3.1},
	},
}

// hostile has in every text what would break out of a form that trusted it.
func hostile() Comparison {
	const bad = "\x1b[31m<script>alert(1)</script>|`*_[x](y)\n\"'</style>--><!--</title>{{.}}${1}"
	r := Row{
		Variant: bad, Options: map[string]string{bad: bad}, Base: bad, Reference: bad + ":" + bad, Digest: bad, State: StateOK, OK: true,
		Reason: bad, Size: 40e6, Download: 20e6, Files: 3, Layers: 1, StartMS: 500, PSS: 1e6, BuildS: 1,
		Parts: []Part{{PartName(bad), 30e6}, {PartApp, 1e6}}, Notes: []Note{{bad, bad, bad}},
	}
	d := r
	d.State, d.Differs, d.Size = StateDiffers, []Check{{Name: bad, Detail: bad}}, 50e6
	f := r
	f.State, f.Size, f.Reference = State(bad), 0, ""
	return Comparison{Project: bad, Python: bad, Platform: bad, System: bad, Engine: bad, Cores: 1, Starts: 1, Rows: []Row{r, d, f}}
}

func write(t *testing.T, f func(io.Writer, Comparison) error, c Comparison) string {
	t.Helper()
	var out bytes.Buffer
	if err := f(&out, c); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestComparisonForms(t *testing.T) {
	noRegular := compared
	noRegular.Starts, noRegular.Python, noRegular.Cores = 0, "", 0
	noRegular.Rows = []Row{with(compared.Rows[2], func(r *Row) { r.StartMS, r.PSS, r.Reference = 0, 0, "localhost:5000/app:latest" }), compared.Rows[8]}
	for name, c := range map[string]Comparison{"comparison": compared, "comparison-short": noRegular} {
		for ext, f := range map[string]func(io.Writer, Comparison) error{"txt": WriteComparison, "md": WriteComparisonMarkdown} {
			t.Run(name+"."+ext, func(t *testing.T) {
				got := write(t, f, c)
				golden := filepath.Join("testdata", name+"."+ext)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("(-want +got)\n%s", d)
				}
			})
		}
	}
}

func TestComparisonFormsSayThatTheyCouldNotWrite(t *testing.T) {
	for name, f := range map[string]func(io.Writer, Comparison) error{"text": WriteComparison, "markdown": WriteComparisonMarkdown, "html": WriteComparisonHTML} {
		if err := f(full{}, compared); err == nil {
			t.Errorf("%s: an error of the writer was swallowed", name)
		}
	}
}

// A row that fell out of a table would make the rest look better than it is.
func TestNoRowIsHidden(t *testing.T) {
	for name, f := range map[string]func(io.Writer, Comparison) error{"text": WriteComparison, "markdown": WriteComparisonMarkdown, "html": WriteComparisonHTML} {
		got := strings.ReplaceAll(write(t, f, compared), `\`, "")
		for _, r := range compared.Rows {
			if !strings.Contains(got, r.Label()) || !strings.Contains(got, r.Reason) {
				t.Errorf("%s does not show %s, or not why it is not OK", name, r.Label())
			}
		}
	}
}

func TestFormsLeaveTheRowsAsTheyWere(t *testing.T) {
	before := fmt.Sprint(compared)
	write(t, WriteComparison, compared)
	write(t, WriteComparisonHTML, compared)
	if fmt.Sprint(compared) != before {
		t.Error("writing a form changed the comparison")
	}
}

// What a stranger wrote must neither steer a terminal nor add a line, a cell
// or an element to a table.
func TestHostileTextStaysInItsLine(t *testing.T) {
	text := write(t, WriteComparison, hostile())
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		t.Errorf("control character %q", text[i])
	}
	table, _, _ := strings.Cut(text, "\n\n")
	if breaks := strings.Count(table, "\n"); breaks != 3 {
		t.Errorf("a head and 3 rows have %d line breaks", breaks)
	}
	md := write(t, WriteComparisonMarkdown, hostile())
	if strings.Contains(md, "<") {
		t.Error("Markdown has an element")
	}
	for line := range strings.Lines(md) {
		bars := strings.Count(line, "|") - strings.Count(line, `\|`)
		if bars != 0 && bars != 11 {
			t.Errorf("10 cells have %d bars: %s", bars, line)
		}
	}
}

func TestDockerSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0B", 999: "999B", 1500: "1.5kB", 31_540_000: "31.5MB", 967_600_000: "968MB", 999_600_000: "1GB", 1_074_000_000: "1.07GB", 20_300_000: "20.3MB",
	} {
		if got := dockerSize(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestStandsFor(t *testing.T) {
	for base, want := range map[string]string{
		fullSystem: "stands for python:3.11", slimSystem: "stands for python:3.11-slim", distroless: "stands for the distroless images",
		"debian:bookworm": "a minimal Debian", "scratch": "", "registry.example/debian:bookworm": "", "debian:bookworm-backports": "", "debian@sha256:00": "",
	} {
		if got := standsFor(base, "3.11.2"); got != want {
			t.Errorf("%s: %q, want %q", base, got, want)
		}
	}
	if got := standsFor(fullSystem, ""); got != "stands for python:3.x" {
		t.Errorf("without a version: %q", got)
	}
}

// Who reads --json must find an array and an object, never null.
func TestRowHasNoNulls(t *testing.T) {
	got, err := json.Marshal([]Row{{}})
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); strings.Contains(s, "null") || !strings.Contains(s, `"differs":[]`) || !strings.Contains(s, `"options":{}`) {
		t.Errorf("a row is %s", s)
	}
	var back []Row
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
}

// A cell must not end its line or its cell, whatever is in it.
func FuzzMarkdown(f *testing.F) {
	for _, s := range []string{"", "plain", "a|b", `a\|b`, "a\nb", "<b>", "`x`", "&lt;", "\xff|", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := markdown(s)
		for i, r := range got {
			if !unicode.IsGraphic(r) && r != unicode.ReplacementChar {
				t.Fatalf("markdown(%q) has %q left", s, r)
			}
			if r == '<' || strings.ContainsRune("|`", r) && meant(got[:i]) {
				t.Fatalf("markdown(%q) is %q, where %q has a meaning", s, got, r)
			}
		}
	})
}

// meant says if what comes after s has its meaning: no backslash takes it.
func meant(s string) bool { return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 0 }
