package python

import (
	_ "embed"
	"slices"

	"exuvia/internal/tree"
)

//go:embed give_way.py
var giveWay []byte

// Sitecustomize gives a tree, to be first in PYTHONPATH, in which an interpreter
// finds a script that it runs when it starts. The script calls give_way(), for
// the app may have a sitecustomize of its own.
func Sitecustomize(name string, script []byte) (*tree.Tree, error) {
	return tree.New(tree.File("sitecustomize.py", 0o644, slices.Concat(giveWay, script), tree.Origin{Kind: tree.Made, Name: name}))
}
