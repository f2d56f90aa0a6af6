package project

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
)

// extendText extends a file that has this text.
func extendText(t *testing.T, name, text string, lists map[string][]string) (string, error) {
	t.Helper()
	f := &settingsFile{name: name, data: []byte(text)}
	out, err := f.extended(lists)
	return string(out), err
}

func TestExtend(t *testing.T) {
	for name, tt := range map[string]struct{ old, want string }{
		"no table":             {"# mine\n[project]\nname = 'x'  # odd\n", "# mine\n[project]\nname = 'x'  # odd\n\n[tool.exuvia]\nkeep = [\"new\"]\n"},
		"no end of line":       {"[project]", "[project]\n\n[tool.exuvia]\nkeep = [\"new\"]"},
		"CRLF":                 {"[a]\r\nb = 1\r\n", "[a]\r\nb = 1\r\n\r\n[tool.exuvia]\r\nkeep = [\"new\"]\r\n"},
		"empty table":          {"[tool.exuvia] # mine\n[a]\n", "[tool.exuvia] # mine\nkeep = [\"new\"]\n[a]\n"},
		"settings":             {"[tool.exuvia]\nentry = [\n  'a',\n] # why\n# next\n\n[a]\n", "[tool.exuvia]\nentry = [\n  'a',\n] # why\nkeep = [\"new\"]\n# next\n\n[a]\n"},
		"table below":          {"[tool.exuvia.probe]\nport = 1\n", "[tool.exuvia.probe]\nport = 1\n\n[tool.exuvia]\nkeep = [\"new\"]\n"},
		"table and below":      {"[tool.exuvia]\n[tool.exuvia.probe]\nport = 1\n", "[tool.exuvia]\nkeep = [\"new\"]\n[tool.exuvia.probe]\nport = 1\n"},
		"quoted header":        {"[ tool . \"exuvia\" ]\r\nname = 'x'\r\n", "[ tool . \"exuvia\" ]\r\nname = 'x'\r\nkeep = [\"new\"]\r\n"},
		"dotted":               {"[tool]\nexuvia.name = 'x'\na.b = 1\n", "[tool]\nexuvia.name = 'x'\nexuvia.keep = [\"new\"]\na.b = 1\n"},
		"dotted from the top":  {"tool.exuvia.name = 'x'\n[a]\n", "tool.exuvia.name = 'x'\ntool.exuvia.keep = [\"new\"]\n[a]\n"},
		"dotted list":          {"[tool]\nexuvia.keep = ['a']\n", "[tool]\nexuvia.keep = ['a', \"new\"]\n"},
		"list":                 {"[tool.exuvia]\nkeep = ['a'] # why\n", "[tool.exuvia]\nkeep = ['a', \"new\"] # why\n"},
		"list with a comma":    {"[tool.exuvia]\nkeep = ['a', ]\n", "[tool.exuvia]\nkeep = ['a', \"new\", ]\n"},
		"empty list":           {"[tool.exuvia]\nkeep = [ ]\n", "[tool.exuvia]\nkeep = [\"new\" ]\n"},
		"empty list, lines":    {"[tool.exuvia]\nkeep = [ # why\n]\n", "[tool.exuvia]\nkeep = [ # why\n    \"new\",\n]\n"},
		"lines":                {"[tool.exuvia]\nkeep = [\n  'a', # why, a\n  'b'  # why ]\n]\n", "[tool.exuvia]\nkeep = [\n  'a', # why, a\n  'b',  # why ]\n  \"new\"\n]\n"},
		"lines with a comma":   {"[tool.exuvia]\nkeep = [\n\t'a',\n\t'b',\n\t# 'c',\n]\n", "[tool.exuvia]\nkeep = [\n\t'a',\n\t'b',\n\t\"new\",\n\t# 'c',\n]\n"},
		"comma of its own":     {"[tool.exuvia]\nkeep = [\n 'a' # why\n , # so\n]\n", "[tool.exuvia]\nkeep = [\n 'a' # why\n , # so\n \"new\",\n]\n"},
		"bracket at the end":   {"[tool.exuvia]\nkeep = ['a',\n        'b']\n", "[tool.exuvia]\nkeep = ['a',\n        'b', \"new\"]\n"},
		"bracket alone":        {"[tool.exuvia]\nkeep = ['a'\n]\n", "[tool.exuvia]\nkeep = ['a',\n    \"new\"\n]\n"},
		"brackets in strings":  {"[tool.exuvia]\nkeep = [ '#]', \"[,\" ]\n", "[tool.exuvia]\nkeep = [ '#]', \"[,\", \"new\" ]\n"},
		"brackets in the key":  {"[tool.exuvia]\n\"keep\"=[]\nenv={\"[\"='#'}\n", "[tool.exuvia]\n\"keep\"=[\"new\"]\nenv={\"[\"='#'}\n"},
		"lines in CRLF":        {"[tool.exuvia]\r\nkeep = [\r\n  'a'\r\n]\r\n", "[tool.exuvia]\r\nkeep = [\r\n  'a',\r\n  \"new\"\r\n]\r\n"},
		"has it":               {"[tool.exuvia]\nkeep = ['new']\n", "[tool.exuvia]\nkeep = ['new']\n"},
		"commented":            {"[tool.exuvia]\n# keep = ['new']\n", "[tool.exuvia]\nkeep = [\"new\"]\n# keep = ['new']\n"},
		"lists of other names": {"[tool.exuvia]\nkeep-source = ['a']\n[tool.exuvia.probe]\nvariable = []\n", "[tool.exuvia]\nkeep-source = ['a']\nkeep = [\"new\"]\n[tool.exuvia.probe]\nvariable = []\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extendText(t, "pyproject.toml", tt.old, map[string][]string{"keep": {"new", "new"}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtendSeveral(t *testing.T) {
	got, err := extendText(t, "pyproject.toml", "[tool.exuvia]\nkeep = ['a']\n", map[string][]string{
		"keep": {"/b", "c\"\\\t<é"}, "keep-source": {"d", "e"}, "keep-docstrings": {"f"},
	})
	const want = "[tool.exuvia]\nkeep = ['a', \"/b\", \"c\\\"\\\\\\t\\u003cé\"]\nkeep-docstrings = [\"f\"]\nkeep-source = [\"d\", \"e\"]\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestExtendScript(t *testing.T) {
	for name, tt := range map[string]struct{ old, want string }{
		"no table": {
			"import a\n# /// script\n# dependencies = []\n# ///\nb = 1\n",
			"import a\n# /// script\n# dependencies = []\n#\n# [tool.exuvia]\n# keep = [\"new\"]\n# ///\nb = 1\n",
		},
		"lines": {
			"# /// script\r\n# [tool.exuvia]\r\n# keep = [\r\n#   'a', # why\r\n# ]\r\n#\r\n# ///\r\n",
			"# /// script\r\n# [tool.exuvia]\r\n# keep = [\r\n#   'a', # why\r\n#   \"new\",\r\n# ]\r\n#\r\n# ///\r\n",
		},
		"spaces": {
			"# /// other\n# x\n# ///\n\n# /// script\n# \n#  [tool.exuvia]\n#  keep = ['a']  \n# ///",
			"# /// other\n# x\n# ///\n\n# /// script\n# \n#  [tool.exuvia]\n#  keep = ['a', \"new\"]  \n# ///",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extendText(t, "x.py", tt.old, map[string][]string{"keep": {"new"}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is refused is refused before the work too, and leaves the file alone.
func TestExtendRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, what, hint string }{
		"inline table":    {"pyproject.toml", "[tool]\nexuvia = { keep = ['a'] }\n", "cannot take more settings", "not inline"},
		"inline tool":     {"pyproject.toml", "tool = { a = 1 }\n", "cannot take more settings", "not inline"},
		"broken":          {"pyproject.toml", "[tool\n", "pyproject.toml:1", "correct this line"},
		"no list":         {"pyproject.toml", "[tool.exuvia]\nkeep = 'a'\n", "pyproject.toml:2", "correct this line"},
		"bare script":     {"x.py", "print(1)\n", "no inline metadata", "PEP 723"},
		"no such project": {"none/pyproject.toml", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), tt.file)
			if tt.text == "" {
				_, err := Extend(filepath.Dir(file), nil)
				wantFault(t, err, fault.Project, "does not exist", "")
				return
			}
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			wantFault(t, CanExtend(file, "keep"), fault.Project, tt.what, tt.hint)
			_, err := Extend(file, map[string][]string{"keep": {"new"}})
			wantFault(t, err, fault.Project, tt.what, tt.hint)
			if data, err := os.ReadFile(file); err != nil || string(data) != tt.text {
				t.Errorf("the file is %q, %v", data, err)
			}
		})
	}
}

// The file that a chain of links leads to is written, with its permissions; a
// directory without one gets one.
func TestExtendFiles(t *testing.T) {
	const want = "[tool.exuvia]\nkeep = [\"new\"]\n"
	for name, make := range map[string]func(dir string) error{
		"none":  func(string) error { return nil },
		"empty": func(dir string) error { return os.WriteFile(filepath.Join(dir, "pyproject.toml"), nil, 0o600) },
		"links": func(dir string) error {
			for _, err := range []error{
				os.Mkdir(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "sub/real"), []byte("[tool.exuvia]\n"), 0o600),
				os.Symlink("real", filepath.Join(dir, "sub/link")), os.Symlink("sub/link", filepath.Join(dir, "pyproject.toml")),
			} {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadDir(dir)
			if err := CanExtend(dir, "keep"); err != nil {
				t.Error(err)
			}
			if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
				t.Errorf("looking left %v, %v", after, err)
			}
			file, err := Extend(dir, map[string][]string{"keep": {"new"}})
			if err != nil || file != filepath.Join(dir, "pyproject.toml") {
				t.Fatalf("%s, %v", file, err)
			}
			if name == "links" {
				file = filepath.Join(dir, "sub/real")
				if fi, err := os.Lstat(file); err != nil || fi.Mode() != 0o600 {
					t.Errorf("%v, %v", fi, err)
				}
			}
			if data, err := os.ReadFile(file); err != nil || string(data) != want {
				t.Errorf("the file is %q, %v", data, err)
			}
		})
	}
}

// Nothing that was there is changed, what was added is read, and adding it again
// adds nothing.
func FuzzExtend(f *testing.F) {
	for _, s := range []string{
		"", "a = 1", "[tool.exuvia]\nkeep = [\n 'a' # b\n ,]\n[tool.exuvia.probe]\n", "[tool]\r\nexuvia.keep = []\r\n", "tool = {exuvia = {keep = ['a']}}",
		"[tool.exuvia]\nkeep = [\"\"\"\n]#\"\"\", '']#]\n", "[[tool.x]]\n[tool.exuvia]\nkeep-source=['a',\n#\n]", "tool.exuvia.keep = [#\n#]\n]",
	} {
		f.Add(s, "x", false)
		f.Add(s, "a\"\\\n\u007f", true)
	}
	f.Fuzz(func(t *testing.T, s, value string, script bool) {
		name := "pyproject.toml"
		if script {
			name = "x.py"
			s = "# /// script\n# " + strings.ReplaceAll(s, "\n", "\n# ") + "\n# ///\n"
		}
		lists := map[string][]string{"keep": {"new", value}, "keep-source": {value}}
		got, err := extendText(t, name, s, lists)
		if err != nil {
			return
		}
		rest := got
		for i := range len(s) {
			at := strings.IndexByte(rest, s[i])
			if at < 0 {
				t.Fatalf("%q is no longer in %q", s, got)
			}
			rest = rest[at+1:]
		}
		doc, err := (&settingsFile{name: name}).document([]byte(got))
		if err != nil {
			t.Fatal(err)
		}
		settings, err := readSettings(doc)
		if err != nil || !slices.Contains(settings.Keep, "new") || !slices.Contains(settings.Keep, value) || !slices.Contains(settings.KeepSource, value) {
			t.Errorf("%+v, %v", settings, err)
		}
		if again, err := extendText(t, name, got, lists); err != nil || again != got {
			t.Errorf("again: %v\n%s", err, cmp.Diff(got, again))
		}
	})
}
