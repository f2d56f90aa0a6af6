package variant

import (
	_ "embed"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/project"
)

// The variants that put all of an app into one archive which the base's
// Python runs and unpacks below /tmp at its start.

// zipappStart is the module that the archive begins with, without its table
// of entry points.
//
//go:embed zipapp/start.py
var zipappStart string

// zipappModule is the name of that module.
const zipappModule = "_exuvia_start"

// Where the step that packs finds things, and where it gathers them.
const (
	zipappFiles = "/run/exuvia/files"
	zipappApp   = "/run/exuvia/app"
	zipappStage = "/tmp/stage"
)

// zipapp is the plan that these variants have in common: pack is the end of a
// shell script that makes archive of what was gathered.
func zipapp(in Input, name, lock string, packages []string, gather string, pack func(archive string) string) *plan.Plan {
	dir := "/opt/" + in.Project.Name
	archive := dir + "/" + in.Project.Name + ".pyz"
	script := []string{"mkdir -p " + zipappStage, gather}
	script = append(script, "export PYTHONPATH="+plan.ToolDir, pack(quote(archive)))
	p := &plan.Plan{
		Variant: name,
		Systems: []plan.ToolSystem{{Name: name, Packages: packages, Lock: lock}},
		Files:   []plan.File{{Path: zipappModule + ".py", Text: startText(in)}},
		Bundle:  []string{"packing with " + name},
		Roots:   zipappRoots(in),
		Finders: []string{"sharedlib"},
		Passes:  passes(plainPasses, withPycache(in.Project)),
	}
	for i, e := range in.Project.Entries {
		script = append(script, "ln -s "+quote(path.Base(archive))+" "+quote(dir+"/"+e.Name))
		p.Entrypoints = append(p.Entrypoints, append([]string{dir + "/" + e.Name}, in.Entrypoints[i][1:]...))
	}
	p.Replaced = replaced(in)
	p.Config = Config(in, p.Entrypoints[0])
	p.Steps = []plan.Step{{
		Name: p.Bundle[0], System: name, Outs: []string{dir},
		Args:   []string{"/bin/sh", "-euc", strings.Join(script, "\n")},
		Inputs: []plan.Mount{{Tree: plan.TreeFiles, At: zipappFiles}, {Tree: plan.TreeApp, At: zipappApp}},
	}}
	return p
}

// gatherOwn is the part of a script that copies the project's files, the
// start and the scripts that entry points name to dir.
func gatherOwn(in Input, dir string) string {
	lines := []string{"cp " + zipappFiles + "/* " + dir, "cp -r " + zipappApp + "/app " + dir + "/exuvia-app"}
	for _, e := range in.Project.Entries {
		if e.Kind != project.EntryScript {
			lines = append(lines, "rm "+quote(dir+"/exuvia-app/"+e.Name))
			continue
		}
		lines = append(lines, "mkdir -p "+dir+"/exuvia-bin", "cp "+quote(zipappApp+in.scriptPath(e))+" "+dir+"/exuvia-bin/")
	}
	return strings.Join(lines, "\n")
}

// scriptPath is where the unreduced app has a console script, absolute.
func (in Input) scriptPath(e project.Entry) string { return "/" + path.Join(in.Python.Scripts, e.Name) }

// startText is the module with which the archive begins.
func startText(in Input) string {
	type entry struct {
		Kind     project.EntryKind `json:"kind"`
		Argv0    string            `json:"argv0"`
		Dir      string            `json:"dir"`
		Module   string            `json:"module,omitempty"`
		Function string            `json:"function,omitempty"`
		Script   string            `json:"script,omitempty"`
	}
	var b strings.Builder
	b.WriteString("import importlib\nimport os\nimport runpy\nimport sys\n\nENTRIES = {\n")
	for i, e := range in.Project.Entries {
		row := entry{Kind: e.Kind, Argv0: in.Entrypoints[i][0], Dir: e.Dir, Module: e.Module, Function: e.Func}
		if e.Kind == project.EntryScript {
			row.Script = e.Name
		}
		b.WriteString("    " + pythonString(e.Name) + ": " + pythonString(row) + ",\n")
	}
	b.WriteString("}\n" + zipappStart)
	return b.String()
}

// unpacks is where an image unpacks itself: what the variable says, or
// otherwise.
func unpacks(c plan.Config, variable, otherwise string) []string {
	for _, kv := range slices.Backward(c.Env) {
		if dir, ok := strings.CutPrefix(kv, variable+"="); ok {
			return []string{dir}
		}
	}
	return []string{otherwise}
}

// pythonString writes strings, and structs of strings, as Python does: JSON's
// forms of these are Python's too.
func pythonString(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings are always written
	}
	return string(text)
}

// quote makes one word of a shell's command line.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// replaced are the app's files in /app that the archive stands for: Python's,
// and the starts of entry points. All others the app may open by their path.
func replaced(in Input) []string {
	starts := make(map[string]bool)
	for _, e := range in.Project.Entries {
		starts["app/"+e.Name] = e.Kind != project.EntryScript
	}
	var out []string
	for e := range in.App.All() {
		if !e.IsDir() && strings.HasPrefix(e.Path, "app/") && (starts[e.Path] || path.Ext(e.Path) == ".py") {
			out = append(out, e.Path)
		}
	}
	return out
}

// zipappRoots are /app, the contract, what the archive's extension modules and
// packages need of the system and, where the base has not the same, Python
// with its whole library.
func zipappRoots(in Input) []plan.Root {
	out := append([]plan.Root{}, in.Roots.Contract...)
	if _, ok := in.App.Lookup("app"); ok {
		out = append(out, plan.Root{Path: "app", Why: "the project's own files that are not Python's"})
	}
	inArchive := func(p string) bool {
		return p == "app" || strings.HasPrefix(p, "app/") || strings.HasPrefix(p, in.Python.Site+"/")
	}
	for _, r := range in.Roots.Own {
		if !inArchive(r.Path) {
			out = append(out, r)
		}
	}
	for _, list := range [][]string{in.Needs.Libraries, in.Needs.Data} {
		for _, p := range list {
			if !inArchive(p) {
				out = append(out, plan.Root{Path: p, Why: "the app needs it of the system"})
			}
		}
	}
	if hasPython(in) {
		return out
	}
	out = append(out, in.Roots.Python...)
	for e := range in.System.Tree.All() {
		if !e.IsDir() && strings.HasPrefix(e.Path, in.Python.Stdlib+"/") {
			out = append(out, plan.Root{Path: e.Path, Why: "the standard library of the Python that runs the archive"})
		}
	}
	return out
}

// withPycache is the project, whose loose modules have their bytecode beside
// them.
func withPycache(p *project.Project) *project.Project {
	own := *p
	own.Settings.Bytecode = "pycache"
	return &own
}
