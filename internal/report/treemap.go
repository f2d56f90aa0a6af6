package report

// rect is a piece of a drawing.
type rect struct{ x, y, w, h float64 }

// squarify divides a rectangle among sizes, which fall, so that areas are as
// the sizes and sides are not too unlike (Bruls, Huizing and van Wijk,
// "Squarified Treemaps", 2000).
func squarify(sizes []float64, in rect) []rect {
	total := 0.0
	for _, s := range sizes {
		total += s
	}
	out := make([]rect, 0, len(sizes))
	if total <= 0 || in.w <= 0 || in.h <= 0 {
		return append(out, make([]rect, len(sizes))...)
	}
	scale := in.w * in.h / total
	for len(sizes) > 0 {
		side := min(in.w, in.h)
		n, sum := 1, sizes[0]*scale
		for n < len(sizes) && worst(sizes[:n+1], sum+sizes[n]*scale, side, scale) <= worst(sizes[:n], sum, side, scale) {
			sum += sizes[n] * scale
			n++
		}
		var strip []rect
		strip, in = lay(sizes[:n], sum, in, scale)
		out, sizes = append(out, strip...), sizes[n:]
	}
	return out
}

// worst is the largest ratio of sides in a strip of these areas along a side.
func worst(sizes []float64, sum, side, scale float64) float64 {
	thick := sum / side
	out := 0.0
	for _, s := range []float64{sizes[0], sizes[len(sizes)-1]} {
		long := s * scale / thick
		if long == 0 {
			continue
		}
		out = max(out, long/thick, thick/long)
	}
	return out
}

// lay puts a strip along the shorter side, and gives what is left.
func lay(sizes []float64, sum float64, in rect, scale float64) ([]rect, rect) {
	var out []rect
	if in.w >= in.h {
		thick := sum / in.h
		y := in.y
		for _, s := range sizes {
			h := share0(s*scale, thick)
			out = append(out, rect{in.x, y, thick, h})
			y += h
		}
		return out, rect{in.x + thick, in.y, in.w - thick, in.h}
	}
	thick := sum / in.w
	x := in.x
	for _, s := range sizes {
		w := share0(s*scale, thick)
		out = append(out, rect{x, in.y, w, thick})
		x += w
	}
	return out, rect{in.x, in.y + thick, in.w, in.h - thick}
}

// share0 divides, and is 0 where there is nothing to divide by.
func share0(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return part / whole
}
