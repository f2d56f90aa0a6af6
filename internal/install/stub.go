package install

import (
	"fmt"
	"path"
	"strings"

	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// Entrypoint is the argv of an entry point in the image, with the arguments
// that it always has.
func Entrypoint(e project.Entry, rt *python.Runtime) ([]string, error) {
	exe := "/app/" + e.Name
	if e.Kind == project.EntryScript {
		exe = "/" + path.Join(rt.Scripts, e.Name)
	}
	if e.Name == "" || strings.ContainsAny(e.Name, "/\x00") {
		return nil, fmt.Errorf("entry point %q has the name %q", e.Spec, e.Name)
	}
	return append([]string{exe}, e.Args...), nil
}

// stub is the executable of an entry point.
type stub struct {
	text string
	copy bool // it runs a file that no distribution installs
}

// stubFor writes the executable for a module or a function. Like a script
// beside the modules it makes its own directory the first of sys.path.
//
// A module runs as __main__, with its own spec: so a child that
// multiprocessing spawns finds it by name, in whatever form the image has it.
// argv stays as it is: --help shows the name of the executable.
func stubFor(e project.Entry, site *tree.Tree, rt *python.Runtime) stub {
	s := stub{copy: e.Path != "" && moduleFile(site, rt, e.Module) == ""}
	dir := "/app"
	if s.copy {
		dir = path.Join(dir, e.Dir)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#!/%s\n", rt.Exe)
	b.WriteString("import sys\n")
	fmt.Fprintf(&b, "if sys.path[:1] != [%[1]q]:\n    sys.path.insert(0, %[1]q)\n", dir)
	if e.Kind == project.EntryFunction {
		first, _, _ := strings.Cut(e.Func, ".")
		fmt.Fprintf(&b, "from %s import %s\nif __name__ == \"__main__\":\n    sys.exit(%s())\n", e.Module, first, e.Func)
	} else {
		// The name run_module is one that the analysis knows to import.
		fmt.Fprintf(&b, "from runpy import _run_module_as_main as run_module\nrun_module(%q, alter_argv=False)\n", runs(e, site, rt))
	}
	s.text = b.String()
	return s
}

// runs is the module that running e.Module starts: of a package, its __main__.
func runs(e project.Entry, site *tree.Tree, rt *python.Runtime) string {
	if path.Base(e.Path) == "__main__.py" && e.Module != "__main__" || strings.HasSuffix(moduleFile(site, rt, e.Module), "/__init__.py") {
		return e.Module + ".__main__"
	}
	return e.Module
}

// moduleFile finds the file of a module that a distribution has installed, ""
// where none has.
func moduleFile(site *tree.Tree, rt *python.Runtime, module string) string {
	p := path.Join(rt.Site, strings.ReplaceAll(module, ".", "/"))
	for _, file := range []string{p + ".py", p + "/__init__.py"} {
		if _, ok := site.Resolve(file); ok {
			return file
		}
	}
	return ""
}
