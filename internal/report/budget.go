package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Budget bounds an image. The zero value allows everything.
type Budget struct {
	Size   Limit // of the unpacked bytes
	Growth Limit // of what they are more than those of the image before
}

// Limit is a number of bytes, or a share of what there was before.
type Limit struct {
	Text    string // as it was written; "" is no limit
	Bytes   int64
	Percent float64 // in place of Bytes where it was written so
	Share   bool    // Percent counts
}

// amount is a number and a unit. Units are powers of 1000, as everywhere here.
var amount = regexp.MustCompile(`^(\d{1,12}(?:\.\d{1,6})?) ?(B|[kK]B|MB|GB|%)$`)

// ParseLimit reads "35MB", "1.5 kB", "2%".
func ParseLimit(s string) (Limit, bool) {
	m := amount.FindStringSubmatch(s)
	if m == nil {
		return Limit{}, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return Limit{}, false
	}
	if m[2] == "%" {
		return Limit{Text: s, Percent: n, Share: true}, true
	}
	unit := map[string]float64{"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[strings.ToUpper(m[2])]
	return Limit{Text: s, Bytes: int64(n * unit)}, true
}

// of is the limit in bytes, for growth from a size.
func (l Limit) of(before int64) int64 {
	if l.Share {
		return int64(float64(before) * l.Percent / 100)
	}
	return l.Bytes
}

// Over says in a line how an image is over the budget, and in another what it
// grew by or is made of. Both are "" for one within. Before is nil where there
// is nothing that it could have grown from.
func (b Budget) Over(before *Snapshot, after Snapshot) (what, why string) {
	over, grown := "", before != nil && before.Size < after.Size
	if most := b.Size.Bytes; b.Size.Text != "" && after.Size > most {
		grown = grown && before.Size <= most // else it is nothing new
		over = fmt.Sprintf("%s has %s, %s more than the %s of --max-size", after.Reference, exactly(after.Size), exactly(after.Size-most), b.Size.Text)
	} else if before != nil && b.Growth.Text != "" {
		if grew := after.Size - before.Size; grew > b.Growth.of(before.Size) {
			over = fmt.Sprintf("%s grew by %s (%s%%) to %s, more than the %s of --max-growth", after.Reference, exactly(grew), decimal(percent(grew, before.Size)), exactly(after.Size), b.Growth.Text)
		}
	}
	if over == "" {
		return "", ""
	}
	over = clean(over)
	if grown {
		return over, "what grew most: " + few(growth(Difference(*before, after)))
	}
	return over, "the largest are " + few(largest(after))
}

// mostReasons is how many things an error names.
const mostReasons = 3

func few(list []string) string { return clean(strings.Join(list[:min(len(list), mostReasons)], ", ")) }

// growth lists what has more bytes than before: distributions where their sizes
// are known, else files.
func growth(d Diff) []string {
	var out []string
	for _, o := range d.Owners {
		if n := o.After - o.Before; n > 0 {
			out = append(out, strings.TrimSpace(o.Name+" "+versions(o))+" "+signed(n))
		}
	}
	if d.Attributed {
		return out
	}
	for _, f := range d.Files {
		if n := f.After - f.Before; n > 0 {
			out = append(out, f.Path+" "+signed(n))
		}
	}
	return out
}

func largest(s Snapshot) []string {
	var out []string
	if s.Attributed {
		for _, o := range s.Owners {
			out = append(out, o.Name+" "+exactly(o.Size))
		}
		return out
	}
	files := slices.SortedFunc(slices.Values(s.Files), func(a, b File) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path))
	})
	for _, f := range files[:min(len(files), mostReasons)] {
		out = append(out, f.Path+" "+exactly(f.Size))
	}
	return out
}
