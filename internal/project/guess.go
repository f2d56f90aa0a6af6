package project

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/fault"
)

// conventional are the files that start a project by custom.
var conventional = []string{"main.py", "app.py", "__main__.py", "manage.py"}

var (
	guard  = regexp.MustCompile(`(?m)^if[ \t(]+(__name__[ \t]*==[ \t]*["']__main__["']|["']__main__["'][ \t]*==[ \t]*__name__)`)
	webApp = regexp.MustCompile(`(?m)^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(?:[\w.]+\.)?(FastAPI|Starlette|Litestar|Quart|BlackSheep|Robyn|Flask|Bottle|Falcon|App)\(`)
)

// wsgi are the frameworks of webApp that no ASGI server serves.
var wsgi = []string{"Flask", "Bottle"}

// maxChoices bounds a question.
const maxChoices = 8

// guess finds the entry point of a project that names none: the only one of
// [project.scripts], else the only file that is made to be run. It is a
// question where there are several, or none.
func (d *detection) guess() ([]string, error) {
	scripts := names(d.p.Scripts)
	switch {
	case len(scripts) == 1:
		return scripts, nil
	case slices.Contains(scripts, d.p.Name):
		return []string{d.p.Name}, nil
	case len(scripts) > 1:
		return nil, question(scripts)
	}
	files, servers, err := d.runnable()
	if err != nil {
		return nil, err
	}
	if len(files) == 1 && len(servers) == 0 {
		return files, nil
	}
	return nil, question(append(files, servers...))
}

func question(choices []string) error {
	choices = choices[:min(len(choices), maxChoices)]
	if len(choices) == 0 {
		return fault.New(fault.Project, `name one with --entry, or entry in [tool.exuvia]: "main.py", "pkg.mod:func", "uvicorn app.main:app"`, "no entry point found")
	}
	if len(choices) == 1 {
		return fault.New(fault.Project, fmt.Sprintf("name it with --entry, or entry in [tool.exuvia]: %q, or another", choices[0]), "no entry point found that starts by itself")
	}
	list := make([]string, len(choices))
	for i, c := range choices {
		list[i] = fmt.Sprintf("%q", c)
	}
	return fault.New(fault.Project, "choose with --entry (it may be repeated), or entry in [tool.exuvia]: "+strings.Join(list, ", "),
		"cannot tell which entry point is meant: %s", strings.Join(choices, ", "))
}

// topModules lists the Python files at the top of the project.
func (d *detection) topModules() []string {
	var out []string
	for _, e := range d.p.Files.Children(".") {
		if d.file(e.Path) && strings.HasSuffix(e.Path, ".py") {
			out = append(out, e.Path)
		}
	}
	return out
}

// runnable finds the files that start by themselves, and commands that would
// serve a web application which does not.
//
// Of conventional names, those with a main guard come before those without.
// Where there are none, files with a main guard count, then packages with a
// __main__.py, then every file there is.
func (d *detection) runnable() (files, servers []string, err error) {
	var custom, guarded, customGuarded []string
	top := d.topModules()
	for _, name := range top {
		isCustom := slices.Contains(conventional, name) && (!d.p.BuildSystem || name != "__main__.py")
		text, err := d.text(name)
		if err != nil {
			return nil, nil, err
		}
		has := guard.MatchString(text)
		app := server(strings.TrimSuffix(name, ".py"), text)
		switch {
		case has && isCustom:
			customGuarded = append(customGuarded, name)
		case has && name != "setup.py":
			guarded = append(guarded, name)
		case isCustom && app == "":
			custom = append(custom, name)
		case app != "":
			servers = append(servers, app)
		}
	}
	packages := d.mainPackages()
	for _, found := range [][]string{customGuarded, custom, guarded, packages} {
		if len(found) > 0 {
			return quoted(found), nil, nil
		}
	}
	if len(servers) > 0 {
		return nil, servers, nil
	}
	if servers, err = d.nestedServers(); err != nil || len(servers) > 0 {
		return nil, servers, err
	}
	return quoted(slices.DeleteFunc(top, func(name string) bool { return name == "setup.py" })), nil, nil
}

// quoted makes entry points of file names.
func quoted(files []string) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = quote(f)
	}
	return out
}

// mainPackages lists the top-level packages that `python -m` runs.
func (d *detection) mainPackages() []string {
	var out []string
	for e := range d.p.Files.All() {
		dir := path.Dir(e.Path)
		if path.Base(e.Path) == "__main__.py" && dir != "." && (path.Dir(dir) == "." || path.Dir(dir) == "src") && dotted.MatchString(path.Base(dir)) {
			out = append(out, path.Base(dir))
		}
	}
	return unique(out)
}

// nestedServers looks for web applications in packages.
func (d *detection) nestedServers() ([]string, error) {
	var out []string
	for e := range d.p.Files.All() {
		if !e.IsRegular() || !strings.HasSuffix(e.Path, ".py") || strings.Count(e.Path, "/") > 3 {
			continue
		}
		module := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(e.Path, "src/"), ".py"), "/__init__")
		if module = strings.ReplaceAll(module, "/", "."); !dotted.MatchString(module) {
			continue
		}
		text, err := d.text(e.Path)
		if err != nil {
			return nil, err
		}
		if s := server(module, text); s != "" {
			out = append(out, s)
		}
		if len(out) == maxChoices {
			break
		}
	}
	return out, nil
}

// server is the command that would serve the web application of a module, ""
// where it has none.
func server(module, text string) string {
	m := webApp.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	tool := "uvicorn"
	if slices.Contains(wsgi, m[2]) {
		tool = "gunicorn"
	}
	return tool + " " + module + ":" + m[1]
}

func (d *detection) text(name string) (string, error) {
	e, ok := d.p.Files.Resolve(name)
	if !ok || !e.IsRegular() || e.Size > maxText {
		return "", nil
	}
	data, err := e.ReadAll(maxText)
	return string(data), err
}
