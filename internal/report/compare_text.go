package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteComparison writes the comparison for a terminal: the table of `docker
// images`, smallest first, with more columns, and below it what is best, what
// is wrong with which image, what the bases are and how it was measured. It
// has no colours, and what apps and tools brought in has no control
// characters.
func WriteComparison(w io.Writer, c Comparison) error {
	c = presentable(c)
	var out bytes.Buffer
	writeTable(&out, c)
	fmt.Fprintln(&out)
	for _, h := range highlights(c) {
		fmt.Fprintln(&out, h.String())
	}
	section(&out, "✗ ", troubles(c))
	section(&out, "note: ", notes(c))
	section(&out, "on ", bases(c))
	fmt.Fprintln(&out)
	for _, line := range method(c) {
		fmt.Fprintln(&out, line)
	}
	_, err := out.WriteTo(w)
	return err
}

func section(out *bytes.Buffer, mark string, remarks []remark) {
	if len(remarks) > 0 {
		fmt.Fprintln(out)
	}
	for _, r := range remarks {
		fmt.Fprintf(out, "%s%s: %s\n", mark, r.Name, r.Text)
	}
}

func writeTable(out *bytes.Buffer, c Comparison) {
	cols := columns(c)
	lines := cells(c, cols)
	width := make([]int, len(cols))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if cols[i].text {
				b.WriteString(cell + pad + "   ")
			} else {
				b.WriteString(pad + cell + "   ")
			}
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
}

// cells is the table with its head as the first line.
func cells(c Comparison, cols []column) [][]string {
	head := make([]string, len(cols))
	for i, col := range cols {
		head[i] = col.head
	}
	out := [][]string{head}
	for _, r := range c.Rows {
		line := make([]string, len(cols))
		for i, col := range cols {
			line[i] = col.show(r)
		}
		out = append(out, line)
	}
	return out
}
