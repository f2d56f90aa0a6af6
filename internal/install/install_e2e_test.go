//go:build e2e

package install

import (
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/engine/sandbox"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// TestMain is the sandbox's own processes, or the tests.
func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// machine is a real system with all that installing needs.
type realSystem struct {
	cache   *cas.Store
	box     *sandbox.Engine
	eng     engine.Engine
	archive *debian.Archive
	pip     *tree.Tree
	base    *base.Base
	rt      *python.Runtime
}

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// onDebian assembles a suite. With EXUVIA_E2E_CACHE downloads stay between
// runs.
func onDebian(t *testing.T, suite string) *realSystem {
	t.Helper()
	dir := os.Getenv("EXUVIA_E2E_CACHE")
	if dir == "" {
		dir = t.TempDir()
	}
	cache, err := cas.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	archive, err := debian.New(debian.Options{
		Cache: cache, Root: "/", Now: time.Now, Progress: t.Logf, Client: &http.Client{}, Log: log, Mirror: os.Getenv("EXUVIA_DEBIAN_MIRROR"),
	})
	if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.New(sandbox.Options{Cache: cache, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &realSystem{cache: cache, box: box, eng: engine.Cached{Engine: box, Store: cache}, archive: archive}
	if s.base, err = archive.Base(t.Context(), "debian:"+suite, amd64); err != nil {
		t.Fatal(err)
	}
	pip, err := archive.System(t.Context(), suite, []string{"python3-pip"}, amd64)
	if err != nil {
		t.Fatal(err)
	}
	s.pip = pip.Tree
	if s.rt, err = python.Describe(t.Context(), s.eng, s.base.Tree, s.base.Python); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *realSystem) install(t *testing.T, dir string, settings project.Settings, env map[string]string) (*Result, *project.Project, error) {
	t.Helper()
	p, err := project.Detect(t.Context(), dir, project.Options{Cache: s.cache, Overrides: settings})
	if err != nil {
		t.Fatal(err)
	}
	environ := os.Environ()
	getenv := func(k string) string {
		if v, ok := env[k]; ok {
			return v
		}
		return os.Getenv(k)
	}
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	in := New(Options{
		Engine: s.eng, Cache: s.cache, Pip: s.pip, Getenv: getenv, Environ: environ, Home: t.TempDir(), Log: slog.New(slog.DiscardHandler), Progress: t.Logf,
	})
	r, err := in.Install(t.Context(), p, s.base, s.rt)
	return r, p, err
}

// boot runs an entry point of an installed project, and gives its exit code
// and what it printed.
func (s *realSystem) boot(t *testing.T, r *Result, argv ...string) (int, string) {
	t.Helper()
	full, err := tree.Overlay(s.base.Tree, r.App)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.box.Boot(t.Context(), full, plan.Config{Entrypoint: argv, WorkingDir: "/app", User: "0:0", Env: []string{"LANG=C.UTF-8"}}, engine.BootOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return exit.Code, string(exit.Stdout) + string(exit.Stderr)
}

func TestDemoOnBookworm(t *testing.T) {
	s := onDebian(t, "bookworm")
	start := time.Now()
	r, p, err := s.install(t, "../../examples/rest-app", project.Settings{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("installed in %s: %d entries, %d bytes", time.Since(start), r.App.Len(), r.App.Size())
	start = time.Now()
	if _, _, err := s.install(t, "../../examples/rest-app", project.Settings{}, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("again in %s", time.Since(start))
	for e := range r.App.All() {
		base := path.Base(e.Path)
		if base == "direct_url.json" || base == "uv_cache.json" || base == ".lock" || base == "__pycache__" {
			t.Errorf("%s was left behind", e.Path)
		}
		if e.IsRegular() && e.From.Kind == tree.Made && e.Path != "app/main" {
			t.Errorf("%s belongs to %s", e.Path, e.From)
		}
		if e.UID != 0 || e.GID != 0 {
			t.Errorf("%s is of %d:%d", e.Path, e.UID, e.GID)
		}
	}
	argv, err := Entrypoint(p.Entries[0], s.rt)
	if err != nil {
		t.Fatal(err)
	}
	if code, out := s.boot(t, r, append(argv, "--help")...); code != 0 || !strings.HasPrefix(out, "Usage: main [OPTIONS]") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, out := s.boot(t, r, "/usr/local/bin/uvicorn", "--version"); code != 0 || !strings.Contains(out, "uvicorn") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	full, err := tree.Overlay(s.base.Tree, r.App)
	if err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	compiled, err := WithPycache(t.Context(), s.eng, full, s.rt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("compiled in %s: %d entries more", time.Since(start), compiled.Len()-full.Len())
	for _, pyc := range []string{"app/__pycache__/main.cpython-311.pyc", s.rt.Site + "/fastapi/__pycache__/__init__.cpython-311.pyc", "usr/lib/python3.11/__pycache__/os.cpython-311.pyc"} {
		if _, ok := compiled.Lookup(pyc); !ok {
			t.Errorf("there is no %s", pyc)
		}
	}
}
