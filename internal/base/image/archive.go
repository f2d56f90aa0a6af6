package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
)

// Bounds of an archive. Docker writes a few files a layer.
const (
	maxBytes   = 64 << 30
	maxMembers = 100_000
	maxWindow  = 128 << 20 // zstd's level 22
)

const archiveHint = "name an archive that docker save or exuvia --output wrote"

// ociArchive finds an image in an OCI layout in a tar archive, written
// FILE[:TAG].
func (s *Images) ociArchive(ctx context.Context, w wanted, where string) (found, error) {
	a, tag, err := s.open(ctx, w, where)
	if err != nil {
		return found{}, err
	}
	img, err := w.inLayout(tag, a.file)
	if err != nil {
		a.Close()
		return found{}, err
	}
	return found{image: img, input: local("oci-archive", a.name), done: a.Close}, nil
}

// dockerArchive finds an image in what docker save wrote, written FILE[:REF].
func (s *Images) dockerArchive(ctx context.Context, w wanted, where string) (found, error) {
	a, ref, err := s.open(ctx, w, where)
	if err != nil {
		return found{}, err
	}
	f, err := s.saved(ctx, w, a, ref)
	if err != nil {
		a.Close()
		return found{}, err
	}
	f.input, f.done = local("docker-archive", a.name), a.Close
	return f, nil
}

// saved is an image in the manifest.json of an archive that docker save wrote.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// saved finds the image of a name, or the only one, in an archive of Docker's.
func (s *Images) saved(ctx context.Context, w wanted, a *archive, ref string) (found, error) {
	manifest, err := a.document("manifest.json")
	var list []saved
	if err == nil {
		err = json.Unmarshal(manifest, &list)
	}
	if err != nil {
		return found{}, fault.New(fault.Base, archiveHint, "%s is no archive of docker save: %s", w.ref, fault.Clip(err.Error()))
	}
	line, err := w.line(list, ref)
	if err != nil {
		return found{}, err
	}
	config, err := a.document(line.Config)
	if err != nil {
		return found{}, w.unreadable(err)
	}
	return s.imported(ctx, w, a, line, config)
}

// line chooses the image of a name in an archive of Docker's.
func (w wanted) line(list []saved, ref string) (saved, error) {
	var names []string
	for _, d := range list {
		names = append(names, d.RepoTags...)
		if ref != "" && slices.ContainsFunc(d.RepoTags, func(t string) bool { return sameTag(t, ref) }) {
			return d, nil
		}
	}
	switch {
	case ref != "":
		return saved{}, fault.New(fault.Base, "name one of "+listed(names), "%s: the archive has no such image", w.ref)
	case len(list) == 1:
		return list[0], nil
	case len(list) == 0:
		return saved{}, fault.New(fault.Base, archiveHint, "%s has no image", w.ref)
	}
	return saved{}, fault.New(fault.Base, "add one of these after a colon: "+listed(names), "%s has several images", w.ref)
}

// sameTag compares names as Docker completes them.
func sameTag(a, b string) bool {
	x, errX := name.NewTag(a)
	y, errY := name.NewTag(b)
	return errX == nil && errY == nil && x.Name() == y.Name()
}

// archive is a tar archive on disk, of whose members the places are known.
type archive struct {
	f       *os.File
	name    string
	members map[string]member
	temp    string // directory to be removed, or ""
}

type member struct{ offset, size int64 }

// Close frees the archive.
func (a *archive) Close() {
	if a.f != nil {
		a.f.Close()
	}
	if a.temp != "" {
		cas.RemoveAll(a.temp)
	}
}

// open opens the archive in FILE[:NAME] and gives the name too. One that is
// compressed is unpacked first.
func (s *Images) open(ctx context.Context, w wanted, where string) (*archive, string, error) {
	file, ref, err := split(where, fs.FileMode.IsRegular)
	if err != nil {
		return nil, "", fault.New(fault.Base, archiveHint, "there is no file for %s", w.ref)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fault.New(fault.Base, archiveHint, "opening %s: %s", w.ref, fault.Reason(err))
	}
	a := &archive{f: f, name: file}
	if err = a.unpack(ctx, s.o.Cache); err == nil {
		err = a.index(ctx)
	}
	if err != nil {
		a.Close()
		return nil, "", w.failed(ctx, err)
	}
	return a, ref, nil
}

// unpack undoes the compression of the whole archive, which its first bytes
// tell.
func (a *archive) unpack(ctx context.Context, cache *cas.Store) error {
	br := bufio.NewReader(a.f)
	head, _ := br.Peek(4) // a shorter file is no archive, which index will say
	var plain io.Reader
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return err
		}
		plain = z
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		defer z.Close()
		plain = z
	default:
		_, err := a.f.Seek(0, io.SeekStart)
		return err
	}
	return a.spill(ctx, cache, plain)
}

// spill writes r to a file of its own, and makes that the archive.
func (a *archive) spill(ctx context.Context, cache *cas.Store, r io.Reader) error {
	var err error
	if a.temp, err = cache.Temp("image"); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(a.temp, "image.tar"))
	if err != nil {
		return err
	}
	if old := a.f; old != nil {
		defer old.Close() // r reads from it
	}
	a.f = f
	n, err := io.Copy(f, io.LimitReader(&stopped{r, func() error { return context.Cause(ctx) }}, maxBytes+1))
	if err != nil {
		return err
	}
	if n > maxBytes {
		return fmt.Errorf("it has more than %d bytes", int64(maxBytes))
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// stopped stops reading when the context ends.
type stopped struct {
	r    io.Reader
	stop func() error
}

func (s *stopped) Read(p []byte) (int, error) {
	if err := s.stop(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// index notes where the members are. A link is noted as what it leads to.
func (a *archive) index(ctx context.Context) error {
	a.members = make(map[string]member)
	links := make(map[string]string)
	tr := tar.NewReader(a.f)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if len(a.members)+len(links) >= maxMembers {
			return fmt.Errorf("the archive has more than %d files", maxMembers)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := a.f.Seek(0, io.SeekCurrent) // the reader is not buffered
			if err != nil {
				return err
			}
			a.members[path.Clean(h.Name)] = member{at, h.Size}
		case tar.TypeSymlink:
			links[path.Clean(h.Name)] = path.Join(path.Dir(h.Name), h.Linkname) //nolint:gosec // a key of members, never a path on disk
		case tar.TypeLink:
			links[path.Clean(h.Name)] = path.Clean(h.Linkname)
		}
	}
	for from, to := range links { // Docker writes a layer that is there twice as a link
		if m, ok := a.members[to]; ok {
			if _, taken := a.members[from]; !taken {
				a.members[from] = m
			}
		}
	}
	return nil
}

// file opens a member.
func (a *archive) file(name string) (io.ReadCloser, error) {
	m, ok := a.members[path.Clean(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: fault.Clip(name), Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(a.f, m.offset, m.size)), nil
}

// document reads a small member.
func (a *archive) document(name string) ([]byte, error) {
	if m := a.members[path.Clean(name)]; m.size > maxDocument {
		return nil, fmt.Errorf("%s has more than %d bytes", fault.Clip(name), maxDocument)
	}
	f, err := a.file(name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// onDisk reports whether an error is one of this machine's disk.
func onDisk(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO)
}
