package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// harvest keeps what the step added below its Outs. What it wrote elsewhere
// is dropped with the sandbox.
func (e *Engine) harvest(ctx context.Context, b *box, s plan.Step) (*tree.Tree, error) {
	root, err := os.OpenRoot(b.Upper)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	from := tree.Origin{Kind: tree.Made, Name: s.Name}
	var entries []tree.Entry
	var files []int // indices of regular files
	for _, out := range b.outs {
		err := fs.WalkDir(root.FS(), out, func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && p == out {
				return nil // nothing was added
			}
			if err != nil {
				return err
			}
			entry, err := b.added(root, p, d, from)
			if err != nil || entry.Path == "" {
				return err
			}
			if entry.IsRegular() {
				files = append(files, len(entries))
			}
			entries = append(entries, entry)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, i := range files {
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			blob, err := put(e.cache, root, entries[i].Path)
			entries[i] = e.cache.Entry(entries[i].Path, entries[i].Mode, blob, from)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("%s: keeping its output: %w", s.Name, err)
	}
	return tree.New(entries...)
}

// put keeps one file of the upper layer.
func put(store *cas.Store, root *os.Root, name string) (cas.Blob, error) {
	f, err := root.Open(name)
	if err != nil {
		return cas.Blob{}, err
	}
	defer f.Close()
	return store.Put(f)
}

// added makes an entry of what lies in the upper layer, without contents. It
// gives none for a directory that was there before.
func (b *box) added(root *os.Root, p string, d fs.DirEntry, from tree.Origin) (tree.Entry, error) {
	fi, err := d.Info()
	if err != nil {
		return tree.Entry{}, err
	}
	old, existed := b.tree.Lookup(p)
	if d.IsDir() {
		if existed && old.IsDir() {
			return tree.Entry{}, nil
		}
		if fi.Mode().Perm()&0o700 != 0o700 {
			if err := root.Chmod(p, 0o700); err != nil { // to be walked and removed
				return tree.Entry{}, err
			}
		}
		return tree.Dir(p, fi.Mode().Perm(), from), nil
	}
	switch t := fi.Mode().Type(); {
	case t&fs.ModeCharDevice != 0 && existed:
		return tree.Entry{}, fmt.Errorf("the step removed /%s", p)
	case existed:
		return tree.Entry{}, fmt.Errorf("the step changed /%s", p)
	case t == fs.ModeSymlink:
		target, err := root.Readlink(p)
		return tree.Symlink(p, target, from), err
	case t == 0:
		return tree.Entry{Path: p, Mode: fi.Mode().Perm(), From: from}, nil
	default:
		return tree.Entry{}, fmt.Errorf("the step left /%s, which is no file (%s)", p, t)
	}
}
