//go:build e2e

package sharedlib

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

// host is a tree of this machine's own files in dirs.
func host(t *testing.T, dirs ...string) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	for _, link := range []string{"bin", "lib", "lib64", "sbin"} {
		if target, err := os.Readlink("/" + link); err == nil {
			entries = append(entries, tree.Symlink(link, target, tree.Origin{}))
		}
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(p, "/")
			switch {
			case d.IsDir():
				entries = append(entries, tree.Dir(name, 0o755, tree.Origin{}))
			case d.Type() == fs.ModeSymlink:
				target, err := os.Readlink(p)
				if err != nil {
					return err
				}
				entries = append(entries, tree.Symlink(name, target, tree.Origin{}))
			case d.Type().IsRegular():
				entries = append(entries, tree.Entry{
					Path: name, Mode: fi.Mode().Perm(), Size: fi.Size(), From: tree.Origin{Kind: tree.BaseFile, Name: p},
					Open: func() (io.ReadCloser, error) { return os.Open(p) },
				})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var mapped = regexp.MustCompile(`(?m)(?:=> |^\t)(/\S+) \(0x`)

// loaded asks the loader, without its cache, what it would map; nil is for
// what it cannot load.
func loaded(t *testing.T, name string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/lib64/ld-linux-x86-64.so.2", "--inhibit-cache", "--list", name).Output()
	if err != nil || strings.Contains(string(out), "not found") || strings.Contains(string(out), "statically linked") {
		return nil
	}
	var paths []string
	for _, m := range mapped.FindAllStringSubmatch(string(out), -1) {
		real, err := filepath.EvalSymlinks(m[1])
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, real)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// closure is what the finder says that a file needs, and so on.
func closure(t *testing.T, f *Finder, tr *tree.Tree, name string) []string {
	t.Helper()
	var out []string
	todo := []string{name}
	for len(todo) > 0 {
		e, ok := tr.Resolve(todo[0])
		if !ok {
			t.Fatalf("%s is not there", todo[0])
		}
		todo = todo[1:]
		edges, err := f.Find(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		for _, edge := range edges {
			if edge.Kind != KindNeeded && edge.Kind != KindLoader || edge.To == "" || edge.Optional {
				continue
			}
			to, _ := tr.Resolve(edge.To)
			if p := "/" + to.Path; !slices.Contains(out, p) {
				out = append(out, p)
				todo = append(todo, to.Path)
			}
		}
	}
	slices.Sort(out)
	return out
}

// The loader itself finds the same libraries.
func TestLoaderAgrees(t *testing.T) {
	tr := host(t, "/usr/bin", "/usr/lib", "/usr/lib64")
	compared := 0
	for e := range tr.All() {
		if compared == 200 || !e.IsRegular() || e.Mode.Perm()&0o111 == 0 && !library.MatchString(e.Path) {
			continue
		}
		o, err := open(e)
		if err != nil {
			t.Fatal(err)
		}
		if o == nil || len(o.Needed) == 0 {
			continue
		}
		want := loaded(t, "/"+e.Path)
		if want == nil {
			continue
		}
		compared++
		f := New(tr)
		f.search.extra = nil // as with --inhibit-cache
		if diff := cmp.Diff(want, closure(t, f, tr, e.Path)); diff != "" {
			t.Errorf("%s (-loader +finder):\n%s", e.Path, diff)
		}
	}
	t.Logf("%d files", compared)
	if compared < 50 {
		t.Errorf("only %d files could be compared", compared)
	}
}
