package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// WriteComparisonHTML writes the comparison as one page, see frame: table and
// plots are there without JavaScript, which only sorts.
func WriteComparisonHTML(w io.Writer, c Comparison) error {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, "compare.html", view(presentable(c))); err != nil {
		return err
	}
	_, err := out.WriteTo(w)
	return err
}

// comparisonView is what the page shows, all of it decided: the template has
// no arithmetic.
type comparisonView struct {
	frame
	Comparison
	Images     int // rows that have an image
	Highlights []highlight
	Columns    []headView
	Rows       []rowView
	Troubled   bool
	Notes      []remark
	Bars       barsView
	Scatters   []scatterView
	Bases      []remark
	Method     []string
}

type headView struct{ Head, About, Kind string }

type rowView struct {
	Number    int
	Label     string
	Variant   string
	Options   []string
	Reference string
	Base      string
	Cells     []cellView
	Trouble   string // "" where it is OK
	Differs   []Check
}

type cellView struct {
	Text   string
	Sort   string // the number to sort by; "" where there is none
	IsText bool
	Best   bool
}

func view(c Comparison) comparisonView {
	v := comparisonView{
		Comparison: c,
		Highlights: highlights(c),
		Bars:       bars(c.Rows),
		Troubled:   len(troubles(c)) > 0,
		Notes:      notes(c),
		Bases:      bases(c),
		Method:     method(c),
	}
	for _, r := range c.Rows {
		if r.Size > 0 {
			v.Images++
		}
	}
	v.frame = newFrame(fmt.Sprintf("%s: %d images compared", c.Project, v.Images), []string{"compare.css"}, nil)
	cols := measures(c)
	for _, col := range cols {
		v.Columns = append(v.Columns, headView{col.head, col.about, kind(col)})
	}
	for i, r := range c.Rows {
		v.Rows = append(v.Rows, viewRow(i+1, r, cols, c))
	}
	for _, s := range []scatterView{
		scatter("size", c.Rows, func(r Row) int64 { return r.Size }),
		scatter("download", c.Rows, func(r Row) int64 { return r.Download }),
	} {
		if len(s.Points) > 0 {
			v.Scatters = append(v.Scatters, s)
		}
	}
	return v
}

func kind(col column) string {
	if col.text {
		return "text"
	}
	return "number"
}

func viewRow(number int, r Row, cols []column, c Comparison) rowView {
	v := rowView{
		Number: number, Label: r.Label(), Variant: r.Variant, Reference: r.Reference, Base: r.Base, Options: options(r),
	}
	if r.State != StateOK {
		v.Trouble, v.Differs = trouble(r), r.Differs
	}
	for _, col := range cols {
		cell := cellView{Text: col.show(r), IsText: col.text}
		if !col.text {
			if x := col.value(r); x > 0 {
				cell.Sort = strconv.FormatFloat(x, 'f', -1, 64)
			}
			cell.Best = isBest(col, r, c)
		}
		v.Cells = append(v.Cells, cell)
	}
	return v
}

// isBest says if no image that answers the same has less of what the column
// measures. How an image is cut into files, layers and steps is no merit.
func isBest(col column, r Row, c Comparison) bool {
	if !slices.Contains([]string{"SIZE", "DOWNLOAD", "START", "PSS"}, col.head) || r.State != StateOK {
		return false
	}
	best, ok := smallest(c.Rows, col.value)
	return ok && col.value(r) == col.value(best)
}

// partOrder is the order of the parts in a bar. System comes late and bundle
// last, for where a bar is cut, that is where it says least.
var partOrder = []PartName{PartInterpreter, PartStdlib, PartDependencies, PartApp, PartSystem, PartBundle}

// partRest is what no part accounts for.
const partRest PartName = "other"

// barsView are the sizes by part, a bar an image, on one linear scale.
type barsView struct {
	Legend []legendView
	Bars   []barView
	Ticks  []tickView
	Limit  string // the size at which longer bars are cut; "" where none is
}

type legendView struct{ Name, Class string }

type barView struct {
	Number   int
	Label    string
	OK       bool
	Size     string
	Download string
	Down     string // width of the download, percent
	Segments []segmentView
	Table    []string // size of each part of the legend
	Cut      bool
}

type segmentView struct {
	Class    string
	X, Width string // percent
	Title    string
}

type tickView struct {
	At    string
	Label string
	Edge  string // "start", "middle" or "end": how the label stands to it
}

// bars lays out the sizes by part. A bar that would leave no room for the
// others is cut; it begins with the same parts on the same scale as they.
func bars(rows []Row) barsView {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Size == 0 })
	if len(rows) == 0 {
		return barsView{}
	}
	largest := rows[len(rows)-1].Size
	uncut := largestUncut(rows)
	step := linearStep(float64(uncut))
	limit := step * float64(1+int64((float64(uncut)-1)/step))
	var v barsView
	if uncut < largest {
		v.Limit = dockerSize(int64(limit))
	}
	for x := 0.0; x <= limit; x += step {
		t := tickView{At: share(x, limit), Label: dockerSize(int64(x)), Edge: "middle"}
		switch {
		case x == 0:
			t.Label, t.Edge = "0", "start"
		case x+step > limit:
			t.Edge = "end"
		}
		v.Ticks = append(v.Ticks, t)
	}
	parts := partsOf(rows)
	for _, p := range parts {
		v.Legend = append(v.Legend, legendView{string(p), partClass(p)})
	}
	for i, r := range rows {
		v.Bars = append(v.Bars, bar(i+1, r, parts, limit))
	}
	return v
}

// largestUncut is the largest size whose bar is drawn in full. Up to a quarter
// of the images may be longer, where they are over three times as large as
// the next.
func largestUncut(rows []Row) int64 {
	last := len(rows) - 1
	for i := last; i > 0 && i >= len(rows)-(len(rows)+3)/4; i-- {
		if rows[i].Size > 3*rows[i-1].Size {
			last = i - 1
		}
	}
	return rows[last].Size
}

func bar(number int, r Row, parts []PartName, limit float64) barView {
	b := barView{
		Number: number, Label: r.Label(), OK: r.State == StateOK, Size: dockerSize(r.Size), Cut: float64(r.Size) > limit,
		Download: dockerSize(r.Download), Down: share(min(float64(r.Download), limit), limit),
	}
	size := partSizes(r)
	x := 0.0
	for _, p := range parts {
		n := size[p]
		if n == 0 {
			b.Table = append(b.Table, "-")
			continue
		}
		b.Table = append(b.Table, dockerSize(n))
		if x < limit {
			b.Segments = append(b.Segments, segmentView{
				Class: partClass(p), X: share(x, limit), Width: share(min(float64(n), limit-x), limit),
				Title: string(p) + ": " + dockerSize(n) + ", " + decimal(percent(n, r.Size)) + "%",
			})
		}
		x += float64(n)
	}
	return b
}

// partSizes are the sizes of the known parts, and of what is left.
func partSizes(r Row) map[PartName]int64 {
	size := make(map[PartName]int64)
	rest := r.Size
	for _, p := range r.Parts {
		if n := min(p.Size, rest); n > 0 && slices.Contains(partOrder, p.Name) {
			size[p.Name] += n
			rest -= n
		}
	}
	if rest > 0 {
		size[partRest] = rest
	}
	return size
}

// partsOf are the parts that any of the rows has, in their order.
func partsOf(rows []Row) []PartName {
	var out []PartName
	for _, p := range append(slices.Clone(partOrder), partRest) {
		if slices.ContainsFunc(rows, func(r Row) bool { return partSizes(r)[p] > 0 }) {
			out = append(out, p)
		}
	}
	return out
}

func partClass(p PartName) string {
	if p == PartStdlib {
		return "p-stdlib"
	}
	return "p-" + string(p)
}

func share(part, whole float64) string { return px(100*part/whole) + "%" }

func px(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// linearStep is the round number of which four to eight reach to.
func linearStep(to float64) float64 {
	step := 1.0
	for {
		for _, m := range []float64{1, 2, 5} {
			if to <= 8*m*step {
				return m * step
			}
		}
		step *= 10
	}
}

// byFront orders points so that those which matter most get their names first.
func byFront(a, b *pointView) int {
	front := func(p *pointView) int {
		if p.Front {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(front(a), front(b)), cmp.Compare(a.Number, b.Number))
}
