package verify

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// scratch is a directory of the host for files that boots are given.
type scratch struct {
	dir  string
	root *os.Root
}

func newScratch(parent string) (*scratch, error) {
	dir, err := os.MkdirTemp(parent, "exuvia-verify-*")
	if err != nil {
		return nil, fmt.Errorf("making a directory for probes: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("making a directory for probes: %w", err)
	}
	return &scratch{dir, root}, nil
}

func (s *scratch) close() {
	s.root.Close()
	os.RemoveAll(s.dir)
}

// volumes puts files and directories of the project where boots can mount
// them. Files has the paths in the container and those in the project.
func (s *scratch) volumes(files map[string]string, from *tree.Tree) ([]engine.Volume, error) {
	const hint = "[tool.exuvia.probe] files has absolute paths in the container and, for each, a file of the project"
	var out []engine.Volume
	for i, at := range slices.Sorted(maps.Keys(files)) {
		name := path.Clean(files[at])
		e, ok := from.Resolve(name)
		if !ok || !fs.ValidPath(name) {
			return nil, fault.New(fault.Project, hint, "the probe's file %q is not among the project's files", files[at])
		}
		if !path.IsAbs(at) || path.Clean(at) == "/" {
			return nil, fault.New(fault.Project, hint, "the probe's path %q in the container is not absolute", at)
		}
		dir := "file" + strconv.Itoa(i)
		if err := s.copyTree(dir, from, e); err != nil {
			return nil, fmt.Errorf("writing the probe's file %s: %w", files[at], err)
		}
		out = append(out, engine.Volume{Host: filepath.Join(s.dir, dir), At: path.Clean(at), ReadOnly: true})
	}
	return out, nil
}

// copyTree writes e, or all that is below it, as name. Links are followed to
// files; everyone may read the copies, as the container's user has to.
func (s *scratch) copyTree(name string, t *tree.Tree, e tree.Entry) error {
	if !e.IsDir() {
		return s.copyFile(name, e)
	}
	if err := s.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	for c := range t.Under(e.Path) {
		rel := strings.TrimPrefix(strings.TrimPrefix(c.Path, e.Path), "/")
		if e.Path == "." {
			rel = c.Path
		}
		if rel == "" {
			continue
		}
		target, ok := t.Resolve(c.Path)
		var err error
		switch {
		case c.IsDir():
			err = s.root.Mkdir(path.Join(name, rel), 0o755)
		case ok && target.IsRegular():
			err = s.copyFile(path.Join(name, rel), target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scratch) copyFile(name string, e tree.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(0o644 | e.Mode.Perm()&0o111); err != nil { // whatever the umask
		return err
	}
	if _, err := io.Copy(f, io.LimitReader(r, e.Size)); err != nil {
		return err
	}
	return f.Close()
}

// input makes a file with the text, open for reading, to be someone's standard
// input; it has no name any more. The caller closes.
func (s *scratch) input(text string) (*os.File, error) {
	f, err := os.CreateTemp(s.dir, "input-*")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
