package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
)

// leftIn is a box whose container left a directory as its /tmp.
func leftIn(t *testing.T, dir string) *box {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := &box{}
	b.left = map[string]*os.File{"tmp": f}
	b.Tmpfs = []string{"tmp", "tmp/inner"}
	b.Mounts = []mount{{At: "tmp/given"}}
	return b
}

// Nothing outside the directory may be looked at, and no pipe waited for.
func TestLeft(t *testing.T) {
	dir := t.TempDir()
	upperOf(t, dir, map[string]string{
		"b": "b", "a/x": "", "empty/": "", "link": "@/etc", "out": "@../../../../etc/passwd", "pipe": "|", "given": "of a mount", "inner/x": "of a mount",
	})
	if err := os.Chmod(filepath.Join(dir, "b"), 0o640); err != nil {
		t.Fatal(err)
	}
	got, much := leftIn(t, dir).files()
	want := []engine.File{
		{Path: "/tmp/a/x", Mode: 0o644, Digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{Path: "/tmp/b", Mode: 0o640, Size: 1, Digest: "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"},
		{Path: "/tmp/link", Mode: fs.ModeSymlink | 0o777, Link: "/etc"},
		{Path: "/tmp/out", Mode: fs.ModeSymlink | 0o777, Link: "../../../../etc/passwd"},
		{Path: "/tmp/pipe", Mode: fs.ModeNamedPipe | 0o644},
	}
	if diff := cmp.Diff(want, got); diff != "" || much {
		t.Errorf("too much: %v, (-want +got)\n%s", much, diff)
	}
}

func TestLeftIsBounded(t *testing.T) {
	for name, fill := range map[string]func(dir string) error{
		"files": func(dir string) error {
			for i := range maxLeft + 1 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		"depth": func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", maxLeftDepth)), 0o755)
		},
		"bytes": func(dir string) error { // more than is there, of zeros
			name := filepath.Join(dir, "x")
			return errors.Join(os.WriteFile(name, nil, 0o644), os.Truncate(name, 1<<40))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fill(dir); err != nil {
				t.Skipf("this file system cannot hold it: %v", err)
			}
			if got, much := leftIn(t, dir).files(); got != nil || !much {
				t.Errorf("%d files, too much: %v", len(got), much)
			}
		})
	}
}
