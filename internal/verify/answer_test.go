package verify

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestContents(t *testing.T) {
	for _, tt := range []struct {
		name, text, full, lean string
		want                   []string
	}{
		{"equal", "body", "a", "a", nil},
		{"JSON fields", "body", `{"a":{"b/c":1},"l":[1,2]}`, `{"a":{"b/c":2},"l":[1,3]}`, []string{"json:/a/b~1c 1 2", "json:/l/1 2 3"}},
		{"JSON keys", "body", `{"a":1}`, `{"b":1}`, []string{"json:/a 1 nothing", "json:/b nothing 1"}},
		{"JSON root", "body", `1`, `2`, []string{"json:/ 1 2"}},
		{"JSON number as written", "body", `[1]`, `[1.0]`, []string{"json:/0 1 1.0"}},
		{"JSON kinds", "body", `{"a":[]}`, `{"a":{}}`, []string{"json:/a [] {}"}},
		{"JSON lengths", "body", `{"a":[1]}`, `{"a":[1,2]}`, []string{"json:/a [1] [1,2]"}},
		{"JSON order", "body", `{"a":1,"b":2}`, `{"b":2,"a":1}`, []string{`body "{\"a\":1,\"b\":2}" "{\"b\":2,\"a\":1}"`}},
		{"JSON of a command", "stdout", `{"a":1}`, `{"a":2}`, []string{"stdout:json:/a 1 2"}},
		{"lines", "stderr", "a\nb\nc", "a\nB\nC", []string{`stderr:line:2 "b" "B"`, `stderr:line:3 "c" "C"`}},
		{"more lines", "body", "a\n", "a\nb\n", []string{`body "" "b"`}},
		{"binary", "body", "\x00\x01\xff", "\x00\x02", []string{"body 3 bytes with 01ff at 1 2 bytes with 02 at 1"}},
		{"empty", "body", "a", "", []string{`line:1 "a" ""`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, d := range contents(tt.text, []byte(tt.full), []byte(tt.lean)) {
				got = append(got, d.field+" "+d.full+" "+d.lean)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCovered(t *testing.T) {
	for _, tt := range []struct {
		field, pattern string
		want           bool
	}{
		{"header:date", "header:Date", true},
		{"header:date", "header:dat", false},
		{"status", "status", true},
		{"json:/id", "json:/id", true},
		{"json:/id/a", "json:/id", true},
		{"json:/idx", "json:/id", false},
		{"json:/items/3/id", "json:/items/*/id", true},
		{"json:/items/3/name", "json:/items/*/id", false},
		{"json:/items", "json:/items/*/id", false},
		{"json:/x", "json:/", true},
		{"json:/x", "body", true},
		{"line:3", "body", true},
		{"line:3", "line:3", true},
		{"line:30", "line:3", false},
		{"header:etag", "body", false},
		{"stdout:line:1", "stdout", true},
		{"stdout:json:/a/b", "stdout:json:/a", true},
		{"stdout:json:/a", "json:/a", false},
		{"json:/*", "json:/*", true},
	} {
		if got := covered(tt.field, []string{tt.pattern}); got != tt.want {
			t.Errorf("covered(%q, %q) = %v", tt.field, tt.pattern, got)
		}
	}
	// A key "*" of one app is no licence for all others.
	if covered("json:/other", []string{escapeStars("json:/*")}) {
		t.Error("a star key covers other keys")
	}
}

// page makes an answer with a body and, with text, its length.
func page(body string, headers ...string) answer {
	a := answer{fields: map[string]string{}, texts: map[string][]byte{"body": []byte(body)}}
	for i := 0; i+1 < len(headers); i += 2 {
		a.fields["header:"+headers[i]] = headers[i+1]
	}
	return a
}

func TestExplain(t *testing.T) {
	const now, later = "Tue, 01 Dec 2026 10:00:00 GMT", "Tue, 01 Dec 2026 10:00:01 GMT"
	for _, tt := range []struct {
		name          string
		full, lean    answer
		again         []answer
		named         []string
		left, varying []string
	}{
		{
			name: "date", full: page("", "date", now), lean: page("", "date", later),
			varying: []string{"header:date"},
		},
		{
			name: "date that is none", full: page("", "date", now), lean: page("", "date", "soon"),
			left: []string{"header:date"},
		},
		{
			name: "no date", full: page("", "date", now), lean: page(""),
			left: []string{"header:date"},
		},
		{
			name: "never seen to vary", full: page(`{"id":1}`), lean: page(`{"id":2}`), again: []answer{page(`{"id":1}`)},
			left: []string{"json:/id"},
		},
		{
			name: "seen to vary in the second rerun", full: page(`{"id":1}`), lean: page(`{"id":2}`), again: []answer{page(`{"id":1}`), page(`{"id":3}`)},
			varying: []string{"json:/id"},
		},
		{
			name: "named by the user", full: page(`{"id":1}`), lean: page(`{"id":2}`), named: []string{"json:/id"},
			varying: []string{"json:/id"},
		},
		{
			name: "length that follows", full: page(`{"id":9}`, "content-length", "8"), lean: page(`{"id":10}`, "content-length", "9"),
			again: []answer{page(`{"id":8}`, "content-length", "8")}, varying: []string{"header:content-length", "json:/id"},
		},
		{
			name: "length that is wrong", full: page(`{"id":9}`, "content-length", "8"), lean: page(`{"id":10}`, "content-length", "12"),
			again: []answer{page(`{"id":8}`, "content-length", "8")}, left: []string{"header:content-length"}, varying: []string{"json:/id"},
		},
		{
			name: "field that is missing beside one that varies", full: page(`{"id":1,"a":1}`), lean: page(`{"id":2}`),
			again: []answer{page(`{"id":3,"a":1}`)}, left: []string{"json:/a"}, varying: []string{"json:/id"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			left, varying := explain(tt.full, tt.lean, tt.again, tt.named)
			var fields []string
			for _, d := range left {
				fields = append(fields, d.field)
			}
			if diff := cmp.Diff(tt.left, fields); diff != "" {
				t.Errorf("left (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tt.varying, varying); diff != "" {
				t.Errorf("variable (-want +got)\n%s", diff)
			}
		})
	}
}

func TestCauseOf(t *testing.T) {
	for _, tt := range []struct{ name, lean, full, what, keep string }{
		{"module", "ModuleNotFoundError: No module named 'a.b'\n", "", "missing module a.b", "a.b"},
		{"python -m", "/usr/bin/python3: No module named uvicorn.\n", "", "missing module uvicorn", "uvicorn"},
		{"uvicorn", `ERROR:    Error loading ASGI app. Could not import module "main".`, "", "missing module main", "main"},
		{"name", "ImportError: cannot import name 'f' from 'a.b' (/app/a/b.py)", "", "f is missing from module a.b", "a.b"},
		{"library", "ImportError: libz.so.1: cannot open shared object file: No such file or directory", "", "missing library libz.so.1", "libz.so.1"},
		{"metadata", "importlib.metadata.PackageNotFoundError: No package metadata was found for fastapi", "", "missing metadata of distribution fastapi", "dist:fastapi"},
		{"codec", "LookupError: unknown encoding: iso-8859-2", "", "missing codec iso-8859-2", "encodings.iso_8859_2"},
		{"zone", "zoneinfo._common.ZoneInfoNotFoundError: 'No time zone found with key Asia/Kolkata'", "", "missing time zone Asia/Kolkata", "/usr/share/zoneinfo"},
		{"file", "FileNotFoundError: [Errno 2] No such file or directory: '/app/a.json'", "", "missing file /app/a.json", "/app/a.json"},
		{"the last of several", "No module named 'uvloop'\nNo module named 'h11'\n", "", "missing module h11", "h11"},
		{"only what is new", "No module named 'uvloop'\nNo module named 'h11'\n", "No module named 'h11'\n", "missing module uvloop", "uvloop"},
		{"nothing", "ValueError: x", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := causeOf(tt.lean, tt.full); got != (cause{tt.what, tt.keep}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestExceptions(t *testing.T) {
	log := "INFO: up\n" + traceback + "\n  File \"a.py\", line 1\n    f()\n\nKeyError: <object at 0x7f00>\n\nDuring handling:\n" +
		traceback + "\n  File \"a.py\", line 2\nValueError: x\n" + traceback + "\n  File\nValueError: x\n" + traceback
	log += "\n  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\"\n  | ExceptionGroup: many (1 sub-exception)\n" +
		"  +-+---------------- 1 ----------------\n    | " + traceback + "\n    |   File \"a.py\"\n    | OSError: y\n    +------\n"
	want := []string{"KeyError: <object at 0x…>", "ValueError: x", "ExceptionGroup: many (1 sub-exception)", "OSError: y"}
	if diff := cmp.Diff(want, exceptions(log)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A body of 8 MiB can nest keys of kilobytes a thousand deep; to name each level
// would take gigabytes.
func TestJSONDiffOfDeepValues(t *testing.T) {
	key := strings.Repeat("k", 8000)
	nest := func(inner string) any {
		v, ok := parseJSON([]byte(strings.Repeat(`{"`+key+`":`, 1000) + inner + strings.Repeat("}", 1000)))
		if !ok {
			t.Fatal("no JSON")
		}
		return v
	}
	if got := jsonDiff(nest("1"), nest("2")); len(got) != 1 || len(got[0].field) > 2*len(key) {
		t.Errorf("%d differences", len(got))
	}
	if got := jsonDiff(nest("1"), nest("1")); len(got) != 0 {
		t.Errorf("%d differences", len(got))
	}
}

// No pair of values may be called different without a place.
func FuzzJSONDiff(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}]}`), []byte(`{"a":[1,{"b":0}],"~/":2}`))
	f.Add([]byte(`1`), []byte(`1.0`))
	f.Add([]byte(strings.Repeat("[", 1500)+strings.Repeat("]", 1500)), []byte(`[]`))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, okA := parseJSON(x)
		b, okB := parseJSON(y)
		if !okA || !okB {
			return
		}
		if same := jsonDiff(a, a); len(same) != 0 {
			t.Errorf("%s differs from itself at %v", x, same)
		}
		there, back := jsonDiff(a, b), jsonDiff(b, a)
		if len(there) != len(back) || len(there) > most {
			t.Errorf("%d differences there, %d back", len(there), len(back))
		}
		p, errP := json.Marshal(a)
		q, errQ := json.Marshal(b)
		if errP == nil && errQ == nil && (string(p) == string(q)) != (len(there) == 0) {
			t.Errorf("%s and %s: %v", p, q, there)
		}
		for _, d := range there {
			if !strings.HasPrefix(d.field, "/") || !covered("json:"+d.field, []string{escapeStars("json:" + d.field)}) {
				t.Errorf("field %q", d.field)
			}
		}
	})
}

// What an app prints is not ours: it must be read without panic, and taking
// the source lines away must not add anything.
func FuzzLog(f *testing.F) {
	f.Add("Traceback (most recent call last):\n  File \"/app/a.py\", line 3\n    f()\nValueError: x\n", "")
	f.Add("/a.py:3: UserWarning: x\n  f()\nPackageNotFoundError: x", "ImportError: cannot import name 'f' from 'a.b'")
	f.Fuzz(func(t *testing.T, lean, full string) {
		if c := causeOf(lean, full); (c.what == "") != (c.keep == "") || strings.ContainsAny(c.what+c.keep, "\n") {
			t.Errorf("%+v", c)
		}
		if c := causeOf(lean, lean); c.what != "" {
			t.Errorf("%+v is new in itself", c)
		}
		out := withoutSource([]byte(lean))
		if len(out) > len(lean) || string(withoutSource(out)) != string(out) && !strings.Contains(lean, traceback) && !strings.Contains(lean, "Warning") {
			t.Errorf("%q", out)
		}
		if es := exceptions(lean); slices.Contains(es, "") {
			t.Errorf("%q", es)
		}
		if tail := newLines(lean, full); len(tail) > 410 || strings.ContainsAny(tail, "\n") {
			t.Errorf("%q", tail)
		}
	})
}
