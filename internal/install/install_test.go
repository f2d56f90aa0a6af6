package install

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/testkit/index"
	"exuvia/internal/tree"
)

// uvByHand is an engine that does by hand what uv is asked for, and keeps the
// steps.
type uvByHand struct {
	steps   []plan.Step
	answers map[string]string // part of a step's name → the lock it writes
	builds  func(config string, trees engine.Trees) (file string, data []byte, err error)
	cache   *cas.Store
}

// Run implements [engine.Engine].
func (u *uvByHand) Run(ctx context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	out, err := u.run(s, trees)
	if err != nil {
		return nil, err
	}
	return u.cache.Keep(ctx, out)
}

func (u *uvByHand) run(s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	u.steps = append(u.steps, s)
	out := strings.TrimPrefix(outAt, "/")
	switch {
	case strings.HasPrefix(s.Name, "installing"):
		return unzipAll(trees["wheels"])
	case strings.HasPrefix(s.Name, "building"):
		file, data, err := u.builds(s.Name, trees)
		if err != nil {
			return nil, err
		}
		return tree.New(tree.File(path.Join(out, file), 0o644, data, tree.Origin{}))
	case strings.HasPrefix(s.Name, "asking"):
		return tree.New(tree.File(out+"/requires.json", 0o644, []byte(`["extra-tool"]`), tree.Origin{}))
	}
	for part, lock := range u.answers {
		if strings.Contains(s.Name, part) {
			return tree.New(tree.File(out+"/pylock.toml", 0o644, []byte(lock), tree.Origin{}))
		}
	}
	return nil, &engine.StepError{Step: s.Name, Exit: 2, Output: "error: nobody knows"}
}

// unzipAll unpacks wheels as an installer does.
func unzipAll(wheels *tree.Tree) (*tree.Tree, error) {
	var entries []tree.Entry
	for w := range wheels.All() {
		data, err := w.ReadAll(1 << 20)
		if err != nil {
			return nil, err
		}
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, err
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			entries = append(entries, tree.File(path.Join(site, f.Name), 0o644, text, tree.Origin{}))
		}
	}
	return tree.New(entries...)
}

// bench is an Installer whose engine is by hand, and an index.
type bench struct {
	*shelfOf
	cache *cas.Store
	hand  *uvByHand
	in    *Installer
	home  string
}

type shelfOf struct{ *index.Server }

func newBench(t *testing.T, env map[string]string) *bench {
	t.Helper()
	b := &bench{shelfOf: &shelfOf{index.New(t)}, cache: testStore(t), hand: &uvByHand{answers: make(map[string]string)}, home: t.TempDir()}
	b.hand.cache = b.cache
	blob, err := b.cache.Put(strings.NewReader("uv"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cache.Record("uv", cas.Key(uvVersion, uvWheels["x86_64"]), blob); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	b.in = New(Options{
		Engine: b.hand, Cache: b.cache, Pip: &tree.Tree{}, Getenv: func(k string) string { return env[k] }, Environ: environ, Home: b.home, Log: slog.New(slog.DiscardHandler),
	})
	b.in.etc = b.home
	return b
}

func (b *bench) wheel(t *testing.T, name string) string {
	const version = "1.0"
	t.Helper()
	file, data := index.Wheel(t, name, version, nil)
	b.Add(name, file, data)
	return fmt.Sprintf("[[packages]]\nname = %q\nversion = %q\nwheels = [{ url = %q, hashes = { sha256 = %q } }]\n", name, version, b.FileURL(name, file), index.Sum(data))
}

func (b *bench) sdist(t *testing.T, name string) string {
	t.Helper()
	file, data := index.Sdist(t, name, "1.0", index.Files{"pyproject.toml": "[build-system]\nrequires = [\"tool\"]\nbuild-backend = \"tool\"\n"})
	b.Add(name, file, data)
	return fmt.Sprintf("[[packages]]\nname = %q\nversion = \"1.0\"\nsdist = { url = %q, hashes = { sha256 = %q } }\n", name, b.FileURL(name, file), index.Sum(data))
}

func (b *bench) install(t *testing.T, p *project.Project) (*Result, error) {
	t.Helper()
	p.Name = "demo"
	system := &base.Base{Ref: "debian:test", Tree: mustTree(t, made("usr/bin/python3.11", "ELF")), Python: "usr/bin/python3.11", Libc: "glibc 2.36"}
	return b.in.Install(t.Context(), p, system, runtime311)
}

const lockHead = "lock-version = \"1.0\"\n"

func TestInstallFromALock(t *testing.T) {
	b := newBench(t, nil)
	p := &project.Project{
		Form: project.PyLock, DependencyFile: "pylock.toml",
		Files:   mustTree(t, made("main.py", "x"), made("data/a.csv", "1")),
		Entries: []project.Entry{{Name: "main", Kind: project.EntryModule, Module: "main", Path: "main.py", Spec: "main.py"}},
		Sources: mustTree(t, made("pylock.toml", lockHead+b.wheel(t, "leaf"))),
	}
	r, err := b.install(t, p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e := range r.App.All() {
		if !e.IsDir() {
			got = append(got, e.Path+" "+string(e.From.Kind))
		}
	}
	want := []string{
		"app/data/a.csv made", "app/main made", "app/main.py made",
		site + "/leaf-1.0.dist-info/METADATA dist", site + "/leaf-1.0.dist-info/RECORD dist", site + "/leaf-1.0.dist-info/WHEEL dist", site + "/leaf.py dist",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(b.hand.steps) != 1 || b.hand.steps[0].Network {
		t.Errorf("a lock needs one step without network, not %+v", b.hand.steps)
	}
}

// What runs code of others has neither network nor secrets; what has them may
// build nothing.
func TestStepsThatBuildKnowNoSecrets(t *testing.T) {
	for _, private := range []bool{false, true} {
		env := map[string]string{"UV_DEFAULT_INDEX": "https://index/simple", "HTTPS_PROXY": "http://proxy:3128"}
		if private {
			env["UV_DEFAULT_INDEX"] = "https://me:secret-word@index/simple"
		}
		b := newBench(t, env)
		delete(env, "HTTPS_PROXY") // the index of this test is no proxy's
		b.hand.answers["resolving requirements.txt"] = lockHead + b.wheel(t, "leaf") + b.sdist(t, "pure")
		b.hand.answers["resolving what building pure needs"] = lockHead + b.wheel(t, "tool")
		b.hand.builds = func(_ string, trees engine.Trees) (string, []byte, error) {
			if _, ok := trees["wheels"].Lookup("tool-1.0-py3-none-any.whl"); !ok {
				t.Error("the build backend is not there")
			}
			file, data := index.Wheel(t, "pure", "1.0", nil)
			return file, data, nil
		}
		r, err := b.install(t, &project.Project{Form: project.Requirements, DependencyFile: "requirements.txt", Files: &tree.Tree{}, Sources: mustTree(t, made("requirements.txt", "leaf\npure\n"))})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Dist{{Name: "leaf", Version: "1.0"}, {Name: "pure", Version: "1.0"}}, r.Dists, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Files" }, cmp.Ignore())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(r.Inputs) != 4 {
			t.Errorf("inputs: %v", r.Inputs)
		}
		for _, s := range b.hand.steps {
			secret := strings.Contains(strings.Join(s.SecretEnv, " "), "secret-word")
			resolves := strings.HasPrefix(s.Name, "resolving")
			switch {
			case resolves != s.Network:
				t.Errorf("%s: network %v", s.Name, s.Network)
			case !resolves && len(s.SecretEnv)+len(s.Secrets) > 0:
				t.Errorf("%s has secrets", s.Name)
			case resolves && secret != private:
				t.Errorf("%s: secret %v", s.Name, secret)
			case secret && !strings.Contains(strings.Join(s.Args, " "), "--no-build"):
				t.Errorf("%s has a secret and may build: %v", s.Name, s.Args)
			case strings.Contains(strings.Join(s.Env, " ")+strings.Join(s.Args, " "), "secret-word"):
				t.Errorf("%s has the secret in its key", s.Name)
			}
		}
	}
}

// A backend that wants more says so only when it is asked; a compiler is tried
// only where nothing else helps.
func TestBuildsThatNeedMore(t *testing.T) {
	b := newBench(t, nil)
	b.hand.answers["what building pure needs"] = lockHead + b.wheel(t, "tool")
	compiled := 0
	b.in.o.Compiler = func(context.Context) (*tree.Tree, error) {
		return tree.New(tree.File("usr/bin/cc", 0o755, []byte("ELF"), tree.Origin{}))
	}
	asked := 0
	b.hand.builds = func(_ string, trees engine.Trees) (string, []byte, error) {
		for _, s := range b.hand.steps {
			if strings.HasPrefix(s.Name, "asking") {
				asked++
			}
		}
		if _, ok := trees["system"].Lookup("usr/bin/cc"); ok {
			compiled++
			if asked > 0 {
				file, data := index.Wheel(t, "pure", "1.0", nil)
				return file, data, nil
			}
		}
		return "", nil, &engine.StepError{Step: "building pure", Exit: 1, Output: "no ninja"}
	}
	p := func() *project.Project {
		return &project.Project{Form: project.PyLock, DependencyFile: "pylock.toml", Files: &tree.Tree{}, Sources: mustTree(t, made("pylock.toml", lockHead+b.sdist(t, "pure")))}
	}
	if _, err := b.install(t, p()); err != nil || compiled == 0 || asked == 0 {
		t.Errorf("compiled %d times, asked %d times: %v", compiled, asked, err)
	}
	b.hand.builds = func(string, engine.Trees) (string, []byte, error) {
		return "", nil, &engine.StepError{Step: "building pure", Exit: 1, Output: "LookupError: setuptools-scm was unable to detect version\n"}
	}
	_, err := b.install(t, p())
	isFault(t, err, fault.Dependency, "pure 1.0 cannot be built: LookupError")
}

func TestSourcesThatNeedThemselves(t *testing.T) {
	b := newBench(t, nil)
	b.hand.answers["what building a needs"] = lockHead + b.sdist(t, "b")
	b.hand.answers["what building b needs"] = lockHead + b.sdist(t, "a")
	_, err := b.install(t, &project.Project{Form: project.PyLock, DependencyFile: "pylock.toml", Files: &tree.Tree{}, Sources: mustTree(t, made("pylock.toml", lockHead+b.sdist(t, "a")))})
	isFault(t, err, fault.Dependency, "building a, which needs b needs a")
}

// Code that changes is no reason to resolve again; a directory that is a
// dependency is.
func TestWhatResolvingLooksAt(t *testing.T) {
	for text, all := range map[string]bool{"leaf\n": false, "-e ./libs\n": true, "x @ file:libs\n": true, "./libs\n": true, "leaf # ./libs\n": false} {
		b := newBench(t, nil)
		j, err := b.in.newJob(&project.Project{Files: mustTree(t, made("main.py", "")), Sources: mustTree(t, made("requirements.txt", text))}, &base.Base{Libc: "glibc 2.36"}, runtime311)
		if err != nil {
			t.Fatal(err)
		}
		source, err := j.stating()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := source.Lookup("main.py"); ok != all {
			t.Errorf("%q: resolving sees the code: %v", text, ok)
		}
	}
}

func TestPythonThatDoesNotFit(t *testing.T) {
	_, err := newBench(t, nil).install(t, &project.Project{RequiresPython: ">=3.12", Files: &tree.Tree{}, Sources: &tree.Tree{}})
	isFault(t, err, fault.Base, "debian:test has Python 3.11.2, the project wants >=3.12")
}
