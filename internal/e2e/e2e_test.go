//go:build e2e

// Package e2e builds and boots real images, as a user would. It needs the
// network for what is not cached yet, and nothing else: no root, no Docker, no
// Python.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"exuvia/internal/cli"
	"exuvia/internal/engine/sandbox"
	"exuvia/internal/report"
)

const demo = "../../examples/rest-app"

// asCommand in the environment makes the test binary the command itself, for
// tests that need a process of its own.
const asCommand = "EXUVIA_E2E_COMMAND"

func TestMain(m *testing.M) {
	sandbox.Init()
	if mask := os.Getenv(asCommand); mask != "" {
		var umask int
		if _, err := fmt.Sscanf(mask, "%o", &umask); err != nil {
			panic(err)
		}
		syscall.Umask(umask)
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Main(ctx, cli.Env{
			Args: os.Args, Getenv: os.Getenv, Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// machine is a user with directories for what exuvia keeps.
type machine struct {
	t           *testing.T
	cache, data string
	overlook    func(path string) bool // see pipeline.Pipeline
}

// cacheDir keeps downloads between runs: EXUVIA_E2E_CACHE, else a directory
// in the user's own cache.
func cacheDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("EXUVIA_E2E_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "exuvia-e2e")
}

func newMachine(t *testing.T) machine {
	t.Helper()
	return machine{t: t, cache: cacheDir(t), data: t.TempDir()}
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// run runs the command in this process.
func (m machine) run(args ...string) result {
	m.t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Main(m.t.Context(), cli.Env{
		Args:   append([]string{"exuvia", "--cache-dir", m.cache, "--data-dir", m.data}, args...),
		Getenv: os.Getenv, Environ: os.Environ(), Stdout: &stdout, Stderr: &stderr,
		Overlook: m.overlook,
	})
	return result{code, stdout.String(), stderr.String()}
}

// must runs the command and fails the test if it does.
func (m machine) must(args ...string) string {
	m.t.Helper()
	r := m.run(args...)
	if r.code != 0 {
		m.t.Fatalf("exuvia %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// build builds a project and gives the report.
func (m machine) build(args ...string) report.Build {
	m.t.Helper()
	var b report.Build
	out := m.must(append([]string{"build", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		m.t.Fatalf("%v:\n%s", err, out)
	}
	return b
}

// project writes files into a new directory.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// copyOf copies a project, so that a test may change it.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func checked(b report.Build, name string) error {
	for _, c := range b.Checks {
		if c.Name == name {
			if !c.OK {
				return fmt.Errorf("check %q failed: %s", name, c.Detail)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no check %q", name)
}
