// Package index serves a package index to tests: wheels and source
// distributions made on the spot, as PEP 503 and PEP 691 lay an index out,
// with a password where wanted.
package index

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Files are the contents of a distribution: path → text.
type Files map[string]string

// Wheel makes a wheel for any Python: the files, and metadata with the
// requirements. It gives its file name and bytes.
func Wheel(t testing.TB, name, version string, files Files, requires ...string) (file string, data []byte) {
	t.Helper()
	dist := strings.ReplaceAll(name, "-", "_")
	info := dist + "-" + version + ".dist-info/"
	all := maps.Clone(files)
	if all == nil {
		all = Files{dist + ".py": "name = " + fmt.Sprintf("%q", name) + "\n"}
	}
	all[info+"METADATA"] = metadata(name, version, requires)
	all[info+"WHEEL"] = "Wheel-Version: 1.0\nGenerator: testkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
	var record strings.Builder
	for _, p := range slices.Sorted(maps.Keys(all)) {
		sum := sha256.Sum256([]byte(all[p]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", p, base64.RawURLEncoding.EncodeToString(sum[:]), len(all[p]))
	}
	fmt.Fprintf(&record, "%sRECORD,,\n", info)
	all[info+"RECORD"] = record.String()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		w, err := z.Create(p)
		if err == nil {
			_, err = w.Write([]byte(all[p]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s-%s-py3-none-any.whl", dist, version), b.Bytes()
}

func metadata(name, version string, requires []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	for _, r := range requires {
		fmt.Fprintf(&b, "Requires-Dist: %s\n", r)
	}
	return b.String()
}

// Sdist makes a source distribution of the files.
func Sdist(t testing.TB, name, version string, files Files) (file string, data []byte) {
	t.Helper()
	top := strings.ReplaceAll(name, "-", "_") + "-" + version
	all := maps.Clone(files)
	all["PKG-INFO"] = metadata(name, version, nil)
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		err := w.WriteHeader(&tar.Header{Name: top + "/" + p, Mode: 0o644, Size: int64(len(all[p])), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write([]byte(all[p]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return top + ".tar.gz", b.Bytes()
}

// Server is a package index on this machine.
type Server struct {
	User, Password string // "" for an index that everyone may read
	http           *httptest.Server
	mu             sync.Mutex
	files          map[string]map[string][]byte // project → file → bytes
	requests       []string
}

// New starts an empty index; it stops with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{files: make(map[string]map[string][]byte)}
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	return s
}

// Add puts a file into the index, below the name of its project.
func (s *Server) Add(project, file string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[project] == nil {
		s.files[project] = make(map[string][]byte)
	}
	s.files[project][file] = data
}

// Replace changes the bytes of a file, as an index that cannot be trusted
// does, and reports whether it was there.
func (s *Server) Replace(project, file string, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.files[project][file]
	s.files[project][file] = data
	return ok
}

// URL is the index's address, without credentials.
func (s *Server) URL() string { return s.http.URL + "/simple/" }

// PrivateURL is the address with the credentials in it.
func (s *Server) PrivateURL() string {
	return strings.Replace(s.URL(), "://", "://"+s.User+":"+s.Password+"@", 1)
}

// FileURL is the address of a file, without credentials.
func (s *Server) FileURL(project, file string) string {
	return s.http.URL + "/files/" + project + "/" + file
}

// Requests lists the paths that were asked for, in order.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Sum is the SHA-256 of data, in hex.
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.URL.Path)
	if user, password, _ := r.BasicAuth(); s.User != "" && (user != s.User || password != s.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="index"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "simple" && s.files[parts[1]] != nil:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><html><body>")
		for _, file := range slices.Sorted(maps.Keys(s.files[parts[1]])) {
			fmt.Fprintf(w, "<a href=\"/files/%s/%s#sha256=%s\">%[2]s</a>", parts[1], html.EscapeString(file), Sum(s.files[parts[1]][file]))
		}
		fmt.Fprint(w, "</body></html>")
	case len(parts) == 3 && parts[0] == "files" && s.files[parts[1]][parts[2]] != nil:
		_, _ = w.Write(s.files[parts[1]][parts[2]]) // the client went away
	default:
		http.NotFound(w, r)
	}
}
