package verify

import (
	"regexp"
	"slices"
	"strings"
)

// cause is what an app lacks, by its own words.
type cause struct {
	what string // "missing module encodings.idna"; "" where nothing is known
	keep string // what to write into [tool.exuvia] keep
}

// symptoms are what Python and the loader print when something is missing.
// The first group is the thing; in form, it replaces "$".
var symptoms = []struct {
	re         *regexp.Regexp
	what, keep string
}{
	{regexp.MustCompile(`ModuleNotFoundError: No module named '([\w.]+)'`), "missing module $", "$"},
	{regexp.MustCompile(`No module named '?((?:\w+\.)*\w+)'?`), "missing module $", "$"},
	{regexp.MustCompile(`Could not import module "([\w.]+)"`), "missing module $", "$"}, // uvicorn
	{regexp.MustCompile(`ImportError: cannot import name '(\w+)' from '([\w.]+)'`), "$ is missing from module @", "@"},
	{regexp.MustCompile(`([\w.+-]+\.so[\w.]*): cannot open shared object file`), "missing library $", "$"},
	{regexp.MustCompile(`PackageNotFoundError: (?:No package metadata was found for )?([\w.-]+)`), "missing metadata of distribution $", "dist:$"},
	{regexp.MustCompile(`DistributionNotFound: The '([\w.-]+)`), "missing metadata of distribution $", "dist:$"},
	{regexp.MustCompile(`LookupError: unknown encoding: ([\w-]+)`), "missing codec $", "encodings.$"},
	{regexp.MustCompile(`ZoneInfoNotFoundError: '?"?No time zone found with key ([\w/+-]+)`), "missing time zone $", "/usr/share/zoneinfo"},
	{regexp.MustCompile(`(?:FileNotFoundError|OSError): \[Errno 2\] No such file or directory: b?'([^'\n]{1,300})'`), "missing file $", "$"},
}

// causeOf finds the last thing that the image misses and the unreduced app does
// not. Later is nearer to the end of a chain of exceptions, and so to what the
// user saw; an optional import that failed was before that.
func causeOf(lean, full string) cause {
	var last cause
	end := -1
	for _, s := range symptoms {
		for _, m := range s.re.FindAllStringSubmatchIndex(lean, -1) {
			whole := lean[m[0]:m[1]]
			if m[0] <= end || strings.Contains(full, whole) {
				continue
			}
			from := ""
			if len(m) > 4 {
				from = lean[m[4]:m[5]]
			}
			r := strings.NewReplacer("$", lean[m[2]:m[3]], "@", from)
			c := cause{what: r.Replace(s.what), keep: r.Replace(s.keep)}
			if s.what == "missing codec $" {
				c.keep = strings.ReplaceAll(c.keep, "-", "_")
			}
			last, end = c, m[1]
		}
	}
	return last
}

var address = regexp.MustCompile(`\b0x[0-9a-fA-F]+`)

const traceback = "Traceback (most recent call last):"

// exceptions lists the last lines of the tracebacks in a log, without
// addresses, each once, at most a hundred.
func exceptions(log string) []string {
	const limit = 100
	var out []string
	inTrace := false
	for l := range strings.Lines(log) {
		if strings.Contains(l, traceback) {
			inTrace = true
			continue
		}
		l = strings.TrimRight(withoutGutter(l), "\r\n")
		if !inTrace || l == "" || l[0] == ' ' || l[0] == '\t' {
			continue
		}
		inTrace = false
		l = address.ReplaceAllString(l, "0x…")
		if len(out) < limit && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// withoutGutter takes from a line what Python draws beside an exception group
// (PEP 654): "    | ValueError: x" → "ValueError: x".
func withoutGutter(l string) string {
	if rest, ok := strings.CutPrefix(strings.TrimLeft(l, " "), "| "); ok {
		return rest
	}
	return l
}

var warning = regexp.MustCompile(`^\S.*:\d+: \w*Warning: `)

// withoutSource takes from what a Python program wrote what the interpreter
// adds only where it finds source files: the frames of tracebacks and the line
// below a warning.
//
//	Traceback (most recent call last):          Traceback (most recent call last):
//	  File "/app/a.py", line 3, in f      →     ValueError: x
//	    raise ValueError("x")
//	ValueError: x
func withoutSource(text []byte) []byte {
	var out strings.Builder
	inTrace, warned := false, false
	for l := range strings.Lines(string(text)) {
		indented := strings.HasPrefix(withoutGutter(l), "  ")
		if indented && (inTrace || warned) {
			warned = false
			continue
		}
		inTrace = strings.Contains(l, traceback)
		warned = warning.MatchString(l)
		out.WriteString(l)
	}
	return []byte(out.String())
}

// newLines gives the last lines of the image's log that the unreduced app has
// not written.
func newLines(lean, full string) string {
	const keep, limit = 3, 400
	known := make(map[string]bool)
	for l := range strings.Lines(full) {
		known[strings.TrimSpace(l)] = true
	}
	var out []string
	for l := range strings.Lines(lean) {
		if l = strings.TrimSpace(l); l != "" && !known[l] {
			out = append(out, l)
		}
	}
	s := strings.Join(out[max(0, len(out)-keep):], " | ")
	if len(s) > limit {
		s = "…" + strings.ToValidUTF8(s[len(s)-limit:], "")
	}
	return s
}
