package pyimport

import (
	"io"
	"path"
	"strings"

	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// textual are the endings of a project's files that may name modules: a
// logging configuration, a list of plugins.
var textual = map[string]bool{".ini": true, ".cfg": true, ".conf": true, ".toml": true, ".yaml": true, ".yml": true, ".json": true}

// maxText bounds a text that is searched.
const maxText = 1 << 20

// ofText finds dotted names of modules in a text of the project.
func (f *Finder) ofText(e tree.Entry) ([]reach.Edge, error) {
	if e.Size > maxText {
		return nil, nil
	}
	data, err := e.ReadAll(maxText)
	if err != nil {
		return nil, err
	}
	d := f.decide(file{Entry: e})
	eachDotted(data, func(name string) { d.named(name, KindString, "named in it: "+name, 2, true) })
	return d.edges, nil
}

// eachDotted calls found for every run of identifiers and single dots in
// data, of 5 to 200 bytes and with at least one dot.
func eachDotted(data []byte, found func(name string)) {
	begin, dots := -1, 0
	flush := func(end int) {
		if begin < 0 {
			return
		}
		run := strings.Trim(string(data[begin:end]), ".")
		if dots > 0 && len(run) >= 5 && len(run) <= maxName && strings.Contains(run, ".") && !strings.Contains(run, "..") {
			found(run)
		}
		begin, dots = -1, 0
	}
	for i, c := range data {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		switch {
		case letter, begin >= 0 && '0' <= c && c <= '9':
			if begin < 0 {
				begin = i
			}
		case c == '.' && begin >= 0:
			dots++
		default:
			flush(i)
		}
	}
	flush(len(data))
}

// shebang is the path of the Python that a script's first line names.
func (f *Finder) shebang(e tree.Entry) (string, bool) {
	if !e.IsRegular() || e.Open == nil || e.Mode&0o111 == 0 || e.Size < 4 {
		return "", false
	}
	head, err := first(e, 256)
	if err != nil || !strings.HasPrefix(head, "#!") {
		return "", false
	}
	line, _, _ := strings.Cut(head[2:], "\n")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return "", false
	}
	exe := strings.TrimPrefix(fields[0], "/")
	if path.Base(exe) == "env" && len(fields) > 1 {
		exe = "usr/bin/" + fields[len(fields)-1]
		if _, ok := f.in.Tree.Resolve(exe); !ok {
			exe = f.in.Python.Exe
		}
	}
	if !strings.HasPrefix(path.Base(exe), "python") {
		return "", false
	}
	_, ok := f.in.Tree.Resolve(exe)
	return exe, ok
}

// first reads the beginning of a file.
func first(e tree.Entry, n int64) (string, error) {
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, n))
	return string(b), err
}
