//go:build e2e

package reduce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// chroot is an engine for these tests alone: unshare and chroot, a copy of
// the tree a step. It needs util-linux and user namespaces, or root.
type chroot struct{ store *cas.Store }

func (c chroot) Run(ctx context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	root, err := c.lay(ctx, trees[s.System])
	if err != nil {
		return nil, err
	}
	defer cas.RemoveAll(root)
	for _, m := range s.Inputs {
		if err := c.copy(ctx, trees[m.Tree], filepath.Join(root, m.At)); err != nil {
			return nil, err
		}
	}
	for _, o := range s.Outs {
		if err := os.MkdirAll(filepath.Join(root, o), 0o755); err != nil {
			return nil, err
		}
	}
	out, err := exec.CommandContext(ctx, "unshare", enter(root, engine.Env(), s.Args)...).CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, &engine.StepError{Step: s.Name, Exit: failed.ExitCode(), Output: string(out)}
	}
	if err != nil {
		return nil, err
	}
	var entries []tree.Entry
	for _, o := range s.Outs {
		if err := walk(root, o, func(e tree.Entry) { entries = append(entries, e) }); err != nil {
			return nil, err
		}
	}
	t, err := tree.New(entries...)
	if err != nil {
		return nil, err
	}
	return c.store.Keep(ctx, t)
}

// lay gives a directory with the tree that may be written to.
func (c chroot) lay(ctx context.Context, t *tree.Tree) (string, error) {
	root, err := os.MkdirTemp(c.store.Dir(), "root-*")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(root, 0o755); err != nil {
		return "", err
	}
	return root, c.copy(ctx, t, root)
}

func (c chroot) copy(ctx context.Context, t *tree.Tree, to string) error {
	parts, err := c.store.Materialise(ctx, t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, from := range parts {
		if out, err := exec.CommandContext(ctx, "cp", "-al", from+"/.", to).CombinedOutput(); err != nil {
			return fmt.Errorf("copying: %w: %s", err, out)
		}
	}
	return nil
}

// enter gives arguments for unshare(1) that run argv in root.
func enter(root string, env, argv []string) []string {
	const script = `mkdir -p "$0/dev" "$0/tmp" "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /proc "$0/proc" && mount -t tmpfs tmpfs "$0/tmp" && cd "$0" && exec chroot "$0" /usr/bin/env -i "$@"`
	return append(append([]string{"--mount", "--map-root-user", "--net", "sh", "-c", script, root}, env...), argv...)
}

// walk reads files of the host below root+dir; their paths start at root.
func walk(root, dir string, add func(tree.Entry)) error {
	return filepath.WalkDir(filepath.Join(root, dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.Trim(strings.TrimPrefix(p, root), "/")
		switch {
		case d.IsDir() && (d.Name() == "__pycache__" || d.Name() == "test" || d.Name() == "site-packages" || strings.HasPrefix(d.Name(), "config-3")):
			return fs.SkipDir
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			add(tree.File(rel, info.Mode().Perm(), data, tree.Origin{Kind: tree.BaseFile, Name: "host"}))
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			add(tree.Symlink(rel, target, tree.Origin{Kind: tree.BaseFile, Name: "host"}))
		}
		return nil
	})
}

// prefix makes a tree of an interpreter of the host that lies in a directory
// of its own, with the system tree for its libraries.
func prefix(t *testing.T, sys *tree.Tree, dir, exe string) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	add := func(e tree.Entry) { entries = append(entries, e) }
	for _, sub := range []string{"bin", "lib"} {
		if err := walk("", filepath.Join(dir, sub), add); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `ldd "$0" "$1"/lib/python3*/lib-dynload/*.so "$1"/lib/*.so.1.0 2>/dev/null`, exe, dir).CombinedOutput()
	if len(out) == 0 {
		t.Fatal(err)
	}
	libs := regexp.MustCompile(`(?m)=> (/\S+)`).FindAllStringSubmatch(string(out), -1)
	seen := make(map[string]bool)
	for _, m := range libs {
		lib := m[1]
		if seen[lib] || strings.HasPrefix(lib, dir) {
			continue
		}
		seen[lib] = true
		data, err := os.ReadFile(lib)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := sys.Resolve(lib); !ok {
			add(tree.File(sys.Real(strings.Trim(lib, "/")), 0o755, data, tree.Origin{Kind: tree.BaseFile, Name: "host"}))
		}
	}
	all, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	all, err = tree.Overlay(sys, all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// probed adds what the probe imports: distributions in site, an app.
func probed(t *testing.T, sys *tree.Tree, rt *python.Runtime) *tree.Tree {
	t.Helper()
	dist := tree.Origin{Kind: tree.Dist, Name: "demo", Version: "1.2"}
	app := tree.Origin{Kind: tree.Project, Name: "app"}
	file := func(o tree.Origin, name, text string) tree.Entry { return tree.File(name, 0o644, []byte(text), o) }
	probe, err := os.ReadFile("testdata/probe.py")
	if err != nil {
		t.Fatal(err)
	}
	site := rt.Site
	entries := []tree.Entry{
		file(dist, site+"/demo/__init__.py", "'''docs'''\nimport sys\nV = 7\nPTH = getattr(sys, 'pth_ran', None)\ndef f():\n    assert sys\n    return __doc__\nclass C:\n    def __init__(self, n): self.n = n\n"),
		file(dist, site+"/demo/__main__.py", "import sys\nprint(__name__, __package__, __spec__.name, sys.argv[0].replace('.pyc', '.py'), sys.argv[1:], __file__.replace('.pyc', '.py'))\n"),
		file(dist, site+"/demo/tool.py", "print(__name__, __spec__.name)\n"),
		file(dist, site+"/demo/counter.py", "COUNT = globals().get('COUNT', 0) + 1\n"),
		file(dist, site+"/demo/broken.py", "def g():\n    1/0\n\ng()\n"),
		file(dist, site+"/demo/afterfork.py", "N = 42\n"),
		file(dist, site+"/demo/_json.py", "raise RuntimeError('the extension module comes first')\n"),
		file(dist, site+"/demo/template.py", "{{ not python }}\n"),
		file(dist, site+"/demo/data.txt", "data"),
		file(dist, site+"/demo/sub/__init__.py", ""),
		file(dist, site+"/demo/sub/deep.py", "'''deep docs'''\n\ndef where():\n    return __file__\n"),
		file(dist, site+"/demo-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.2\n"),
		file(dist, site+"/demo-1.2.dist-info/entry_points.txt", "[demo.group]\nx = demo:f\n"),
		file(dist, site+"/demo-1.2.dist-info/RECORD", "demo/__init__.py,,\n"),
		file(dist, site+"/demo-1.2.dist-info/top_level.txt", "demo\n"),
		file(dist, site+"/demo.pth", "import sys; sys.pth_ran = True\n/app/lib\n"),
		file(dist, site+"/nspkg/a/__init__.py", "A = 1\n"),
		file(dist, site+"/nspkg/a/inner.py", "I = 2\n"),
		file(dist, site+"/nspkg/a/a.txt", "a"),
		file(dist, site+"/ext/__init__.py", "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"),
		file(dist, site+"/ext/one.py", "N = 1\n"),
		file(app, "app/lib/ext/__init__.py", "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"),
		file(app, "app/lib/ext/two.py", "N = 2\n"),
		file(app, "app/lib/nspkg/b.py", "B = 3\nif __name__ == '__main__': print('b', __spec__.name)\n"),
		file(app, "app/lib/inlib.py", "def f():\n    return 'in lib'\n"),
		file(app, "app/__main__.py", "print('directory as program', __name__)\n"),
		file(app, "app/application/__init__.py", ""),
		file(app, "app/application/spawn.py", "import multiprocessing as mp\nimport application\ndef work(q): q.send(__name__)\nif __name__ == '__main__':\n    c = mp.get_context('spawn')\n    a, b = c.Pipe()\n    p = c.Process(target=work, args=(b,))\n    p.start(); print(a.recv()); p.join(); print(p.exitcode)\n"),
		file(app, "app/probe", string(probe)),
	}
	for e := range sys.All() {
		if strings.HasPrefix(path.Base(e.Path), "_json.") && strings.HasSuffix(e.Path, ".so") && path.Dir(e.Path) == rt.DynLoad {
			e.Path, e.From = site+"/demo/"+path.Base(e.Path), dist
			entries = append(entries, e)
		}
	}
	all, err := sys.With(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pythons calls f for each kind of Python there is: Debian's of several
// suites, and prefixes named by EXUVIA_PREFIXES (a list as in PATH).
func pythons(t *testing.T, f func(t *testing.T, eng chroot, sys *tree.Tree, exe string)) {
	eng, archive := sandboxed(t)
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	var bookworm *tree.Tree
	for _, ref := range []string{"debian:bookworm", "debian:bullseye", "debian:trixie", "debian:sid", "debian:sid-python3.15"} {
		t.Run(ref, func(t *testing.T) {
			b, err := archive.Base(t.Context(), ref, platform)
			if err != nil {
				t.Fatal(err)
			}
			if ref == "debian:bookworm" {
				bookworm = b.Tree
			}
			f(t, eng, b.Tree, b.Python)
		})
	}
	for dir := range strings.SplitSeq(os.Getenv("EXUVIA_PREFIXES"), ":") {
		if dir == "" {
			continue
		}
		t.Run(path.Base(dir), func(t *testing.T) {
			exe := filepath.Join(dir, "bin/python3")
			f(t, eng, prefix(t, bookworm, dir, exe), strings.Trim(exe, "/"))
		})
	}
}

// sandboxed gives an engine and the archive that its systems come from.
func sandboxed(t testing.TB) (chroot, *debian.Archive) {
	t.Helper()
	store, err := cas.Open(filepath.Join(cacheDir(t), "cas"))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := debian.New(debian.Options{Cache: store, Root: "/", Now: time.Now, Progress: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	return chroot{store}, archive
}

// cacheDir is kept between runs where EXUVIA_TEST_CACHE names it.
func cacheDir(t testing.TB) string {
	if dir := os.Getenv("EXUVIA_TEST_CACHE"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// run runs argv in the tree and gives its stdout.
func (c chroot) run(t testing.TB, root string, env []string, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", enter(root, append(engine.Env(), env...), argv)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", argv, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// TestSameBehaviour compares what the probe sees with sources, with loose
// bytecode and with archives.
func TestSameBehaviour(t *testing.T) {
	pythons(t, func(t *testing.T, eng chroot, sys *tree.Tree, exe string) {
		rt, err := python.Describe(t.Context(), eng, sys, exe)
		if err != nil {
			t.Fatal(err)
		}
		full := probed(t, sys, rt)
		rt, err = python.Describe(t.Context(), eng, full, exe) // now that site exists
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(rt.Path, rt.Site) {
			t.Errorf("site %s is not on the search path %v", rt.Site, rt.Path)
		}
		in := Input{Tree: full, Python: rt, Engine: eng, Store: eng.store, Systems: Systems{Python: full}, Options: map[string]string{}}
		start := time.Now()
		loose, err := Bytecode.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		compiling := time.Since(start)
		in.Tree = loose.Tree
		start = time.Now()
		archived, err := Archive.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("Python %s: %d sources in %v, %d modules archived in %v, bytes %d → %d → %d",
			rt.Full, len(loose.Moves), compiling, len(archived.Moves), time.Since(start), full.Size(), loose.Tree.Size(), archived.Tree.Size())
		if len(archived.Moves) < 500 {
			t.Errorf("only %d modules archived: %v", len(archived.Moves), archived.Notes)
		}
		want := eng.probe(t, full, rt)
		for name, tr := range map[string]*tree.Tree{"loose": loose.Tree, "archived": archived.Tree} {
			got := eng.probe(t, tr, rt)
			if name == "loose" { // Python's own importer leaves file names in sourceless code as they are
				got["links_and_odd_paths"] = want["links_and_odd_paths"]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-sources +%s)\n%s", name, name, diff)
			}
		}
	})
}

func (c chroot) probe(t *testing.T, tr *tree.Tree, rt *python.Runtime) map[string]any {
	t.Helper()
	root, err := c.lay(t.Context(), tr)
	if err != nil {
		t.Fatal(err)
	}
	defer cas.RemoveAll(root)
	var got map[string]any
	if err := json.Unmarshal([]byte(c.run(t, root, []string{"PYTHONHASHSEED=1"}, "/"+rt.Exe, "/app/probe")), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestBytecodeIsReproducible compiles the same files in another order, in
// other batches, and compares.
func TestBytecodeIsReproducible(t *testing.T) {
	pythons(t, func(t *testing.T, eng chroot, sys *tree.Tree, exe string) {
		rt, err := python.Describe(t.Context(), eng, sys, exe)
		if err != nil {
			t.Fatal(err)
		}
		var sources []source
		for e := range sys.Under(rt.Stdlib) {
			if e.IsRegular() && strings.HasSuffix(e.Path, ".py") && len(sources) < 300 {
				sources = append(sources, source{Entry: e, Filename: "/" + e.Path, Flags: uncheckedHash})
			}
		}
		other := slices.Clone(sources)
		slices.Reverse(other)
		compileFresh := func(batches ...[]source) map[string]string {
			store, err := cas.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			sums := make(map[string]string)
			for _, batch := range batches {
				got, err := compile(t.Context(), Input{Python: rt, Engine: eng, Store: store, Systems: Systems{Python: sys}}, batch)
				if err != nil {
					t.Fatal(err)
				}
				for i, c := range got {
					sums[batch[i].Filename] = c.Blob.Sum + c.Err
				}
			}
			return sums
		}
		want := compileFresh(sources)
		if diff := cmp.Diff(want, compileFresh(other[:1], other[1:100], other[100:])); diff != "" {
			t.Error(diff)
		}
	})
}

// BenchmarkStart compares starts of the program app/start in the directory
// EXUVIA_START, whose site is installed, with sources, loose bytecode and
// archives, on Debian's bookworm. The program prints wall and CPU time, in ms,
// of starts that it makes: [[500, 480], …].
func BenchmarkStart(t *testing.B) {
	dir := os.Getenv("EXUVIA_START")
	if dir == "" {
		t.Fatal("EXUVIA_START names no directory")
	}
	const rounds = 20
	eng, archive := sandboxed(t)
	system, err := archive.Base(t.Context(), "debian:bookworm", v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	sys, exe := system.Tree, system.Python
	rt, err := python.Describe(t.Context(), eng, sys, exe)
	if err != nil {
		t.Fatal(err)
	}
	full := startable(t, sys, rt, dir)
	if rt, err = python.Describe(t.Context(), eng, full, exe); err != nil {
		t.Fatal(err)
	}
	in := Input{Tree: full, Python: rt, Engine: eng, Store: eng.store, Systems: Systems{Python: full}}
	start := time.Now()
	loose, err := Bytecode.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Tree = loose.Tree
	t.Logf("bytecode of %d: %v", len(loose.Moves), time.Since(start))
	start = time.Now()
	archived, err := Archive.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("archive: %v; bytes %d → %d → %d", time.Since(start), full.Size(), loose.Tree.Size(), archived.Tree.Size())
	names := []string{"sources", "again", "loose", "archive"}
	roots := make(map[string]string)
	for i, tr := range []*tree.Tree{full, full, loose.Tree, archived.Tree} {
		root, err := eng.lay(t.Context(), tr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cas.RemoveAll(root) })
		if names[i] == "sources" || names[i] == "again" {
			eng.run(t, root, nil, "/"+rt.Exe, "-m", "compileall", "-q", "/"+rt.Stdlib, "/"+rt.Site, "/usr/lib/python3/dist-packages", "/app")
		}
		roots[names[i]] = root
	}
	compareStarts(t, eng, names, roots, rt, rounds)
}

// startable adds dir/site and dir/app to the system.
func startable(t testing.TB, sys *tree.Tree, rt *python.Runtime, dir string) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	for sub, to := range map[string]string{"site": rt.Site, "app": "app"} {
		kind := tree.Origin{Kind: tree.Dist, Name: "deps"}
		if sub == "app" {
			kind = tree.Origin{Kind: tree.Project, Name: "app"}
		}
		if err := walk(filepath.Join(dir, sub), "", func(e tree.Entry) {
			e.Path, e.From = path.Join(to, e.Path), kind
			entries = append(entries, e)
		}); err != nil {
			t.Fatal(err)
		}
	}
	full, err := sys.With(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// compareStarts starts each form in turn, and logs what it took beside the first.
func compareStarts(t testing.TB, eng chroot, names []string, roots map[string]string, rt *python.Runtime, rounds int) {
	t.Helper()
	wall, cpu := make(map[string][]float64), make(map[string][]float64)
	for range rounds {
		for _, n := range names {
			out := eng.run(t, roots[n], nil, "/"+rt.Exe, "/app/start")
			var ms [][2]float64 // wall and CPU time of each start
			if err := json.Unmarshal([]byte(out), &ms); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, m := range ms {
				wall[n], cpu[n] = append(wall[n], m[0]), append(cpu[n], m[1])
			}
		}
	}
	for _, n := range names {
		t.Logf("%s %-8s wall %.1f ms %.3f, CPU %.1f ms %.3f, least CPU %.1f ms %.3f", rt.Full, n,
			median(wall[n]), median(wall[n])/median(wall["sources"]), median(cpu[n]), median(cpu[n])/median(cpu["sources"]),
			slices.Min(cpu[n]), slices.Min(cpu[n])/slices.Min(cpu["sources"]))
	}
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return s[len(s)/2]
}
