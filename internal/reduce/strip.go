package reduce

import (
	"bytes"
	"context"

	"exuvia/internal/elffile"
	"exuvia/internal/tree"
)

// Strip drops symbol tables and debug information.
var Strip = Pass{
	Name:  "strip",
	Short: "symbols and debug information of ELF files go",
	Doc: `Drops the symbol tables and debug information of ELF files, which no loader
reads; build ids stay. What a file has in memory must be the same as before, and
it must load as before, in the unreduced system: stripping a library that
patchelf has rewritten can damage it. One that fails stays as it was, and the
report says so. A program that carries an archive in its own file stays, too.
With the option symbols=true what is dropped of files that have a build id is
kept beside the image, for debuggers.`,
	Options: []string{"symbols"},
	Run:     runStrip,
}

func runStrip(ctx context.Context, in Input) (Output, error) {
	keep, err := onOff("strip", "symbols", in.Options)
	if err != nil {
		return Output{}, err
	}
	var files []rewriting
	ids := make(map[string]string) // build ids by path
	notes, err := objects(in, "strip", func(e tree.Entry, f *elffile.File) {
		if !f.Symbols || f.CarriesData() { // a program with an archive in it would lose it
			return
		}
		how := "--strip-unneeded"
		if program(f) {
			how = "--strip-all"
		}
		ids[e.Path] = f.BuildID
		files = append(files, rewriting{entry: e, tool: func(from, to string) []string { return []string{"strip", how, "-o", to, from} }})
	})
	if err != nil {
		return Output{}, err
	}
	out, err := rewriter{pass: "strip", step: "stripping", tools: in.Systems.Tools, accept: acceptStripped}.run(ctx, in, files)
	out.Notes = append(notes, out.Notes...)
	if err != nil || !keep {
		return out, err
	}
	return detached(ctx, in, out, files, ids)
}

func acceptStripped(old, stripped []byte) (why string, useless bool) {
	if err := sameMemory(old, stripped); err != nil {
		return err.Error(), false
	}
	return "", len(stripped) >= len(old)
}

// sameMemory compares what two ELF files have in memory when they are mapped.
// The tool's file is as hostile as what it was made of.
func sameMemory(a, b []byte) error {
	old, err := elffile.Read(bytes.NewReader(a), int64(len(a)))
	if err != nil {
		return err
	}
	made, err := elffile.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	return elffile.SameImage(old, made)
}
