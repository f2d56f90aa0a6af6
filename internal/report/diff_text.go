package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// mostFiles is how many files a difference shows unless all are asked for.
const mostFiles = 20

// WriteDiff writes a difference for a terminal. It has no colours, and what
// images brought in has no control characters.
func WriteDiff(w io.Writer, d Diff, all bool) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s → %s\n", side(d.Before), side(d.After))
	if d.Before.Digest == d.After.Digest {
		fmt.Fprintf(&out, "the same image, %s\n", Megabytes(d.After.Size))
		_, err := out.WriteTo(w)
		return err
	}
	writeTotals(&out, d)
	writeOwnerChanges(&out, d)
	writeFileChanges(&out, d, all)
	writeLayerChanges(&out, d)
	if len(d.Config) > 0 {
		fmt.Fprintln(&out, "\nconfiguration")
	}
	for _, c := range d.Config {
		fmt.Fprintf(&out, "  %s: %s → %s\n", clean(c.Name), clean(cmp.Or(c.Before, "(none)")), clean(cmp.Or(c.After, "(none)")))
	}
	_, err := out.WriteTo(w)
	return err
}

// side is how an image is called, with as much of its digest as tells it from
// others.
func side(s Side) string {
	digest := strings.TrimPrefix(s.Digest, "sha256:")
	return clean(s.Reference) + " (" + clean(digest[:min(len(digest), 12)]) + ")"
}

// table aligns columns to the right, the last to the left.
func table(out *bytes.Buffer, rows [][]string) {
	var lines bytes.Buffer
	tw := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r[:len(r)-1], "\t")+"\t  "+r[len(r)-1])
	}
	_ = tw.Flush() // a bytes.Buffer takes everything
	for l := range strings.Lines(lines.String()) {
		fmt.Fprintln(out, strings.TrimRight(l, " \n"))
	}
}

func writeTotals(out *bytes.Buffer, d Diff) {
	bytesOf := func(name string, a, b int64) []string {
		return []string{"", exactly(a), exactly(b), signed(b - a), name + grownBy(a, b)}
	}
	a, b := d.Before, d.After
	fmt.Fprintln(out)
	table(out, [][]string{
		{"", "before", "after", "difference", ""},
		bytesOf("unpacked", a.Size, b.Size),
		bytesOf("to download", a.Download, b.Download),
		{"", strconv.Itoa(a.Files), strconv.Itoa(b.Files), fmt.Sprintf("%+d", b.Files-a.Files), "files"},
	})
}

func grownBy(a, b int64) string {
	if a == 0 || a == b {
		return ""
	}
	return fmt.Sprintf(", %+.1f%%", 100*float64(b-a)/float64(a))
}

var marks = map[Change]string{Added: "+", Removed: "-", Changed: "~"}

func writeOwnerChanges(out *bytes.Buffer, d Diff) {
	if len(d.Owners) == 0 {
		return
	}
	fmt.Fprintln(out, "\ndistributions and packages")
	var rows [][]string
	for _, o := range d.Owners {
		row := []string{"", marks[o.Change]}
		if d.Attributed {
			row = append(row, sizeBefore(o.Change, o.Before), sizeAfter(o.Change, o.After), signed(o.After-o.Before))
		}
		rows = append(rows, append(row, clean(strings.TrimSpace(o.Name+" "+versions(o)))))
	}
	table(out, rows)
}

// versions is "1.0 → 1.1", or the only version there is.
func versions(o OwnerChange) string {
	if o.Change == Changed && o.OldVersion != o.NewVersion {
		return cmp.Or(o.OldVersion, "?") + " → " + cmp.Or(o.NewVersion, "?")
	}
	return cmp.Or(o.NewVersion, o.OldVersion)
}

func sizeBefore(c Change, n int64) string {
	if c == Added {
		return "-"
	}
	return exactly(n)
}

func sizeAfter(c Change, n int64) string {
	if c == Removed {
		return "-"
	}
	return exactly(n)
}

func writeFileChanges(out *bytes.Buffer, d Diff, all bool) {
	counts := make(map[Change]int)
	for _, f := range d.Files {
		counts[f.Change]++
	}
	fmt.Fprintf(out, "\nfiles: %d added, %d removed, %d changed\n", counts[Added], counts[Removed], counts[Changed])
	shown := d.Files
	if !all {
		shown = shown[:min(len(shown), mostFiles)]
	}
	var rows [][]string
	for _, f := range shown {
		name := "/" + f.Path
		if f.In != "" {
			name += " (in /" + f.In + ")"
		}
		rows = append(rows, []string{"", marks[f.Change], sizeBefore(f.Change, f.Before), sizeAfter(f.Change, f.After), signed(f.After - f.Before), clean(name)})
	}
	table(out, rows)
	if n := len(d.Files) - len(shown); n > 0 {
		fmt.Fprintf(out, "  and %s with smaller differences, see --all\n", count(n, "file"))
	}
}

func writeLayerChanges(out *bytes.Buffer, d Diff) {
	fmt.Fprintln(out, "\nlayers")
	var rows [][]string
	for _, l := range d.Layers {
		row := []string{"", "~", "-", "-", "", clean(l.Name)}
		var a, b int64
		if l.Before != nil {
			a = l.Before.Size
			row[2] = exactly(a)
		} else {
			row[1] = marks[Added]
		}
		if l.After != nil {
			b = l.After.Size
			row[3] = exactly(b)
		} else {
			row[1] = marks[Removed]
		}
		row[4] = signed(b - a)
		if l.Same {
			row[1] = "="
		}
		rows = append(rows, row)
	}
	table(out, rows)
}

// exactly prints bytes in the unit that fits, of powers of 1000: "812 B",
// "1.2 kB", "31.5 MB".
func exactly(n int64) string {
	switch m := abs(n); {
	case m < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case m < 1e6:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	}
	return Megabytes(n)
}

// signed is a difference in bytes: "+1.2 kB", "-12 B", "0 B".
func signed(n int64) string {
	if n > 0 {
		return "+" + exactly(n)
	}
	return exactly(n)
}
