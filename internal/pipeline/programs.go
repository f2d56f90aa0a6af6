package pipeline

import (
	"context"
	"path"
	"regexp"
	"slices"

	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// programFinder keeps what the project's own code starts: the system's shell,
// where it hands a command to one, and programs that it names. What
// dependencies could start is legion, and hardly any app has them do it.
type programFinder struct {
	t   *tree.Tree
	own func(tree.Entry) bool // whether a file is the project's
}

const kindProgram = "program" // of edges

// maxProgramSource bounds a source that is searched, in bytes.
const maxProgramSource = 16 << 20

var (
	usesShell = regexp.MustCompile(`\bshell\s*=\s*True\b|\bos\.(?:system|popen)\(|\bcreate_subprocess_shell\(|\bsubprocess\.get(?:status)?output\(`)
	// startsAny are ways to become or start a program whose name may be anywhere
	// in the file, and quoted is a string that begins like one.
	startsAny = regexp.MustCompile(`\bos\.(?:exec|spawn|posix_spawn)\w*\(|\bsubprocess\b|\bcreate_subprocess_`)
	quoted    = regexp.MustCompile(`["']([A-Za-z0-9][\w.+-]*)(?:["']| )`)
	starts    = regexp.MustCompile(`\b(?:run|Popen|call|check_call|check_output)\(\s*[\[(]\s*["']([\w.+-]+)["']|\bcreate_subprocess_exec\(\s*["']([\w.+-]+)["']|\b(?:shutil\.)?which\(\s*["']([\w.+-]+)["']|\bos\.(?:exec|spawn)[lv]p?e?\(\s*(?:os\.P_\w+,\s*)?["'](?:/usr/bin/|/bin/)?([\w.+-]+)["']`)
)

// Find implements [reach.Finder].
func (f programFinder) Find(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	if !f.own(e) || path.Ext(e.Path) != ".py" || !e.IsRegular() || e.Size > maxProgramSource {
		return nil, nil
	}
	text, err := e.ReadAll(maxProgramSource)
	if err != nil {
		return nil, err
	}
	var out []reach.Edge
	if usesShell.Match(text) {
		out = f.program(out, []string{"bin/sh"}, "runs commands in a shell")
	}
	for _, m := range starts.FindAllSubmatch(text, -1) {
		name := string(m[1]) + string(m[2]) + string(m[3]) + string(m[4]) // one of them matched
		n := len(out)
		if out = f.program(out, []string{"usr/local/bin/" + name, "usr/bin/" + name, "bin/" + name}, "starts "+name); len(out) == n {
			out = append(out, reach.Edge{Missing: name, Kind: kindProgram, Optional: true})
		}
	}
	if startsAny.Match(text) {
		out = f.scripts(out, text)
	}
	return out, nil
}

// scripts adds what distributions install as commands and the text names in
// any string: they are few, and their names are no common words.
func (f programFinder) scripts(out []reach.Edge, text []byte) []reach.Edge {
	for _, m := range quoted.FindAllSubmatch(text, -1) {
		p := "usr/local/bin/" + string(m[1])
		known := slices.ContainsFunc(out, func(e reach.Edge) bool { return e.To == p })
		if e, ok := f.t.Lookup(p); ok && e.From.Kind == tree.Dist && !known {
			out = append(out, reach.Edge{To: p, Kind: kindProgram, Note: "starts programs and names " + string(m[1])})
		}
	}
	return out
}

// program adds the first of the places where there is one.
func (f programFinder) program(out []reach.Edge, places []string, note string) []reach.Edge {
	for _, p := range places {
		if e, ok := f.t.Resolve(p); ok && e.IsRegular() {
			return append(out, reach.Edge{To: p, Kind: kindProgram, Note: note})
		}
	}
	return out
}
