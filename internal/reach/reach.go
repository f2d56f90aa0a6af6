// Package reach finds what the roots of an image need, and the chain that
// says why. It knows graphs, not Python or ELF: finders do.
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

// Edge is one need. Exactly one of To and Missing is set.
type Edge struct {
	To       string `json:"to,omitempty"`      // path in the tree
	Missing  string `json:"missing,omitempty"` // what is needed and is not in the tree: a module, a soname
	Kind     string `json:"kind"`              // "import", "needed", "data", "metadata", …
	Note     string `json:"note,omitempty"`    // where: "app/main.py:12", or a reason
	Optional bool   `json:"optional,omitempty"`
}
