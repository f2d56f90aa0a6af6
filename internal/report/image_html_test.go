package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// described is an image with everything a page can show.
var described = func() Image {
	owner := func(name, version string, kind OwnerKind, part PartName, before int64, files ...File) Owner {
		o := Owner{Name: name, Version: version, Kind: kind, Part: part, Before: before, Files: files}
		for _, f := range files {
			o.Size += f.Size
		}
		return o
	}
	var zones []File
	for i := range 300 {
		zones = append(zones, File{Path: fmt.Sprintf("usr/share/zoneinfo/Zone%03d", i), Size: int64(3000 - 10*i)})
	}
	m := Image{
		Build: Build{
			Variant: "lean", Reference: "rest-app:latest", Digest: "sha256:2a41", Download: 15_500_000, Files: 834, Base: "scratch", System: "debian:bookworm",
			Python: "3.11.2", Platform: "linux/amd64", Engine: "namespaces (root)", Verified: true,
			Layers:  []Layer{{"system", "sha256:5ee1", 23_300_000, 11_000_000, 722}, {"app", "sha256:a99a", 22_400, 8_200, 5}},
			Checks:  []Check{{Name: "GET /", OK: true, Detail: "200, 17 bytes"}, {Name: "main --help", Detail: "exit code 0\nexit code 1"}},
			Healed:  []Healed{{Path: "app/plugin.py", Setting: SettingKeep, Value: "app.plugin", Why: "GET /: import app.plugin"}},
			Timings: []Timing{{"install", 0.3}, {"verify", 3}},
			Notes:   []Note{{"strip", "usr/lib/a.so", "stays as it was"}},
			Inputs:  []Input{{"uv", "abcd"}},
		},
		Contents: Contents{
			Owners: []Owner{
				owner("Python interpreter", "3.11.2", OwnerPython, PartInterpreter, 6_882_288, File{Path: "usr/bin/python3.11", Size: 6_809_961, Before: 6_809_961}),
				owner("fastapi", "0.165.0", OwnerDist, PartDependencies, 945_000,
					File{Path: "lib/fastapi/routing.py", Module: "fastapi.routing", In: "usr/lib/exuvia/dependencies.pya", Size: 68_012, Before: 151_000},
					File{Path: "lib/fastapi/applications.py", Module: "fastapi.applications", In: "usr/lib/exuvia/dependencies.pya", Size: 23_300, Before: 198_600},
					File{Path: "lib/fastapi-0.165.0.dist-info/METADATA", Size: 2_760, Before: 2_760}, File{Path: "lib/fastapi/py.typed"}),
				owner("tzdata", "2026f", OwnerDebian, PartSystem, 1_315_061, zones...),
				owner("made by exuvia", "", OwnerMade, PartSystem, 0, File{Path: "etc/passwd", Size: 40}),
			},
			Stages: []Stage{{"unreduced", "all", 73_600_000, 3439}, {"analysis", "what nothing reaches goes", 36_900_000, 1532}, {"bytecode", "sources become bytecode", 37_900_000, 1532}, {"strip", "symbols go", 37_900_000, 1532}},
			Dropped: []Drop{{
				Stage: "analysis", Reason: "nothing that is kept needs it", Part: PartSystem, Files: 30, Size: 36_700_000,
				Owners: []Share{{"perl-base", 29, 30_000_000}, {"gcc", 1, 6_700_000}}, Largest: []Gone{{"usr/bin/perl", 4_000_000, ""}, {"usr/lib/pdb.py", 10, "a developer module"}},
			}},
		},
	}
	for _, o := range m.Owners {
		m.Build.Size += o.Size
	}
	return m
}()

// hostileImage has in every text what would break out of a page that trusted it.
func hostileImage() Image {
	const bad = "\x1b[31m<script>alert(1)</script>\u202e\"'</style>--><!--</title></svg>{{.}}javascript:alert(1)"
	gone := []Gone{{bad, 1, bad}}
	files := []File{{Path: bad, Module: bad, In: bad, Size: 30e6, Before: 1, Covered: true}, {Path: bad, Size: 20e6}}
	return Image{
		Build: Build{
			Variant: bad, Reference: bad, Digest: bad, Size: 50e6, Base: bad, System: bad, Python: bad, Platform: bad, Engine: bad, Layers: []Layer{{Name: bad, Digest: bad}},
			Checks: []Check{{Name: bad, OK: true, Detail: bad}}, Healed: []Healed{{bad, bad, bad, bad}}, Timings: []Timing{{Phase: bad}}, Notes: []Note{{bad, bad, bad}}, Inputs: []Input{{bad, bad}},
		},
		Contents: Contents{
			Owners:  []Owner{{Name: bad, Version: bad, Kind: bad, Part: bad, Size: 50e6, Before: 1, Files: files}},
			Stages:  []Stage{{Name: bad, About: bad, Size: 1}, {Name: bad, About: bad}},
			Dropped: []Drop{{Stage: bad, Reason: bad, Part: bad, Files: 2, Size: 1, Owners: []Share{{bad, 1, 1}}, Largest: gone}},
		},
	}
}

func imagePage(t *testing.T, m Image) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteImageHTML(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestImagePageIsSelfContained(t *testing.T) {
	for name, m := range map[string]Image{"ordinary": described, "hostile": hostileImage(), "nothing known": {}} {
		page := imagePage(t, m)
		all := nodes(t, page)
		ids := make(map[string]bool)
		for _, n := range all {
			if id := attribute(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: two elements have the id %s", name, id)
				}
				ids[id] = true
			}
		}
		scripts := 0
		for _, n := range all {
			if n.Type != html.ElementNode {
				continue
			}
			if n.Data == "script" {
				scripts++
			}
			if slices.Contains([]string{"img", "iframe", "object", "embed", "link", "base", "form", "image", "use"}, n.Data) {
				t.Errorf("%s: the page has a %s", name, n.Data)
			}
			for _, a := range n.Attr {
				if a.Key == "href" {
					if to, ok := strings.CutPrefix(a.Val, "#"); !ok || !ids[to] {
						t.Errorf("%s: %s leads to %q, which is nothing on the page", name, n.Data, a.Val)
					}
				}
				if a.Key == "src" || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: %s has %s=%q", name, n.Data, a.Key, a.Val)
				}
			}
		}
		if scripts != 1 {
			t.Errorf("%s: the page has %d scripts", name, scripts)
		}
		if i := strings.IndexFunc(page, func(r rune) bool { return r < ' ' && r != '\n' || r == '\u202e' }); i >= 0 {
			t.Errorf("%s: control character %q", name, page[i])
		}
		if strings.Contains(page, "NaN") || strings.Contains(page, "Inf%") || strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: the page draws what there is not", name)
		}
	}
}

// What the maps show stands in the tables too, in bytes or with them at hand.
func TestMapsAndTablesSayTheSame(t *testing.T) {
	v := viewImage(described)
	if len(v.Maps) != 3 || len(v.Maps[0].Cells) != len(described.Owners) {
		t.Fatalf("%d maps, the first with %d cells", len(v.Maps), len(v.Maps[0].Cells))
	}
	if c := v.Maps[1].Cells[0]; c.Label != "routing" || c.Size != "68.0 kB" || c.Title != "/lib/fastapi/routing.py: 68,012 bytes, before 151,000" || c.Href != "#f-2-0" {
		t.Errorf("the largest of fastapi is %+v", c)
	}
	if got := len(v.Maps[2].Cells); got != mostCells+1 {
		t.Errorf("%d cells are drawn of %d files", got, len(described.Owners[2].Files))
	}
	zones := v.Owners[2]
	if len(zones.Files) != mostListed || !strings.HasPrefix(zones.Rest, "and 50 files more with 12.8 kB in all") {
		t.Errorf("%d files are listed, %q", len(zones.Files), zones.Rest)
	}
	if s := v.Stages[2]; s.Change != "+1.0 MB" || s.More == "" || s.Lost != "" {
		t.Errorf("a stage that adds is %+v", s)
	}
}

// Where files would be too small to see, they are drawn by what they lie in, and
// every one of them can be gone to in the end.
func TestManyFilesAreDrawnByPackage(t *testing.T) {
	o := Owner{Name: "Python standard library", Part: PartStdlib}
	add := func(f File) {
		o.Files = append(o.Files, f)
		o.Size += f.Size
	}
	add(File{Path: "lib/python3/asyncio/__init__.py", Module: "asyncio", Size: 1000})
	for i := range 120 {
		add(File{Path: fmt.Sprintf("lib/python3/asyncio/m%d.py", i), Module: fmt.Sprintf("asyncio.m%d", i), Size: 1000})
		add(File{Path: fmt.Sprintf("lib/python3/email/m%d.py", i), Module: fmt.Sprintf("email.m%d", i), Size: 900})
	}
	add(File{Path: "lib/python3/ast.py", Module: "ast", Size: 800})
	add(File{Path: "lib/python3/data/x.txt", Size: 700})
	slices.SortStableFunc(o.Files, func(a, b File) int { return int(b.Size - a.Size) })
	v := viewImage(Image{Build: Build{Size: o.Size}, Contents: Contents{Owners: []Owner{o}}})
	var ids, labels []string
	for _, m := range v.Maps {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, []string{"map", "map-1", "map-1-1", "map-1-2"}) {
		t.Fatalf("maps are %v", ids)
	}
	for _, c := range v.Maps[1].Cells {
		labels = append(labels, c.Href)
	}
	if !slices.Equal(labels, []string{"#map-1-1", "#map-1-2", "#f-1-241", "#f-1-242"}) {
		t.Errorf("cells lead to %v", labels)
	}
	if m := v.Maps[2]; m.Name != "asyncio" || len(m.Cells) != 121 || m.Cells[1].Label != "m0" || len(m.Up) != 2 || m.Up[1].Href != "#map-1" {
		t.Errorf("the map of asyncio: %s with %d cells, %q, up %v", m.Name, len(m.Cells), m.Cells[1].Label, m.Up)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 5193818: "5,193,818", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
