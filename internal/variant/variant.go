// Package variant holds the ways to make an image of a project. A variant is
// a pure function from what is known to a plan; it runs nothing and reads
// nothing, so a plan can be printed before anything happens.
package variant

import (
	"context"
	"slices"
	"strings"

	"exuvia/internal/base"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// Variant is one way to make an image.
type Variant struct {
	Name  string
	Short string // one line, for lists
	Doc   string // paragraphs, for the documents
	// Base is what the image sits on unless the user says otherwise: "scratch",
	// or "-FLAVOUR" of the Debian suite that the project's system is of.
	Base string
	// Switches are the settings, by name, that mean something to it beside
	// those that all have: "strip", "upx", "optimize", "bytecode", "rpath".
	Switches []string
	Slow     bool // takes minutes, so that it is compared only when asked for
	Plan     func(ctx context.Context, in Input) (*plan.Plan, error)
}

// Input is all that a variant may decide on.
type Input struct {
	Project     *project.Project // with the settings of this image
	System      *base.Base       // has the Python; the app is installed on it
	Base        *base.Base       // what the image sits on
	Python      *python.Runtime
	App         *tree.Tree // what installing added to System
	Entrypoints [][]string // argv of each of Project.Entries in the unreduced app
	Roots       Roots
	Needs       plan.Needs
}

// Roots are where the analysis begins, by what asks for them.
type Roots struct {
	Contract []plan.Root // what any process may lean on, whatever it is written in
	Python   []plan.Root // the interpreter and what any Python process may lean on
	Own      []plan.Root // the project's own files, and what its settings keep
	Entries  []plan.Root // files of the entry points
}

// All are the roots of an image that has the interpreter.
func (r Roots) All() []plan.Root {
	return slices.Concat(r.Contract, r.Python, r.Own, r.Entries)
}

// Default is the variant of who names none.
const Default = "lean"

// All lists the variants by name.
func All() []Variant {
	return []Variant{Lean, Slim, Regular, PyInstaller, PyInstallerOneFile, CxFreeze, Nuitka, NuitkaOneFile, Cython, PyOxidizer, Shiv, Pex}
}

// Named finds a variant. An unknown name is a [fault.Usage] that lists all.
func Named(name string) (Variant, error) {
	var names []string
	for _, v := range All() {
		if v.Name == name {
			return v, nil
		}
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return Variant{}, fault.New(fault.Usage, "choose one of: "+strings.Join(names, ", "), "no variant is called %q", name)
}

// Flavour reads a Base such as "-slim": a flavour of the Debian suite that the
// project's system is of.
func Flavour(base string) (name string, ok bool) { return strings.CutPrefix(base, "-") }

// switches are the settings that not every variant knows, with their flags.
var switches = []struct {
	name  string
	set   func(project.Settings) bool
	unset func(*project.Settings)
}{
	{"strip", func(s project.Settings) bool { return s.Strip != nil }, func(s *project.Settings) { s.Strip = nil }},
	{"upx", func(s project.Settings) bool { return s.UPX != "" && s.UPX != "no" }, func(s *project.Settings) { s.UPX = "" }},
	{"optimize", func(s project.Settings) bool { return s.Optimize != 0 }, func(s *project.Settings) { s.Optimize = 0 }},
	{"bytecode", func(s project.Settings) bool { return s.Bytecode != "" }, func(s *project.Settings) { s.Bytecode = "" }},
	{"rpath", func(s project.Settings) bool { return s.RPath != nil }, func(s *project.Settings) { s.RPath = nil }},
	{"nuitka", func(s project.Settings) bool { return s.Nuitka != "" }, func(s *project.Settings) { s.Nuitka = "" }},
	{"cython", func(s project.Settings) bool { return s.Cython != "" }, func(s *project.Settings) { s.Cython = "" }},
}

// Known leaves out the settings that mean nothing to the variant.
func (v Variant) Known(s project.Settings) project.Settings {
	for _, w := range switches {
		if !slices.Contains(v.Switches, w.name) {
			w.unset(&s)
		}
	}
	return s
}

// Check refuses settings that mean nothing to the variant, with a
// [fault.Usage] that says to which they do.
func (v Variant) Check(s project.Settings) error {
	for _, w := range switches {
		if !w.set(s) || slices.Contains(v.Switches, w.name) {
			continue
		}
		var know []string
		for _, o := range All() {
			if slices.Contains(o.Switches, w.name) {
				know = append(know, o.Name)
			}
		}
		return fault.New(fault.Usage, "leave it out, or choose one of: "+strings.Join(know, ", "), "--%s means nothing to the variant %s", w.name, v.Name)
	}
	return nil
}
