package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/ulikunitz/xz"

	"exuvia/internal/cas"
)

// maxIndex bounds an unpacked package index; sid's has 65 MB.
const maxIndex = 512 << 20

// indexFields are the fields of a package index that are kept, in their order
// in the compact form: one line a package, the fields between tabs.
var indexFields = []string{
	"Package", "Version", "Architecture", "Essential", "Filename", "Size", "SHA256", "Provides", "Pre-Depends", "Depends", "Conflicts", "Breaks",
	"Priority",
}

// Their places.
const (
	fPackage = iota
	fVersion
	fArchitecture
	fEssential
	fFilename
	fSize
	fSHA256
	fProvides
	fPreDepends
	fDepends
	fConflicts
	fBreaks
	fPriority
	fCount
)

// pkg is a package that a suite has.
type pkg struct {
	Name, Version, Arch string
	Essential           bool
	Priority            int    // 0 is required, then important, standard, optional and the rest
	File                string // below the archive's address
	Blob                cas.Blob
	Provides, Depends   string // as in the index; Depends includes Pre-Depends
	Conflicts           string // includes Breaks
	From                *repo
}

// compact reads a package index and writes its compact form.
func compact(r io.Reader, w *bytes.Buffer) error {
	var (
		row  [fCount][]byte
		at   = -1
		rows int
	)
	err := scan(r, false, func(l line) error {
		switch {
		case l.Name == nil:
			if len(row[fPackage]) == 0 || len(row[fVersion]) == 0 || len(row[fFilename]) == 0 {
				return errors.New("a paragraph without name, version or file")
			}
			for i := range row {
				if i > 0 {
					w.WriteByte('\t')
				}
				w.Write(bytes.ReplaceAll(row[i], []byte("\t"), []byte(" ")))
				row[i] = row[i][:0]
			}
			w.WriteByte('\n')
			rows++
		case !l.More:
			if at = fieldIndex(l.Name); at >= 0 {
				row[at] = append(row[at][:0], l.Value...)
			}
		case at >= 0:
			row[at] = append(append(row[at], ' '), l.Value...)
		}
		return nil
	})
	if err == nil && bytes.ContainsRune(w.Bytes(), 0) {
		err = errors.New("a NUL in the index")
	}
	return err
}

func fieldIndex(name []byte) int {
	for i, f := range indexFields {
		if len(f) == len(name) && string(name) == f {
			return i
		}
	}
	return -1
}

// parseRow reads one line of the compact form.
func parseRow(row string, from *repo) (*pkg, error) {
	f := strings.Split(row, "\t")
	if len(f) != fCount {
		return nil, fmt.Errorf("index line with %d fields", len(f))
	}
	size, err := strconv.ParseInt(f[fSize], 10, 64)
	name := f[fPackage]
	switch {
	case err != nil || size <= 0 || size > maxDeb:
		return nil, fmt.Errorf("package %s: its size is %q", name, f[fSize])
	case !isSum(f[fSHA256]):
		return nil, fmt.Errorf("package %s: its SHA-256 is %q", name, f[fSHA256])
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "":
		return nil, fmt.Errorf("package %q: not a name", name)
	case path.Clean("/"+f[fFilename]) != "/"+f[fFilename]:
		return nil, fmt.Errorf("package %s: its file is %q", name, f[fFilename])
	}
	return &pkg{
		Name: name, Version: f[fVersion], Arch: f[fArchitecture], Essential: f[fEssential] == "yes", Priority: rank(f[fPriority]),
		File: f[fFilename], Blob: cas.Blob{Sum: f[fSHA256], Size: size},
		Provides: f[fProvides], Depends: join(f[fPreDepends], f[fDepends]), Conflicts: join(f[fConflicts], f[fBreaks]), From: from,
	}, nil
}

// rank orders priorities.
func rank(priority string) int {
	order := []string{"required", "important", "standard", "optional"}
	if i := slices.Index(order, priority); i >= 0 {
		return i
	}
	return len(order)
}

// join unites two relation fields.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// universe is all that the indices of a suite offer. Rows are parsed when
// they are asked for; most never are.
type universe struct {
	rows      map[string][]row // by package name
	providers map[string][]row // by the names in Provides
	essential []row
}

type row struct {
	text string
	from *repo
}

// add takes an index in compact form.
func (u *universe) add(index string, from *repo) {
	for text := range strings.Lines(index) {
		text = strings.TrimSuffix(text, "\n")
		name, rest, _ := strings.Cut(text, "\t")
		r := row{text, from}
		u.rows[name] = append(u.rows[name], r)
		for range fEssential - fVersion {
			_, rest, _ = strings.Cut(rest, "\t")
		}
		if strings.HasPrefix(rest, "yes\t") {
			u.essential = append(u.essential, r)
		}
		for range fProvides - fEssential {
			_, rest, _ = strings.Cut(rest, "\t")
		}
		provides, _, _ := strings.Cut(rest, "\t")
		for p := range strings.SplitSeq(provides, ",") {
			virtual, _, _ := strings.Cut(strings.TrimSpace(p), " ")
			virtual, _, _ = strings.Cut(virtual, "(")
			if virtual != "" {
				u.providers[virtual] = append(u.providers[virtual], r)
			}
		}
	}
}

// indexKey is the key of the compact form of an index.
func indexKey(b cas.Blob) string { return cas.Key(assembly, indexFields, b.Sum) }

// knownIndex gives the compact form of an index that was read before.
func knownIndex(cache *cas.Store, b cas.Blob) (string, bool) {
	var kept cas.Blob
	if !cache.Lookup("debian-index", indexKey(b), &kept) {
		return "", false
	}
	text, err := readBlob(cache, kept, maxIndex)
	return string(text), err == nil
}

// makeIndex reads a package index in the cache and keeps its compact form.
func makeIndex(cache *cas.Store, name string, b cas.Blob) (string, error) {
	r, err := cache.Open(b.Sum)
	if err != nil {
		return "", err
	}
	defer r.Close()
	plain, err := decompress(r, path.Ext(name))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	out.Grow(int(min(3*b.Size, 64<<20)))
	bounded := &io.LimitedReader{R: plain, N: maxIndex}
	if err := compact(bounded, &out); err != nil {
		return "", err
	}
	if bounded.N <= 0 {
		return "", fmt.Errorf("more than %d bytes", maxIndex)
	}
	kept, err := cache.Put(bytes.NewReader(out.Bytes()))
	if err != nil {
		return "", err
	}
	return out.String(), cache.Record("debian-index", indexKey(b), kept)
}

// readBlob reads a file of the cache.
func readBlob(cache *cas.Store, b cas.Blob, limit int64) ([]byte, error) {
	r, err := cache.Open(b.Sum)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := bytes.NewBuffer(make([]byte, 0, min(b.Size, limit)+bytes.MinRead))
	n, err := out.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return out.Bytes(), err
}

// decompress reads what a file name's extension says.
func decompress(r io.Reader, ext string) (io.Reader, error) {
	switch ext {
	case ".gz":
		return gzip.NewReader(r)
	case ".xz":
		return xz.NewReader(bufio.NewReaderSize(r, 64<<10)) // it reads byte by byte
	case "":
		return r, nil
	}
	return nil, fmt.Errorf("unknown compression %q", ext)
}
