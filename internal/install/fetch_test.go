package install

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"exuvia/internal/cas"
	"exuvia/internal/download"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/testkit/index"
	"exuvia/internal/tree"
)

func testStore(t *testing.T) *cas.Store {
	t.Helper()
	s, err := cas.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testFetcher(t *testing.T, u user) *fetcher {
	t.Helper()
	f, err := newFetcher(u.config(t, ""), testStore(t))
	if err != nil {
		t.Fatal(err)
	}
	f.client.Pause = 0
	return f
}

func TestFetch(t *testing.T) {
	s := index.New(t)
	s.User, s.Password = "me", "secret-word"
	name, data := index.Wheel(t, "leaf", "1.0", nil)
	s.Add("leaf", name, data)
	want := file{name: name, url: s.FileURL("leaf", name), algo: "sha256", sum: index.Sum(data)}
	f := testFetcher(t, user{env: map[string]string{"UV_DEFAULT_INDEX": s.PrivateURL()}})
	if n := f.missing([]file{want}); n != 1 {
		t.Errorf("%d are missing", n)
	}
	for range 2 {
		blobs, err := f.fetchAll(t.Context(), &project.Project{}, []file{want})
		if err != nil || blobs[0].Sum != want.sum || blobs[0].Size != int64(len(data)) {
			t.Fatalf("%v, %v", blobs, err)
		}
	}
	if got := s.Requests(); len(got) != 1 {
		t.Errorf("a file in the cache was asked for again: %v", got)
	}
	// A server that gives something else, whose hash nobody wants.
	evil := want
	evil.sum = index.Sum([]byte("x"))
	_, err := f.fetch(t.Context(), &project.Project{}, evil)
	isFault(t, err, fault.Integrity, name)
	// No credentials, and none in the message.
	open := testFetcher(t, user{})
	other := evil
	other.url = strings.Replace(want.url, "://", "://me:wrong-word@", 1)
	_, err = open.fetch(t.Context(), &project.Project{}, other)
	isFault(t, err, fault.Network, "other credentials")
	if strings.Contains(err.Error(), "wrong-word") {
		t.Error(err)
	}
	gone := evil
	gone.url += "x"
	_, err = f.fetch(t.Context(), &project.Project{}, gone)
	isFault(t, err, fault.Dependency, "is not at")
	s.Close()
	_, err = f.fetch(t.Context(), &project.Project{}, evil)
	isFault(t, err, fault.Network, "has to be downloaded from 127.0.0.1")
}

func TestFetchTriesAgain(t *testing.T) {
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < download.Tries {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("data"))
	}))
	t.Cleanup(s.Close)
	f := testFetcher(t, user{})
	if _, err := f.fetch(t.Context(), &project.Project{}, file{name: "a", url: s.URL + "/a", algo: "sha256", sum: index.Sum([]byte("data"))}); err != nil {
		t.Fatal(err)
	}
}

// Credentials for an index are not for whoever it sends the client to.
func TestRedirectsGetNoCredentials(t *testing.T) {
	var seen atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("data"))
	}))
	t.Cleanup(other.Close)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != "me" {
			t.Error("the index was not told who asks")
		}
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/x", http.StatusFound)
	}))
	t.Cleanup(first.Close)
	f := testFetcher(t, user{env: map[string]string{"UV_DEFAULT_INDEX": strings.Replace(first.URL, "://", "://me:secret@", 1)}})
	if _, err := f.fetch(t.Context(), &project.Project{}, file{name: "a", url: first.URL + "/a", algo: "sha256", sum: index.Sum([]byte("data"))}); err != nil {
		t.Fatal(err)
	}
	if seen.Load() != "" {
		t.Error("the other server was told the password")
	}
}

func TestFetchFromTheProject(t *testing.T) {
	files, err := tree.New(tree.File("wheels/a.whl", 0o644, []byte("data"), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	p := &project.Project{Files: files}
	f := testFetcher(t, user{})
	if _, err := f.fetch(t.Context(), p, file{name: "a.whl", path: "wheels/a.whl", algo: "sha512", sum: index.Sum(nil)}); err == nil {
		t.Error("a file with another hash was taken")
	}
	if _, err := f.fetch(t.Context(), p, file{name: "a.whl", path: "wheels/a.whl", algo: "sha256", sum: index.Sum([]byte("data"))}); err != nil {
		t.Error(err)
	}
	_, err = f.fetch(t.Context(), p, file{name: "b.whl", path: "wheels/b.whl", algo: "sha256", sum: sum0})
	isFault(t, err, fault.Dependency, "wheels/b.whl")
}

func TestFetchStopsWhenTheUserStops(t *testing.T) {
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel(stop)
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	f := testFetcher(t, user{})
	if _, err := f.fetch(ctx, &project.Project{}, file{name: "a", url: s.URL, algo: "sha256", sum: sum0}); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}
