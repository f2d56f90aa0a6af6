package observe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// The kinds of edges of this package.
const (
	KindObserved = "observed" // a run used it
	KindHealed   = "healed"   // an image without it behaved otherwise
)

// Finder says that an entry point needs what runs have used and what an image
// lacked. It only ever adds.
type Finder struct {
	entries []string // files of the entry points, all of which need it
	edges   []reach.Edge
}

// NewFinder makes a finder of an observation and of what images lacked. Modules
// gives the files of a module; what t does not have is passed over: it was of
// another Python, or of what tests bring with them.
func NewFinder(t *tree.Tree, entries []string, o Observation, lacks []report.Healed, modules func(name string) []string) *Finder {
	f := &Finder{entries: entries}
	if len(o.Runs) > 0 {
		note := o.Runs[0]
		if n := len(o.Runs) - 1; n > 0 {
			note = fmt.Sprintf("%s and %d more", note, n)
		}
		for _, m := range o.Modules {
			for _, p := range modules(m) {
				f.edges = append(f.edges, reach.Edge{To: p, Kind: KindObserved, Note: note})
			}
		}
		for _, name := range o.Files {
			if e, ok := t.Resolve(name); ok && !e.IsDir() {
				f.edges = append(f.edges, reach.Edge{To: name, Kind: KindObserved, Note: note})
			}
		}
	}
	for _, l := range lacks {
		if _, ok := t.Resolve(l.Path); ok && l.Setting == report.SettingKeep {
			f.edges = append(f.edges, reach.Edge{To: l.Path, Kind: KindHealed, Note: l.Why})
		}
	}
	return f
}

// Find implements [reach.Finder].
func (f *Finder) Find(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	if len(f.edges) == 0 || !slices.Contains(f.entries, e.Path) {
		return nil, nil
	}
	return f.edges, nil
}

// Pair is an image and the unreduced app, both of which did the same.
type Pair struct {
	Full, Image *Trace
	App         *tree.Tree                               // the unreduced app
	Beside      string                                   // where both had files of it that are no part of either
	Kept        func(path string) bool                   // the image was meant to have a file of it
	Modules     func(name string) []string               // files of a module
	Module      func(file string) (name string, ok bool) // that a file is
}

// Lacks gives what the image looked for in vain and the unreduced app has, in
// order of path. While is what both did, for the notes.
func (p Pair) Lacks(while string) []report.Healed {
	found := make(map[string]report.Healed)
	add := func(file, how string, source bool) {
		if _, ok := found[file]; ok || p.Kept(file) != source || p.lent(file) {
			return
		}
		l := p.healed(file, while+": "+how)
		if source {
			l.Setting, l.Value = report.SettingSource, "/"+file
		}
		found[file] = l
	}
	for name := range p.Image.Modules {
		for _, file := range p.Modules(name) {
			add(file, "import "+name, false)
		}
	}
	for name := range p.Full.Found {
		file, ok := inApp(p.App, name)
		if !ok {
			continue
		}
		how, ok := p.Image.lookedFor(name)
		if !ok {
			continue
		}
		add(file, how, false)
		if strings.HasSuffix(name, ".py") && p.Full.Opened[name] && p.Image.Missed[name] {
			add(file, "read its source", true)
		}
	}
	return byPath(found)
}

// Opened gives what the unreduced app opened and the image does not have, in
// order of path: where code lists what there is and takes what it finds, the
// image looked for nothing in vain.
func (p Pair) Opened(while string) []report.Healed {
	found := make(map[string]report.Healed)
	for name := range p.Full.Opened {
		if file, ok := inApp(p.App, name); ok && !p.Kept(file) && !p.lent(file) {
			found[file] = p.healed(file, while+": the unreduced app opened it")
		}
	}
	return byPath(found)
}

// lent reports whether the image had a file from beside, for what is no part of
// it.
func (p Pair) lent(file string) bool { return p.Image.Found[p.Beside+"/"+file] }

// healed is a file that is to be kept.
func (p Pair) healed(file, why string) report.Healed {
	l := report.Healed{Path: file, Setting: report.SettingKeep, Value: "/" + file, Why: why}
	if m, ok := p.Module(file); ok {
		l.Value = m
	}
	return l
}

func byPath(found map[string]report.Healed) []report.Healed {
	return slices.SortedFunc(maps.Values(found), func(a, b report.Healed) int { return strings.Compare(a.Path, b.Path) })
}

// lookedFor reports how the run came to lack a file: it asked for it or for a
// directory above it, which was not there, or listed the directory that it
// would be in.
func (u *Trace) lookedFor(name string) (string, bool) {
	for p, up := name, false; p != "/" && p != "."; p, up = parent(p), true {
		if u.Missed[p] {
			return "looked for " + p, true
		}
		if !up && u.Listed[parent(p)] {
			return "listed " + parent(p), true
		}
	}
	return "", false
}

func parent(p string) string {
	at := strings.LastIndexByte(p, '/')
	if at <= 0 {
		return "/"
	}
	return p[:at]
}
