// Package debarchive makes a tiny signed Debian archive on the spot and serves
// it, for tests of what reads one. It writes the archive's formats by itself,
// so that a reader's mistake does not meet its own mirror image. It knows no
// dependency and checks nothing.
package debarchive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Date is when every release was made, and the keys.
var Date = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// File is a member of a package's data archive. Its path is as dpkg-deb
// writes it, "./usr/bin/x"; the zero Type is a regular file, or a directory
// where the path ends in "/".
type File struct {
	Path     string
	Body     string
	Mode     int64 // 0 is 0755 for directories and programs, else 0644
	UID, GID int
	Type     byte // as in archive/tar
	Link     string
}

// Package is a binary package.
type Package struct {
	Name    string
	Version string            // "" is "1.0-1"
	Arch    string            // "" is "amd64"
	Fields  map[string]string // "Depends", "Provides", "Multi-Arch", …
	Files   []File            // parents need not be named
	Control map[string]string // more files of the control archive, such as "conffiles"
	Packing string            // of the data archive: "gz", "xz", "zst"; "" is "gz"
}

// Suite is a release of the archive.
type Suite struct {
	Name     string            // "bookworm", "bookworm-security"
	Fields   map[string]string // of the Release file; these replace its own
	Packages []Package
}

// Archive is a served archive. Its methods may be used while it serves.
type Archive struct {
	URL string // of the main archive; URL + "-security" serves the security suites
	key *openpgp.Entity

	mu    sync.Mutex
	files map[string][]byte // by path, "/debian/dists/…"
	asked []string
	fail  map[string][]int // statuses that the next requests of a path get
}

// New builds and serves an archive of the suites until the test ends.
func New(tb testing.TB, suites ...Suite) *Archive {
	tb.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return Date.Add(-time.Hour) }}
	key, err := openpgp.NewEntity("A tiny archive", "", "archive@example.org", config)
	if err != nil {
		tb.Fatal(err)
	}
	a := &Archive{key: key, files: make(map[string][]byte), fail: make(map[string][]int)}
	for _, s := range suites {
		a.Publish(tb, s)
	}
	server := httptest.NewServer(http.HandlerFunc(a.serve))
	tb.Cleanup(server.Close)
	a.URL = server.URL + "/debian"
	return a
}

func (a *Archive) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.URL.Path)
	if codes := a.fail[r.URL.Path]; len(codes) > 0 {
		a.fail[r.URL.Path] = codes[1:]
		w.WriteHeader(codes[0])
		return
	}
	data, ok := a.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

// Asked gives the paths that were asked for since the last call.
func (a *Archive) Asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.asked
	a.asked = nil
	return asked
}

// Fail lets the next requests for a path be answered with these statuses.
func (a *Archive) Fail(name string, codes ...int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail[name] = codes
}

// Change replaces the bytes of every served file whose path contains part by
// what f makes of them; nil removes the file. It gives how many were.
func (a *Archive) Change(part string, f func([]byte) []byte) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for name, data := range a.files {
		if !strings.Contains(name, part) {
			continue
		}
		n++
		if changed := f(bytes.Clone(data)); changed == nil {
			delete(a.files, name)
		} else {
			a.files[name] = changed
		}
	}
	return n
}

// Key is the public key of the archive, armoured.
func (a *Archive) Key(tb testing.TB) string {
	tb.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = a.key.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.String() + "\n"
}

// Root makes a directory with the apt configuration of a host that uses this
// archive: sources, signed by its key, and apt.conf.
func (a *Archive) Root(tb testing.TB) string {
	tb.Helper()
	root := tb.TempDir()
	var key strings.Builder
	for l := range strings.Lines(strings.TrimSpace(a.Key(tb)) + "\n") {
		if strings.TrimSpace(l) == "" {
			l = ".\n"
		}
		key.WriteString(" " + l)
	}
	source := func(uri, suites string) string {
		return "Types: deb\nURIs: " + uri + "\nSuites: " + suites + "\nComponents: main\nSigned-By:\n" + key.String() + "\n"
	}
	for name, text := range map[string]string{
		"etc/apt/sources.list.d/debian.sources": source(a.URL, "bookworm bookworm-updates") + source(a.URL+"-security", "bookworm-security"),
		"etc/apt/apt.conf.d/99test":             "Acquire::Retries \"0\";\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

// Publish adds a suite, or replaces it.
func (a *Archive) Publish(tb testing.TB, s Suite) {
	tb.Helper()
	files := make(map[string][]byte)
	base := "/debian"
	if strings.HasSuffix(s.Name, "-security") {
		base += "-security"
	}
	indices := map[string]string{"amd64": "", "arm64": ""}
	for _, p := range s.Packages {
		deb := p.Deb(tb)
		name := path.Join("pool", p.Name[:1], p.Name, p.file())
		files[path.Join(base, name)] = deb
		for arch := range indices {
			if p.arch() == arch || p.arch() == "all" {
				indices[arch] += p.control() + fmt.Sprintf("Filename: %s\nSize: %d\nSHA256: %x\n\n", name, len(deb), sha256.Sum256(deb))
			}
		}
	}
	dists := path.Join(base, "dists", s.Name)
	var sums strings.Builder
	for _, arch := range slices.Sorted(maps.Keys(indices)) {
		for ext, data := range map[string][]byte{"": []byte(indices[arch]), ".gz": Pack(tb, "gz", []byte(indices[arch])), ".xz": Pack(tb, "xz", []byte(indices[arch]))} {
			name := "main/binary-" + arch + "/Packages" + ext
			sum := fmt.Sprintf("%x", sha256.Sum256(data))
			files[path.Join(dists, name)] = data
			files[path.Join(dists, path.Dir(name), "by-hash/SHA256", sum)] = data
			fmt.Fprintf(&sums, " %s %d %s\n", sum, len(data), name)
		}
	}
	files[path.Join(dists, "InRelease")] = a.Sign(tb, s.release(sums.String()))
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.Copy(a.files, files)
}

// release is the Release file of s.
func (s Suite) release(sums string) string {
	fields := map[string]string{
		"Origin": "Debian", "Label": "Debian", "Suite": "tiny", "Codename": s.Name, "Date": Date.Format("Mon, 02 Jan 2006 15:04:05 MST"),
		"Acquire-By-Hash": "yes", "No-Support-for-Architecture-all": "Packages", "Architectures": "all amd64 arm64", "Components": "main",
	}
	maps.Copy(fields, s.Fields)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if fields[k] != "" {
			b.WriteString(k + ": " + fields[k] + "\n")
		}
	}
	return b.String() + "SHA256:\n" + sums
}

// Sign clear-signs a text with the archive's key.
func (a *Archive) Sign(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, a.key.PrivateKey, &packet.Config{Time: func() time.Time { return Date }})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func (p Package) arch() string {
	if p.Arch == "" {
		return "amd64"
	}
	return p.Arch
}

func (p Package) version() string {
	if p.Version == "" {
		return "1.0-1"
	}
	return p.Version
}

func (p Package) file() string {
	return p.Name + "_" + strings.ReplaceAll(p.version(), ":", "%3a") + "_" + p.arch() + ".deb"
}

// control is the package's paragraph.
func (p Package) control() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Nobody <nobody@example.org>\n", p.Name, p.version(), p.arch())
	for _, k := range slices.Sorted(maps.Keys(p.Fields)) {
		fmt.Fprintf(&b, "%s: %s\n", k, p.Fields[k])
	}
	b.WriteString("Description: a package of a test\n It has a long description.\n")
	return b.String()
}

// Deb is the package's file.
func (p Package) Deb(tb testing.TB) []byte {
	tb.Helper()
	control := []File{{Path: "./control", Body: p.control()}}
	var sums strings.Builder
	for _, f := range p.Files {
		if f.header().Typeflag == tar.TypeReg {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum([]byte(f.Body)), strings.TrimPrefix(f.Path, "./"))
		}
	}
	control = append(control, File{Path: "./md5sums", Body: sums.String()})
	for _, k := range slices.Sorted(maps.Keys(p.Control)) {
		control = append(control, File{Path: "./" + k, Body: p.Control[k]})
	}
	packing := p.Packing
	if packing == "" {
		packing = "gz"
	}
	return Ar(
		Member{"debian-binary", []byte("2.0\n")},
		Member{"control.tar.gz", Pack(tb, "gz", Tar(tb, control...))},
		Member{"data.tar." + packing, Pack(tb, packing, Tar(tb, append([]File{{Path: "./"}}, p.Files...)...))},
	)
}

// Member is one file of an ar archive.
type Member struct {
	Name string
	Data []byte
}

// Ar makes an ar archive.
func Ar(members ...Member) []byte {
	b := []byte("!<arch>\n")
	for _, m := range members {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.Name, 0, 0, 0, "100644", len(m.Data))
		b = append(b, m.Data...)
		if len(m.Data)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

func (f File) header() *tar.Header {
	h := &tar.Header{Name: f.Path, Typeflag: f.Type, Mode: f.Mode, Uid: f.UID, Gid: f.GID, Linkname: f.Link, Size: int64(len(f.Body)), ModTime: Date, Format: tar.FormatGNU}
	switch {
	case f.Type == 0 && strings.HasSuffix(f.Path, "/"):
		h.Typeflag = tar.TypeDir
	case f.Type == 0:
		h.Typeflag = tar.TypeReg
	}
	if h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeDir || strings.Contains(f.Path, "bin/") {
			h.Mode = 0o755
		}
	}
	return h
}

// Tar makes a tar archive.
func Tar(tb testing.TB, files ...File) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(f.header()); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, f.Body); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// Pack compresses data: "gz", "xz" or "zst".
func Pack(tb testing.TB, how string, data []byte) []byte {
	tb.Helper()
	var (
		b   bytes.Buffer
		w   io.WriteCloser
		err error
	)
	switch how {
	case "gz":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zst":
		w, err = zstd.NewWriter(&b)
	default:
		tb.Fatalf("unknown packing %q", how)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
