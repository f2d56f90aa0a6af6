package python

import (
	_ "embed"

	"exuvia/internal/tree"
)

//go:embed exuvia_forked.py
var forked []byte

// Forked gives the module exuvia_forked, for helper scripts that lie beside it:
// it does tasks in children of their own.
func Forked(from tree.Origin) tree.Entry { return tree.File("exuvia_forked.py", 0o644, forked, from) }
