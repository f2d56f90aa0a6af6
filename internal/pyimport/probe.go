package pyimport

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/cas"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

//go:embed helper/probe.py
var probeHelper []byte

// probeLimit is how many seconds an extension module may take to be imported.
const probeLimit = 30

// probe is what importing an extension module in the sandbox did.
type probe struct {
	Files map[string]string `json:"files"` // modules it added to sys.modules, to their files ("" where they have none)
	Error string            `json:"error,omitempty"`
}

// unprobed takes from the cache what is known of extension modules and gives
// the others by name.
func (f *Finder) unprobed(files []tree.Entry) map[string]tree.Entry {
	names := make(map[string]tree.Entry)
	for _, e := range files {
		if _, done := f.probes[e.Path]; done {
			continue
		}
		var p probe
		name, _, _, _ := f.mods.name(e.Path)
		m, ok := f.mods.find(name)
		switch {
		case !ok || m.file != e.Path: // of several files for one name the interpreter takes one
			f.probes[e.Path] = probe{}
		case f.in.Cache.Lookup("pyprobe", f.probeKey(e), &p):
			f.probes[e.Path] = p
		default:
			names[name] = e
		}
	}
	return names
}

// probe imports extension modules in the sandbox.
func (f *Finder) probe(ctx context.Context, names map[string]tree.Entry) error {
	if len(names) == 0 {
		return nil
	}
	var list bytes.Buffer
	for _, dir := range f.in.Path {
		fmt.Fprintf(&list, "path /%s\n", dir)
	}
	fmt.Fprintf(&list, "limit %d\n", probeLimit)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !strings.ContainsAny(name, "\n\r") {
			fmt.Fprintf(&list, "module %s\n", name)
		}
	}
	answers, err := f.run(ctx, "importing extension modules", "probe.py", probeHelper, list.Bytes(), "-s")
	if err != nil {
		return fmt.Errorf("importing extension modules: %w", err)
	}
	var all map[string]probe
	if err := json.Unmarshal(answers[0], &all); err != nil {
		return fmt.Errorf("importing extension modules: %w", err)
	}
	for name, e := range names {
		p, ok := all[name]
		if !ok {
			p.Error = "the helper gave no answer"
		}
		f.probes[e.Path] = p
		if err := f.in.Cache.Record("pyprobe", f.probeKey(e), p); err != nil {
			return err
		}
	}
	return nil
}

// probeKey is what an import of an extension module depends on. It runs code
// of other distributions, but hardly of the project, whose files change all
// the time: they count only for the project's own extension modules.
func (f *Finder) probeKey(e tree.Entry) string {
	if f.install == "" {
		h := sha256.New()
		for e := range f.in.Tree.All() {
			if e.From.Kind != tree.Project {
				_, _ = io.WriteString(h, e.Path+"\x00"+e.Sum+e.Link+"\n")
			}
		}
		f.install = hex.EncodeToString(h.Sum(nil))
	}
	key := []any{e.Path, e.Sum, f.install, f.in.Path, string(probeHelper), python.Forked(tree.Origin{}).Sum}
	if e.From.Kind == tree.Project {
		key = append(key, f.in.Tree.Digest())
	}
	return cas.Key(key...)
}

// maxExtension bounds an extension module that is searched for names; the
// largest seen are some 500 MB and hold no more names in what follows.
const maxExtension = 128 << 20

// ofExtension decides on what importing an extension module did, and on the
// names of modules in it.
func (f *Finder) ofExtension(e tree.Entry) ([]reach.Edge, error) {
	s := f.sourceOf(e)
	s.main = false
	d := f.decide(s)
	d.parents()
	p := f.probes[e.Path]
	if p.Error != "" {
		f.note(e.Path, "cannot be imported by itself: "+p.Error)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		file := strings.TrimPrefix(path.Clean(p.Files[name]), "/")
		if r, ok := f.in.Tree.Lookup(f.in.Tree.Real(file)); ok && !r.IsDir() {
			d.to(module{name: name, file: r.Path}, KindLoads, "importing "+s.module+" loads "+name, false)
		}
	}
	if s.std { // the table knows them
		return d.edges, nil
	}
	data, err := f.head(e)
	if err != nil {
		return nil, err
	}
	eachDotted(data, func(name string) {
		if m, ok := f.mods.find(name); ok && m.file != "" {
			if _, dev := cut("", name); !dev {
				d.to(m, KindString, "named in it: "+name, true)
			}
		}
	})
	return d.edges, nil
}

func (f *Finder) head(e tree.Entry) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxExtension))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.Path, err)
	}
	return data, nil
}
