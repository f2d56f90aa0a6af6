package base

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// dirVersion enters the keys of what is read here; raise it when the same
// files give another tree.
const dirVersion = "1"

// Bounds of a directory or tarball.
const (
	maxFiles   = 500_000
	maxBytes   = 16 << 30
	maxLibc    = 64 << 20
	maxSysconf = 4 << 20
)

// Dir makes a base of a directory or a tarball (plain, gzip, zstd or xz) that
// holds a CPython. A whole system, with a C library of its own, stays as it
// is. Of anything else only the Python's prefix is taken, and put where it
// was made for: the path that its own build recorded, for scripts, libraries
// and sysconfig name it; a relocatable one (python-build-standalone) goes to
// /usr/local. /usr/bin/python3 and python lead to it. It then has no C
// library: see [Over].
//
// Everything belongs to root; other bits of the modes than the permissions
// are dropped. What holds no CPython is a fault of kind Base.
func Dir(ctx context.Context, cache *cas.Store, name string) (*Base, error) {
	key, read, err := opened(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Base, "name a directory or a tarball that holds a CPython", "there is no file or directory %s", name)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Base, "name a directory or a tarball that holds a CPython", "reading the base %s", name)
	}
	t, ok := cache.Tree("base-dir", key)
	if !ok {
		if t, err = read(ctx, cache); err == nil {
			t, err = cache.PutTree(ctx, "base-dir", key, t)
		}
		_, local := errors.AsType[*fs.PathError](err)
		if err != nil && (local || context.Cause(ctx) != nil) {
			return nil, fmt.Errorf("reading the base %s: %w", name, err)
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Base, "name a directory or a tarball that holds a CPython", "reading the base %s", name)
		}
	}
	b := &Base{Ref: name, Tree: t, Inputs: map[string]string{path.Base(filepath.ToSlash(name)): "sha256:" + t.Digest()}}
	if b.Libc, err = Libc(t); err != nil {
		return nil, err
	}
	return b, b.place(name)
}

// Over puts a base without a C library over a system that has one, such as
// debian:bookworm-bare. Where both have a file, b's is taken. A base with a C
// library is given back as it is.
func Over(b, under *Base) (*Base, error) {
	if b.Libc != "" {
		return b, nil
	}
	t, err := tree.Overlay(under.Tree, b.Tree)
	if err != nil {
		return nil, fault.Wrap(err, fault.Base, "name another system to put it on", "putting %s on %s", b.Ref, under.Ref)
	}
	// A prefix may be in somebody's home, and /root is closed to others.
	var open []tree.Entry
	for dir := path.Dir(b.Python); dir != "."; dir = path.Dir(dir) {
		if e, ok := t.Lookup(dir); ok && e.IsDir() && e.Mode.Perm()&0o011 != 0o011 {
			e.Mode |= 0o011
			open = append(open, e)
		}
	}
	if t, err = t.With(open...); err != nil {
		return nil, err
	}
	sum := *b
	sum.Tree, sum.Libc = t, under.Libc
	sum.Inputs = maps.Clone(under.Inputs)
	if sum.Inputs == nil {
		sum.Inputs = make(map[string]string)
	}
	maps.Copy(sum.Inputs, b.Inputs)
	return &sum, nil
}

// reader reads a tree into the cache.
type reader func(context.Context, *cas.Store) (*tree.Tree, error)

// opened says how to read name, and a key that changes when it does.
func opened(name string) (string, reader, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", nil, err
	}
	fi, err := os.Stat(name)
	switch {
	case err != nil:
		return "", nil, err
	case fi.IsDir():
		return openDir(name)
	case fi.Mode().IsRegular():
		return openTarball(name)
	}
	return "", nil, errors.New("neither a directory nor a file")
}

// openDir keys a directory by the names, sizes and times of its files, as
// make does, so that a warm run need not read them.
func openDir(name string) (string, reader, error) {
	type stamp struct {
		Path  string
		Mode  fs.FileMode
		Size  int64
		Mtime int64
	}
	var stamps []stamp
	err := filepath.WalkDir(name, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if len(stamps) > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		s := stamp{Path: p, Mode: fi.Mode()}
		if !fi.IsDir() {
			s.Size, s.Mtime = fi.Size(), fi.ModTime().UnixNano()
		}
		stamps = append(stamps, s)
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	return cas.Key(dirVersion, stamps), func(ctx context.Context, cache *cas.Store) (*tree.Tree, error) {
		return readDir(ctx, cache, name)
	}, nil
}

// readDir reads a directory. No link leads the reading out of it.
func readDir(ctx context.Context, cache *cas.Store, name string) (*tree.Tree, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var (
		entries []tree.Entry
		total   int64
	)
	from := tree.Origin{Kind: tree.BaseFile, Name: path.Base(filepath.ToSlash(name))}
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil || p == "." {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			entries = append(entries, tree.Dir(p, fi.Mode().Perm(), from))
		case d.Type() == fs.ModeSymlink:
			target, err := root.Readlink(p)
			if err != nil {
				return err
			}
			entries = append(entries, tree.Symlink(p, target, from))
		case fi.Mode().IsRegular():
			if total += fi.Size(); total > maxBytes {
				return fmt.Errorf("more than %d bytes", int64(maxBytes))
			}
			e, err := readFile(cache, root, p, fi, from)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		default:
			return fmt.Errorf("%s is neither file, directory nor link", p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tree.New(entries...)
}

func readFile(cache *cas.Store, root *os.Root, name string, fi fs.FileInfo, from tree.Origin) (tree.Entry, error) {
	f, err := root.Open(name)
	if err != nil {
		return tree.Entry{}, err
	}
	defer f.Close()
	blob, err := cache.Put(io.LimitReader(f, fi.Size()))
	return cache.Entry(name, fi.Mode().Perm(), blob, from), err
}

// place finds the Python and puts it where it belongs.
func (b *Base) place(name string) error {
	home, minor, ok := prefixOf(b.Tree)
	if !ok {
		if _, venv := b.Tree.Lookup("pyvenv.cfg"); venv {
			return fault.New(fault.Base, "name the Python that it was made from: the line \"home\" in pyvenv.cfg", "%s is a virtual environment", name)
		}
		return fault.New(fault.Base, "it needs bin/python3.X and lib/python3.X/os.py below one directory", "%s holds no CPython", name)
	}
	program := "bin/python3." + strconv.Itoa(minor)
	if b.Libc != "" {
		b.Python = path.Join(home, program)
		return b.link()
	}
	dest, err := destination(b.Tree, home, minor)
	if err != nil {
		return fault.Wrap(err, fault.Base, "name the directory that the Python was installed to", "placing the Python of %s", name)
	}
	prefix := home + "/"
	if home == "." {
		prefix = ""
	}
	move := func(p string) string { return path.Join(dest, strings.TrimPrefix(p, prefix)) }
	var entries []tree.Entry
	for e := range b.Tree.Filter(func(e tree.Entry) bool { return strings.HasPrefix(e.Path, prefix) }).All() {
		if !strings.HasPrefix(e.Path, prefix) { // a directory above the prefix
			continue
		}
		e.Path = move(e.Path)
		if e.IsRegular() && e.Link != "" {
			e.Link = move(e.Link)
		}
		entries = append(entries, e)
	}
	if b.Tree, err = tree.New(entries...); err != nil {
		return err
	}
	b.Python = path.Join(dest, program)
	return b.link()
}

// link adds the usual names of the interpreter where they are missing.
func (b *Base) link() error {
	from := tree.Origin{Kind: tree.Made, Name: "alternatives"}
	var add []tree.Entry
	for _, name := range []string{"usr/bin/python3", "usr/bin/python"} {
		if _, ok := b.Tree.Resolve(name); !ok {
			add = append(add, tree.Symlink(b.Tree.Real(name), "/"+b.Python, from))
		}
	}
	t, err := b.Tree.With(add...)
	if err == nil {
		b.Tree = t
	}
	return err
}

// prefixOf finds the prefix of a CPython: a directory with a program and the
// standard library of one version. Of several it takes the uppermost, and
// there what python3 is, else the newest.
func prefixOf(t *tree.Tree) (home string, minor int, ok bool) {
	type found struct {
		home  string
		minor int
		usual bool
	}
	var all []found
	for e := range t.All() {
		program, home, minor, ok := cpython(t, e.Path)
		if !ok {
			continue
		}
		f := found{home: home, minor: minor}
		usual, there := t.Resolve(path.Join(f.home, "bin/python3"))
		f.usual = there && usual.Path == program.Path
		all = append(all, f)
	}
	if len(all) == 0 {
		return "", 0, false
	}
	slices.SortFunc(all, func(a, b found) int {
		if a.home == b.home && a.usual != b.usual {
			if a.usual {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(strings.Count(a.home, "/"), strings.Count(b.home, "/")), cmp.Compare(a.home, b.home), b.minor-a.minor)
	})
	return all[0].home, all[0].minor, true
}

// recordedPrefix is in the Makefile variables that sysconfig reads.
var recordedPrefix = regexp.MustCompile(`'prefix': '(/[^'\n]*)'`)

// destination is where a prefix was made for, as a path in a tree.
func destination(t *tree.Tree, home string, minor int) (string, error) {
	lib := path.Join(home, "lib", fmt.Sprintf("python3.%d", minor))
	for _, e := range t.Children(lib) {
		if !e.IsRegular() || !strings.HasPrefix(path.Base(e.Path), "_sysconfigdata") || path.Ext(e.Path) != ".py" {
			continue
		}
		data, err := e.ReadAll(maxSysconf)
		if err != nil {
			return "", err
		}
		m := recordedPrefix.FindSubmatch(data)
		if m == nil {
			continue
		}
		dest := strings.TrimPrefix(path.Clean(string(m[1])), "/")
		switch {
		case dest == "install": // python-build-standalone, which runs anywhere
			return "usr/local", nil
		case dest == "" || !fs.ValidPath(dest):
			return "", fmt.Errorf("it was made for %q", m[1])
		}
		return dest, nil
	}
	return "", fmt.Errorf("no _sysconfigdata in %s says where it was made for", lib)
}
