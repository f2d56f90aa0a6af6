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
	Base  string // what the image sits on unless the user says otherwise: "scratch"
	Plan  func(ctx context.Context, in Input) (*plan.Plan, error)
}

// Input is all that a variant may decide on.
type Input struct {
	Project     *project.Project
	System      *base.Base // has the Python; the app is installed on it
	Base        *base.Base // what the image sits on
	Python      *python.Runtime
	App         *tree.Tree  // what installing added to System
	Entrypoints [][]string  // argv of each of Project.Entries
	Roots       []plan.Root // entry points, the project's own files, the runtime contract
	Needs       plan.Needs
}

// Default is the variant of who names none.
const Default = "lean"

// All lists the variants by name.
func All() []Variant {
	return []Variant{Lean}
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
