//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"exuvia/internal/cas"
	"exuvia/internal/elffile"
	"exuvia/internal/oci"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// compare runs `exuvia compare --json` and gives the rows.
func (m machine) compare(args ...string) []report.Row {
	m.t.Helper()
	var rows []report.Row
	out := m.must(append([]string{"compare", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		m.t.Fatalf("%v:\n%s", err, out)
	}
	for _, r := range rows {
		m.t.Logf("%s %v on %s: %s, %d bytes, %d to download, %d files, %.0f ms, PSS %d, %.1f s%s", r.Variant, r.Options, r.Base, r.State, r.Size, r.Download, r.Files, r.StartMS, r.PSS, r.BuildS, r.Reason)
	}
	return rows
}

// oneFile are the variants that are a compressed archive of themselves.
var oneFile = []string{"pyinstaller-onefile", "nuitka-onefile"}

// The comparison of the README: every known way builds, answers the same, and
// lean is the smallest.
func TestCompareAll(t *testing.T) {
	m := newMachine(t)
	page := filepath.Join(t.TempDir(), "compare.html")
	rows := m.compare("--all", "-n", "3", "--html", page, demo)
	byName := make(map[string]report.Row)
	for _, r := range rows {
		byName[r.Variant] = r
		switch {
		case r.State == report.StateUnavailable && r.Variant == "pyoxidizer" && r.Reason != "":
			t.Logf("pyoxidizer is not there: %s", r.Reason)
		case !r.OK || r.Size == 0 || r.Download == 0 || r.Files == 0 || r.StartMS == 0 || r.PSS == 0 || r.BuildS == 0 || r.Checks == 0:
			t.Errorf("%s: %+v", r.Variant, r)
		}
	}
	for _, name := range []string{"regular", "slim", "pyinstaller", "pyinstaller-onefile", "cx_freeze", "nuitka", "cython", "pyoxidizer", "pex", "shiv", "lean"} {
		if _, ok := byName[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
	lean := byName["lean"]
	for _, r := range rows {
		if r.OK && r.Variant != "lean" && r.Download <= lean.Download {
			t.Errorf("%s is %d bytes to download, lean %d", r.Variant, r.Download, lean.Download)
		}
		if r.OK && r.Size < lean.Size && !slices.Contains(oneFile, r.Variant) {
			t.Errorf("%s is %d bytes, lean %d", r.Variant, r.Size, lean.Size)
		}
	}
	if data, err := os.ReadFile(page); err != nil || !strings.Contains(string(data), "pyinstaller") {
		t.Errorf("the page: %v, %d bytes", err, len(data))
	}
	for _, r := range rows {
		if r.OK && strings.HasSuffix(r.Base, "-distroless") {
			t.Run(r.Variant, func(t *testing.T) { checkBundle(t, m, r) })
		}
	}
}

// checkBundle looks at what a freezer's image has beside its base.
func checkBundle(t *testing.T, m machine, r report.Row) {
	store, err := oci.OpenStore(filepath.Join(m.data, "images"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := cas.Open(m.cache)
	if err != nil {
		t.Fatal(err)
	}
	img, err := store.Get(r.Reference)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	lowest, err := mutate.AppendLayers(empty.Image, layers[0])
	if err != nil {
		t.Fatal(err)
	}
	base, _, err := oci.Flatten(t.Context(), cache, lowest)
	if err != nil {
		t.Fatal(err)
	}
	whole, config, err := oci.Flatten(t.Context(), cache, img)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range config.Env {
		if strings.HasPrefix(v, "LD_LIBRARY_PATH=") {
			t.Errorf("the image sets %s", v)
		}
	}
	have := make(map[string]string)
	for e := range base.All() {
		if name := soname(t, e); name != "" {
			have[name] = e.Path
		}
	}
	if len(have) == 0 {
		t.Error("the base has no library")
	}
	for e := range whole.All() {
		if _, ok := base.Lookup(e.Path); ok {
			continue
		}
		if at := have[soname(t, e)]; at != "" {
			t.Errorf("/%s is in the base too, as /%s", e.Path, at)
		}
	}
}

// soname gives the name under which a library is found, "" for what is none.
func soname(t *testing.T, e tree.Entry) string {
	t.Helper()
	if !e.IsRegular() || e.Size < 64 {
		return ""
	}
	data, err := e.ReadAll(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elffile.Read(strings.NewReader(string(data)), int64(len(data)))
	if err != nil {
		return ""
	}
	return f.Soname
}

// Each switch makes another image that answers the same.
func TestMatrix(t *testing.T) {
	m := newMachine(t)
	for _, axis := range []string{"strip=true,false", "optimize=0,1,2", "bytecode=legacy,pycache,none", "rpath=true,false", "upx=no,executables,all"} {
		t.Run(axis, func(t *testing.T) {
			m := machine{t: t, cache: m.cache, data: m.data}
			rows := m.compare("--variant", "lean", "-n", "1", "--matrix", axis, demo)
			if want := strings.Count(axis, ",") + 1; len(rows) != want {
				t.Errorf("%d rows, want %d", len(rows), want)
			}
			digests := make(map[string]string)
			for _, r := range rows {
				name, _, _ := strings.Cut(axis, "=")
				if !r.OK || r.Options[name] == "" {
					t.Errorf("%+v", r)
				}
				if same := digests[r.Digest]; same != "" && name != "strip" && name != "rpath" {
					t.Errorf("%v is the same image as %s", r.Options, same)
				}
				digests[r.Digest] = fmt.Sprint(r.Options)
				if r.Options["upx"] == "all" && !slices.ContainsFunc(r.Notes, func(n report.Note) bool { return n.Where == "upx" }) {
					t.Error("nothing is said of the libraries that could not be packed")
				}
			}
		})
	}
}

// What fails is a row with its reason; what is unknown is refused at once.
func TestCompareOfWhatCannotBe(t *testing.T) {
	m := newMachine(t)
	rows := m.compare("--variant", "lean", "-n", "0", "--matrix", "base=scratch,debian:bookworm-nothing", demo)
	if len(rows) != 2 || !rows[0].OK || rows[1].OK || rows[1].Reason == "" {
		t.Errorf("%+v", rows)
	}
	if r := m.run("compare", "--variant", "leen", demo); r.code != 2 || !strings.Contains(r.stderr, "lean") {
		t.Errorf("an unknown variant: %d %s", r.code, r.stderr)
	}
}
