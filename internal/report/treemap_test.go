package report

import (
	"math"
	"testing"
)

// Areas must be as the sizes, and cells must neither overlap nor stick out.
func TestSquarify(t *testing.T) {
	for name, sizes := range map[string][]float64{
		"one": {5}, "paper": {6, 6, 4, 3, 2, 2, 1}, "equal": {1, 1, 1, 1, 1, 1}, "steep": {1e9, 1e6, 1e3, 1}, "empty ones": {3, 2, 0, 0},
	} {
		in := rect{10, 20, 600, 400}
		cells := squarify(sizes, in)
		if len(cells) != len(sizes) {
			t.Fatalf("%s: %d cells", name, len(cells))
		}
		total := 0.0
		for _, s := range sizes {
			total += s
		}
		for i, c := range cells {
			if want := sizes[i] / total * in.w * in.h; math.Abs(c.w*c.h-want) > 1e-6*in.w*in.h {
				t.Errorf("%s: cell %d has area %g, want %g", name, i, c.w*c.h, want)
			}
			const e = 1e-6
			if c.x < in.x-e || c.y < in.y-e || c.x+c.w > in.x+in.w+e || c.y+c.h > in.y+in.h+e {
				t.Errorf("%s: cell %d sticks out: %+v", name, i, c)
			}
			for j, d := range cells[:i] {
				if c.x+e < d.x+d.w && d.x+e < c.x+c.w && c.y+e < d.y+d.h && d.y+e < c.y+c.h {
					t.Errorf("%s: cells %d and %d overlap", name, j, i)
				}
			}
		}
	}
	// The example of the paper: no cell is more than 2.5 times as long as broad, but the last.
	for i, c := range squarify([]float64{6, 6, 4, 3, 2, 2, 1}, rect{0, 0, 6, 4}) {
		if ratio := max(c.w/c.h, c.h/c.w); ratio > 2.8 {
			t.Errorf("cell %d has sides %g to %g", i, c.w, c.h)
		}
	}
	for _, c := range squarify([]float64{0, 0}, rect{0, 0, 6, 4}) {
		if c != (rect{}) {
			t.Errorf("nothing has a place: %+v", c)
		}
	}
}
