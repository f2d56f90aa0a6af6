package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// nodes parses a page as a browser does.
func nodes(t *testing.T, page string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(root.Descendants())
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// The page may hold names and answers of strangers; none of them may become
// an element, an attribute or an address.
func TestHostileNamesStayText(t *testing.T) {
	for name, c := range map[string]Comparison{"ordinary": compared, "hostile": hostile()} {
		page := write(t, WriteComparisonHTML, c)
		var scripts, styles []string
		for _, n := range nodes(t, page) {
			if n.Type != html.ElementNode {
				continue
			}
			switch n.Data {
			case "script":
				scripts = append(scripts, n.FirstChild.Data)
			case "style":
				styles = append(styles, n.FirstChild.Data)
			case "img", "iframe", "object", "embed", "link", "base", "form", "image", "use":
				t.Errorf("%s: the page has a %s", name, n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case a.Key == "href" && !strings.HasPrefix(a.Val, "#image-"), a.Key == "src", a.Key == "style", strings.HasPrefix(a.Key, "on"):
					t.Errorf("%s: %s has %s=%q", name, n.Data, a.Key, a.Val)
				}
			}
		}
		f := newFrame("", []string{"compare.css"}, nil)
		if !slices.Equal(scripts, []string{string(f.Script)}) || !slices.Equal(styles, []string{string(f.Style)}) {
			t.Errorf("%s: the page has other scripts or styles than its own", name)
		}
		if i := strings.IndexFunc(page, func(r rune) bool { return r < ' ' && r != '\n' || r == '\u202e' }); i >= 0 {
			t.Errorf("%s: control character %q", name, page[i])
		}
	}
}

func TestPolicyForbidsAllButOwnStyleAndScript(t *testing.T) {
	for _, n := range nodes(t, write(t, WriteComparisonHTML, compared)) {
		if attribute(n, "http-equiv") != "Content-Security-Policy" {
			continue
		}
		f := newFrame("", []string{"compare.css"}, nil)
		want := "default-src 'none'; style-src " + hash(string(f.Style)) + "; script-src " + hash(string(f.Script)) + "; base-uri 'none'; form-action 'none'"
		if got := attribute(n, "content"); got != want {
			t.Errorf("policy is %q", got)
		}
		return
	}
	t.Error("the page has no policy")
}

// A page of images that could not be built, or of none, is still a page.
func TestPageWithoutImages(t *testing.T) {
	for name, rows := range map[string][]Row{"none": nil, "failed": compared.Rows[11:], "not started": {with(compared.Rows[0], func(r *Row) { r.StartMS = 0 })}} {
		page := write(t, WriteComparisonHTML, Comparison{Project: "app", Rows: rows})
		if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") || strings.Contains(page, `class="plot"`) {
			t.Errorf("%s: the page draws what there is not", name)
		}
	}
}

func TestPareto(t *testing.T) {
	point := func(n int, size int64, start float64, ok bool) *pointView {
		return &pointView{Number: n, size: size, startMS: start, OK: ok}
	}
	points := []*pointView{
		point(1, 10, 100, false), // quickest and smallest, and answers otherwise
		point(2, 20, 300, true), point(3, 20, 310, true), point(4, 30, 300, true), point(5, 40, 200, true), point(6, 50, 250, true),
	}
	var got []int
	for _, p := range pareto(points) {
		got = append(got, p.Number)
	}
	if !slices.Equal(got, []int{2, 5}) {
		t.Errorf("the front is %v, want 2 and 5", got)
	}
}

func TestBarsAreOnOneScale(t *testing.T) {
	mb := func(sizes ...int64) (rows []Row) {
		for _, s := range sizes {
			rows = append(rows, Row{Variant: "x", State: StateOK, Size: s * 1e6, Download: s * 1e6, Parts: []Part{{PartSystem, s * 1e6}}})
		}
		return rows
	}
	for name, test := range map[string]struct {
		sizes []int64
		limit string
		width string // of the first bar, percent
	}{
		"alike":        {[]int64{20, 40, 80}, "", "25.00%"},
		"one far off":  {[]int64{20, 40, 80, 1000}, "80MB", "25.00%"},
		"two far off":  {[]int64{20, 30, 40, 40, 40, 900, 1000}, "40MB", "50.00%"},
		"just one":     {[]int64{50}, "", "100.00%"},
		"a step apart": {[]int64{10, 30, 90, 270}, "", "3.33%"},
	} {
		v := bars(mb(test.sizes...))
		if v.Limit != test.limit || v.Bars[0].Segments[0].Width != test.width {
			t.Errorf("%s: limit %q, width %s; want %q, %s", name, v.Limit, v.Bars[0].Segments[0].Width, test.limit, test.width)
		}
		if cut := v.Bars[len(v.Bars)-1].Cut; cut != (test.limit != "") {
			t.Errorf("%s: the longest bar is cut: %v", name, cut)
		}
	}
}

func TestTicksAreRoundAndEnough(t *testing.T) {
	for _, span := range [][2]float64{{25e6, 1.2e9}, {12e6, 21e6}, {29e6, 52e6}, {1e3, 2e9}, {90e6, 160e6}} {
		ticks := logTicks(span[0], span[1])
		if len(ticks) < 3 || len(ticks) > 9 || !slices.IsSorted(ticks) || ticks[0] < span[0] || ticks[len(ticks)-1] > span[1] {
			t.Errorf("%v: ticks %v", span, ticks)
		}
	}
	for _, to := range []float64{1, 7, 9, 168, 968e6} {
		if n := math.Ceil(to / linearStep(to)); n > 8 || to > 8 && n < 3 {
			t.Errorf("%v steps to %v", n, to)
		}
	}
}

// In a crowd names would hide one another and the points.
func TestLabelsKeepApart(t *testing.T) {
	var points []*pointView
	for i := range 40 {
		points = append(points, &pointView{Number: i, OK: true, name: "pyinstaller", x: 200 + float64(i%5), y: 100 + float64(i)})
	}
	placeLabels(points)
	labelled := make(map[string]bool)
	n := 0
	for _, p := range points {
		if p.Label != "" {
			n++
			labelled[p.Anchor+p.LY] = true
		}
	}
	if n == 0 || n == len(points) || len(labelled) != n {
		t.Errorf("%d of %d points have names, in %d places", n, len(points), len(labelled))
	}
	long := []*pointView{{name: strings.Repeat("x", labelLetters+1), x: 200, y: 100}}
	if placeLabels(long); long[0].Label != "" {
		t.Error("a name without room was drawn")
	}
}
