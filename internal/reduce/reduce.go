// Package reduce makes a tree smaller without changing what it does. Each
// pass is a file of its own; a pass gives a new tree and says where things
// went, so that reports and `exuvia why` can speak of original paths.
package reduce

import (
	"context"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Pass is one reduction.
type Pass struct {
	Name    string
	Short   string   // what becomes of files, in a line
	Doc     string   // one paragraph, for `exuvia passes` and the documents
	Options []string // names of the options that Run understands
	Run     func(ctx context.Context, in Input) (Output, error)
}

// Input is what a pass works on.
type Input struct {
	Tree    *tree.Tree
	Python  *python.Runtime
	Engine  engine.Engine
	Store   *cas.Store        // where passes keep what they made, so that only what changed is made again
	Systems Systems           // trees to run tools in
	Options map[string]string // from plan.Pass
}

// Systems are the trees in which passes run programs.
type Systems struct {
	Python *tree.Tree // the unreduced system with the app: what helper scripts run in
	Tools  *tree.Tree // binutils and patchelf
	UPX    *tree.Tree // upx 4.2 or newer and a shell; nil unless the plan has the pass upx
}

// Output is what a pass made.
type Output struct {
	Tree  *tree.Tree
	Moves []Move
	Notes []report.Note
	// Env is what the image's environment must have beside what the plan says,
	// "KEY=value" each.
	Env []string
	// Symbols are the symbols and debug information that were dropped, where
	// debuggers look for them: usr/lib/debug/.build-id/xx/yyyy.debug. They are
	// no part of the image. Nil is none.
	Symbols *tree.Tree
}

// Move says that what was From is now To, or is gone.
type Move struct {
	From   string `json:"from"`
	To     string `json:"to,omitempty"`     // "" is gone
	Member string `json:"member,omitempty"` // name inside To, where To is an archive
	Why    string `json:"why,omitempty"`    // for what is gone: "only type stubs"
}
