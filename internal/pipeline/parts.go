package pipeline

import (
	"path"
	"slices"
	"strings"

	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// partOf says what an entry is of.
func (b *build) partOf(e tree.Entry) report.PartName {
	rt := b.runtime
	switch {
	case e.From.Kind == tree.Made && slices.Contains(b.plan.Bundle, e.From.Name):
		return report.PartBundle
	case b.own(e), strings.HasPrefix(e.Path, "app/"):
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
