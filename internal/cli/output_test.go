package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
)

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// The file that a link leads to is replaced, not the link, and only by one that
// is whole.
func TestWriteOutput(t *testing.T) {
	dir := t.TempDir()
	link, real := filepath.Join(dir, "link"), filepath.Join(dir, "real")
	if err := errors.Join(os.WriteFile(real, []byte("old"), 0o600), os.Symlink("real", link)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := writeOutput(link, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		return broken
	})
	if data, readErr := os.ReadFile(link); !errors.Is(err, broken) || readErr != nil || string(data) != "old" {
		t.Errorf("%v; the file is %q, %v", err, data, readErr)
	}
	if err := writable(link); err != nil {
		t.Error(err)
	}
	if err := writeOutput(link, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(real)
	if err != nil || string(data) != "new" {
		t.Errorf("the file is %q, %v", data, err)
	}
	if fi, err := os.Lstat(real); err != nil || fi.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", fi.Mode(), err)
	}
	if fi, err := os.Lstat(link); err != nil || fi.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is %v, %v", fi.Mode(), err)
	}
	if diff := cmp.Diff([]string{"link", "real"}, list(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWritableRefuses(t *testing.T) {
	err := writable(filepath.Join(t.TempDir(), "none", "x.json"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage {
		t.Errorf("got %v", err)
	}
}
