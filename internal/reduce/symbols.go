package reduce

import (
	"context"

	"exuvia/internal/elffile"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// detached adds to out the symbols of the files that have another form in it,
// under the names that debuggers look for; ids are build ids by path. Files
// with one build id are one file for them.
func detached(ctx context.Context, in Input, out Output, files []rewriting, ids map[string]string) (Output, error) {
	note := func(e tree.Entry, why string) {
		out.Notes = append(out.Notes, report.Note{Where: "strip", Path: e.Path, Text: "its symbols are not kept: " + why})
	}
	var lost []rewriting
	var names []string
	seen := make(map[string]bool)
	for _, f := range files {
		e, name := f.entry, debugName(ids[f.entry.Path])
		switch now, ok := out.Tree.Lookup(e.Path); {
		case !ok || now.Sum == e.Sum || seen[name]:
		case name == "":
			note(e, "it has no build id to find them by")
		default:
			seen[name] = true
			names = append(names, name)
			lost = append(lost, rewriting{entry: e, tool: func(from, to string) []string { return []string{"objcopy", "--only-keep-debug", from, to} }})
		}
	}
	results, err := rewriter{pass: "strip", step: "keeping symbols", tools: in.Systems.Tools, accept: acceptSymbols}.derive(ctx, in, lost)
	if err != nil {
		return Output{}, err
	}
	var entries []tree.Entry
	for i, r := range results {
		if r.Why != "" {
			note(lost[i].entry, r.Why)
			continue
		}
		entries = append(entries, in.Store.Entry(names[i], 0o644, r.Blob, lost[i].entry.From))
	}
	out.Symbols, err = tree.New(entries...)
	return out, err
}

// derive makes of each file one that nothing loads.
func (w rewriter) derive(ctx context.Context, in Input, files []rewriting) ([]rewritten, error) {
	keys, missing, results := w.known(in, files)
	if len(missing) > 0 {
		made, err := w.tool(ctx, in, files, keys, missing)
		if err != nil {
			return nil, err
		}
		for _, i := range missing {
			r, err := w.judge(made, keys[i], files[i].entry)
			if err != nil {
				return nil, err
			}
			if err := in.Store.Record("rewritten", keys[i], r); err != nil {
				return nil, err
			}
			results[keys[i]] = r
		}
	}
	out := make([]rewritten, len(files))
	for i, key := range keys {
		out[i] = results[key]
	}
	return out, nil
}

// debugName is where debuggers look for what a file with a build id, in hex,
// lost: see "Debugging Information in Separate Files" in GDB's manual. It is
// "" for what no linker gives as an id.
func debugName(id string) string {
	if len(id) < 4 || len(id) > 128 {
		return ""
	}
	return "usr/lib/debug/.build-id/" + id[:2] + "/" + id[2:] + ".debug"
}

// acceptSymbols can only tell that there is a file: its segments are empty,
// and no loader ever reads it.
func acceptSymbols(_, symbols []byte) (why string, useless bool) {
	if !elffile.IsELF(symbols) {
		return "there is no ELF file", false
	}
	return "", false
}
