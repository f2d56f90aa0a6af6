package variant

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

// compiled is what is decided for any tool that compiles.
type compiled struct {
	*frozen
	compiler
}

// compiler is what a tool that compiles is told beside freeze.json: the file
// compile.json.
type compiler struct {
	Sources map[string]string `json:"sources"` // module to compile → its file
	Mains   []string          `json:"mains"`   // modules that run as __main__
	All     bool              `json:"all"`     // dependencies are compiled too
	Own     []string          `json:"own"`     // modules of the project
}

// compile decides what there is to compile: the project's own modules, or all
// that are no standard library's. Code that is compiled cannot be run in
// another module than its own, so a module that an entry point runs becomes
// __main__ by itself.
func compile(in Input, all bool) (*compiled, error) {
	f, err := freeze(in)
	if err != nil {
		return nil, err
	}
	c := &compiled{frozen: f, compiler: compiler{Sources: map[string]string{}, Mains: []string{}, All: all, Own: []string{}}}
	files := moduleFiles(in, f.Path)
	for i := range c.launches {
		l := &c.launches[i]
		if l.Kind == string(project.EntryFunction) {
			continue
		}
		if path.Base(files[l.Module]) == "__init__.py" {
			l.Module += ".__main__"
		}
		c.Mains = append(c.Mains, l.Module)
	}
	for _, m := range c.Modules {
		e, ok := in.App.Lookup(files[m])
		own := ok && (e.From.Kind == tree.Project || e.From.Kind == tree.Dist && e.From.Name == in.Project.Name)
		if !ok || !own && !all || path.Ext(e.Path) != ".py" || keptSource(in, e.Path) {
			continue
		}
		c.Sources[m] = "/" + e.Path
		if own {
			c.Own = append(c.Own, m)
		}
	}
	return c, nil
}

// moduleFiles gives the files of the modules that the app needs: the first on
// sys.path, whose first directories are given.
func moduleFiles(in Input, first []string) map[string]string {
	dirs := append(append(slices.Clone(first), in.Python.Site), in.Python.Path...)
	out := make(map[string]string)
	for _, m := range in.Needs.Modules {
		for _, d := range dirs {
			if p := moduleFile(in, path.Join(strings.TrimPrefix(d, "/"), strings.ReplaceAll(m, ".", "/"))); p != "" {
				out[m] = p
				break
			}
		}
	}
	return out
}

// moduleFile gives the file of a module by its path without a suffix, "" where
// there is none.
func moduleFile(in Input, stem string) string {
	for _, s := range append(slices.Clone(in.Python.Suffixes), ".py") {
		for _, p := range []string{stem + "/__init__" + s, stem + s} {
			for _, t := range []*tree.Tree{in.App, in.System.Tree} {
				if e, ok := t.Resolve(p); ok && e.IsRegular() {
					return p
				}
			}
		}
	}
	return ""
}

// files are the scripts of the tool and what they read.
func (c *compiled) files(names ...string) ([]plan.File, error) {
	files, err := c.frozen.files(append(names, "compiling.py", "exuvia_main.py")...)
	if err != nil {
		return nil, err
	}
	settings, err := json.MarshalIndent(c.compiler, "", " ")
	if err != nil {
		return nil, err
	}
	launcher, err := c.launcher()
	if err != nil {
		return nil, err
	}
	for i := range files {
		if files[i].Path == "exuvia_launcher.py" {
			files[i].Text = launcher
		}
	}
	return append(files, plan.File{Path: "compile.json", Text: string(settings) + "\n"}), nil
}

// launcher is the main program of the executable.
func (c *compiled) launcher() (string, error) {
	text, err := tools.ReadFile("freezers/compiled_launcher.py")
	if err != nil {
		return "", err
	}
	entries, err := json.MarshalIndent(c.launches, "", "    ") // strings and lists are the same in Python
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("ENTRIES = %s\n\n%s", entries, text), nil
}
