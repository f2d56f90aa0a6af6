package project

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Bounds of what a project may bring along.
const (
	maxFiles = 200_000
	maxBytes = 16 << 30
	maxDepth = 100
)

// nonblock keeps opening a named pipe from waiting for its other end.
const nonblock = syscall.O_NONBLOCK

// walk gathers the files of a project.
type walk struct {
	d       *detection
	ignore  *patternmatcher.PatternMatcher // .dockerignore and [tool.exuvia] exclude
	include *patternmatcher.PatternMatcher // [tool.exuvia] include
	named   []string                       // its patterns
	from    tree.Origin
	entries []tree.Entry
	count   int
	bytes   int64
}

// files walks the project's directory. What is left out, and may be missed,
// becomes a note.
func (d *detection) files(ctx context.Context) (*tree.Tree, error) {
	w := &walk{d: d, from: d.p.origin()}
	var patterns []string
	if d.has(".dockerignore") {
		data, err := d.read(".dockerignore")
		if err != nil {
			return nil, err
		}
		if patterns, err = ignorefile.ReadAll(bytes.NewReader(data)); err != nil {
			return nil, fault.Wrap(err, fault.Project, "correct .dockerignore", "reading .dockerignore")
		}
	}
	var err error
	if w.ignore, err = patternmatcher.New(slices.Concat(patterns, d.p.Settings.Exclude, d.p.Settings.Observations)); err != nil {
		return nil, fault.Wrap(err, fault.Project, "correct .dockerignore, or exclude in [tool.exuvia]", "reading patterns of files to leave out")
	}
	w.named = d.p.Settings.Include
	if w.include, err = patternmatcher.New(w.named); err != nil {
		return nil, fault.Wrap(err, fault.Project, "correct include in [tool.exuvia]", "reading patterns of files to keep")
	}
	if err := w.dir(ctx, ".", nil, false); err != nil {
		return nil, err
	}
	t, err := tree.New(w.entries...)
	if err != nil {
		return nil, err
	}
	return d.withoutTests(t, w.included)
}

// dir walks one directory. Patterns are those of the .gitignore files of the
// directories above; ignored says that the directory itself is left out, and
// is looked into only for what is included by name.
func (w *walk) dir(ctx context.Context, dir string, patterns []gitignore.Pattern, ignored bool) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if strings.Count(dir, "/") > maxDepth {
		return fault.New(fault.Project, "leave it out by exclude in [tool.exuvia]", "%s is nested too deeply", dir)
	}
	list, err := fs.ReadDir(w.d.root.FS(), dir)
	if err != nil {
		return fault.Wrap(err, fault.Project, "make it readable, or leave it out by exclude in [tool.exuvia]", "reading the project")
	}
	own, err := w.gitignore(dir)
	if err != nil {
		return err
	}
	patterns = append(slices.Clip(patterns), own...)
	matcher := gitignore.NewMatcher(patterns)
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if !fs.ValidPath(name) {
			return fault.New(fault.Project, "rename it, or leave it out by exclude in [tool.exuvia]", "the name of %q in %s is not UTF-8", e.Name(), dir)
		}
		if w.never(name, e) {
			continue
		}
		out, err := w.ignore.MatchesOrParentMatches(name)
		if err != nil {
			return fault.Wrap(err, fault.Project, "correct .dockerignore, or exclude in [tool.exuvia]", "matching %s", name)
		}
		out = out || ignored || matcher.Match(strings.Split(name, "/"), e.IsDir()) || w.leftover(name, e)
		switch {
		case e.IsDir() && (!out || w.ignore.Exclusions() || w.mayInclude(name)):
			err = w.dir(ctx, name, patterns, out && !w.ignore.Exclusions() || ignored)
		case e.IsDir():
		case w.included(name):
			err = w.add(name, e)
		case out:
		case w.secret(name, e):
			w.d.note(name, `left out: it looks like a secret; --include `+name+` keeps it`)
		default:
			err = w.add(name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gitignore reads the directory's own patterns.
func (w *walk) gitignore(dir string) ([]gitignore.Pattern, error) {
	name := path.Join(dir, ".gitignore")
	if !w.d.has(name) {
		return nil, nil
	}
	data, err := w.d.read(name)
	if err != nil {
		return nil, err
	}
	var domain []string
	if dir != "." {
		domain = strings.Split(dir, "/")
	}
	var out []gitignore.Pattern
	for line := range strings.SplitSeq(string(data), "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		out = append(out, gitignore.ParsePattern(line, domain))
	}
	return out, nil
}

// included reports whether include of [tool.exuvia] names a file.
func (w *walk) included(name string) bool {
	if len(w.named) == 0 {
		return false
	}
	ok, err := w.include.MatchesOrParentMatches(name)
	return err == nil && ok // a pattern that cannot be matched was refused by New
}

// mayInclude reports whether include may name something below a directory:
// the part of a pattern before its first wildcard decides.
func (w *walk) mayInclude(dir string) bool {
	for _, p := range w.named {
		fixed := strings.TrimPrefix(path.Clean(p), "/")
		if i := strings.IndexAny(fixed, `*?[\`); i >= 0 {
			fixed = fixed[:i]
		}
		if strings.HasPrefix(dir+"/", fixed) || strings.HasPrefix(fixed+"/", dir+"/") {
			return true
		}
	}
	return false
}

// add keeps one file or link.
func (w *walk) add(name string, e fs.DirEntry) error {
	if w.count++; w.count > maxFiles {
		return fault.New(fault.Project, "leave some out by .dockerignore or exclude in [tool.exuvia]", "the project has more than %d files", maxFiles)
	}
	switch e.Type() {
	case fs.ModeSymlink:
		link, err := w.d.link(name)
		if err != nil {
			return err
		}
		w.entries = append(w.entries, tree.Symlink(name, link, w.from))
		return nil
	case 0:
		file, err := w.d.keep(name, w.from)
		if err != nil {
			return err
		}
		if w.bytes += file.Size; w.bytes > maxBytes {
			return fault.New(fault.Project, "leave some out by .dockerignore or exclude in [tool.exuvia]", "the project has more than %d bytes of files", int64(maxBytes))
		}
		w.entries = append(w.entries, file)
		return nil
	}
	return fault.New(fault.Project, "remove it, or leave it out by exclude in [tool.exuvia]", "%s is neither file, directory nor link (%s)", name, e.Type())
}

// link reads a symbolic link that has to stay in the project.
func (d *detection) link(name string) (string, error) {
	target, err := d.root.Readlink(name)
	if err != nil {
		return "", err
	}
	leaves := path.IsAbs(target) || !fs.ValidPath(path.Join(path.Dir(name), target))
	if !leaves {
		_, err := d.root.Stat(name) // follows links of links
		leaves = err != nil && !errors.Is(err, fs.ErrNotExist)
	}
	if leaves {
		return "", fault.New(fault.Project, "copy what it points to into the project, or leave it out by exclude in [tool.exuvia]", "the link %s leaves the project: %s", name, Clip(target))
	}
	return target, nil
}

// keep puts a file's contents into the cache. Its mode is 0755 if its owner
// may execute it, else 0644, so that a umask does not show.
func (d *detection) keep(name string, from tree.Origin) (tree.Entry, error) {
	unreadable := func(err error) error {
		return fault.Wrap(err, fault.Project, "make it readable, or leave it out by exclude in [tool.exuvia]", "reading the project")
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return tree.Entry{}, unreadable(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return tree.Entry{}, unreadable(err)
	}
	if !fi.Mode().IsRegular() {
		return tree.Entry{}, fault.New(fault.Project, "remove it, or leave it out by exclude in [tool.exuvia]", "%s is no regular file (%s)", name, fi.Mode())
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxBytes))
	if err != nil {
		return tree.Entry{}, unreadable(err)
	}
	b := cas.Blob{Sum: hex.EncodeToString(h.Sum(nil)), Size: n}
	if !d.o.Cache.Has(b) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return tree.Entry{}, unreadable(err)
		}
		if b, err = d.o.Cache.Put(io.LimitReader(f, maxBytes)); err != nil {
			return tree.Entry{}, fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	perm := fs.FileMode(0o644)
	if fi.Mode()&0o100 != 0 {
		perm = 0o755
	}
	return d.o.Cache.Entry(name, perm, b, from), nil
}

// keepAll is a tree of files by name.
func (d *detection) keepAll(ctx context.Context, from tree.Origin, files ...string) (*tree.Tree, error) {
	var entries []tree.Entry
	for _, name := range files {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		e, err := d.keep(name, from)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return tree.New(entries...)
}

func (d *detection) note(name, text string) {
	d.p.Notes = append(d.p.Notes, report.Note{Where: "project", Path: name, Text: text})
}
