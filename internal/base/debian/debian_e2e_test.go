//go:build e2e

package debian_test

import (
	"bytes"
	"context"
	"debug/elf"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/tree"
)

// real opens this host's archive. With EXUVIA_E2E_CACHE downloads stay
// between runs.
func real(t *testing.T, c *cas.Store) *debian.Archive {
	t.Helper()
	a, err := debian.New(debian.Options{
		Cache: c, Root: "/", Now: time.Now, Progress: t.Logf, Client: &http.Client{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Mirror: os.Getenv("EXUVIA_DEBIAN_MIRROR"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func e2eStore(t *testing.T) *cas.Store {
	t.Helper()
	dir := os.Getenv("EXUVIA_E2E_CACHE")
	if dir == "" {
		return store(t)
	}
	c, err := cas.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// laidOut puts the directories of a materialised tree together.
func laidOut(t *testing.T, c *cas.Store, tr *tree.Tree) string {
	t.Helper()
	dirs, err := c.Materialise(t.Context(), tr)
	if err != nil {
		t.Fatal(err)
	}
	into, err := c.Temp("whole") // links need the store's file system
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cas.RemoveAll(into) })
	for _, d := range dirs {
		if out, err := exec.CommandContext(t.Context(), "cp", "-al", d+"/.", into).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return into
}

// run starts a program of a tree through the tree's own loader, which needs
// no root.
func run(t *testing.T, c *cas.Store, b *base.Base, args ...string) string {
	t.Helper()
	dir := laidOut(t, c, b.Tree)
	at := func(name string) string {
		e, ok := b.Tree.Resolve(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		return filepath.Join(dir, e.Path)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, context.DeadlineExceeded)
	defer cancel()
	line := append([]string{"--library-path", filepath.Join(dir, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(dir, "usr/lib"), at(args[0])}, args[1:]...)
	cmd := exec.CommandContext(ctx, at("lib64/ld-linux-x86-64.so.2"), line...)
	cmd.Env = []string{"PYTHONHOME=" + filepath.Join(dir, "usr"), "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// imports is most of what the standard library has in shared libraries.
const imports = `import sys, ssl, sqlite3, ctypes, lzma, bz2, zlib, readline, curses, dbm, zoneinfo, uuid, hashlib, decimal, json, asyncio
print("%d.%d" % sys.version_info[:2])`

// Every suite that is named has the Pythons that are named, and they run.
func TestSuites(t *testing.T) {
	c := e2eStore(t)
	for _, s := range debian.Suites() {
		for i, python := range s.Python {
			version := python
			if i == 0 {
				version = ""
			}
			ref := debian.Ref(s.Name, "", version)
			t.Run(ref, func(t *testing.T) {
				a := real(t, c)
				start := time.Now()
				b := mustBase(t, a, ref)
				cold := time.Since(start)
				start = time.Now()
				mustBase(t, real(t, c), ref)
				t.Logf("%d entries, %.1f MB, %s; first %s, warm %s", b.Tree.Len(), float64(b.Tree.Size())/1e6, b.Libc, cold, time.Since(start))
				if b.Python != "usr/bin/python"+python {
					t.Errorf("Python is %q", b.Python)
				}
				if got := run(t, c, b, "usr/bin/python", "-c", imports); got != python {
					t.Errorf("usr/bin/python says %q", got)
				}
				whole(t, b.Tree)
			})
		}
	}
}

// whole checks that every library that a program or library of the tree needs
// is in the tree, that no link of its own dangles and that the bundle of
// certificates is there.
func whole(t *testing.T, tr *tree.Tree) {
	t.Helper()
	names := make(map[string]bool)
	for e := range tr.All() {
		names[path.Base(e.Path)] = true
	}
	for e := range tr.All() {
		if !e.IsRegular() || e.Size < 64 || !strings.HasPrefix(e.Path, "usr/bin/") && !strings.Contains(e.Path, ".so") {
			continue
		}
		data, err := e.ReadAll(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			continue // a script
		}
		needed, err := f.ImportedLibraries()
		if err != nil {
			t.Errorf("%s: %v", e.Path, err)
		}
		for _, n := range needed {
			if !names[n] {
				t.Errorf("%s needs %s, which is not there", e.Path, n)
			}
		}
	}
	if bundle := contents(t, tr, "etc/ssl/certs/ca-certificates.crt"); strings.Count(bundle, "BEGIN CERTIFICATE") < 100 {
		t.Errorf("a bundle of %d bytes", len(bundle))
	}
	for _, name := range []string{"bin/sh", "usr/bin/awk", "etc/localtime", "usr/lib/ssl/cert.pem", "etc/os-release", "etc/nsswitch.conf", "etc/services", "usr/lib/locale/C.utf8/LC_CTYPE"} {
		if _, ok := tr.Resolve(name); !ok && (!strings.Contains(name, "C.utf8") || !hasName(tr, "usr/lib/locale/C.UTF-8/LC_CTYPE")) {
			t.Errorf("no %s", name)
		}
	}
}

func hasName(tr *tree.Tree, name string) bool {
	_, ok := tr.Resolve(name)
	return ok
}

func TestFlavoursAndTools(t *testing.T) {
	c := e2eStore(t)
	a := real(t, c)
	for _, ref := range []string{"debian:bookworm-slim", "debian:trixie-slim", "debian:bookworm-bare", "debian:bookworm-distroless", "debian:trixie-distroless"} {
		start := time.Now()
		b := mustBase(t, a, ref)
		t.Logf("%s: %d entries, %.1f MB, %s", ref, b.Tree.Len(), float64(b.Tree.Size())/1e6, time.Since(start))
	}
	for _, tt := range []struct {
		suite, program, says string
		packages             []string
	}{
		{"bookworm", "usr/bin/patchelf", "patchelf", []string{"binutils", "patchelf"}},
		{"bookworm", "usr/bin/strip", "GNU strip", []string{"binutils", "patchelf"}},
		{"bookworm", "usr/bin/cc", "12.", []string{"gcc", "libc6-dev"}},
		{"trixie", "usr/bin/upx", "upx", []string{"upx-ucl"}},
	} {
		start := time.Now()
		b, err := a.System(t.Context(), tt.suite, tt.packages, amd64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %d entries, %.1f MB, %s", tt.packages, b.Tree.Len(), float64(b.Tree.Size())/1e6, time.Since(start))
		if got := run(t, c, b, tt.program, "--version"); !strings.Contains(got, tt.says) {
			t.Errorf("%s says %q", tt.program, got)
		}
	}
	b, err := a.System(t.Context(), "bookworm", []string{"python3", "python3-pip"}, amd64)
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, c, b, "usr/bin/python3", "-m", "pip", "--version"); !strings.HasPrefix(got, "pip ") {
		t.Errorf("pip says %q", got)
	}
}

// Another platform needs no emulation to be assembled.
func TestArm64(t *testing.T) {
	b, err := real(t, e2eStore(t)).Base(t.Context(), "debian:bookworm", v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"})
	if err != nil {
		t.Fatal(err)
	}
	e, ok := b.Tree.Resolve(b.Python)
	if !ok {
		t.Fatal("no Python")
	}
	r, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil || f.Machine != elf.EM_AARCH64 {
		t.Errorf("%s: %v %v", b.Python, f.Machine, err)
	}
	if _, ok := b.Tree.Resolve("lib/ld-linux-aarch64.so.1"); !ok {
		t.Error("no loader")
	}
}

// Two caches, one tree: nothing of the machine or the order of work shows.
func TestSameTwice(t *testing.T) {
	one := mustBase(t, real(t, e2eStore(t)), "debian:bookworm")
	two := mustBase(t, real(t, store(t)), "debian:bookworm")
	if one.Tree.Digest() != two.Tree.Digest() {
		for _, c := range tree.Diff(one.Tree, two.Tree) {
			t.Error(c.Path)
		}
	}
}
