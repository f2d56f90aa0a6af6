// Command bench prints the figures of README, measured in this run: sizes of
// the demo's image, time of builds, and starts of the image beside those of
// the unreduced app. It is no test: what it prints depends on the machine and
// on what else that does.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"exuvia/internal/report"
)

const (
	exuvia = "bin/exuvia"
	demo   = "examples/rest-app"
	starts = "40"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "exuvia-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	app := filepath.Join(dir, "app")
	if err := os.CopyFS(app, os.DirFS(demo)); err != nil {
		return err
	}
	b := bench{cache: cacheDir(), data: filepath.Join(dir, "data")}
	if _, _, err := b.build(ctx, app); err != nil { // what is downloaded is cached now
		return err
	}
	unchanged, took, err := b.build(ctx, app)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "image: %.1f MB unpacked, %.1f MB to download, %d files\n", float64(unchanged.Size)/1e6, float64(unchanged.Download)/1e6, unchanged.Files)
	fmt.Fprintf(out, "unchanged rebuild: %.2f s\n", took.Seconds())
	if err := change(filepath.Join(app, "app", "main.py")); err != nil {
		return err
	}
	changed, took, err := b.build(ctx, app)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "one changed line, with verification: %.2f s (%s)\n", took.Seconds(), phases(changed))
	if err := b.cold(ctx, out, app, dir); err != nil {
		return err
	}
	text, err := b.exuvia(ctx, "measure", "-q", "-n", starts, "rest-app", app)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s", text)
	return err
}

// bench runs exuvia with images of its own.
type bench struct{ cache, data string }

// downloads are the records of the cache that say what was downloaded; see
// ARCHITECTURE.md. All others are of work that was done with it.
var downloads = []string{"debian-release", "dist", "uv"}

// cold builds with a cache in which nothing is but downloads: the files and
// the records of what they are.
func (b bench) cold(ctx context.Context, out io.Writer, app, dir string) error {
	b.data = filepath.Join(dir, "cold-data")
	b.cache = filepath.Join(dir, "cold-cache")
	if text, err := exec.CommandContext(ctx, "cp", "-a", cacheDir(), b.cache).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the cache: %w: %s", err, text)
	}
	if err := os.RemoveAll(filepath.Join(b.cache, "trees")); err != nil {
		return err
	}
	kinds, err := os.ReadDir(filepath.Join(b.cache, "records"))
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if slices.Contains(downloads, k.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(b.cache, "records", k.Name())); err != nil {
			return err
		}
	}
	r, took, err := b.build(ctx, app)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "cold, with downloads cached: %.1f s (%s)\n", took.Seconds(), phases(r))
	return nil
}

// cacheDir is where exuvia keeps downloads unless it is told otherwise.
func cacheDir() string {
	if dir := os.Getenv("EXUVIA_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ".cache"
	}
	return filepath.Join(dir, "exuvia")
}

func (b bench) exuvia(ctx context.Context, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, exuvia, append([]string{"--cache-dir", b.cache, "--data-dir", b.data}, args...)...)
	c.Stderr = os.Stderr
	return c.Output()
}

func (b bench) build(ctx context.Context, dir string) (report.Build, time.Duration, error) {
	start := time.Now()
	data, err := b.exuvia(ctx, "build", "-q", "--json", dir)
	took := time.Since(start)
	var r report.Build
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, took, err
}

// change changes one line of a source, to something that no cache has seen.
func change(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("CHANGED = %d\n", time.Now().UnixNano())
	return os.WriteFile(name, append(bytes.TrimRight(data, "\n"), "\n"+line...), 0o644) //nolint:gosec // a copy of our own example
}

func phases(r report.Build) string {
	var parts []string
	for _, t := range r.Timings {
		parts = append(parts, fmt.Sprintf("%s %.1f", t.Phase, t.Seconds))
	}
	return strings.Join(parts, ", ")
}
