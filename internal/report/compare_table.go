package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// MarshalJSON writes empty options and differences as such, never as null, so
// that who reads them need not ask first.
func (r Row) MarshalJSON() ([]byte, error) {
	type plain Row
	if r.Options == nil {
		r.Options = map[string]string{}
	}
	if r.Differs == nil {
		r.Differs = []Check{}
	}
	return json.Marshal(plain(r))
}

// Label names the row among those of its comparison: the variant and the
// options that were asked for, by name: "pyinstaller optimize=2 upx=all".
func (r Row) Label() string {
	return strings.Join(append([]string{r.Variant}, options(r)...), " ")
}

func options(r Row) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		out = append(out, name+"="+r.Options[name])
	}
	return out
}

// SortRows puts the smallest image first and what has no image last. Ties go
// by label.
func SortRows(rows []Row) {
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(lastIfZero(a.Size, b.Size), cmp.Compare(a.Label(), b.Label()))
	})
}

func lastIfZero(a, b int64) int {
	if (a == 0) != (b == 0) {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// presentable is a copy fit for people: sorted, and with nothing in it that a
// terminal or a browser would not print.
func presentable(c Comparison) Comparison {
	for _, s := range []*string{&c.Project, &c.Python, &c.Platform, &c.System, &c.Engine} {
		*s = clean(*s)
	}
	rows := make([]Row, len(c.Rows))
	for i, r := range c.Rows {
		rows[i] = presentableRow(r)
	}
	c.Rows = rows
	SortRows(c.Rows)
	return c
}

func presentableRow(r Row) Row {
	for _, s := range []*string{&r.Variant, &r.Base, &r.Reference, &r.Reason, (*string)(&r.State)} {
		*s = clean(*s)
	}
	options := make(map[string]string, len(r.Options))
	for name, value := range r.Options {
		options[clean(name)] = clean(value)
	}
	r.Options = options
	r.Differs = slices.Clone(r.Differs)
	for i, d := range r.Differs {
		r.Differs[i].Name, r.Differs[i].Detail = clean(d.Name), cleanLines(d.Detail)
	}
	r.Notes = slices.Clone(r.Notes)
	for i, n := range r.Notes {
		r.Notes[i] = Note{clean(n.Where), clean(n.Path), clean(n.Text)}
	}
	return r
}

func cleanLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	return strings.Join(lines, "\n")
}

// column is a column of the table in all its forms.
type column struct {
	head  string
	text  bool              // left-aligned; else a number
	show  func(Row) string  // "-" for what there is not
	value func(Row) float64 // of a number, to sort by; 0 where there is none
	about string            // what a reader may ask about the head
}

// measures are the columns that hold what was measured.
func measures(c Comparison) []column {
	number := func(head, about string, value func(Row) float64, show func(float64) string) column {
		return column{head: head, about: about, value: value, show: func(r Row) string {
			if v := value(r); v > 0 {
				return show(v)
			}
			return "-"
		}}
	}
	plain := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	bytes := func(v float64) string { return dockerSize(int64(v)) }
	build := number("BUILD", "seconds of its own steps", func(r Row) float64 { return r.BuildS }, func(v float64) string { return decimal(v) + "s" })
	seconds := build.show
	build.show = func(r Row) string {
		if r.Cached {
			return "cached"
		}
		return seconds(r)
	}
	out := []column{
		number("SIZE", "unpacked", func(r Row) float64 { return float64(r.Size) }, bytes),
		number("DOWNLOAD", "compressed layers", func(r Row) float64 { return float64(r.Download) }, bytes),
		number("FILES", "entries that are not directories", func(r Row) float64 { return float64(r.Files) }, plain),
		number("LAYERS", "", func(r Row) float64 { return float64(r.Layers) }, plain),
		number("START", "from the start to the first answer, median", func(r Row) float64 { return r.StartMS }, func(v float64) string { return plain(v) + "ms" }),
		number("PSS", "memory after the first answers, median", func(r Row) float64 { return float64(r.PSS) }, bytes),
		build,
	}
	if whole := regularSize(c); whole > 0 {
		out = append(out, number("%", "of the size of the regular image", func(r Row) float64 { return percent(r.Size, whole) }, func(v float64) string { return decimal(v) + "%" }))
	}
	return append(out, column{head: "SAME", about: "answers as the unreduced app does", text: true, show: same})
}

// columns are those of text and Markdown, in the order of `docker images`.
func columns(c Comparison) []column {
	return append([]column{
		{head: "REPOSITORY", text: true, show: func(r Row) string { return cmp.Or(first(splitReference(r.Reference)), c.Project) }},
		{head: "TAG", text: true, show: tag},
	}, measures(c)...)
}

func first(a, _ string) string { return a }

// tag is the tag of the image, with what of the variant and its options the
// tag does not say. A row without a name has just these.
func tag(r Row) string {
	_, t := splitReference(r.Reference)
	switch {
	case t == "":
		return r.Label()
	case t == TagOf(r.Label()):
		return t
	case strings.HasPrefix(t, r.Variant):
		return strings.Join(append([]string{t}, options(r)...), " ")
	default:
		return t + " " + r.Label()
	}
}

// TagOf makes a name of what an image's tag may have (the OCI distribution
// specification): other characters become "-".
func TagOf(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
}

// splitReference parts "host:5000/name:tag" at its last colon.
func splitReference(ref string) (name, tag string) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}

func same(r Row) string {
	switch r.State {
	case StateOK:
		return "✓"
	case StateDiffers:
		return "✗ differs"
	default:
		return string(r.State)
	}
}

// dockerSize prints bytes as `docker images` does: units of powers of ten and
// three digits, "31.5MB", "968MB", "1.07GB". Rounding comes first, for Docker's
// own form of 999.9 MB is "1e+03MB".
func dockerSize(n int64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(float64(n), 'g', 3, 64), 64)
	if err != nil {
		rounded = float64(n) // cannot be: it was formatted as a number
	}
	return units.HumanSizeWithPrecision(rounded, 3)
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func percent(part, whole int64) float64 { return 100 * float64(part) / float64(whole) }

// regularSize is the size of the image that all are compared with, the regular
// one without options; 0 where there is none.
func regularSize(c Comparison) int64 {
	for _, r := range c.Rows {
		if r.Variant == "regular" && len(r.Options) == 0 && r.Size > 0 {
			return r.Size
		}
	}
	return 0
}

// highlight is a sentence of the summary: "smallest to download: lean, 15.5MB".
type highlight struct {
	What  string
	Name  string
	Value string
	Note  string // "" where there is nothing to add
}

func (h highlight) String() string {
	parts := slices.DeleteFunc([]string{h.Name, h.Value, h.Note}, func(s string) bool { return s == "" })
	return h.What + ": " + strings.Join(parts, ", ")
}

// highlights are what one looks for in the table first. Only images that
// answer as the unreduced app does can be the best at something.
func highlights(c Comparison) []highlight {
	var out []highlight
	best := func(what string, value func(Row) float64, show func(Row) string, note func(Row) string) {
		if r, ok := smallest(c.Rows, value); ok {
			out = append(out, highlight{what, r.Label(), show(r), note(r)})
		}
	}
	none := func(Row) string { return "" }
	best("smallest that answers the same", func(r Row) float64 { return float64(r.Size) }, func(r Row) string { return dockerSize(r.Size) },
		func(r Row) string {
			if whole := regularSize(c); whole > 0 && r.Label() != "regular" {
				return decimal(percent(r.Size, whole)) + "% of regular"
			}
			return ""
		})
	best("smallest to download", func(r Row) float64 { return float64(r.Download) }, func(r Row) string { return dockerSize(r.Download) }, none)
	best("first to answer", func(r Row) float64 { return r.StartMS }, func(r Row) string { return fmt.Sprintf("%.0fms", r.StartMS) }, none)
	return append(out, tally(c))
}

// smallest is the first of the rows that are OK with the least value above 0.
func smallest(rows []Row, value func(Row) float64) (best Row, ok bool) {
	least := math.Inf(1)
	for _, r := range rows {
		if v := value(r); r.State == StateOK && v > 0 && v < least {
			best, least, ok = r, v, true
		}
	}
	return best, ok
}

// tally is how many of the images answer as they should, and what of the rest.
func tally(c Comparison) highlight {
	count := make(map[State]int)
	for _, r := range c.Rows {
		count[r.State]++
	}
	var rest []string
	for _, s := range []struct {
		state State
		text  string
	}{{StateDiffers, "differ"}, {StateFailed, "failed"}, {StateUnavailable, "unavailable"}} {
		if n := count[s.state]; n == 1 && s.state == StateDiffers {
			rest = append(rest, "1 differs")
		} else if n > 0 {
			rest = append(rest, strconv.Itoa(n)+" "+s.text)
		}
	}
	return highlight{
		What: "answer as the unreduced app does", Value: fmt.Sprintf("%d of %d", count[StateOK], len(c.Rows)),
		Note: strings.Join(rest, ", "),
	}
}

// remark is a line about one row: "slim", "differs in GET /: why".
type remark struct{ Name, Text string }

// troubles says of every row that is not OK what came of it.
func troubles(c Comparison) []remark {
	var out []remark
	for _, r := range c.Rows {
		if r.State != StateOK {
			out = append(out, remark{r.Label(), trouble(r)})
		}
	}
	return out
}

func trouble(r Row) string {
	text := string(r.State)
	if len(r.Differs) > 0 {
		names := make([]string, len(r.Differs))
		for i, d := range r.Differs {
			names[i] = d.Name
		}
		text += " in " + listed(names, 3)
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

// listed is the first n names, and how many more there are.
func listed(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

// noteLines are notes for people, those that say the same of several files as
// one.
func noteLines(notes []Note) []string {
	paths := make(map[Note][]string)
	var order []Note
	for _, n := range notes {
		kind := Note{Where: n.Where, Text: n.Text}
		if _, seen := paths[kind]; !seen {
			order = append(order, kind)
			paths[kind] = nil
		}
		if n.Path != "" {
			paths[kind] = append(paths[kind], n.Path)
		}
	}
	var out []string
	for _, n := range order {
		n.Path = listed(paths[n], 8)
		out = append(out, noteText(n))
	}
	return out
}

func notes(c Comparison) []remark {
	var out []remark
	for _, r := range c.Rows {
		for _, n := range noteLines(r.Notes) {
			out = append(out, remark{r.Label(), n})
		}
	}
	return out
}

// bases says what sits on which base, and what the base stands for.
func bases(c Comparison) []remark {
	on := make(map[string][]string)
	for _, r := range c.Rows {
		if r.Base != "" && !slices.Contains(on[r.Base], r.Variant) {
			on[r.Base] = append(on[r.Base], r.Variant)
		}
	}
	var out []remark
	for _, b := range slices.Sorted(maps.Keys(on)) {
		text := strings.Join(on[b], ", ")
		if s := standsFor(b, c.Python); s != "" {
			text += " (" + s + ")"
		}
		out = append(out, remark{b, text})
	}
	return out
}

// standsFor says what a Debian system that exuvia assembles stands for; ""
// for what is just itself.
func standsFor(base, python string) string {
	suite, ok := strings.CutPrefix(base, "debian:")
	if !ok || strings.ContainsAny(suite, "/@") {
		return ""
	}
	version := strings.Join(strings.SplitN(python+".x.x", ".", 3)[:2], ".")
	if python == "" {
		version = "3.x"
	}
	_, flavour, _ := strings.Cut(suite, "-")
	switch flavour {
	case "":
		return "a minimal Debian"
	case "full":
		return "stands for python:" + version
	case "slim":
		return "stands for python:" + version + "-slim"
	case "distroless":
		return "stands for the distroless images"
	default:
		return ""
	}
}

// method says how the figures came about.
func method(c Comparison) []string {
	starts := "starts were not measured"
	if c.Starts > 0 {
		starts = fmt.Sprintf("START and PSS are medians of %s of each image, in turn, from the start to the first answer; small differences say little", count(c.Starts, "start"))
	}
	var where []string
	if c.Cores > 0 {
		where = append(where, "on "+count(c.Cores, "core"))
	}
	if c.Python != "" {
		where = append(where, "Python "+c.Python)
	}
	if c.Platform != "" {
		where = append(where, "for "+c.Platform)
	}
	if c.System != "" {
		where = append(where, "installed on "+c.System)
	}
	if c.Engine != "" {
		where = append(where, "steps run by "+c.Engine)
	}
	return []string{
		strings.TrimSpace("measured " + strings.Join(where, ", ")),
		starts,
		"BUILD is the seconds of an image's own steps, with other builds beside it; what images share is not in it",
		"SIZE is unpacked, DOWNLOAD the compressed layers; MB are 10^6 bytes",
	}
}
