package base

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/testkit/debarchive"
	"exuvia/internal/tree"
)

func store(tb testing.TB) *cas.Store {
	tb.Helper()
	c, err := cas.Open(filepath.Join(tb.TempDir(), "cache"))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// list shows a tree without its directories.
func list(t *tree.Tree) []string {
	var out []string
	for e := range t.All() {
		switch {
		case e.IsDir():
		case e.Link != "":
			out = append(out, fmt.Sprintf("%s %s → %s", e.Path, e.Mode, e.Link))
		default:
			out = append(out, fmt.Sprintf("%s %s", e.Path, e.Mode))
		}
	}
	return out
}

// write makes a directory of files; a body "→x" is a link to x.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "home")
	for name, body := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		perm := fs.FileMode(0o644)
		if strings.Contains(name, "bin/") {
			perm = 0o755
		}
		var err error
		if target, ok := strings.CutPrefix(body, "→"); ok {
			err = os.Symlink(target, file)
		} else if err = os.WriteFile(file, []byte(body), perm); err == nil {
			err = os.Chmod(file, perm)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const sysconf = "build_time_vars = {'exec_prefix': '/x',\n 'prefix': '%s',\n}\n"

func prefix(at, made string) map[string]string {
	return map[string]string{
		at + "bin/python3.11":                              "ELF",
		at + "bin/python3":                                 "→python3.11",
		at + "lib/python3.11/os.py":                        "os",
		at + "lib/python3.11/_sysconfigdata__linux_x86.py": fmt.Sprintf(sysconf, made),
	}
}

func TestDir(t *testing.T) {
	whole := map[string]string{
		"usr/bin/python3.11": "ELF", "usr/bin/python3": "→python3.11", "usr/lib/python3.11/os.py": "os",
		"lib64/ld-linux-x86-64.so.2": "ld", "lib/libc.so.6": "\x00GNU C Library (X GLIBC 2.36-9) stable release version 2.36.\nCopyright",
	}
	for _, tt := range []struct {
		name         string
		files        map[string]string
		python, libc string
		want         []string
	}{
		{
			name: "prefix", files: prefix("", "/opt/py"), python: "opt/py/bin/python3.11",
			want: []string{
				"opt/py/bin/python3 Lrwxrwxrwx → python3.11", "opt/py/bin/python3.11 -rwxr-xr-x",
				"opt/py/lib/python3.11/_sysconfigdata__linux_x86.py -rw-r--r--", "opt/py/lib/python3.11/os.py -rw-r--r--",
				"usr/bin/python Lrwxrwxrwx → /opt/py/bin/python3.11", "usr/bin/python3 Lrwxrwxrwx → /opt/py/bin/python3.11",
			},
		},
		{
			name: "standalone, with its build beside it", files: func() map[string]string {
				f := prefix("python/install/", "/install")
				f["python/build/x.o"] = "object"
				return f
			}(), python: "usr/local/bin/python3.11",
			want: []string{
				"usr/bin/python Lrwxrwxrwx → /usr/local/bin/python3.11", "usr/bin/python3 Lrwxrwxrwx → /usr/local/bin/python3.11",
				"usr/local/bin/python3 Lrwxrwxrwx → python3.11", "usr/local/bin/python3.11 -rwxr-xr-x",
				"usr/local/lib/python3.11/_sysconfigdata__linux_x86.py -rw-r--r--", "usr/local/lib/python3.11/os.py -rw-r--r--",
			},
		},
		{
			name: "whole system", files: whole, python: "usr/bin/python3.11", libc: "glibc 2.36",
			want: []string{
				"lib/libc.so.6 -rw-r--r--", "lib64/ld-linux-x86-64.so.2 -rw-r--r--",
				"usr/bin/python Lrwxrwxrwx → /usr/bin/python3.11", "usr/bin/python3 Lrwxrwxrwx → python3.11", "usr/bin/python3.11 -rwxr-xr-x",
				"usr/lib/python3.11/os.py -rw-r--r--",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := store(t)
			dir := write(t, tt.files)
			for range 2 { // read, and known again
				b, err := Dir(t.Context(), c, dir)
				if err != nil {
					t.Fatal(err)
				}
				if b.Python != tt.python || b.Libc != tt.libc {
					t.Errorf("Python %q, libc %q", b.Python, b.Libc)
				}
				if diff := cmp.Diff(tt.want, list(b.Tree)); diff != "" {
					t.Errorf("tree (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A changed file of a known directory is seen.
func TestDirChanged(t *testing.T) {
	c := store(t)
	dir := write(t, prefix("", "/opt/py"))
	one, err := Dir(t.Context(), c, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lib/python3.11/os.py"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	two, err := Dir(t.Context(), c, dir)
	if err != nil {
		t.Fatal(err)
	}
	if one.Tree.Digest() == two.Tree.Digest() {
		t.Error("the change was not seen")
	}
}

func TestDirFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		says  string
	}{
		{"nothing", map[string]string{"x": "y"}, "holds no CPython"},
		{"no library", map[string]string{"bin/python3.11": "ELF"}, "holds no CPython"},
		{"virtual environment", map[string]string{"pyvenv.cfg": "home = /usr/bin\n", "bin/python3.11": "→/usr/bin/python3.11"}, "virtual environment"},
		{"no record", map[string]string{"bin/python3.11": "ELF", "lib/python3.11/os.py": "os"}, "no _sysconfigdata"},
		{"record leads out", prefix("", "/../.."), "it was made for"},
		{"loader alone", map[string]string{"lib64/ld-linux-x86-64.so.2": "ld"}, "no C library"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dir(t.Context(), store(t), write(t, tt.files))
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != fault.Base || !strings.Contains(f.What, tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
	_, err := Dir(t.Context(), store(t), filepath.Join(t.TempDir(), "gone"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base {
		t.Errorf("missing directory: %v", err)
	}
}

// In somebody's home a Python is not for others, unless the way is open.
func TestOver(t *testing.T) {
	b, err := Dir(t.Context(), store(t), write(t, prefix("", "/root/py")))
	if err != nil {
		t.Fatal(err)
	}
	from := tree.Origin{Kind: tree.Deb, Name: "base-files"}
	system, err := tree.New(tree.Dir("root", 0o700, from), tree.Dir("usr/bin", 0o755, from), tree.Symlink("bin", "usr/bin", from))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Over(b, &Base{Ref: "debian:bookworm-bare", Tree: system, Libc: "glibc 2.36", Inputs: map[string]string{"a": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Libc != "glibc 2.36" || got.Python != "root/py/bin/python3.11" || len(got.Inputs) != 2 {
		t.Errorf("%+v", got)
	}
	if e, _ := got.Tree.Lookup("root"); e.Mode.Perm() != 0o711 {
		t.Errorf("root has mode %s", e.Mode)
	}
	if e, ok := got.Tree.Resolve("bin/python"); !ok || e.Path != got.Python {
		t.Errorf("/bin/python is %s", e.Path)
	}
}

func tarball(tb testing.TB, files ...debarchive.File) []byte { return debarchive.Tar(tb, files...) }

func TestTarball(t *testing.T) {
	good := []debarchive.File{
		{Path: "python/"},
		{Path: "python/bin/python3.11", Body: "ELF"},
		{Path: "python/bin/python3", Type: tar.TypeSymlink, Link: "python3.11"},
		{Path: "python/bin/python3.11-again", Type: tar.TypeLink, Link: "python/bin/python3.11"},
		{Path: "python/lib/python3.11/os.py", Body: "os"},
		{Path: "python/lib/python3.11/_sysconfigdata_x.py", Body: fmt.Sprintf(sysconf, "/install")},
	}
	for _, how := range []string{"", "gz", "xz", "zst"} {
		t.Run("packed "+how, func(t *testing.T) {
			data := tarball(t, good...)
			if how != "" {
				data = debarchive.Pack(t, how, data)
			}
			name := filepath.Join(t.TempDir(), "python.tar")
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
			b, err := Dir(t.Context(), store(t), name)
			if err != nil {
				t.Fatal(err)
			}
			if b.Python != "usr/local/bin/python3.11" {
				t.Errorf("Python %q", b.Python)
			}
			if e, ok := b.Tree.Lookup("usr/local/bin/python3.11-again"); !ok || e.Link != "usr/local/bin/python3.11" {
				t.Errorf("hard link: %+v", e)
			}
		})
	}
	for _, tt := range []struct {
		name string
		data []byte
		says string
	}{
		{"empty", nil, "empty"},
		{"no archive", []byte(strings.Repeat("no archive ", 100)), "header"},
		{"cut off", debarchive.Pack(t, "gz", tarball(t, good...))[:200], "EOF"},
		{"path leads out", tarball(t, debarchive.File{Path: "../x", Body: "x"}), "leads out"},
		{"link leads out", tarball(t, debarchive.File{Path: "x", Type: tar.TypeLink, Link: "/../../etc/shadow"}), "leads out"},
		{"device", tarball(t, debarchive.File{Path: "x", Type: tar.TypeChar}), "neither file"},
		{"below a link", tarball(t, debarchive.File{Path: "x", Type: tar.TypeSymlink, Link: "/etc"}, debarchive.File{Path: "x/passwd", Body: "x"}), "not a directory"},
		{"one path twice", tarball(t, debarchive.File{Path: "x", Body: "1"}, debarchive.File{Path: "x", Body: "2"}), "comes both"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "python.tar")
			if err := os.WriteFile(name, tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Dir(t.Context(), store(t), name)
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base || !strings.Contains(f.What, tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// Whatever an archive holds, what is read of it stays below the root.
func FuzzTarball(f *testing.F) {
	f.Add(tarball(f, debarchive.File{Path: "a/"}, debarchive.File{Path: "a/b", Body: "x"}, debarchive.File{Path: "a/c", Type: tar.TypeLink, Link: "a/b"}))
	f.Add(tarball(f, debarchive.File{Path: "../x", Body: "x"}))
	f.Add(debarchive.Pack(f, "gz", tarball(f, debarchive.File{Path: "x", Type: tar.TypeSymlink, Link: "/etc"})))
	c := store(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readTarball(t.Context(), c, bytes.NewReader(data), tree.Origin{})
		if err != nil {
			return
		}
		for e := range got.All() {
			if !fs.ValidPath(e.Path) || !filepath.IsLocal(e.Path) {
				t.Errorf("path %q", e.Path)
			}
			if e.IsRegular() && e.Link != "" {
				if first, ok := got.Lookup(e.Link); !ok || first.Sum != e.Sum {
					t.Errorf("hard link %q to %q", e.Path, e.Link)
				}
			}
		}
	})
}
