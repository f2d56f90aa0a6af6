package base

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"exuvia/internal/cas"
	"exuvia/internal/tree"
)

// openTarball keys a tarball by its contents.
func openTarball(name string) (string, reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxBytes)); err != nil {
		return "", nil, err
	}
	return cas.Key(dirVersion, hex.EncodeToString(h.Sum(nil))), func(ctx context.Context, cache *cas.Store) (*tree.Tree, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readTarball(ctx, cache, f, tree.Origin{Kind: tree.BaseFile, Name: filepath.Base(name)})
	}, nil
}

// unpacked recognises a compression by its first bytes.
func unpacked(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, _ := br.Peek(6) // a shorter file is no archive, which tar will say
	nothing := func() {}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		return z, nothing, err
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(512<<20))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		z, err := xz.NewReader(br)
		return z, nothing, err
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzip2.NewReader(br), nothing, nil
	}
	return br, nothing, nil
}

// readTarball reads a tar archive into the cache. Entries that lead out of
// it, devices and the like are errors.
func readTarball(ctx context.Context, cache *cas.Store, r io.Reader, from tree.Origin) (*tree.Tree, error) {
	plain, done, err := unpacked(r)
	if err != nil {
		return nil, err
	}
	defer done()
	bounded := &io.LimitedReader{R: plain, N: maxBytes}
	tr := tar.NewReader(bounded)
	var entries []tree.Entry
	files := make(map[string]tree.Entry) // regular ones, for hard links to them
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) && bounded.N > 0 {
			break
		}
		switch {
		case bounded.N <= 0:
			return nil, fmt.Errorf("more than %d bytes", int64(maxBytes))
		case err != nil:
			return nil, err
		case len(entries) >= maxFiles:
			return nil, fmt.Errorf("more than %d files", maxFiles)
		}
		e, err := tarEntry(cache, tr, h, files, from)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
		if e.Path == "" {
			continue
		}
		if e.IsRegular() {
			files[e.Path] = e
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, errors.New("an empty archive")
	}
	return tree.New(entries...)
}

// tarEntry makes an entry of a member; one without a path is none.
func tarEntry(cache *cas.Store, r io.Reader, h *tar.Header, before map[string]tree.Entry, from tree.Origin) (tree.Entry, error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return tree.Entry{}, nil
	}
	name, err := memberPath(h.Name)
	if err != nil {
		return tree.Entry{}, err
	}
	perm := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return tree.Entry{}, nil
		}
		return tree.Dir(name, perm, from), nil
	case tar.TypeSymlink:
		return tree.Symlink(name, h.Linkname, from), nil
	case tar.TypeLink:
		target, err := memberPath(h.Linkname)
		if err != nil {
			return tree.Entry{}, err
		}
		e, ok := before[target]
		if !ok {
			return tree.Entry{}, fmt.Errorf("hard link to %q, which is no file before it", h.Linkname)
		}
		if e.Link == "" {
			e.Link = e.Path
		}
		e.Path = name
		return e, nil
	case tar.TypeReg:
		if sparse(h) {
			return tree.Entry{}, errors.New("a sparse file")
		}
		blob, err := cache.Put(r)
		return cache.Entry(name, perm, blob, from), err
	}
	return tree.Entry{}, fmt.Errorf("neither file, directory nor link (type %q)", h.Typeflag)
}

// sparse reports whether a file has holes, of which a small archive can hold
// any number of terabytes.
func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// memberPath is the path of a tar member below the root.
func memberPath(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if !fs.ValidPath(clean) || strings.ContainsAny(clean, "\x00\n") {
		return "", errors.New("its path leads out of the archive")
	}
	return clean, nil
}
