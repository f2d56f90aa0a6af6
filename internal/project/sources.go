package project

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// maxIncludes bounds the files that a requirements.txt may name.
const maxIncludes = 200

// sources gathers the files that state the dependencies, and those that a
// build backend asks for. Installing works on them also where .dockerignore keeps them out of the image.
func (d *detection) sources() (*tree.Tree, error) {
	var files []string
	for _, name := range []string{"pyproject.toml", "uv.toml", "setup.py", "setup.cfg", d.py.readme(), d.p.DependencyFile, d.p.ScriptFile} {
		if name = path.Clean(name); fs.ValidPath(name) && d.has(name) && (d.p.ScriptFile == "" || name == d.p.DependencyFile || name == d.p.ScriptFile) {
			files = append(files, name)
		}
	}
	if d.p.Form == Requirements {
		more, err := d.included(d.p.DependencyFile)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	slices.Sort(files)
	from := d.p.origin()
	var entries []tree.Entry
	for _, name := range slices.Compact(files) {
		e, err := d.keep(name, from)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	for e := range d.p.Files.All() { // members of a workspace, local dependencies
		if base := path.Base(e.Path); d.p.ScriptFile == "" && base == "pyproject.toml" && e.Path != base {
			entries = append(entries, e)
		}
	}
	return tree.New(entries...)
}

// observations gathers the files that the settings name as such.
func (d *detection) observations() (*tree.Tree, error) {
	var entries []tree.Entry
	for _, name := range unique(d.p.Settings.Observations) {
		if !fs.ValidPath(name) || !d.has(name) {
			return nil, fault.New(fault.Project, "make it with exuvia observe --output "+Clip(quote(name))+", or correct observations in [tool.exuvia]", "there is no file %s in the project", Clip(name))
		}
		e, err := d.keep(name, d.p.origin())
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return tree.New(entries...)
}

var include = regexp.MustCompile(`^(?:-r|-c|--requirement|--constraint)[ \t=]*(\S+)`)

// included lists the files that a requirements file names by -r and -c, and
// those that they name, in the order in which they come.
func (d *detection) included(start string) ([]string, error) {
	var out []string
	queue := []string{start}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		data, err := d.read(name)
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(data), "\n") {
			m := include.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			next := path.Join(path.Dir(name), m[1])
			switch {
			case strings.Contains(m[1], "://"):
				return nil, fault.New(fault.Project, "copy it into the project", "%s:%d: a requirements file elsewhere: %s", name, i+1, Clip(Redact(m[1])))
			case !fs.ValidPath(next) || path.IsAbs(m[1]):
				return nil, fault.New(fault.Project, "copy it into the project", "%s:%d: %s is outside the project", name, i+1, Clip(m[1]))
			case !d.has(next):
				return nil, fault.New(fault.Project, "add the file, or remove the line", "%s:%d: there is no file %s", name, i+1, next)
			case next == start || slices.Contains(out, next):
				continue
			case len(out) == maxIncludes:
				return nil, fault.New(fault.Project, "name fewer files", "%s names more than %d files", start, maxIncludes)
			}
			out = append(out, next)
			queue = append(queue, next)
		}
	}
	return out, nil
}

var userinfo = regexp.MustCompile(`//[^/@\s]*@`)

// Redact takes user and password out of a URL.
func Redact(s string) string { return userinfo.ReplaceAllString(s, "//") }
