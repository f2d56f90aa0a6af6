package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// WriteComparisonMarkdown writes the comparison as GitHub Flavored Markdown:
// the table and the lines of [WriteComparison].
func WriteComparisonMarkdown(w io.Writer, c Comparison) error {
	c = presentable(c)
	var out bytes.Buffer
	cols := columns(c)
	rule := make([]string, len(cols))
	for i, col := range cols {
		rule[i] = "---:"
		if col.text {
			rule[i] = "---"
		}
	}
	for i, line := range cells(c, cols) {
		for j, cell := range line {
			line[j] = markdown(cell)
		}
		fmt.Fprintf(&out, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintf(&out, "| %s |\n", strings.Join(rule, " | "))
		}
	}
	fmt.Fprintln(&out)
	for _, h := range highlights(c) {
		fmt.Fprintf(&out, "- %s\n", markdown(h.String()))
	}
	for _, part := range []struct {
		mark    string
		remarks []remark
	}{{"✗", troubles(c)}, {"note:", notes(c)}, {"on", bases(c)}} {
		if len(part.remarks) > 0 {
			fmt.Fprintln(&out)
		}
		for _, r := range part.remarks {
			fmt.Fprintf(&out, "- %s **%s**: %s\n", part.mark, markdown(r.Name), markdown(r.Text))
		}
	}
	fmt.Fprintln(&out)
	for _, line := range method(c) {
		fmt.Fprintf(&out, "- %s\n", markdown(line))
	}
	_, err := out.WriteTo(w)
	return err
}

// markdown makes s a piece of one line that means nothing but itself: no
// cell ends in it, nothing is emphasised, embedded or calculated.
func markdown(s string) string {
	var out strings.Builder
	for _, r := range clean(s) {
		switch {
		case r == '<':
			out.WriteString("&lt;")
		case r == '&':
			out.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]|~$!#^", r):
			out.WriteString(`\` + string(r))
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
