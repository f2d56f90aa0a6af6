package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"exuvia/internal/cas"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// harvest keeps what the step added below its Outs. What it wrote elsewhere
// is dropped with the sandbox.
func (e *Engine) harvest(ctx context.Context, b *box, s plan.Step) (*tree.Tree, error) {
	upper, err := b.openUpper()
	if err != nil {
		return nil, err
	}
	defer upper.Close()
	h := &harvest{upper: upper, old: b.tree, from: tree.Origin{Kind: tree.Made, Name: s.Name}}
	for _, out := range outermost(b.outs) {
		if err := h.under(out); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if err := h.keep(ctx, e.cache); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return tree.New(h.added...)
}

func (b *box) openUpper() (*os.Root, error) {
	if b.memory != nil {
		return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", b.memory.Fd()))
	}
	return os.OpenRoot(b.upper())
}

// outermost drops directories that lie in others of the list.
func outermost(dirs []string) []string {
	var out []string
	for _, d := range slices.Sorted(slices.Values(dirs)) { // a directory comes before what is in it
		if !slices.ContainsFunc(out, func(o string) bool { return d == o || strings.HasPrefix(d, o+"/") }) {
			out = append(out, d)
		}
	}
	return out
}

// harvest is what lies in the upper layer of an overlay, over the tree old.
type harvest struct {
	upper *os.Root
	old   *tree.Tree
	from  tree.Origin
	added []tree.Entry // regular files lack contents until keep
}

// under gathers what was added in out.
func (h *harvest) under(out string) error {
	if ok, err := h.leadsTo(out); !ok || err != nil {
		return err
	}
	return fs.WalkDir(h.upper.FS(), out, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		return h.see(p, fi)
	})
}

// leadsTo reports whether the upper layer has the directory out. That the
// step put something else in its place, or in the place of a directory above
// it, is an error.
func (h *harvest) leadsTo(out string) (bool, error) {
	for i, r := range out + "/" {
		if r != '/' {
			continue
		}
		dir := out[:i]
		fi, err := h.upper.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && whiteout(fi) && !h.existed(dir) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !fi.IsDir() {
			return false, fmt.Errorf("the step put a file in place of the directory /%s", dir)
		}
		if old, ok := h.old.Lookup(dir); ok {
			if err := h.sameDir(dir, fi, old); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

func (h *harvest) existed(p string) bool {
	_, ok := h.old.Lookup(p)
	return ok
}

// whiteout reports whether fi is how overlayfs notes a removal.
func whiteout(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && fi.Mode().Type() == fs.ModeDevice|fs.ModeCharDevice && st.Rdev == 0
}

// see takes one file of the upper layer for what it is. A new directory that
// cannot be read is made readable, so that the walk can go on.
func (h *harvest) see(p string, fi fs.FileInfo) error {
	old, existed := h.old.Lookup(p)
	switch {
	case whiteout(fi) && existed:
		return fmt.Errorf("the step removed /%s", p)
	case whiteout(fi):
		return nil // of a mount point
	case fi.IsDir() && existed:
		return h.sameDir(p, fi, old)
	case existed && old.Mode.Type() != fi.Mode().Type():
		return fmt.Errorf("the step changed /%s", p)
	}
	perm := fi.Mode().Perm()
	switch fi.Mode().Type() {
	case fs.ModeDir:
		if perm&0o700 != 0o700 {
			if err := h.upper.Chmod(p, 0o700); err != nil {
				return err
			}
		}
		h.added = append(h.added, tree.Dir(p, perm, h.from))
	case fs.ModeSymlink:
		target, err := h.upper.Readlink(p)
		if err != nil {
			return err
		}
		if existed && old.Link == target {
			return nil
		}
		if existed {
			return fmt.Errorf("the step changed /%s", p)
		}
		h.added = append(h.added, tree.Symlink(p, target, h.from))
	case 0:
		h.added = append(h.added, tree.Entry{Path: p, Mode: perm, From: h.from})
	default:
		return fmt.Errorf("the step left /%s, which is neither file, directory nor link (%s)", p, fi.Mode().Type())
	}
	return nil
}

// opaque is how overlayfs notes that a directory hides the one below it; with
// userxattr it is a user's attribute.
const opaque = "user.overlay.opaque"

// sameDir complains of a directory that is more than copied up to hold
// something new.
func (h *harvest) sameDir(p string, fi fs.FileInfo, old tree.Entry) error {
	if !old.IsDir() {
		return fmt.Errorf("the step put a directory in place of /%s", p)
	}
	if fi.Mode().Perm() != old.Mode.Perm()|0o700 { // as cas.Materialise has it
		return fmt.Errorf("the step changed the mode of /%s to %04o", p, fi.Mode().Perm())
	}
	dir, err := h.upper.Open(p)
	if err != nil {
		return err
	}
	defer dir.Close()
	if n, err := unix.Fgetxattr(int(dir.Fd()), opaque, make([]byte, 1)); err == nil && n > 0 {
		return fmt.Errorf("the step removed what was in /%s", p)
	}
	return nil
}

// keep puts the contents of the files into the store. A file that was there
// before and has the same contents and mode was only opened for writing.
func (h *harvest) keep(ctx context.Context, store *cas.Store) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, a := range h.added {
		if !a.IsRegular() {
			continue
		}
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			blob, err := h.put(store, a)
			if err != nil {
				return fmt.Errorf("keeping /%s: %w", a.Path, err)
			}
			h.added[i] = store.Entry(a.Path, a.Mode, blob, h.from)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var changed error
	h.added = slices.DeleteFunc(h.added, func(a tree.Entry) bool {
		old, existed := h.old.Lookup(a.Path)
		if existed && (a.Sum != old.Sum || a.Mode.Perm() != old.Mode.Perm()|0o400) && changed == nil {
			changed = fmt.Errorf("the step changed /%s", a.Path)
		}
		return existed
	})
	return changed
}

// put keeps one file of the upper layer, of whatever mode.
func (h *harvest) put(store *cas.Store, a tree.Entry) (cas.Blob, error) {
	if a.Mode.Perm()&0o400 == 0 {
		if err := h.upper.Chmod(a.Path, 0o600); err != nil {
			return cas.Blob{}, err
		}
	}
	f, err := h.upper.Open(a.Path)
	if err != nil {
		return cas.Blob{}, err
	}
	defer f.Close()
	return store.Put(f)
}
