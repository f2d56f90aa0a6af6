package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // dpkg's own format: md5sums of configuration files
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// Bounds of a package.
const (
	maxDeb      = 4 << 30  // packed
	maxUnpacked = 16 << 30 // all files
	maxControl  = 32 << 20 // the control archive, unpacked
	maxMember   = 8 << 20  // one control file
	maxEntries  = 1_000_000
)

// control is what dpkg would know of an unpacked package.
type control struct {
	Status   string // its paragraph in dpkg's status file
	Replaces string // whose files it may overwrite
}

// unpacked is a package in the cache.
type unpacked struct {
	*pkg
	control
	Tree *tree.Tree
}

// unpack gives the files of a package whose .deb is in the cache, with what
// dpkg keeps of it below var/lib/dpkg/info. It is done once a package.
func unpack(ctx context.Context, cache *cas.Store, p *pkg) (*unpacked, error) {
	u := &unpacked{pkg: p}
	key := cas.Key(assembly, p.Blob.Sum)
	if cache.Lookup("deb-control", key, &u.control) {
		if t, ok := cache.Tree("deb", key); ok {
			u.Tree = t
			return u, nil
		}
	}
	r, err := cache.Open(p.Blob.Sum)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	t, c, err := readDeb(ctx, cache, p, r)
	if err != nil {
		return nil, broken(ctx, err, "unpacking "+p.Name+" "+p.Version)
	}
	if u.Tree, err = cache.PutTree(ctx, "deb", key, t); err != nil {
		return nil, err
	}
	u.control = c
	return u, cache.Record("deb-control", key, c)
}

// broken makes err, met while something of the archive was read, one for the
// user, unless it is not about what was read: a damaged cache, a full disk, an
// interruption.
func broken(ctx context.Context, err error, doing string) error {
	_, local := errors.AsType[*fs.PathError](err)
	if local || errors.Is(err, cas.ErrCorrupt) || context.Cause(ctx) != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fault.Wrap(err, fault.Integrity, "the archive has a broken file; try another mirror or suite", "%s", doing)
}

// readDeb reads a package (deb(5)) to its end: contents go to the cache.
func readDeb(ctx context.Context, cache *cas.Store, p *pkg, r io.Reader) (*tree.Tree, control, error) {
	var (
		info    map[string][]byte
		entries []tree.Entry
		files   *debFiles
	)
	ar, err := newArReader(r)
	if err != nil {
		return nil, control{}, err
	}
	for {
		name, err := ar.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, control{}, err
		}
		switch stem, _, _ := strings.Cut(name, ".tar"); {
		case stem == "control" && info == nil:
			info, err = readControl(ar, path.Ext(name))
		case stem == "data" && info != nil && files == nil:
			files = &debFiles{cache: cache, from: tree.Origin{Kind: tree.Deb, Name: p.Name, Version: p.Version}, sums: confFiles(info)}
			entries, err = files.read(ctx, ar, path.Ext(name))
		}
		if err != nil {
			return nil, control{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if files == nil {
		return nil, control{}, errors.New("no control and data archives in it")
	}
	c, own, err := describe(p, info, files)
	if err != nil {
		return nil, control{}, err
	}
	t, err := tree.New(append(entries, own...)...)
	return t, c, err
}

// tarReader reads the tar archive that a member holds.
func tarReader(r io.Reader, ext string, limit int64) (*tar.Reader, func(), error) {
	if ext == ".zst" {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, nil, err
		}
		return tar.NewReader(io.LimitReader(z, limit)), z.Close, nil
	}
	if ext == ".tar" {
		ext = ""
	}
	plain, err := decompress(r, ext)
	if err != nil {
		return nil, nil, err
	}
	return tar.NewReader(io.LimitReader(plain, limit)), func() {}, nil
}

// readControl reads the files of the control archive.
func readControl(r io.Reader, ext string) (map[string][]byte, error) {
	tr, done, err := tarReader(r, ext, maxControl)
	if err != nil {
		return nil, err
	}
	defer done()
	out := make(map[string][]byte)
	for range maxEntries {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxMember {
			return nil, fmt.Errorf("%s has %d bytes", h.Name, h.Size)
		}
		data, err := io.ReadAll(io.LimitReader(tr, maxMember))
		if err != nil {
			return nil, err
		}
		out[path.Clean(h.Name)] = data
	}
	return nil, errors.New("too many files")
}

// confFiles gives a place for the MD5 of every configuration file.
func confFiles(info map[string][]byte) map[string]string {
	out := make(map[string]string)
	for text := range strings.Lines(string(info["conffiles"])) {
		if name := strings.TrimSpace(text); strings.HasPrefix(name, "/") {
			out[name] = ""
		}
	}
	return out
}

// debFiles reads the data archive of a package.
type debFiles struct {
	cache *cas.Store
	from  tree.Origin
	sums  map[string]string // configuration file → MD5
	list  []string          // the paths, as the package spells them
	done  map[string]tree.Entry
}

func (d *debFiles) read(ctx context.Context, r io.Reader, ext string) ([]tree.Entry, error) {
	tr, done, err := tarReader(r, ext, maxUnpacked)
	if err != nil {
		return nil, err
	}
	defer done()
	d.done = make(map[string]tree.Entry)
	var out []tree.Entry
	for range maxEntries {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		e, ok, err := d.entry(h, tr)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
		if ok {
			out = append(out, e)
			d.done[e.Path] = e
		}
	}
	return nil, errors.New("too many files")
}

// entry makes one entry of the tree; false for one that the layout of the
// system replaces.
func (d *debFiles) entry(h *tar.Header, r io.Reader) (tree.Entry, bool, error) {
	name, err := memberPath(h.Name)
	if err != nil {
		return tree.Entry{}, false, err
	}
	if name == "." {
		d.list = append(d.list, "/.")
		return tree.Entry{}, false, nil
	}
	d.list = append(d.list, "/"+name)
	e := tree.Entry{Path: merged(name), Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, From: d.from}
	switch h.Typeflag {
	case tar.TypeDir:
		return e, !isMerged(name), nil
	case tar.TypeSymlink:
		e.Mode, e.Link = fs.ModeSymlink|0o777, h.Linkname
		return e, !pointsAtItself(e), nil
	case tar.TypeLink:
		target, err := memberPath(h.Linkname)
		if err != nil {
			return e, false, err
		}
		first, ok := d.done[merged(target)]
		if !ok || !first.IsRegular() {
			return e, false, fmt.Errorf("hard link to %s, which is no file before it", h.Linkname)
		}
		first.Path, first.Link = e.Path, firstName(first)
		return first, true, nil
	case tar.TypeReg:
		if sparse(h) {
			return e, false, errors.New("a sparse file")
		}
		b, err := d.put(name, r)
		if err != nil {
			return e, false, err
		}
		kept := d.cache.Entry(e.Path, e.Mode, b, d.from)
		kept.UID, kept.GID, kept.Xattrs = e.UID, e.GID, xattrs(h)
		return kept, true, nil
	}
	return e, false, fmt.Errorf("neither file, directory nor link (type %q)", h.Typeflag)
}

func firstName(e tree.Entry) string {
	if e.Link != "" {
		return e.Link
	}
	return e.Path
}

// put keeps the contents of one file.
func (d *debFiles) put(name string, r io.Reader) (cas.Blob, error) {
	if _, ok := d.sums["/"+name]; !ok {
		return d.cache.Put(r)
	}
	h := md5.New() //nolint:gosec // see the import
	b, err := d.cache.Put(io.TeeReader(r, h))
	d.sums["/"+name] = hex.EncodeToString(h.Sum(nil))
	return b, err
}

// sparse reports whether a file has holes, of which a small package can hold
// any number of terabytes.
func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func xattrs(h *tar.Header) map[string]string {
	var out map[string]string
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if out == nil {
				out = make(map[string]string)
			}
			out[name] = v
		}
	}
	return out
}

// memberPath is the path of a tar member below the root; "." for the root.
func memberPath(name string) (string, error) {
	clean := path.Clean(strings.TrimPrefix(name, "/"))
	if !fs.ValidPath(clean) || strings.ContainsRune(clean, 0) || strings.ContainsRune(clean, '\n') {
		return "", fmt.Errorf("path %q leads out of the system", name)
	}
	return clean, nil
}

// mergedDirs are links in a system whose /usr is merged, and so are var/run
// and var/lock; packages of before spell paths through them.
var mergedDirs = []struct{ from, to string }{
	{"bin", "usr/bin"},
	{"sbin", "usr/sbin"},
	{"lib", "usr/lib"},
	{"lib32", "usr/lib32"},
	{"lib64", "usr/lib64"},
	{"libx32", "usr/libx32"},
	{"var/run", "run"},
	{"var/lock", "run/lock"},
}

// merged gives the place of a path in such a system.
//
//	lib/x86_64-linux-gnu/libc.so.6 → usr/lib/x86_64-linux-gnu/libc.so.6
func merged(name string) string {
	for _, m := range mergedDirs {
		if rest, ok := strings.CutPrefix(name, m.from+"/"); ok {
			return m.to + "/" + rest
		}
	}
	return name
}

func isMerged(name string) bool {
	for _, m := range mergedDirs {
		if name == m.from {
			return true
		}
	}
	return false
}

// pointsAtItself reports whether a link stood for the same file on the other
// side of /usr, as bin/x → /usr/bin/x.
func pointsAtItself(e tree.Entry) bool {
	target := e.Link
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(e.Path), target)
	}
	return merged(strings.TrimPrefix(path.Clean(target), "/")) == e.Path
}

// describe makes what dpkg would have noted: the status paragraph and the
// files below var/lib/dpkg/info.
func describe(p *pkg, info map[string][]byte, files *debFiles) (control, []tree.Entry, error) {
	stanzas, err := paragraphs(bytes.NewReader(info["control"]), false)
	if err == nil && len(stanzas) != 1 {
		err = fmt.Errorf("%d paragraphs, not one", len(stanzas))
	}
	if err != nil {
		return control{}, nil, fmt.Errorf("control file: %w", err)
	}
	c := stanzas[0]
	if c["package"] != p.Name || c["version"] != p.Version {
		return control{}, nil, fmt.Errorf("it is %s %s", c["package"], c["version"])
	}
	base := "var/lib/dpkg/info/" + p.Name
	if c["multi-arch"] == "same" {
		base += ":" + c["architecture"]
	}
	own := []tree.Entry{tree.File(base+".list", 0o644, []byte(strings.Join(files.list, "\n")+"\n"), made("dpkg"))}
	for _, name := range []string{"md5sums", "conffiles"} {
		if data, ok := info[name]; ok {
			own = append(own, tree.File(base+"."+name, 0o644, data, made("dpkg")))
		}
	}
	return control{Status: statusParagraph(string(info["control"]), files.sums), Replaces: c["replaces"]}, own, nil
}

// statusParagraph turns a control file into a paragraph of dpkg's status
// file.
func statusParagraph(text string, sums map[string]string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.TrimSpace(text) + "\n") {
		b.WriteString(l)
		if strings.HasPrefix(l, "Package:") {
			b.WriteString("Status: install ok installed\n")
		}
	}
	var conf []string
	for name, sum := range sums {
		if sum != "" {
			conf = append(conf, " "+name+" "+sum+"\n")
		}
	}
	if slices.Sort(conf); conf != nil {
		b.WriteString("Conffiles:\n" + strings.Join(conf, ""))
	}
	return b.String()
}
