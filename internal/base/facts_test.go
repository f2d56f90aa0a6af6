package base

import (
	"errors"
	"testing"

	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

func TestLibc(t *testing.T) {
	const glibc = "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"none", []string{"bin/sh: static"}, ""},
		{"glibc", []string{"lib64/ld-linux-x86-64.so.2: x", "usr/lib/x86_64-linux-gnu/libc.so.6: " + glibc}, "glibc 2.36"},
		{"musl", []string{"lib/ld-musl-x86_64.so.1: musl libc\x00Version %s\x001.2.5\x00"}, "musl 1.2.5"},
		{"some musl", []string{"lib/ld-musl-x86_64.so.1: musl"}, "musl"},
		{"musl that is a link", []string{"lib/ld-musl-x86_64.so.1 > /usr/lib/libc.so", "usr/lib/libc.so: \x001.1.24\x00"}, "musl 1.1.24"},
		{"glibc with musl beside it", []string{"lib64/ld-linux-x86-64.so.2: x", "lib/libc.so.6: " + glibc, "lib/ld-musl-x86_64.so.1: \x001.2.3\x00"}, "glibc 2.36"},
		{"musl with a loader for others", []string{"lib/ld-linux-x86-64.so.2: x", "lib/ld-musl-x86_64.so.1: \x001.2.3\x00"}, "musl 1.2.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Libc(made(t, c.lines...))
			if err != nil || got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
	_, err := Libc(made(t, "lib64/ld-linux-x86-64.so.2: x"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base {
		t.Errorf("error is %v", err)
	}
}

// programs makes everything in a tree executable.
func programs(tr *tree.Tree) *tree.Tree {
	return tr.Map(func(e tree.Entry) tree.Entry {
		e.Mode |= 0o111
		return e
	})
}

func TestPythonIn(t *testing.T) {
	for _, c := range []struct {
		name        string
		lines, path []string
		want        string
	}{
		{"none", []string{"bin/sh: x"}, []string{"/bin"}, ""},
		{"by PATH", []string{"opt/x/bin/python3 > python3.12", "opt/x/bin/python3.12: x", "opt/x/lib/python3.12/os.py: x"}, []string{"/opt/x/bin"}, "opt/x/bin/python3.12"},
		{"the usual place", []string{"usr/bin/python > python3.11", "usr/bin/python3.11: x", "usr/lib/python3.11/os.py: x"}, nil, "usr/bin/python3.11"},
		{"lib64", []string{"usr/bin/python3 > python3.12", "usr/bin/python3.12: x", "usr/lib64/python3.12/os.py: x"}, nil, "usr/bin/python3.12"},
		{"a virtual environment", []string{"venv/bin/python > /usr/bin/python3.11", "usr/bin/python3.11: x", "usr/lib/python3.11/os.py: x"}, []string{"/venv/bin"}, "usr/bin/python3.11"},
		{"PyPy", []string{"opt/pypy/bin/python3 > pypy3.10", "opt/pypy/bin/pypy3.10: x", "opt/pypy/lib/pypy3.10/os.py: x"}, []string{"/opt/pypy/bin"}, ""},
		{"without its library", []string{"usr/bin/python3 > python3.11", "usr/bin/python3.11: x"}, nil, ""},
		{"a link that goes round", []string{"usr/bin/python3 > python3"}, []string{"relative", ""}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := PythonIn(programs(made(t, c.lines...)), c.path); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCanInstall(t *testing.T) {
	for _, c := range []struct {
		b    Base
		what string
	}{
		{Base{Ref: "x", Python: "p", Libc: "glibc 2.36"}, ""},
		{Base{Ref: "x", Libc: "glibc 2.36"}, "x has no Python"},
		{Base{Ref: "x", Python: "p"}, "x has a Python, but no C library"},
		{Base{Ref: "x", Python: "p", Libc: "musl 1.2.5"}, "x has musl 1.2.5, and apps are installed on glibc only"},
	} {
		err := c.b.CanInstall()
		if c.what == "" && err == nil {
			continue
		}
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Base || f.What != c.what {
			t.Errorf("%+v: %v", c.b, err)
		}
	}
}
