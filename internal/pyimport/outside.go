package pyimport

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"

	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// maxOutside bounds what is read of a file that is out: imports are at its
// beginning.
const maxOutside = 256 << 10

// statement is an import as it is written in nearly all files, on one line.
var statement = regexp.MustCompile(`^\s*(?:import\s+([\w.]+)|from\s+(\.*[\w.]*)\s+import\s+\(?\s*(\w+)?)`)

// Outside implements [reach.Outsider]: the imports that the lines of a source
// show, without understanding it.
func (f *Finder) Outside(_ context.Context, e tree.Entry) []reach.Edge {
	if !e.IsRegular() || !strings.HasSuffix(e.Path, ".py") || e.Open == nil {
		return nil
	}
	s := f.sourceOf(e)
	if top, _, _ := strings.Cut(s.module, "."); s.module == "" || s.std && (top == "test" || top == "idlelib") {
		return nil // 16 MB that nobody asks about
	}
	r, err := e.Open()
	if err != nil {
		return nil // it says less, and the image is the same
	}
	defer r.Close()
	d := f.decide(s)
	lines := bufio.NewScanner(io.LimitReader(r, maxOutside))
	for lines.Scan() {
		m := statement.FindSubmatch(lines.Bytes())
		if m == nil {
			continue
		}
		name := string(m[1])
		if name == "" {
			abs, ok := s.absolute(string(m[2]), s.pkg)
			if !ok {
				continue
			}
			name = abs
			if sub, ok := f.mods.find(name + "." + string(m[3])); ok && len(m[3]) > 0 {
				d.to(sub, KindImport, "", true)
			}
		}
		if found, ok := f.mods.find(name); ok {
			d.to(found, KindImport, "", true)
		}
	}
	out := d.edges[:0]
	for _, edge := range d.edges {
		if edge.Cut == "" {
			edge.To = f.in.Tree.Real(edge.To)
			out = append(out, edge)
		}
	}
	return out
}
