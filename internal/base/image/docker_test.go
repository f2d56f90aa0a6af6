package image

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/fault"
)

// fakeDocker answers as Docker does, and counts how often an image was saved.
func fakeDocker(t *testing.T, images map[string]v1.Image, saves *int) string {
	t.Helper()
	saved := make(map[string]string)
	for ref, img := range images {
		saved[ref] = dockerArchive(t, map[string]v1.Image{ref: img})
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, call, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // after the version
		ref := strings.TrimSuffix(strings.TrimPrefix(call, "images/"), "/json")
		switch img, ok := images[ref]; {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case call == "images/get":
			*saves++
			http.ServeFile(w, r, saved[r.URL.Query().Get("names")])
		case !ok:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"message":"No such image: %s"}`, ref)
		default:
			id, err := img.ConfigName()
			if err != nil {
				t.Error(err)
			}
			c, err := img.ConfigFile()
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"Id":%q,"Os":%q,"Architecture":%q}`, id, c.OS, c.Architecture)
		}
	}))
	t.Cleanup(srv.Close)
	return "tcp://" + strings.TrimPrefix(srv.URL, "http://")
}

func TestDockerAsBase(t *testing.T) {
	img := system(t, amd64)
	saves := 0
	host := fakeDocker(t, map[string]v1.Image{"app:1": img, "arm:1": system(t, arm64)}, &saves)
	s := New(Options{Cache: cache(t), DockerHost: host})
	for range 2 {
		b, err := s.Base(t.Context(), "docker:app:1", amd64)
		if err != nil {
			t.Fatal(err)
		}
		right(t, b, img)
	}
	if saves != 1 {
		t.Errorf("the image was saved %d times", saves)
	}
	if temp, err := os.ReadDir(filepath.Join(s.o.Cache.Dir(), "tmp")); err != nil || len(temp) > 0 {
		t.Errorf("left behind: %v (%v)", temp, err)
	}
	_, err := s.Base(t.Context(), "docker:arm:1", amd64)
	wantFault(t, err, fault.Base, "is for linux/arm64, not for linux/amd64")
	_, err = s.Base(t.Context(), "docker:none:1", amd64)
	wantFault(t, err, fault.Base, "Docker has no image none:1")
	for host, what := range map[string]string{
		"tcp://127.0.0.1:1": "no Docker answers", "unix:///nonexistent": "no Docker answers", "ssh://example": "cannot be reached over ssh", "nonsense": "reaching Docker",
	} {
		_, err := New(Options{Cache: cache(t), DockerHost: host}).Base(t.Context(), "docker:app:1", amd64)
		wantFault(t, err, fault.Base, what)
	}
}
