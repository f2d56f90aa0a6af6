package pipeline

import (
	"path"
	"slices"
	"strings"

	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// partNames are the parts in the order in which they are shown.
var partNames = []report.PartName{
	report.PartInterpreter, report.PartStdlib, report.PartDependencies, report.PartApp, report.PartSystem, report.PartBundle,
}

// parts says what the image's bytes are of. A file that a layer has over one
// of the base counts twice, as it does in the image.
func (b *build) parts() []report.Part {
	sizes := make(map[report.PartName]int64)
	for _, t := range []*tree.Tree{b.base.Tree, b.lean} {
		for e := range t.All() {
			if e.IsDir() || e.IsRegular() && e.Link != "" {
				continue
			}
			size := e.Size
			if e.IsSymlink() {
				size = int64(len(e.Link))
			}
			sizes[b.partOf(e)] += size
		}
	}
	var out []report.Part
	for _, n := range partNames {
		if sizes[n] > 0 {
			out = append(out, report.Part{Name: n, Size: sizes[n]})
		}
	}
	return out
}

func (b *build) partOf(e tree.Entry) report.PartName {
	rt := b.runtime
	switch {
	case e.From.Kind == tree.Made && slices.Contains(b.plan.Bundle, e.From.Name):
		return report.PartBundle
	case e.From.Kind == tree.Project, e.From.Kind == tree.Dist && e.From.Name == b.project.Name, strings.HasPrefix(e.Path, "app/"):
		return report.PartApp
	case e.From.Kind == tree.Dist:
		return report.PartDependencies
	case e.Path == rt.Exe, path.Dir(e.Path) == path.Dir(rt.Exe) && strings.HasPrefix(path.Base(e.Path), "python"), strings.HasPrefix(path.Base(e.Path), "libpython"):
		return report.PartInterpreter
	case strings.HasPrefix(e.Path, rt.Stdlib+"/"), e.Path == "usr/lib/exuvia/system.pya":
		return report.PartStdlib
	}
	return report.PartSystem
}
