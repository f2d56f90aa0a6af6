package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/verify"
)

// shortest is how long a text has to be, in bytes, to say where it is from.
const shortest = 12

// maxDocumented bounds a source that is searched for a text.
const maxDocumented = 4 << 20

// docstrings finds the distributions whose docstrings the unreduced app shows
// and the image does not: of each, one source that has such a text.
func (b *build) docstrings(said []verify.Said, while string) ([]report.Healed, error) {
	texts := unsaid(said)
	if len(texts) == 0 {
		return nil, nil
	}
	var out []report.Healed
	for e := range b.kept.All() {
		name := e.From.Name
		known := slices.ContainsFunc(out, func(h report.Healed) bool { return h.Value == name }) || slices.Contains(b.project.Settings.KeepDocstrings, name)
		if e.From.Kind != tree.Dist || name == b.project.Name || known || path.Ext(e.Path) != ".py" || e.Size > maxDocumented {
			continue
		}
		source, err := e.ReadAll(maxDocumented)
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(texts, func(t string) bool { return bytes.Contains(source, []byte(t)) }); at >= 0 {
			out = append(out, report.Healed{
				Path: e.Path, Setting: report.SettingDocstrings, Value: name, Why: fmt.Sprintf("%s: shows its text %q", while, project.Clip(texts[at])),
			})
		}
	}
	return out, nil
}

// unsaid lists lines of text that the unreduced app says and the image does
// not, in order.
func unsaid(said []verify.Said) []string {
	var out []string
	for _, s := range said {
		known := make(map[string]bool)
		for _, text := range s.Lean {
			for _, l := range lines(text) {
				known[l] = true
			}
		}
		for _, text := range s.Full {
			for _, l := range lines(text) {
				if !known[l] && len(l) >= shortest && !slices.Contains(out, l) {
					out = append(out, l)
				}
			}
		}
	}
	return out
}

// lines are those of a text, of JSON those of its strings.
func lines(text []byte) []string {
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		doc = string(text)
	}
	var out []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			for l := range strings.Lines(v) {
				out = append(out, strings.TrimSpace(l))
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	slices.Sort(out) // a map has no order
	return out
}
