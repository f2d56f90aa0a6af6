// Package ldcache knows the loader's configuration: the directories that
// etc/ld.so.conf names, and etc/ld.so.cache, which ldconfig makes of them and
// of the loader's own. It writes the cache as ldconfig(8) would, so that a
// system in which nothing ever ran has one: the loader does without, but
// ctypes.util.find_library finds nothing then.
//
// The format is that of glibc 2.2 and later (sysdeps/generic/dl-cache.h).
package ldcache

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/tree"
)

// Path is where the cache is.
const Path = "etc/ld.so.cache"

// Bounds of what is read, in bytes. LLVM's library has some 130 MB.
const (
	maxConf    = 1 << 20
	maxLibrary = 512 << 20
)

// triplets are Debian's multiarch names (wiki.debian.org/Multiarch/Tuples).
var triplets = map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}

// flags are the kinds of libraries that a cache has: for glibc, and for which
// machine.
var flags = map[elf.Machine]uint32{elf.EM_X86_64: 0x0303, elf.EM_AARCH64: 0x0a03}

// Builtin lists the directories that Debian's loader knows without its cache.
func Builtin(m elf.Machine) []string {
	dirs := []string{"lib", "usr/lib", "lib64", "usr/lib64"}
	if t, ok := triplets[m]; ok {
		dirs = append([]string{"lib/" + t, "usr/lib/" + t}, dirs...)
	}
	return dirs
}

// Configured lists the directories of etc/ld.so.conf, whose cache the loader
// of a system has.
func Configured(t *tree.Tree) []string {
	var dirs []string
	seen := make(map[string]bool)
	var read func(name string)
	read = func(name string) {
		e, ok := t.Resolve(name)
		if !ok || !e.IsRegular() || seen[e.Path] || len(seen) > 1000 {
			return
		}
		seen[e.Path] = true
		data, err := e.ReadAll(maxConf)
		if err != nil {
			return // not a configuration that a loader would read either
		}
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			f := strings.Fields(line)
			switch {
			case len(f) == 2 && f[0] == "include":
				pattern := strings.TrimPrefix(path.Join("/etc", f[1]), "/")
				if path.IsAbs(f[1]) {
					pattern = f[1][1:]
				}
				for _, c := range t.Children(path.Dir(pattern)) {
					if ok, err := path.Match(pattern, c.Path); ok && err == nil {
						read(c.Path)
					}
				}
			case len(f) == 1 && path.IsAbs(f[0]):
				dirs = append(dirs, path.Clean(f[0])[1:])
			}
		}
	}
	read("etc/ld.so.conf")
	return dirs
}

// entry is a library of the cache.
type entry struct{ name, path string }

// candidate matches the names that ldconfig looks at.
var candidate = regexp.MustCompile(`^(lib|ld-).*\.so(\.|$)`)

// Make gives the cache of the libraries of t for a machine; nil for a machine
// that it has no form for. A library that has forms for newer processors is
// left out: the loader chooses among these where it looks into directories
// itself.
func Make(t *tree.Tree, m elf.Machine) ([]byte, error) {
	flag, ok := flags[m]
	if !ok {
		return nil, nil
	}
	var list []entry
	seen := make(map[string]bool)   // real directories
	chosen := make(map[string]bool) // names; the first directory wins
	for _, dir := range append(Configured(t), Builtin(m)...) {
		d, ok := t.Resolve(dir)
		if !ok || !d.IsDir() || seen[d.Path] {
			continue
		}
		seen[d.Path] = true
		newer := forNewer(t, d.Path)
		for _, e := range t.Children(d.Path) {
			name := path.Base(e.Path)
			if !candidate.MatchString(name) || chosen[name] || newer[name] {
				continue
			}
			ok, err := listed(t, e, m)
			if err != nil {
				return nil, err
			}
			if ok {
				chosen[name] = true
				list = append(list, entry{name, "/" + dir + "/" + name})
			}
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return compare(b.name, a.name) })
	return encode(list, flag), nil
}

// forNewer lists the names of libraries that have forms for newer processors.
func forNewer(t *tree.Tree, dir string) map[string]bool {
	out := make(map[string]bool)
	for e := range t.Under(dir + "/glibc-hwcaps") {
		out[path.Base(e.Path)] = true
	}
	return out
}

// listed reports whether a file is a library for the machine and goes by the
// name that it is asked for: a link's, or its own soname.
func listed(t *tree.Tree, e tree.Entry, m elf.Machine) (bool, error) {
	real, ok := t.Resolve(e.Path)
	if !ok || !real.IsRegular() || real.Size > maxLibrary {
		return false, nil
	}
	data, err := real.ReadAll(maxLibrary)
	if err != nil {
		return false, err
	}
	f, err := elffile.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return false, nil //nolint:nilerr // a linker script, or for no machine that is known here
	}
	return f.Machine == m && f.Type == elf.ET_DYN && (e.IsSymlink() || f.Soname == "" || f.Soname == path.Base(e.Path)), nil
}

// compare orders names as the loader's binary search expects them: numbers in
// them by their value, and a digit after any other byte.
func compare(a, b string) int {
	for a != "" && b != "" {
		m, n := digits(a), digits(b)
		switch {
		case m > 0 && n > 0:
			x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if x != y {
				return strings.Compare(x, y)
			}
			a, b = a[m:], b[n:]
		case m > 0:
			return 1
		case n > 0:
			return -1
		case a[0] != b[0]:
			return int(a[0]) - int(b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) - len(b)
}

// digits is how many digits s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// encode writes the header, the entries, and the strings that these point to.
func encode(list []entry, flag uint32) []byte {
	const header, size = 48, 24
	var strs bytes.Buffer
	at := func(s string) uint32 {
		out := header + size*len(list) + strs.Len()
		strs.WriteString(s + "\x00")
		return uint32(out) //nolint:gosec // names of files in one tree are far from 4 GiB
	}
	var body []byte
	for _, e := range list {
		body = binary.LittleEndian.AppendUint32(body, flag)
		body = binary.LittleEndian.AppendUint32(body, at(e.name))
		body = binary.LittleEndian.AppendUint32(body, at(e.path))
		body = append(body, make([]byte, size-12)...) // no version of a kernel, no processor
	}
	out := []byte("glibc-ld.so.cache1.1")
	out = binary.LittleEndian.AppendUint32(out, uint32(len(list)))  //nolint:gosec // as above
	out = binary.LittleEndian.AppendUint32(out, uint32(strs.Len())) //nolint:gosec // as above
	const littleEndian = 2
	out = append(out, littleEndian)
	out = append(out, make([]byte, header-len(out))...) // no extension
	return slices.Concat(out, body, strs.Bytes())
}
