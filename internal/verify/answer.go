package verify

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"exuvia/internal/engine"
)

// answer is what an app gave to one question, in fields that are compared one
// by one.
type answer struct {
	name   string            // of the check: "GET /docs", "main --help"
	seen   string            // what was seen, short: "200, 1734 bytes"
	fields map[string]string // "status", "exit", "header:etag"
	asked  map[string]string // facts by name; counted only where the unreduced app has one
	texts  map[string][]byte // looked into where they differ: "body", "stdout", "stderr"
	open   bool              // the texts have no end: only what both have is compared
	files  []engine.File     // that it left behind; fields of them are made when all runs are known
	faults []string          // exceptions that were printed; only those of the image alone count
	log    string            // all that the app wrote by the end of its boot, for finding causes
}

// difference is one field of two answers.
type difference struct {
	field      string // "status", "header:etag", "json:/items/0/id", "line:3", "stdout:line:3", "body", "file:/tmp/x", "content:/tmp/x"
	full, lean string // shortened
}

func (d difference) String() string {
	s := fmt.Sprintf("image %s, unreduced app %s", d.lean, d.full)
	if slices.Contains(decisive, d.field) {
		return s
	}
	return d.field + ": " + s
}

// most is how many differences of one text are told apart.
const most = 500

// decisive are the fields beside which no other counts: how far a program got,
// and that there was no answer.
var decisive = []string{"state", "answer"}

// compare lists the differences of b from a, in a fixed order.
func compare(a, b answer) []difference {
	for _, k := range decisive {
		if a.fields[k] != b.fields[k] {
			return []difference{{k, a.seen, b.seen}}
		}
	}
	var out []difference
	for _, k := range slices.Sorted(maps.Keys(union(a.fields, b.fields))) {
		x, hasX := a.fields[k]
		y, hasY := b.fields[k]
		if x != y || hasX != hasY {
			out = append(out, difference{k, value(x, hasX), value(y, hasY)})
		}
	}
	out = append(out, facts(a.asked, b.asked)...)
	for _, k := range slices.Sorted(maps.Keys(union(a.texts, b.texts))) {
		x, y := a.texts[k], b.texts[k]
		if a.open && b.open {
			n := min(len(x), len(y))
			x, y = x[:n], y[:n]
		}
		out = append(out, contents(k, x, y)...)
	}
	for _, f := range b.faults {
		if !slices.Contains(a.faults, f) {
			out = append(out, difference{"traceback", "none of that kind", short([]byte(f))})
		}
	}
	return out
}

// facts compares what helpers have found out. An image need not be able to do
// what the unreduced app cannot, and may lack a module that nothing reaches.
func facts(a, b map[string]string) []difference {
	var out []difference
	for _, k := range slices.Sorted(maps.Keys(a)) {
		y, has := b[k]
		if x := a[k]; x != y && !strings.HasPrefix(x, "error ") && x != "absent" && y != "absent" {
			out = append(out, difference{k, value(x, true), value(y, has)})
		}
	}
	return out
}

func union[V any](a, b map[string]V) map[string]V {
	u := maps.Clone(a)
	if u == nil {
		u = make(map[string]V)
	}
	maps.Copy(u, b)
	return u
}

func value(s string, has bool) string {
	if !has {
		return "nothing"
	}
	if _, err := strconv.Atoi(s); err == nil {
		return s
	}
	return short([]byte(s))
}

// contents finds where two texts differ. The fields of an HTTP body go without
// prefix, those of others with the text's name.
func contents(name string, x, y []byte) []difference {
	if bytes.Equal(x, y) {
		return nil
	}
	prefix := name + ":"
	if name == "body" {
		prefix = ""
	}
	whole := difference{name, short(x), short(y)}
	if a, ok := parseJSON(x); ok {
		if b, ok := parseJSON(y); ok {
			out := jsonDiff(a, b)
			if len(out) == 0 || len(out) >= most { // other order or spacing, or nothing alike
				return []difference{whole}
			}
			for i := range out {
				out[i].field = prefix + "json:" + out[i].field
			}
			return out
		}
	}
	if !printable(x) || !printable(y) {
		whole.full, whole.lean = binary(x, y), binary(y, x)
		return []difference{whole}
	}
	return lines(prefix, whole, x, y)
}

// lines compares texts line by line. Texts of unequal length differ as a
// whole; the first line that differs stands for it.
func lines(prefix string, whole difference, x, y []byte) []difference {
	a, b := bytes.Split(x, []byte("\n")), bytes.Split(y, []byte("\n"))
	var out []difference
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			out = append(out, difference{prefix + "line:" + strconv.Itoa(i+1), short(a[i]), short(b[i])})
		}
	}
	if len(a) == len(b) && len(out) < most {
		return out
	}
	const over = "at its end before that"
	switch at := min(len(a), len(b)); {
	case len(out) > 0:
		whole.full, whole.lean = out[0].full, out[0].lean
	case len(a) > at:
		whole.full, whole.lean = short(a[at]), over
	default:
		whole.full, whole.lean = over, short(b[at])
	}
	return []difference{whole}
}

func printable(b []byte) bool { return utf8.Valid(b) && !bytes.ContainsRune(b, 0) }

// binary says how x differs from y.
func binary(x, y []byte) string {
	at := 0
	for at < min(len(x), len(y)) && x[at] == y[at] {
		at++
	}
	return fmt.Sprintf("%d bytes with %x at %d", len(x), x[at:min(len(x), at+8)], at)
}

// short quotes the start of a text.
func short(b []byte) string {
	const limit = 160
	b = bytes.TrimRight(b, "\r\n")
	if len(b) <= limit {
		return strconv.Quote(string(b))
	}
	return strconv.Quote(strings.ToValidUTF8(string(b[:limit]), "")) + "…"
}

// explain takes from the differences of b from a those in variable fields: the
// fields in which other runs of the unreduced app differ from its first, those
// that the user names, and the date of the answer. It gives what is left, and
// the variable fields that it met.
func explain(a, b answer, others []answer, named []string) (left []difference, varying []string) {
	all := withFiles(b, append([]answer{a}, others...)...)
	b, a, others = all[0], all[1], all[2:]
	known := slices.Clone(named)
	for _, o := range others {
		for _, d := range compare(a, o) {
			known = append(known, escapeStars(d.field))
		}
	}
	for _, d := range compare(a, b) {
		switch {
		case d.field != "state" && covered(d.field, known) || isDate(d, a, b):
			varying = append(varying, d.field)
		default:
			left = append(left, d)
		}
	}
	left = slices.DeleteFunc(left, func(d difference) bool {
		if !follows(d, a, b, varying) {
			return false
		}
		varying = append(varying, d.field)
		return true
	})
	slices.Sort(varying)
	return left, slices.Compact(varying)
}

// escapeStars keeps a "*" that an app has as a key from being a wildcard.
func escapeStars(field string) string { return strings.ReplaceAll(field, "/*", "/~*") }

// covered reports whether a pattern names the field or something that it is
// part of: "body" covers every json: and line: field, "json:/a" covers
// "json:/a/b", and "*" stands for one part of a path.
func covered(field string, patterns []string) bool {
	field = escapeStars(field)
	return slices.ContainsFunc(patterns, func(p string) bool {
		if rest, ok := strings.CutPrefix(strings.ToLower(p), "header:"); ok {
			return field == "header:"+rest
		}
		if p == "body" && (strings.HasPrefix(field, "json:") || strings.HasPrefix(field, "line:")) {
			return true
		}
		if !strings.Contains(p, "json:/") {
			return field == p || strings.HasPrefix(field, p+":") && (p == "stdout" || p == "stderr")
		}
		want, have := strings.Split(strings.TrimSuffix(p, "/"), "/"), strings.Split(strings.TrimSuffix(field, "/"), "/")
		if len(want) > len(have) {
			return false
		}
		for i, w := range want {
			if w != have[i] && w != "*" {
				return false
			}
		}
		return true
	})
}

// isDate reports whether d is the Date of two answers. It is the one field that
// is known to vary without a look: two runs within one second do not show it.
func isDate(d difference, a, b answer) bool {
	if d.field != "header:date" {
		return false
	}
	_, errA := http.ParseTime(a.fields[d.field])
	_, errB := http.ParseTime(b.fields[d.field])
	return errA == nil && errB == nil
}

// follows reports whether d is a Content-Length that is right in both answers
// and differs because a part of the body is variable.
func follows(d difference, a, b answer, varying []string) bool {
	right := func(x answer) bool { return x.fields[d.field] == strconv.Itoa(len(x.texts["body"])) }
	return d.field == "header:content-length" && right(a) && right(b) && slices.ContainsFunc(varying, func(f string) bool {
		return f == "body" || strings.HasPrefix(f, "json:") || strings.HasPrefix(f, "line:")
	})
}
