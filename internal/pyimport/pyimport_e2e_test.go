//go:build e2e

package pyimport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/pydata"
	"exuvia/internal/python"
	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// hostEngine runs steps with the host's files, as the trees of these tests
// have the host's paths; only inputs and outputs are elsewhere.
type hostEngine struct {
	dir  string
	env  []string
	runs *runs
}

// runs are the steps that were run.
type runs struct {
	sync.Mutex
	names []string
}

func (h hostEngine) Run(ctx context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	h.runs.Lock()
	h.runs.names = append(h.runs.names, s.Name)
	h.runs.Unlock()
	dir, err := os.MkdirTemp(h.dir, "step")
	if err != nil {
		return nil, err
	}
	var moved []string
	for _, m := range s.Inputs {
		moved = append(moved, m.At+"/", filepath.Join(dir, m.At)+"/")
		for e := range trees[m.Tree].All() {
			data, err := e.ReadAll(1 << 30)
			if err != nil {
				return nil, err
			}
			name := filepath.Join(dir, m.At, e.Path)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(name, data, 0o644); err != nil {
				return nil, err
			}
		}
	}
	for _, out := range s.Outs {
		moved = append(moved, out, filepath.Join(dir, out))
		if err := os.MkdirAll(filepath.Join(dir, out), 0o755); err != nil {
			return nil, err
		}
	}
	r := strings.NewReplacer(moved...)
	var args []string
	for _, a := range s.Args {
		args = append(args, r.Replace(a))
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(append(engine.Env(), h.env...), s.Env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, &engine.StepError{Step: s.Name, Exit: 1, Output: string(out), Reason: err.Error()}
	}
	var entries []tree.Entry
	for _, out := range s.Outs {
		found, err := hostFiles(filepath.Join(dir, out), strings.TrimPrefix(out, "/"), tree.Origin{Kind: tree.Made, Name: s.Name})
		if err != nil {
			return nil, err
		}
		entries = append(entries, found...)
	}
	return tree.New(entries...)
}

// hostFiles reads a directory of the host into entries below at.
func hostFiles(dir, at string, from tree.Origin) ([]tree.Entry, error) {
	var out []tree.Entry
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		name := filepath.ToSlash(filepath.Join(at, rel))
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.Name() == "__pycache__":
			return fs.SkipDir
		case d.IsDir():
			out = append(out, tree.Dir(name, 0o755, from))
		case info.Mode().Type() == fs.ModeSymlink:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			out = append(out, tree.Symlink(name, to, from))
		default:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			e := tree.File(name, info.Mode().Perm(), data, from)
			e.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

const demo = `
from typing import Union
import click
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()

class Item(BaseModel):
    name: str
    price: float
    is_offer: Union[bool, None] = None

@app.get("/")
def read_root():
    return {"Hello": "World"}

@app.put("/items/{item_id}")
def update_item(item_id: int, item: Item):
    return {"item_name": item.name, "item_id": item_id}

@click.command()
@click.option("--host", default="127.0.0.1")
@click.option("--port", default=8000)
def main(host, port):
    uvicorn.run(app, host=host, port=port)

if __name__ == "__main__":
    main()
`

// drive starts the demo in a thread, asks it a route, and prints sys.modules
// with their files.
const drive = `
import runpy, sys, threading, time
sys.argv = ["main", "--port", "0"]
import main as demo, uvicorn
server = uvicorn.Server(uvicorn.Config(demo.app, port=0))
t = threading.Thread(target=server.run, daemon=True)
t.start()
while not server.started:
    time.sleep(0.01)
port = server.servers[0].sockets[0].getsockname()[1]
import socket
for path in (b"/", b"/openapi.json"):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    assert data.startswith(b"HTTP/1.1 200"), data
server.should_exit = True
t.join()
for name, m in sorted(sys.modules.items()):
    print(name, getattr(getattr(m, "__spec__", None), "origin", None) or "-")
`

type host struct {
	tree   *tree.Tree
	rt     *python.Runtime
	engine hostEngine
	cache  *cas.Store
	app    string
}

// onHost makes a tree of the host's Python and the demo with its dependencies.
func onHost(t *testing.T, exe string) host {
	t.Helper()
	exe, err := filepath.EvalSymlinks(exe)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	site := filepath.Join(dir, "site-packages")
	install := exec.CommandContext(t.Context(), exe, "-m", "pip", "install", "-q", "--only-binary=:all:", "--target", site, "fastapi", "uvicorn", "click")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("pip: %v\n%s", err, out)
	}
	app := filepath.Join(dir, "app")
	if err := os.Mkdir(app, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app, "main.py"), []byte(demo), 0o644); err != nil {
		t.Fatal(err)
	}
	h := host{app: app, engine: hostEngine{dir: dir, runs: new(runs)}}
	bin := tree.File(exe[1:], 0o755, []byte("not read"), tree.Origin{})
	only, err := tree.New(bin)
	if err != nil {
		t.Fatal(err)
	}
	if h.rt, err = python.Describe(t.Context(), h.engine, only, exe[1:]); err != nil {
		t.Fatal(err)
	}
	h.rt.Path = slices.DeleteFunc(h.rt.Path, siteDir)
	h.rt.Path = append(h.rt.Path, site[1:])
	h.engine.env = []string{"PYTHONPATH=" + site}
	entries := []tree.Entry{bin}
	for _, d := range []struct {
		dir  string
		from tree.Origin
	}{{"/" + h.rt.Stdlib, tree.Origin{Kind: tree.Deb, Name: "python"}}, {site, tree.Origin{Kind: tree.Dist, Name: "some"}}, {app, tree.Origin{Kind: tree.Project, Name: "demo"}}} {
		found, err := hostFiles(d.dir, d.dir[1:], d.from)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, found...)
	}
	if h.tree, err = tree.New(entries...); err != nil {
		t.Fatal(err)
	}
	if h.cache, err = cas.Open(filepath.Join(dir, "cache")); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h host) walk(t *testing.T) (*Finder, *reach.Graph) {
	t.Helper()
	f, err := New(t.Context(), Input{Tree: h.tree, Engine: h.engine, Python: h.rt, Cache: h.cache, Path: []string{h.app[1:]}, Main: []string{"main"}})
	if err != nil {
		t.Fatal(err)
	}
	roots := append(RuntimeRoots(h.rt, h.tree), plan.Root{Path: h.app[1:] + "/main.py", Why: "entry point main.py"})
	g, err := reach.Walk(t.Context(), h.tree, roots, f)
	if err != nil {
		t.Fatal(err)
	}
	return f, g
}

// What the running demo has in sys.modules is what the closure must hold, or
// the image lacks it; and the closure must not be everything.
func TestDemoClosure(t *testing.T) {
	all := interpreters(t)
	for _, exe := range slices.Compact([]string{all[0], all[len(all)-1]}) { // the system's, and 3.9 where pyenv has it
		t.Run(exe, func(t *testing.T) { demoClosure(t, exe) })
	}
}

func demoClosure(t *testing.T, exe string) {
	h := onHost(t, exe)
	start := time.Now()
	f, g := h.walk(t)
	cold := time.Since(start)
	t.Logf("%d steps", len(h.engine.runs.names))
	h.engine.runs.names = nil
	start = time.Now()
	h.walk(t)
	t.Logf("cold %v, warm %v, %d files", cold, time.Since(start), len(g.Paths()))
	if len(h.engine.runs.names) != 0 {
		t.Errorf("the second walk ran %v", h.engine.runs.names)
	}
	for _, n := range f.Notes() {
		t.Log(n)
	}
	if dump := os.Getenv("EXUVIA_DUMP"); dump != "" {
		var b strings.Builder
		for _, p := range g.Paths() {
			fmt.Fprintln(&b, p)
			for _, l := range g.Why(p) {
				fmt.Fprintln(&b, "   ", l.Kind, l.Path, l.Note)
			}
		}
		data, err := g.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := errorsOf(os.WriteFile(dump, []byte(b.String()), 0o644), os.WriteFile(dump+".json", data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/"+h.rt.Exe, "-B", "-S", "-c", drive) // -S: what else the host has installed is not in the tree
	cmd.Dir, cmd.Env = h.app, append(append(engine.Env(), h.engine.env...), "PYTHONPATH="+h.app+":"+strings.TrimPrefix(h.engine.env[0], "PYTHONPATH="))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("demo: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 300 {
		t.Fatalf("the demo loaded %d modules only", len(lines))
	}
	for _, l := range lines {
		name, origin, _ := strings.Cut(l, " ")
		if e, ok := h.tree.Resolve(strings.TrimPrefix(origin, "/")); filepath.IsAbs(origin) && ok && !g.Has(e.Path) {
			t.Errorf("%s (%s) is loaded and not in the closure: %s", name, origin, g.WhyNot(name).Text)
		}
	}
	for _, out := range []string{"test", "idlelib", "tkinter", "pydoc_data", "lib2to3", "ensurepip", "distutils", "pdb", "doctest", "unittest", "turtle"} {
		if found := g.Find(out); len(found) > 0 {
			t.Errorf("%s is in: %v", out, g.Why(found[0]))
		}
	}
	for _, in := range []string{"email", "http.client", "asyncio", "uvicorn.loops.auto", "anyio._backends._trio", "uvicorn.__main__", "encodings.idna", "_strptime", "json.decoder"} {
		if len(g.Find(in)) == 0 {
			t.Errorf("%s is out: %s", in, g.WhyNot(in).Text)
		}
	}
}

// With data and metadata the demo has all that scanners and importlib.metadata
// ask for.
func TestDemoData(t *testing.T) {
	h := onHost(t, interpreters(t)[0])
	f, _ := h.walk(t)
	data, err := pydata.New(t.Context(), pydata.Input{Tree: h.tree, Python: h.rt, DataUse: f.DataUse})
	if err != nil {
		t.Fatal(err)
	}
	roots := append(RuntimeRoots(h.rt, h.tree), plan.Root{Path: h.app[1:] + "/main.py", Why: "entry point main.py"})
	g, err := reach.Walk(t.Context(), h.tree, roots, data, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files with data", len(g.Paths()))
	dists := data.Distributions(g.Paths())
	for _, want := range []string{"fastapi", "uvicorn", "click", "pydantic", "pydantic_core", "starlette", "anyio"} {
		if !slices.Contains(dists, want) {
			t.Errorf("%s is not among the distributions %v", want, dists)
		}
	}
	metadata := 0
	for _, p := range g.Paths() {
		if filepath.Base(p) == "METADATA" {
			metadata++
		}
	}
	if metadata != len(dists) {
		t.Errorf("%d distributions have %d METADATA", len(dists), metadata)
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
