package base

import (
	"cmp"
	"path"
	"regexp"
	"strconv"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// loaders are the programs that start dynamically linked ones, by pattern: a
// tree that has one is a whole system.
var (
	glibcLoaders = []string{"lib64/ld-linux-*.so.*", "lib/ld-linux-*.so.*", "usr/lib64/ld-linux-*.so.*", "usr/lib/ld-linux-*.so.*"}
	muslLoaders  = []string{"lib/ld-musl-*.so.1", "usr/lib/ld-musl-*.so.1"}
)

// Versions of C libraries as they are in their own files, which print them
// when they are run.
var (
	glibcVersion = regexp.MustCompile(`GNU C Library [^\n]{0,200}release version ([0-9.]*[0-9])`)
	muslVersion  = regexp.MustCompile(`\x00(1\.[0-9]{1,3}\.[0-9]{1,3})\x00`)
)

// Libc names the C library of a system: "glibc 2.36", "musl 1.2.5"; "" where
// there is none. A loader whose library is missing is a fault of kind Base.
func Libc(t *tree.Tree) (string, error) {
	loader, glibc := anyOf(t, glibcLoaders)
	if glibc {
		version, err := glibcOf(t)
		if err != nil || version != "" {
			return version, err
		}
	}
	if musl, ok := anyOf(t, muslLoaders); ok {
		return muslOf(t, musl)
	}
	if glibc {
		return "", fault.New(fault.Base, "add the C library's libc.so.6, or leave the loader out", "there is a loader (%s), but no C library", loader)
	}
	return "", nil
}

// anyOf finds a file that one of the patterns matches.
func anyOf(t *tree.Tree, patterns []string) (string, bool) {
	for e := range t.All() {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, e.Path); err == nil && ok {
				return e.Path, true
			}
		}
	}
	return "", false
}

func glibcOf(t *tree.Tree) (string, error) {
	for e := range t.All() {
		if path.Base(e.Path) != "libc.so.6" {
			continue
		}
		if version, err := versionIn(t, e.Path, glibcVersion); err != nil || version != "" {
			return "glibc " + version, err
		}
	}
	return "", nil
}

// muslOf reads the version of musl, whose loader is the library.
func muslOf(t *tree.Tree, loader string) (string, error) {
	version, err := versionIn(t, loader, muslVersion)
	if version == "" {
		return "musl", err
	}
	return "musl " + version, err
}

// versionIn looks for a version in a file; "" where there is none.
func versionIn(t *tree.Tree, name string, version *regexp.Regexp) (string, error) {
	e, ok := t.Resolve(name)
	if !ok || !e.IsRegular() {
		return "", nil
	}
	data, err := e.ReadAll(maxLibc)
	if err != nil {
		return "", err
	}
	if m := version.FindSubmatch(data); m != nil {
		return string(m[1]), nil
	}
	return "", nil
}

// programName is a CPython by its versioned name.
var programName = regexp.MustCompile(`^(?:(.*)/)?bin/python3\.([0-9]{1,3})$`)

// cpython reports whether a path is that of a CPython by its versioned name,
// whose standard library is there, and gives the file, its prefix and minor
// version.
func cpython(t *tree.Tree, name string) (program tree.Entry, home string, minor int, ok bool) {
	m := programName.FindStringSubmatch(name)
	if m == nil {
		return tree.Entry{}, "", 0, false
	}
	program, there := t.Resolve(name)
	if !there || !program.IsRegular() || program.Mode&0o111 == 0 {
		return tree.Entry{}, "", 0, false
	}
	home = cmp.Or(m[1], ".")
	minor, _ = strconv.Atoi(m[2]) // three digits
	for _, lib := range []string{"lib", "lib64"} {
		if _, ok := t.Resolve(path.Join(home, lib, "python3."+m[2], "os.py")); ok {
			return program, home, minor, true
		}
	}
	return tree.Entry{}, "", 0, false
}

// usualDirs are where programs are, if nothing says so.
var usualDirs = []string{"/usr/local/bin", "/usr/bin", "/bin", "/opt/python/bin", "/opt/conda/bin"}

// PythonIn finds the CPython of a system: what python3 or python is in the
// directories, as in PATH, else in the usual ones. It gives the path of the
// interpreter itself, without leading slash, also where a virtual environment
// leads to it; "" when there is none.
func PythonIn(t *tree.Tree, dirs []string) string {
	for _, dir := range append(append([]string{}, dirs...), usualDirs...) {
		if !path.IsAbs(dir) {
			continue
		}
		for _, name := range []string{"python3", "python"} {
			e, ok := t.Resolve(path.Join(dir, name))
			if !ok {
				continue
			}
			if _, _, _, ok := cpython(t, e.Path); ok {
				return e.Path
			}
		}
	}
	return ""
}

// CanInstall reports whether apps can be installed on b: it needs a CPython
// and the C library that this runs on, glibc. What is missing is a fault of
// kind Base.
func (b *Base) CanInstall() error {
	const hint = "name one that has both with --system, such as debian:bookworm"
	switch {
	case b.Python == "":
		return fault.New(fault.Base, "name one that has a Python with --system, such as debian:bookworm", "%s has no Python", b.Ref)
	case b.Libc == "":
		return fault.New(fault.Base, hint, "%s has a Python, but no C library", b.Ref)
	case !b.Glibc():
		return fault.New(fault.Base, "name one with glibc, such as debian:bookworm or an image that is built on Debian", "%s has %s, and apps are installed on glibc only", b.Ref, b.Libc)
	}
	return nil
}

// Glibc reports whether b's C library is glibc.
func (b *Base) Glibc() bool { return strings.HasPrefix(b.Libc, "glibc") }
