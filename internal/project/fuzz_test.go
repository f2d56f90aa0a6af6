package project

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What quote writes, split reads; what split refuses has no words.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a b", `'a b' "c d"`, `a\ b`, `"`, `''`, "uvicorn app.main:app"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := Words(s)
		if err != nil {
			if words != nil {
				t.Errorf("%q: words %q and an error", s, words)
			}
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, quote(w))
		}
		again, err := Words(strings.Join(quoted, " "))
		if err != nil || len(again) != len(words) {
			t.Fatalf("%q: %q, then %q (%v)", s, words, again, err)
		}
		for i := range words {
			if words[i] != again[i] {
				t.Errorf("%q: %q, then %q", s, words[i], again[i])
			}
		}
	})
}

// Metadata is a part of the script, line for line.
func FuzzInlineMetadata(f *testing.F) {
	for _, s := range []string{"", "# /// script\n# a = 1\n# ///\n", "# /// script\n#\n# ///", "# /// other\n# x\n# ///\n# /// script\n# y\n# ///\n", "# /// script\r\n# a = 1\r\n# ///\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc, ok, err := inlineMetadata("x.py", []byte(s))
		if ok && err != nil {
			t.Fatal("metadata and an error")
		}
		lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
		for i, line := range strings.Split(strings.TrimSuffix(string(doc.data), "\n"), "\n") {
			if ok && strings.TrimPrefix(strings.TrimPrefix(lines[doc.first+i], "#"), " ") != line {
				t.Errorf("line %d of the metadata is %q, of the file %q", i, line, lines[doc.first+i])
			}
		}
	})
}

func FuzzPython(f *testing.F) {
	for _, s := range []string{">=3.11,<3.12", "^3.9", "~=3.9", "*", "3.11", "||", "==3.*", ">=3.11,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 200 {
			return
		}
		if out, err := PoetryConstraint(s); err == nil {
			if _, err := Satisfies(out, "3.11"); err != nil && utf8.ValidString(s) {
				t.Errorf("%q became %q, which cannot be read: %v", s, out, err)
			}
		}
		if pin, err := readPin(s); err == nil && pin != "" && !minor.MatchString(pin) {
			t.Errorf("pin %q of %q", pin, s)
		}
	})
}
