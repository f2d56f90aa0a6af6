package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// upperOf writes files below dir. A name that ends in a slash is a directory,
// "@x" a link to x, "|" a fifo.
func upperOf(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch body := files[n]; {
		case strings.HasSuffix(n, "/"):
			err = os.MkdirAll(p, 0o755)
		case strings.HasPrefix(body, "@"):
			err = os.Symlink(body[1:], p)
		case body == "|":
			err = syscall.Mkfifo(p, 0o644)
		default:
			err = os.WriteFile(p, []byte(body), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func listing(tr *tree.Tree) []string {
	var out []string
	for e := range tr.All() {
		line := e.Mode.String() + " " + e.Path
		if e.IsSymlink() {
			line += " -> " + e.Link
		}
		out = append(out, line)
	}
	return out
}

func TestHarvest(t *testing.T) {
	old, err := tree.New(
		tree.File("app/old", 0o644, []byte("old"), tree.Origin{}), tree.File("app/secret", 0o000, []byte("s"), tree.Origin{}),
		tree.Symlink("app/link", "old", tree.Origin{}), tree.Dir("app/sub", 0o755, tree.Origin{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		outs  []string
		upper map[string]string
		chmod map[string]os.FileMode
		want  []string
		err   string
	}{
		"nothing":        {outs: []string{"app", "out"}},
		"no outs":        {upper: map[string]string{"app/x": "1"}},
		"files":          {outs: []string{"app"}, upper: map[string]string{"app/x": "1", "app/sub/y": "2", "etc/z": "3"}, want: []string{"drwxr-xr-x app", "drwxr-xr-x app/sub", "-rw-r--r-- app/sub/y", "-rw-r--r-- app/x"}},
		"a link":         {outs: []string{"app"}, upper: map[string]string{"app/x": "@/etc/passwd"}, want: []string{"drwxr-xr-x app", "Lrwxrwxrwx app/x -> /etc/passwd"}},
		"new directory":  {outs: []string{"out"}, upper: map[string]string{"out/d/": ""}, want: []string{"drwxr-xr-x out", "drwxr-xr-x out/d"}},
		"outs in outs":   {outs: []string{"out/d", "out", "out"}, upper: map[string]string{"out/d/x": "1"}, want: []string{"drwxr-xr-x out", "drwxr-xr-x out/d", "-rw-r--r-- out/d/x"}},
		"neighbours":     {outs: []string{"out"}, upper: map[string]string{"out-of/x": "1"}},
		"setuid":         {outs: []string{"out"}, upper: map[string]string{"out/x": "1"}, chmod: map[string]os.FileMode{"out/x": 0o755 | os.ModeSetuid}, want: []string{"drwxr-xr-x out", "-rwxr-xr-x out/x"}},
		"unreadable":     {outs: []string{"out"}, upper: map[string]string{"out/x": "1", "out/d/y": "2"}, chmod: map[string]os.FileMode{"out/x": 0, "out/d": 0o300}, want: []string{"drwxr-xr-x out", "d-wx------ out/d", "-rw-r--r-- out/d/y", "---------- out/x"}},
		"equal file":     {outs: []string{"app"}, upper: map[string]string{"app/old": "old", "app/link": "@old"}},
		"other contents": {outs: []string{"app"}, upper: map[string]string{"app/old": "new"}, err: "changed /app/old"},
		"other mode":     {outs: []string{"app"}, upper: map[string]string{"app/old": "old"}, chmod: map[string]os.FileMode{"app/old": 0o755}, err: "changed /app/old"},
		"other target":   {outs: []string{"app"}, upper: map[string]string{"app/link": "@new"}, err: "changed /app/link"},
		"other type":     {outs: []string{"app"}, upper: map[string]string{"app/sub": "file"}, err: "changed /app/sub"},
		"directory now":  {outs: []string{"app"}, upper: map[string]string{"app/old/x": "1"}, err: "directory in place of /app/old"},
		"directory mode": {outs: []string{"app"}, upper: map[string]string{"app/sub/x": "1"}, chmod: map[string]os.FileMode{"app/sub": 0o777}, err: "mode of /app/sub to 0777"},
		"a fifo":         {outs: []string{"app"}, upper: map[string]string{"app/pipe": "|"}, err: "/app/pipe, which is neither"},
		"out is a file":  {outs: []string{"app/out"}, upper: map[string]string{"app/out": "1"}, err: "in place of the directory /app/out"},
		"out is a link":  {outs: []string{"out/d"}, upper: map[string]string{"out": "@/etc"}, err: "in place of the directory /out"},
		"not UTF-8":      {outs: []string{"out"}, upper: map[string]string{"out/\xff": "1"}, err: `invalid path "out/\xff"`},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := cas.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			b := &box{dir: t.TempDir(), tree: old, outs: c.outs}
			b.Scratch = b.dir
			t.Cleanup(b.close)
			if err := os.Mkdir(b.upper(), 0o755); err != nil {
				t.Fatal(err)
			}
			upperOf(t, b.upper(), c.upper)
			for p, m := range c.chmod {
				if err := os.Chmod(filepath.Join(b.upper(), p), m); err != nil {
					t.Fatal(err)
				}
			}
			got, err := (&Engine{cache: store}).harvest(t.Context(), b, plan.Step{Name: "test"})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, listing(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for e := range got.All() {
				if e.IsRegular() && !store.Has(cas.Blob{Sum: e.Sum, Size: e.Size}) {
					t.Errorf("%s is not in the store", e.Path)
				}
			}
		})
	}
}
