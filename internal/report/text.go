package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// WriteText writes the build for people: what it is called, how large it is,
// what is in it, and how it was checked. Sizes are MB of 10^6 bytes. There are
// no colours, so it reads the same on a terminal and in a file, and nothing
// that the app or a file name brought in reaches the terminal as a control
// character.
func WriteText(w io.Writer, b Build) error {
	var out bytes.Buffer
	writeHead(&out, b)
	writeLayers(&out, b)
	writeChecks(&out, b)
	writeHealed(&out, b)
	writeTimings(&out, b)
	for _, n := range noteLines(b.Notes) {
		fmt.Fprintf(&out, "note: %s\n", clean(n))
	}
	for _, p := range b.Published {
		fmt.Fprintf(&out, "published: %s\n", clean(p))
	}
	_, err := out.WriteTo(w)
	return err
}

func writeHead(out *bytes.Buffer, b Build) {
	fmt.Fprintf(out, "%s  %s, %s on disk, %s to download, %s\n", clean(cmp.Or(b.Reference, "(no name)")), clean(b.Variant),
		Megabytes(b.Size), Megabytes(b.Download), count(b.Files, "file"))
	for _, line := range []struct{ label, text string }{
		{"digest", b.Digest},
		{"python", join(b.Python, b.Platform)},
		{"system", b.System},
		{"base", b.Base},
		{"engine", b.Engine},
	} {
		if line.text != "" {
			fmt.Fprintf(out, "  %-7s %s\n", line.label, clean(line.text))
		}
	}
	if n := len(b.Inputs); n > 0 {
		fmt.Fprintf(out, "  inputs  %s of archives, wheels and sources, see --json\n", count(n, "digest"))
	}
	if b.Cached {
		fmt.Fprintln(out, "  nothing has changed since an earlier build")
	}
}

func writeLayers(out *bytes.Buffer, b Build) {
	if len(b.Layers) == 0 {
		return
	}
	fmt.Fprintln(out)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "size\tdownload\tfiles\t  layer")
	for _, l := range b.Layers {
		fmt.Fprintf(tw, "%s\t%s\t%d\t  %s\n", Megabytes(l.Size), Megabytes(l.Download), l.Files, clean(l.Name))
	}
	_ = tw.Flush() // a bytes.Buffer takes everything
}

func writeChecks(out *bytes.Buffer, b Build) {
	fmt.Fprintln(out)
	passed := 0
	for _, c := range b.Checks {
		mark := "✗"
		if c.OK {
			mark = "✓"
			passed++
		}
		fmt.Fprintf(out, "%s %s", mark, clean(c.Name))
		switch detail := strings.TrimRight(c.Detail, "\n"); {
		case detail == "":
			fmt.Fprintln(out)
		case c.OK && !strings.Contains(detail, "\n"):
			fmt.Fprintf(out, ": %s\n", clean(detail))
		default:
			fmt.Fprintln(out)
			for l := range strings.SplitSeq(detail, "\n") {
				fmt.Fprintf(out, "    %s\n", clean(l))
			}
		}
	}
	switch {
	case b.Verified:
		fmt.Fprintf(out, "verified: %d of %s passed\n", passed, count(len(b.Checks), "check"))
	case len(b.Checks) == 0:
		fmt.Fprintln(out, "not verified")
	default:
		fmt.Fprintf(out, "not verified: %d of %s passed\n", passed, count(len(b.Checks), "check"))
	}
}

// writeHealed says what had to be added, and how the next build has it from the
// start.
func writeHealed(out *bytes.Buffer, b Build) {
	values := make(map[string][]string)
	for _, h := range b.Healed {
		fmt.Fprintf(out, "healed: %s (%s)\n", clean(h.Path), clean(h.Why))
		if v := strconv.Quote(h.Value); !slices.Contains(values[h.Setting], v) {
			values[h.Setting] = append(values[h.Setting], v)
		}
	}
	for _, setting := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(out, "  [tool.exuvia] %s = [%s] spares the next build the healing\n", clean(setting), clean(strings.Join(values[setting], ", ")))
	}
}

func writeTimings(out *bytes.Buffer, b Build) {
	if len(b.Timings) == 0 {
		return
	}
	var total float64
	parts := make([]string, len(b.Timings))
	for i, t := range b.Timings {
		total += t.Seconds
		parts[i] = fmt.Sprintf("%s %.1f s", clean(t.Phase), t.Seconds)
	}
	fmt.Fprintf(out, "\n%.1f s: %s\n", total, strings.Join(parts, ", "))
}

func noteText(n Note) string {
	parts := []string{n.Where}
	if n.Path != "" {
		parts = append(parts, n.Path)
	}
	return strings.Join(append(parts, n.Text), ": ")
}

// Megabytes prints bytes as MB of 10^6 with one decimal: "29.6 MB".
func Megabytes(n int64) string { return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB" }

// count is "1 file", "2 files".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// join is "3.11.2 on linux/amd64", or what there is of it.
func join(python, platform string) string {
	if python == "" || platform == "" {
		return python + platform
	}
	return python + " on " + platform
}

// clean makes one printable line of s: what is no printable character becomes
// its escape as Go writes it.
func clean(s string) string {
	printable := func(r rune) bool { return r != unicode.ReplacementChar && unicode.IsGraphic(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !printable(r) }) < 0 {
		return s
	}
	var out strings.Builder
	for i, r := range s {
		switch {
		case r == '\t':
			out.WriteByte(' ')
		case r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], string(unicode.ReplacementChar)):
			fmt.Fprintf(&out, `\x%02x`, s[i]) // a byte that is no UTF-8
		case printable(r) || r == unicode.ReplacementChar:
			out.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			out.WriteString(q[1 : len(q)-1])
		}
	}
	return out.String()
}
