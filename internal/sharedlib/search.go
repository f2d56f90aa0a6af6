// Package sharedlib finds the shared libraries that files need, by the rules
// of the dynamic loader (ld.so(8)): in a system that is to be reduced, where
// the loader has its cache, and in a finished image, where it has none. It
// also knows what the C library itself leans on without naming it.
package sharedlib

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/ldcache"
	"exuvia/internal/tree"
)

// maxFile bounds an ELF file, in bytes. The largest in wheels have some 2 GB.
const maxFile = 4 << 30

// inMemory is how large a file may be to be read in memory; larger ones go to
// a temporary file.
const inMemory = 64 << 20

// object is an ELF file of a tree.
type object struct {
	entry tree.Entry
	*elffile.File
	inherited []string // directories of the DT_RPATHs of those that load it
	damaged   error    // why no loader takes it; the rest is empty then
}

// libc is the soname of the GNU C library.
const libc = "libc.so.6"

// library matches the names that shared libraries have.
var library = regexp.MustCompile(`\.so(\.[0-9A-Za-z_.-]+)?$`)

// open reads e if it is an ELF file that a loader loads. It is nil for others.
// Its strings and symbols are not there, see read.
func open(e tree.Entry) (*object, error) {
	var found *object
	err := read(e, func(o *object) error {
		o.Forget()
		found = o
		return nil
	})
	return found, err
}

// read lets use look at e, if it is an ELF file that a loader loads.
func read(e tree.Entry, use func(*object) error) error {
	if !e.IsRegular() || e.Open == nil || e.Size < 64 || !library.MatchString(e.Path) && e.Mode&0o111 == 0 {
		return nil
	}
	if e.Size > maxFile {
		return fmt.Errorf("reading %s: %d bytes are more than the limit of %d", e.Path, e.Size, int64(maxFile))
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", e.Path, err)
	}
	if !elffile.IsELF(head) {
		return nil // a script, or a linker script under a library's name
	}
	at, done, err := spool(io.MultiReader(bytes.NewReader(head), r), e.Size)
	if err != nil {
		return fmt.Errorf("reading %s: %w", e.Path, err)
	}
	defer done()
	f, err := elffile.Read(at, e.Size)
	switch {
	case errors.Is(err, elffile.ErrClass):
		return nil // for another machine, as wheels bring some
	case errors.Is(err, elffile.ErrDamaged):
		return use(&object{entry: e, File: &elffile.File{}, damaged: err})
	case err != nil:
		return fmt.Errorf("reading %s: %w", e.Path, err)
	}
	if f.Type != elf.ET_DYN && f.Type != elf.ET_EXEC {
		return nil // an object file or a core: nothing loads it
	}
	return use(&object{entry: e, File: f})
}

// spool reads r, of size bytes, to its end and makes it readable at any place
// until done is called.
func spool(r io.Reader, size int64) (at io.ReaderAt, done func(), err error) {
	r = io.LimitReader(r, size+1)
	if size <= inMemory {
		data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
		if _, err := data.ReadFrom(r); err != nil {
			return nil, nil, err
		}
		if int64(data.Len()) != size {
			return nil, nil, errSize
		}
		return bytes.NewReader(data.Bytes()), func() {}, nil
	}
	f, err := os.CreateTemp("", "exuvia-elf-*")
	if err != nil {
		return nil, nil, err
	}
	done = func() { f.Close() }
	err = os.Remove(f.Name())
	if n, copied := io.Copy(f, r); err == nil {
		if err = copied; err == nil && n != size {
			err = errSize
		}
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}

// errSize says that a tree is wrong about a file.
var errSize = errors.New("the file has another size than its entry says")

// search is where a loader looks in a tree.
type search struct {
	t     *tree.Tree
	extra []string // directories of ld.so.conf, where the tree has a cache of them
	env   []string // directories of LD_LIBRARY_PATH
}

// find gives the entry that the loader takes for name, needed by from, with
// links followed, and the path that it was found under.
func (s search) find(from *object, name string) (e tree.Entry, at string, ok bool) {
	if strings.Contains(name, "/") {
		p := expand(name, from.entry.Path)
		e, ok = s.t.Resolve(p)
		return e, p, ok && e.IsRegular()
	}
	for _, dir := range s.dirs(from) {
		p := path.Join(dir, name)
		if e, ok := s.t.Resolve(p); ok && e.IsRegular() {
			return e, p, true
		}
	}
	return tree.Entry{}, "", false
}

// dirs lists where the loader looks for what from needs, in its order.
// LD_LIBRARY_PATH comes before a DT_RUNPATH and after a DT_RPATH.
func (s search) dirs(from *object) []string {
	first, second := from.own(), s.env
	if len(from.RunPath) > 0 {
		first, second = second, first
	}
	return slices.Concat(first, second, s.extra, ldcache.Builtin(from.Machine))
}

// own are the directories that from itself names, and those whose DT_RPATH it
// is under: that of whoever loads a library counts for it too, unless it has a
// DT_RUNPATH.
func (o *object) own() []string {
	names := o.RunPath
	if len(names) == 0 {
		names = o.RPath
	}
	var dirs []string
	for _, d := range names {
		dirs = append(dirs, expand(d, o.entry.Path))
	}
	if len(o.RunPath) == 0 {
		dirs = append(dirs, o.inherited...)
	}
	return dirs
}

// expand puts in what the loader puts into paths, and makes them the tree's.
func expand(p, file string) string {
	dir := path.Dir(file)
	for _, r := range [][2]string{{"$ORIGIN", "/" + dir}, {"${ORIGIN}", "/" + dir}, {"$LIB", "lib"}, {"${LIB}", "lib"}} {
		p = strings.ReplaceAll(p, r[0], r[1])
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}
