//go:build e2e

package pyimport

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// interpreters are those of the host that helpers have to run on.
func interpreters(t *testing.T) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, pattern := range []string{"/usr/bin/python3", filepath.Join(home, ".pyenv/versions/3.*/bin/python3")} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, exe := range found {
			if exec.CommandContext(t.Context(), exe, "-c", "import sys; sys.exit(sys.version_info < (3, 9))").Run() == nil {
				out = append(out, exe)
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("the host has no Python of 3.9 or newer")
	}
	return out
}

// ask runs the facts helper over files.
func ask(t *testing.T, exe string, files ...string) map[string]*facts {
	t.Helper()
	dir := t.TempDir()
	list, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := errorsOf(os.WriteFile(dir+"/facts.py", factsHelper, 0o644), os.WriteFile(dir+"/list", list, 0o644)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), exe, "-I", "-S", "-B", dir+"/facts.py", dir+"/list", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := make(map[string]*facts)
	answers, err := filepath.Glob(dir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		data, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeFacts(data, all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestEveryConstruct(t *testing.T) {
	file, err := filepath.Abs("testdata/every.py")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"call .\x00 \x01", "call .region_\x00", "call called (function)", "call dynamic\x00", "dist some-dist",
		"from . sibling", "from ..up name", "from __future__ annotations", "from importlib import_module", "from typing TYPE_CHECKING",
		"group plug", "group plug.ins", "group some_group", "import after_main", "import eager", "import in_class", "import inside (function)", "import instead (optional)",
		"import main_only (main)", "import maybe (optional)", "import modern", "import not_optional", "import os", "import posixonly",
		"import suppressed (optional)", "import sys", "import sys", "import typing", "import when_flag",
		"plugin added_app", "plugin listed_app", "resource package.with.data (optional)", "walk C.__path__",
	}
	for _, exe := range interpreters(t) {
		t.Run(exe, func(t *testing.T) {
			known := ask(t, exe, file)[file]
			var got []string
			for _, u := range known.Uses {
				s := strings.Join(append([]string{u.Kind, u.Name}, u.More...), " ")
				for bit, name := range map[int]string{optional: "optional", inFunction: "function", mainOnly: "main"} {
					if u.Flags&bit != 0 {
						s += " (" + name + ")"
					}
				}
				got = append(got, s)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("uses (-want +got):\n%s", diff)
			}
			for _, p := range []string{"backends._\x00", "percent.\x00", "added.\x00", "formatted.\x00.x", "\x01.own"} {
				if known.Patterns[p] == 0 {
					t.Errorf("no pattern %q in %v", p, known.Patterns)
				}
			}
			for s, there := range map[string]bool{"default.value": true, "some_group": true, "type.only": false, "a.docstring": false} {
				if (known.Strings[s] != 0) != there {
					t.Errorf("string %q: %v", s, known.Strings)
				}
			}
			if diff := cmp.Diff([]string{"exported", "too"}, known.All); diff != "" {
				t.Errorf("__all__ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"dynamic", "file", "groups", "resources"}, known.Flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

// written gives a directory with files.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := errorsOf(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBadSources(t *testing.T) {
	files := map[string]string{
		"python2.py": "print 'x'\n", "null.py": "x = 1\x00\n", "coding.py": "# coding: nonsense\n", "latin.py": "x = '\xe9'\n",
		"deep.py": strings.Repeat("(", 5000) + strings.Repeat(")", 5000), "nested.py": "x = " + strings.Repeat("-", 20000) + "1\n",
		"x.pth": "import a; import b\n/some/dir\nimport\tc\n", "template.py": "{{ name }} = {% x %}\n",
	}
	dir := written(t, files)
	var paths []string
	for n := range files {
		paths = append(paths, filepath.Join(dir, n))
	}
	for _, exe := range interpreters(t) {
		t.Run(exe, func(t *testing.T) {
			all := ask(t, exe, paths...)
			for _, p := range paths {
				known := all[p]
				switch {
				case known == nil:
					t.Errorf("nothing about %s", p)
				case strings.HasSuffix(p, ".pth"):
					if len(known.Uses) != 3 || known.Uses[2].Name != "c" {
						t.Errorf("%s: %+v", p, known)
					}
				case filepath.Base(p) != "nested.py" && (known.Error == nil || known.Error.Line < 1 || known.Error.Text == ""):
					t.Errorf("%s: no error", p)
				}
			}
		})
	}
}

// Modules are asked in forks of their packages, and it must not show: each
// answer is what a fresh interpreter would give.
func TestProbes(t *testing.T) {
	files := map[string]string{
		"p/__init__.py":      "import p.early, q",
		"p/early.py":         "",
		"p/late.py":          "import p.early, r",
		"p/other.py":         "import p.missing",
		"p/ends.py":          "import os; os._exit(3)",
		"p/sub/__init__.py":  "",
		"p/sub/deep.py":      "import r",
		"broken/inner.py":    "",
		"q.py":               "",
		"r.py":               "",
		"top.py":             "",
		"broken/__init__.py": "import q; 1 / 0",
		"lonely/__init__.py": "import os; os.register_at_fork(after_in_child=lambda: os._exit(1))",
		"lonely/late.py":     "import r",
		"slow/__init__.py":   "",
		"slow/late.py":       "import time; time.sleep(60)",
		"slow/other.py":      "",
	}
	want := map[string]string{
		"p.early":      "p p.early q",
		"p.late":       "p p.early p.late q r",
		"p.other":      "p p.early q ModuleNotFoundError: No module named 'p.missing'",
		"p.ends":       "ended without an answer",
		"p.sub.deep":   "p p.early p.sub p.sub.deep q r",
		"broken.inner": "q ZeroDivisionError: division by zero",
		"lonely.late":  "lonely lonely.late r",
		"slow.late":    "not done after 2 s",
		"slow.other":   "slow slow.other",
		"top":          "top",
	}
	forked, err := python.Forked(tree.Origin{}).ReadAll(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range interpreters(t) {
		t.Run(exe, func(t *testing.T) {
			dir := written(t, files)
			list := "path " + dir + "\nlimit 2\n"
			for name := range want {
				list += "module " + name + "\n"
			}
			helper := written(t, map[string]string{
				"probe.py": string(probeHelper), "exuvia_forked.py": string(forked), "list": list,
			})
			out := t.TempDir()
			if out, err := exec.CommandContext(t.Context(), exe, "-s", "-B", helper+"/probe.py", helper+"/list", out).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			data, err := os.ReadFile(out + "/probe.json")
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]probe
			if err := json.Unmarshal(data, &all); err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for name, p := range all {
				var words []string
				for m, file := range p.Files {
					if strings.HasPrefix(file, dir) {
						words = append(words, m)
					}
				}
				slices.Sort(words)
				got[name] = strings.TrimSpace(strings.Join(words, " ") + " " + p.Error)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
