package observe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
	"exuvia/internal/reach"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]call{
		`openat(AT_FDCWD</app>, "a.txt", O_RDONLY|O_CLOEXEC) = 3</app/a.txt>`:             {name: "openat", dir: "/app", isCWD: true, path: "a.txt", real: "/app/a.txt"},
		`openat(5</x y>, "../b", O_RDONLY|O_DIRECTORY) = 6</b>`:                           {name: "openat", dir: "/x y", path: "../b", real: "/b", listing: true},
		`access("/etc/ld.so.preload", R_OK)      = -1 ENOENT (No such file or directory)`: {name: "access", path: "/etc/ld.so.preload", missing: true},
		`newfstatat(3</etc/x>, "", {st_mode=S_IFREG|0644, ...}, AT_EMPTY_PATH) = 0`:       {name: "newfstatat", dir: "/etc/x"},
		`execve("/bin/a\"b\303\274", ["a = b", "x"], 0x7ffd /* 35 vars */) = 0`:           {name: "execve", path: "/bin/a\"bü"},
		`openat(AT_FDCWD, "x\ty", O_RDONLY) = 3`:                                          {name: "openat", path: "x\ty"},
	} {
		got, ok := parse(line + "\n")
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(call{})); !ok || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", line, ok, diff)
		}
	}
	for _, line := range []string{
		"", "+++ exited with 0 +++", "--- SIGCHLD {si_signo=SIGCHLD} ---", "openat(AT_FDCWD</app>, \"a", "exit_group(0) = ?",
		`openat(AT_FDCWD</app>, "a", O_RDONLY) = -1 EACCES (Permission denied)`, `statfs(0x7ff, 0x1) = 0`,
	} {
		if c, ok := parse(line); ok {
			t.Errorf("%q is taken for %+v", line, c)
		}
	}
}

// traced reads lines of strace.
func traced(t *testing.T, lines ...string) *Trace {
	t.Helper()
	u := newTrace()
	if err := u.read(strings.NewReader(strings.Join(lines, "\n")+"\n"), "/app"); err != nil {
		t.Fatal(err)
	}
	return u
}

const found, missed = " = 0", " = -1 ENOENT (No such file or directory)"

func TestTrace(t *testing.T) {
	u := traced(t,
		`access("rel", F_OK)`+found,
		`chdir("/srv")`+found,
		`access("rel", F_OK)`+missed,
		`access("/run/exuvia/observe/import/a.b", F_OK)`+missed,
		`openat(AT_FDCWD</srv>, "/run/exuvia/observe/x", O_RDONLY) = 3</run/exuvia/observe/x>`,
		`openat(AT_FDCWD</srv>, "link", O_RDONLY|O_DIRECTORY) = 3</real>`,
		`access("`+strings.Repeat("x", maxLine)+`", F_OK)`+found,
		`access("/last", F_OK)`+found,
	)
	want := &Trace{
		Found:   map[string]bool{"/app/rel": true, "/srv": true, "/srv/link": true, "/real": true, "/last": true},
		Opened:  map[string]bool{"/real": true},
		Missed:  map[string]bool{"/srv/rel": true},
		Listed:  map[string]bool{"/srv/link": true},
		Modules: map[string]bool{"a.b": true},
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var (
	deb = tree.Origin{Kind: tree.Deb, Name: "libc6"}
	own = tree.Origin{Kind: tree.Project, Name: "app"}
)

// app is an unreduced app.
func app(t *testing.T) *tree.Tree {
	t.Helper()
	all, err := tree.New(
		tree.File("app/main.py", 0o644, []byte("main"), own), tree.File("app/plug.py", 0o644, []byte("plug"), own),
		tree.File("app/t/page.html", 0o644, []byte("page"), own), tree.File("app/other.py", 0o644, []byte("other"), own),
		tree.Symlink("lib", "usr/lib", deb), tree.Dir("usr/lib", 0o755, deb), tree.File("usr/lib/libx.so.1.2", 0o644, []byte("x"), deb), tree.Symlink("usr/lib/libx.so.1", "libx.so.1.2", deb),
	)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func module(file string) (string, bool) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(file, "app/"), ".py")
	return name, ok
}

func modules(name string) []string {
	if name == "plug" || name == "main" || name == "other" {
		return []string{"app/" + name + ".py"}
	}
	return nil
}

func TestLacks(t *testing.T) {
	full := traced(t,
		`openat(AT_FDCWD</app>, "/app/main.py", O_RDONLY) = 3</app/main.py>`,
		`openat(AT_FDCWD</app>, "/app/__pycache__/plug.cpython-311.pyc", O_RDONLY) = 3</app/__pycache__/plug.cpython-311.pyc>`,
		`openat(AT_FDCWD</app>, "/app/t/page.html", O_RDONLY) = 3</app/t/page.html>`,
		`openat(AT_FDCWD</app>, "/lib/libx.so.1", O_RDONLY) = 3</usr/lib/libx.so.1.2>`,
	)
	image := traced(t,
		`openat(AT_FDCWD</app>, "/app/main.py", O_RDONLY)`+missed,
		`access("/run/exuvia/observe/import/plug", F_OK)`+missed,
		`access("/run/exuvia/observe/import/nowhere", F_OK)`+missed,
		`newfstatat(AT_FDCWD</app>, "/app/t", 0x7ff, 0)`+missed,
		`openat(AT_FDCWD</app>, "/lib/libx.so.1", O_RDONLY)`+missed,
		`openat(AT_FDCWD</app>, "/app/elsewhere", O_RDONLY)`+missed,
		`access("/run/exuvia/observe/import/other", F_OK)`+missed,
		`newfstatat(AT_FDCWD</app>, "/run/beside/app/other.py", 0x7ff, 0) = 0`,
	)
	p := Pair{Full: full, Image: image, App: app(t), Beside: "/run/beside", Modules: modules, Module: module, Kept: func(p string) bool { return p == "app/main.py" }}
	want := []report.Healed{
		{Path: "app/main.py", Setting: "keep-source", Value: "/app/main.py", Why: "GET /: read its source"},
		{Path: "app/plug.py", Setting: "keep", Value: "plug", Why: "GET /: import plug"},
		{Path: "app/t/page.html", Setting: "keep", Value: "/app/t/page.html", Why: "GET /: looked for /app/t"},
		{Path: "usr/lib/libx.so.1", Setting: "keep", Value: "/usr/lib/libx.so.1", Why: "GET /: looked for /lib/libx.so.1"},
	}
	if diff := cmp.Diff(want, p.Lacks("GET /")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Code that lists its plugins and loads what it finds looks for nothing in vain.
func TestOpened(t *testing.T) {
	full := traced(t,
		`openat(AT_FDCWD</app>, "/app", O_RDONLY|O_DIRECTORY) = 3</app>`,
		`openat(AT_FDCWD</app>, "/app/main.py", O_RDONLY) = 3</app/main.py>`,
		`openat(AT_FDCWD</app>, "/app/plug.py", O_RDONLY) = 3</app/plug.py>`,
		`newfstatat(AT_FDCWD</app>, "/app/t/page.html", {st_mode=S_IFREG}, 0) = 0`,
		`openat(AT_FDCWD</app>, "/proc/self/maps", O_RDONLY) = 3</proc/1/maps>`,
		`openat(AT_FDCWD</app>, "/app/other.py", O_RDONLY) = 3</app/other.py>`,
	)
	image := traced(t, `openat(AT_FDCWD</app>, "/run/beside/app/other.py", O_RDONLY) = 3</run/beside/app/other.py>`)
	p := Pair{Full: full, Image: image, App: app(t), Beside: "/run/beside", Modules: modules, Module: module, Kept: func(p string) bool { return p == "app/main.py" }}
	want := []report.Healed{{Path: "app/plug.py", Setting: "keep", Value: "plug", Why: "runs: the unreduced app opened it"}}
	if diff := cmp.Diff(want, p.Opened("runs")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if lacks := p.Lacks("runs"); len(lacks) > 0 {
		t.Errorf("it looked for %+v", lacks)
	}
}

func TestObservations(t *testing.T) {
	one := traced(t,
		`openat(AT_FDCWD</src>, "/src/main.py", O_RDONLY) = 3</src/main.py>`,
		`openat(AT_FDCWD</src>, "/src/tests/t.py", O_RDONLY) = 3</src/tests/t.py>`,
		`openat(AT_FDCWD</src>, "/home/me/x", O_RDONLY) = 3</home/me/x>`,
		`access("/app/t/none.html", F_OK)`+missed,
		`access("/app/main.abi3.so", F_OK)`+missed,
	).Sum("one", app(t), module)
	two := traced(t, `openat(AT_FDCWD</app>, "/lib/libx.so.1", O_RDONLY) = 3</usr/lib/libx.so.1.2>`, `access("/lib/none", F_OK)`+missed).Sum("two", app(t), module)
	got := Merge(two, one, two)
	want := Observation{
		Version: 1, Runs: []string{"one", "two"}, Modules: []string{"main"},
		Files: []string{"usr/lib/libx.so.1", "usr/lib/libx.so.1.2"}, Missing: []string{"app/t/none.html"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var file bytes.Buffer
	if err := got.Write(&file); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&file, "observed.json")
	if diff := cmp.Diff(want, back); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	back.Modules = append(back.Modules, "of.another.python")
	back.Files = append(back.Files, "usr/lib/python3.99/x")
	f := NewFinder(app(t), []string{"app/main.py"}, back, []report.Healed{{Path: "app/plug.py", Setting: "keep", Why: "GET /: import plug"}}, modules)
	edges := func(p string) []reach.Edge {
		e, ok := app(t).Lookup(p)
		if !ok {
			t.Fatalf("no %s", p)
		}
		got, err := f.Find(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff([]reach.Edge{
		{To: "app/main.py", Kind: KindObserved, Note: "one and 1 more"},
		{To: "usr/lib/libx.so.1", Kind: KindObserved, Note: "one and 1 more"},
		{To: "usr/lib/libx.so.1.2", Kind: KindObserved, Note: "one and 1 more"},
		{To: "app/plug.py", Kind: KindHealed, Note: "GET /: import plug"},
	}, edges("app/main.py")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := edges("app/other.py"); got != nil {
		t.Errorf("what is no entry point needs %+v", got)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, text := range []string{
		"", "[]", `{"version":2}`, `{"version":1,"files":["/etc/passwd"]}`, `{"version":1,"files":["../x"]}`, `{"version":1,"missing":["a//b"]}`,
	} {
		_, err := Read(strings.NewReader(text), "observed.json")
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Project || !strings.Contains(f.What, "observed.json") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzTrace(f *testing.F) {
	f.Add(`openat(AT_FDCWD</app>, "a\303\t\"", O_RDONLY|O_DIRECTORY) = 3</app/a>` + "\n")
	f.Add("x(\"\\")
	f.Fuzz(func(t *testing.T, text string) {
		u := newTrace()
		if err := u.read(strings.NewReader(text), "/"); err != nil {
			t.Fatal(err)
		}
		for p := range u.Found {
			if !strings.HasPrefix(p, "/") {
				t.Errorf("%q is not absolute", p)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(`{"version":1,"runs":["x"],"modules":["a"],"files":["a/b"],"missing":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Read(strings.NewReader(text), "x")
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := o.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out, "x")
		if diff := cmp.Diff(o, again); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
