package project

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
)

func TestMerge(t *testing.T) {
	under := Settings{Entry: []string{"a.py"}, Python: "3.11", Env: map[string]string{"A": "1", "B": "2"}, Probe: Probe{Port: 80, Start: "run"}}
	over := Settings{Entry: []string{"b.py"}, Env: map[string]string{"B": "3"}, Optimize: 2, Probe: Probe{Port: 81}}
	want := Settings{Entry: []string{"b.py"}, Python: "3.11", Env: map[string]string{"A": "1", "B": "3"}, Optimize: 2, Probe: Probe{Port: 81, Start: "run"}}
	if diff := cmp.Diff(want, Merge(under, over)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if under.Env["B"] != "2" {
		t.Error("merging changed what it was given")
	}
}

func tags(t reflect.Type) []string {
	var out []string
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		out = append(out, tag)
	}
	return out
}

// A setting that `exuvia init` does not write is one nobody finds.
func TestInitTextHasEverySetting(t *testing.T) {
	for _, tt := range []struct {
		typ  reflect.Type
		list []setting
	}{{reflect.TypeFor[Settings](), documented}, {reflect.TypeFor[Probe](), documentedProbe}} {
		var got []string
		for _, s := range tt.list {
			got = append(got, s.key)
		}
		var want []string
		for _, tag := range tags(tt.typ) {
			if tag != "probe" {
				want = append(want, tag)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-fields +documented):\n%s", tt.typ, diff)
		}
	}
}

// Every example has to be what the setting takes: people uncomment them.
func TestInitTextExamplesAreValid(t *testing.T) {
	var lines []string
	for line := range strings.SplitSeq(InitText(), "\n") {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), " = "); ok && !strings.Contains(key, " ") {
			line = strings.TrimPrefix(line, "# ")
		}
		lines = append(lines, line)
	}
	s, err := readSettings(document{name: "pyproject.toml", data: []byte(strings.Join(lines, "\n"))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if v.Field(i).IsZero() && v.Type().Field(i).Name != "Optimize" { // its example is its default
			t.Errorf("the example of %s was not read", v.Type().Field(i).Name)
		}
	}
}

func TestInit(t *testing.T) {
	const old = "# mine\n[project]\nname = \"x\"   # odd   spacing\n\n[tool.other]\na = 1"
	for name, tt := range map[string]struct {
		old  *string
		want string
	}{
		"new file": {nil, InitText()},
		"added":    {new(old), old + "\n\n" + InitText()},
		"CRLF":     {new("[a]\r\n"), "[a]\r\n\r\n" + strings.ReplaceAll(InitText(), "\n", "\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "pyproject.toml")
			if tt.old != nil {
				if err := os.WriteFile(file, []byte(*tt.old), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Init(dir)
			if err != nil || got != file {
				t.Fatalf("Init gives %q, %v", got, err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(data)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := Init(dir); err == nil {
				t.Error("a second table was written")
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*.exuvia")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestInitLeavesABrokenFileAlone(t *testing.T) {
	for _, text := range []string{"[project\n", "tool = { a = 1 }\n"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "pyproject.toml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Init(dir)
		wantFault(t, err, fault.Project, "pyproject.toml", "")
		if data, err := os.ReadFile(file); err != nil || string(data) != text {
			t.Errorf("the file is now %q (%v)", data, err)
		}
	}
}

func TestSettingsSurviveTOML(t *testing.T) {
	want := Settings{Entry: []string{"a"}, Probe: Probe{HTTP: []Request{{Path: "/"}}, Commands: [][]string{{"x"}}}}
	data, err := toml.Marshal(map[string]any{"tool": map[string]any{"exuvia": want}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := readSettings(document{name: "x", data: data})
	if err != nil {
		t.Fatal(err)
	}
	if got.Probe.HTTP[0].Path != "/" || got.Probe.Commands[0][0] != "x" || got.Entry[0] != "a" {
		t.Errorf("got %+v", got)
	}
}
