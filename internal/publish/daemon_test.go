package publish

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"exuvia/internal/fault"
)

// docker answers on a socket as Docker would: answer is to a load, loaded is
// what it is asked for afterwards.
type docker struct {
	answer string
	status int  // of the load, 0 is 200
	deaf   bool // does not read what it is sent
	known  bool // has the image afterwards
	got    string
}

func (d *docker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		w.Header().Set("Api-Version", "1.41")
	case strings.HasSuffix(r.URL.Path, "/images/load"):
		if !d.deaf {
			f, err := os.Create(d.got)
			if err == nil {
				_, err = io.Copy(f, r.Body)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
		}
		if d.status != 0 {
			w.WriteHeader(d.status)
		}
		fmt.Fprint(w, d.answer)
	case strings.Contains(r.URL.Path, "/images/") && d.known:
		fmt.Fprint(w, `{"Id":"sha256:00"}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"No such image"}`)
	}
}

func (d *docker) serve(t *testing.T) Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "docker") //nolint:usetesting // t.TempDir() may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d.got = filepath.Join(dir, "got.tar")
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(d)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return Daemon{Host: "unix://" + filepath.Join(dir, "s")}
}

func TestLoad(t *testing.T) {
	img := image(t, 1)
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	for want, img := range map[string]v1.Image{"docker:app:1": As(img, "app:1"), "docker:" + config.String(): img} {
		d := &docker{answer: `{"stream":"Loaded image: app:1\n"}` + "\n", known: true}
		if got := publish(t, d.serve(t), img); got != want {
			t.Errorf("published as %q, want %q", got, want)
		}
		back, err := tarball.ImageFromPath(d.got, nil)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := back.ConfigName(); err != nil || is != config {
			t.Errorf("Docker got config %v, want %v (%v)", is, config, err)
		}
	}
}

// Docker says 200 first and then what went wrong; daemon.Write of
// go-containerregistry takes that for success.
func TestLoadFails(t *testing.T) {
	for word, d := range map[string]*docker{
		"no space left on device": {answer: `{"stream":"Loading"}` + "\n" + `{"errorDetail":{"message":"write: no space left on device\u001b[2J"},"error":"x"}` + "\n", known: true},
		"only the old field":      {answer: `{"error":"only the old field"}`, known: true},
		"reading its answer":      {answer: `{"stream`, known: true},
		"No such image":           {answer: `{"stream":"ok"}`},
		"longer than":             {answer: strings.Repeat(`{"stream":"x"}`+"\n", maxAnswer/14), known: true},
		"broken":                  {status: 500, answer: `{"message":"broken"}`, known: true},
		"deaf":                    {status: 500, answer: `{"message":"deaf"}`, deaf: true},
	} {
		t.Run(word, func(t *testing.T) {
			_, err := d.serve(t).Publish(t.Context(), As(image(t, 1), "app:1"))
			wantFault(t, err, fault.Publish, word)
			if err != nil && strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("Docker's words went through unchecked: %q", err)
			}
		})
	}
}

func TestNoDocker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp := "tcp://" + l.Addr().String()
	l.Close()
	for host, word := range map[string]string{
		"unix://" + filepath.Join(t.TempDir(), "none"): "no Docker answers at unix://",
		tcp:                "no Docker answers at tcp://",
		"ssh://me@host":    "over ssh",
		"no such thing":    "reaching Docker",
		"tcp://host:port%": "reaching Docker",
	} {
		_, err := Daemon{Host: host}.Publish(t.Context(), image(t, 1))
		wantFault(t, err, fault.Publish, word)
	}
}

func FuzzLoadError(f *testing.F) {
	for _, s := range []string{"", `{"stream":"x"}`, `{"error":"x"}`, `{"errorDetail":{"message":"x"}}`, `[`, `{"error":1}`, "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := loadError(strings.NewReader(s))
		if err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("error of %q is no line: %q", s, err)
		}
		if err == nil && strings.Contains(s, `"error":"x"`) && strings.HasPrefix(s, `{"error":"x"`) {
			t.Errorf("an error was not seen in %q", s)
		}
	})
}
