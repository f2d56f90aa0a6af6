// Package reach finds what the roots of an image need, and the chain that
// says why. It knows graphs, not Python or ELF: finders do. What it found is
// a [Graph], which answers why a file is in and why another one is out, also
// long after the build, from its JSON form.
package reach

import (
	"context"

	"exuvia/internal/tree"
)

// Finder says what one file needs. A finder is built with the tree, may run
// its helper once at that time, and answers from memory. Walk asks every
// finder about every file that is reached, once.
//
// Find returns an error only when the answer would be wrong or incomplete,
// not for a file that it has nothing to say about.
type Finder interface {
	Find(ctx context.Context, e tree.Entry) ([]Edge, error)
}

// Preparer is a [Finder] that works faster on many files at a time. Walk
// hands it every level of the graph before it asks about the level's entries.
type Preparer interface {
	Prepare(ctx context.Context, level []tree.Entry) error
}

// Outsider is a [Finder] that can say roughly, and cheaply, what a file that
// was not reached would need. Only [Graph.WhyNot] leans on it.
type Outsider interface {
	Outside(ctx context.Context, e tree.Entry) []Edge
}

// Edge is one need. Exactly one of To and Missing is set.
type Edge struct {
	To       string `json:"to,omitempty"`      // path in the tree; a directory stands for all that is below it
	Missing  string `json:"missing,omitempty"` // what is needed and is not in the tree: a module, a soname
	Kind     string `json:"kind"`              // "import", "needed", "data", "metadata", …
	Note     string `json:"note,omitempty"`    // where: "app/main.py:12", or a reason
	Optional bool   `json:"optional,omitempty"`
	// Cut says why the need does not count: the edge is recorded and not
	// followed.
	Cut string `json:"cut,omitempty"`
}
