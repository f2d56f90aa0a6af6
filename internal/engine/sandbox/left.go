package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"exuvia/internal/engine"
)

// Of what a container leaves behind no more is looked at than this.
const (
	maxLeft      = 1000     // files and directories
	maxLeftBytes = 64 << 20 // of contents
	maxLeftDepth = 50       // of directories: to open one takes a step for each above it
)

// files lists what was left in the directories of Tmpfs, once no process is left
// that could change it; true if that is too much. What cannot be read, as it was
// made to be, is listed without contents.
func (b *box) files() ([]engine.File, bool) {
	l := left{files: maxLeft, bytes: maxLeftBytes}
	for _, m := range b.Mounts {
		l.mounts = append(l.mounts, "/"+m.At)
	}
	for _, at := range b.Tmpfs {
		l.mounts = append(l.mounts, "/"+at)
	}
	for _, at := range slices.Sorted(maps.Keys(b.left)) {
		root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", b.left[at].Fd()))
		if err == nil {
			err = l.under(root, ".", "/"+at)
			root.Close()
		}
		if errors.Is(err, errMuch) {
			return nil, true
		}
	}
	slices.SortFunc(l.found, func(a, b engine.File) int { return cmp.Compare(a.Path, b.Path) })
	return l.found, false
}

var errMuch = errors.New("there is more than is looked at")

// left is what was found so far, and what may still be.
type left struct {
	mounts []string // paths in the container; what is there was made for mounting
	found  []engine.File
	files  int
	bytes  int64
}

// under looks at all that is in a directory, called dir in root and at in the
// container.
func (l *left) under(root *os.Root, dir, at string) error {
	if strings.Count(at, "/") > maxLeftDepth {
		return errMuch
	}
	d, err := root.Open(dir)
	if err != nil {
		return nil //nolint:nilerr // it was made unreadable, by the mode that it has
	}
	names, err := d.Readdirnames(l.files + 1)
	d.Close()
	if l.files -= len(names); l.files < 0 {
		return errMuch
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, n := range names {
		if slices.Contains(l.mounts, path.Join(at, n)) {
			continue
		}
		if err := l.see(root, path.Join(dir, n), path.Join(at, n)); err != nil {
			return err
		}
	}
	return nil
}

func (l *left) see(root *os.Root, name, at string) error {
	fi, err := root.Lstat(name)
	if err != nil {
		return err
	}
	f := engine.File{Path: at, Mode: fi.Mode()}
	switch fi.Mode().Type() {
	case fs.ModeDir:
		return l.under(root, name, at)
	case fs.ModeSymlink:
		if f.Link, err = root.Readlink(name); err != nil {
			return err
		}
	case 0:
		f.Size = fi.Size()
		if l.bytes -= f.Size; l.bytes < 0 {
			return errMuch
		}
		f.Digest = digest(root, name, f.Size)
	}
	l.found = append(l.found, f)
	return nil
}

// digest gives the hash of a file, "" where it cannot be read.
func digest(root *os.Root, name string, size int64) string {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(f, size)); err != nil || n != size {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
