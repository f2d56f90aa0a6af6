package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The drawing is in units of its view box.
const (
	plotWidth           = 460.0
	plotLeft, plotRight = 44.0, 450.0
	plotTop, plotBottom = 12.0, 312.0
	dotRadius           = 8.0
	letterWidth         = 6.2 // of the labels' font, on average
	labelHeight         = 13.0
	labelLetters        = 28 // longer names are cut in the drawing
)

// scatterView is a size against the time to the first answer: the size on a
// logarithmic scale, for images differ by factors; the time on a linear one.
type scatterView struct {
	Name           string // "size", "download"
	XTicks, YTicks []axisView
	Points         []*pointView // those of the front last, so that they lie on top
	Front          string       // points of a polyline
	Sentence       string       // what the front is of
	Unlike         bool         // some points are of images that answer otherwise
}

type axisView struct{ At, Label string }

type pointView struct {
	Number int
	Front  bool
	OK     bool
	Title  string
	CX, CY string
	Label  string // "" where there is no room
	LX, LY string
	Anchor string
	Lead   bool // a line leads from the point to its label
	LeadX  string
	LeadY  string

	x, y    float64
	name    string
	size    int64
	startMS float64
}

func scatter(name string, rows []Row, size func(Row) int64) scatterView {
	v := scatterView{Name: name}
	for i, r := range rows {
		if n := size(r); r.Size > 0 && n > 0 && r.StartMS > 0 {
			p := &pointView{Number: i + 1, OK: r.State == StateOK, name: r.Label(), size: n, startMS: r.StartMS}
			p.Title = fmt.Sprintf("%d %s: %s, %.0fms", p.Number, p.name, dockerSize(n), p.startMS)
			v.Points = append(v.Points, p)
			v.Unlike = v.Unlike || !p.OK
		}
	}
	if len(v.Points) == 0 {
		return v
	}
	xs, ys := v.scales()
	for _, p := range v.Points {
		p.x, p.y = xs.at(float64(p.size)), ys.at(p.startMS)
		p.CX, p.CY = px(p.x), px(p.y)
	}
	front := pareto(v.Points)
	v.Front, v.Sentence = frontLine(front), frontSentence(name, front)
	placeLabels(v.Points)
	slices.SortStableFunc(v.Points, func(a, b *pointView) int { return byFront(b, a) })
	return v
}

// scale maps values to places between from and to.
type scale struct {
	lo, hi, from, to float64
	log              bool
}

func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(v)
	}
	return s.from + (v-lo)/(hi-lo)*(s.to-s.from)
}

// scales also makes the ticks.
func (v *scatterView) scales() (x, y scale) {
	bySize := func(a, b *pointView) int { return cmp.Compare(a.size, b.size) }
	byStart := func(a, b *pointView) int { return cmp.Compare(a.startMS, b.startMS) }
	least, most := float64(slices.MinFunc(v.Points, bySize).size), float64(slices.MaxFunc(v.Points, bySize).size)
	x = scale{lo: least / 1.2, hi: max(most*1.3, least*1.7), from: plotLeft, to: plotRight, log: true}
	for _, t := range logTicks(x.lo, x.hi) {
		v.XTicks = append(v.XTicks, axisView{px(x.at(t)), dockerSize(int64(math.Round(t)))})
	}
	first, last := slices.MinFunc(v.Points, byStart).startMS, slices.MaxFunc(v.Points, byStart).startMS
	span := max(last-first, last*0.3) // noise must not look like a difference
	y = scale{lo: max(0, first-span*0.15), hi: last + span*0.15, from: plotBottom, to: plotTop}
	step := linearStep(y.hi - y.lo)
	for t := math.Ceil(y.lo/step) * step; t <= y.hi; t += step {
		v.YTicks = append(v.YTicks, axisView{px(y.at(t)), strconv.FormatFloat(t, 'f', -1, 64)})
	}
	return x, y
}

// logTicks are round numbers from lo to hi, between three and eight of them
// where lo and hi are no more than some powers of ten apart.
func logTicks(lo, hi float64) []float64 {
	var out []float64
	for _, mantissas := range [][]float64{{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}, {1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9}} {
		out = nil
		for decade := math.Pow(10, math.Floor(math.Log10(lo))); decade <= hi; decade *= 10 {
			for _, m := range mantissas {
				if t := m * decade; t >= lo && t <= hi {
					out = append(out, t)
				}
			}
		}
		if len(out) >= 4 {
			return out
		}
	}
	return out
}

// pareto marks and gives the points for which no other that answers the same
// is both smaller and quicker, by size.
func pareto(points []*pointView) []*pointView {
	bySize := slices.Clone(points)
	slices.SortStableFunc(bySize, func(a, b *pointView) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.startMS, b.startMS))
	})
	var front []*pointView
	quickest := math.Inf(1)
	for _, p := range bySize {
		if p.OK && p.startMS < quickest {
			quickest, p.Front = p.startMS, true
			front = append(front, p)
		}
	}
	return front
}

// frontLine draws the border of what the front's points are better than.
func frontLine(front []*pointView) string {
	if len(front) == 0 {
		return ""
	}
	var out []string
	add := func(x, y float64) { out = append(out, px(x)+","+px(y)) }
	add(front[0].x, plotTop)
	for i, p := range front {
		add(p.x, p.y)
		if i+1 < len(front) {
			add(front[i+1].x, p.y)
		}
	}
	add(plotRight, front[len(front)-1].y)
	return strings.Join(out, " ")
}

func frontSentence(name string, front []*pointView) string {
	if len(front) == 0 {
		return ""
	}
	names := make([]string, len(front))
	for i, p := range front {
		names[i] = fmt.Sprintf("%s (%d: %s, %.0fms)", p.name, p.Number, dockerSize(p.size), p.startMS)
	}
	return "No image that answers the same is both smaller in " + name + " and quicker than " + strings.Join(names, ", ") + "."
}

// box is a piece of the drawing that is taken.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) meets(o box) bool { return b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 }

// placeLabels finds each name a place that nothing else takes: beside its
// point, else further up or down. Where there is none, and for long names, the
// number in the point has to do.
func placeLabels(points []*pointView) {
	var taken []box
	for _, p := range points {
		taken = append(taken, box{p.x - dotRadius, p.y - dotRadius, p.x + dotRadius, p.y + dotRadius})
	}
	inOrder := slices.Clone(points)
	slices.SortStableFunc(inOrder, byFront)
	for _, p := range inOrder {
		if utf8.RuneCountInString(p.name) > labelLetters {
			continue
		}
		for _, dy := range []float64{0, -13, 13, -26, 26, -39, 39, -52, 52, -65, 65, -78, 78} {
			if p.label(dy, &taken) {
				break
			}
		}
	}
}

// label puts the name right or left of the point, dy lower, if there is room.
func (p *pointView) label(dy float64, taken *[]box) bool {
	width := letterWidth * float64(utf8.RuneCountInString(p.name))
	gap := dotRadius + 3
	if dy != 0 {
		gap += 6 // room for the line that leads there
	}
	y := p.y + dy
	for _, side := range []struct {
		anchor string
		x      float64
		box    box
	}{
		{"start", p.x + gap, box{p.x + gap, y - labelHeight/2, p.x + gap + width, y + labelHeight/2}},
		{"end", p.x - gap, box{p.x - gap - width, y - labelHeight/2, p.x - gap, y + labelHeight/2}},
	} {
		b := side.box
		if b.x0 < plotLeft || b.x1 > plotWidth || b.y0 < plotTop || b.y1 > plotBottom || slices.ContainsFunc(*taken, b.meets) {
			continue
		}
		*taken = append(*taken, b)
		p.Label, p.Anchor, p.LX, p.LY = p.name, side.anchor, px(side.x), px(y+4)
		if dy != 0 {
			p.Lead, p.LeadX, p.LeadY = true, px(side.x+math.Copysign(2, p.x-side.x)), px(y)
		}
		return true
	}
	return false
}
