//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"exuvia/internal/report"
)

// greet changes what a copy of the demo answers.
func greet(t *testing.T, dir, old, who string) {
	t.Helper()
	name := filepath.Join(dir, "app", "main.py")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(data), old, who)
	if changed == string(data) {
		t.Fatalf("the demo does not greet %s", old)
	}
	if err := os.WriteFile(name, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// One changed line is one changed module, and what an image is of adds up to
// what it has.
func TestDiffAndReport(t *testing.T) {
	m := newMachine(t)
	dir := copyOf(t, demo)
	first := m.build(dir)
	if r := m.run("diff"); r.code != 14 || !strings.Contains(r.stderr, "rest-app:latest is the first image of its name") {
		t.Errorf("diff of one build: exit code %d\n%s", r.code, r.stderr)
	}
	greet(t, dir, "World", "Exuvia")
	archive := "oci-archive:" + filepath.Join(t.TempDir(), "next.tar")
	next := m.build("--max-growth", "1%", "-o", archive, dir)

	var d report.Diff
	if err := json.Unmarshal([]byte(m.must("diff", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Before.Digest != first.Digest || d.After.Digest != next.Digest || d.Before.Size != first.Size || d.After.Download != next.Download || !d.Attributed {
		t.Errorf("compared are %+v and %+v", d.Before, d.After)
	}
	if len(d.Files) != 1 || d.Files[0].Path != "app/app/main.py" || d.Files[0].Change != report.Changed || d.Files[0].In != "usr/lib/exuvia/app.pya" {
		t.Errorf("files: %+v", d.Files)
	}
	if len(d.Owners) > 1 || len(d.Config) > 0 || len(d.Layers) != 3 {
		t.Errorf("distributions %+v, configuration %+v, %d layers", d.Owners, d.Config, len(d.Layers))
	}
	for _, l := range d.Layers {
		if l.Same != (l.Name != "app") {
			t.Errorf("layer %s is the same: %v", l.Name, l.Same)
		}
	}
	// What comes from elsewhere has files and packages, but nothing says what its files are of.
	d = report.Diff{}
	if err := json.Unmarshal([]byte(m.must("diff", "--json", archive, "rest-app")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Attributed || d.Before.Digest != next.Digest || d.Before.Size != next.Size || len(d.Owners) > 0 {
		t.Errorf("the same image from an archive: %+v, distributions %+v", d.Before, d.Owners)
	}
	m.consistent(next)
}

// consistent checks the report of the demo's image.
func (m machine) consistent(b report.Build) {
	m.t.Helper()
	var img report.Image
	if err := json.Unmarshal([]byte(m.must("report", "--json")), &img); err != nil {
		m.t.Fatal(err)
	}
	var owners, files int64
	names := make(map[string]report.Owner)
	for _, o := range img.Owners {
		owners += o.Size
		names[o.Name] = o
		for _, f := range o.Files {
			files += f.Size
		}
	}
	if owners != b.Size || files != b.Size || img.Build.Digest != b.Digest {
		m.t.Errorf("owners have %d bytes, files %d, the image %d", owners, files, b.Size)
	}
	if f := names["fastapi"]; f.Version == "" || f.Size == 0 || f.Size >= f.Before || f.Files[0].Module == "" {
		m.t.Errorf("fastapi is %+v", f)
	}
	last := img.Stages[len(img.Stages)-1]
	if img.Stages[0].Size <= last.Size || last.Size != b.Size || last.Files != b.Files {
		m.t.Errorf("stages are from %+v to %+v", img.Stages[0], last)
	}
	lost := img.Stages[0].Size
	for _, d := range img.Dropped {
		if d.Stage == "analysis" {
			lost -= d.Size
		}
	}
	if lost != img.Stages[1].Size {
		m.t.Errorf("%d bytes are left after what was dropped, %d after the analysis", lost, img.Stages[1].Size)
	}
	page := filepath.Join(m.t.TempDir(), "report.html")
	if out := m.must("report", "-o", page); out != page+"\n" {
		m.t.Errorf("report says %q", out)
	}
	if data, err := os.ReadFile(page); err != nil || !strings.Contains(string(data), "fastapi.routing") {
		m.t.Errorf("the page does not know fastapi.routing: %v", err)
	}
}

// An image over the budget must not take a name from one within.
func TestBudget(t *testing.T) {
	m := newMachine(t)
	dir := copyOf(t, demo)
	first := m.build(dir)
	greet(t, dir, "World", strings.Repeat("a greeting that takes some room, ", 4)+"World")
	for _, args := range [][]string{{"--max-size", "30MB"}, {"--max-growth", "0%"}, {"--max-growth", "10B"}} {
		r := m.run(append([]string{"build", dir}, args...)...)
		if r.code != 16 || !strings.Contains(r.stderr, args[0]) || r.stdout != "" {
			t.Errorf("%v: exit code %d\n%s", args, r.code, r.stderr)
		}
		if grown := strings.Contains(r.stderr, "what grew most: rest-app 0.1.0 +"); grown != (args[0] == "--max-growth") {
			t.Errorf("%v: %s", args, r.stderr)
		}
	}
	if out := m.must("images", "--json"); !strings.Contains(out, first.Digest) || strings.Count(out, `"digest"`) != 1 {
		t.Errorf("images are %s", out)
	}
	if r := m.run("diff", "--max-size", "30MB", "rest-app", "rest-app"); r.code != 16 || !strings.Contains(r.stdout, "the same image") {
		t.Errorf("diff: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	m.build("--max-size", "32MB", "--max-growth", "1kB", dir)
}
