package debian

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"exuvia/internal/ldcache"
	"exuvia/internal/tree"
)

// finish adds what the maintainer scripts of the packages would have made. It
// never changes a file that a package has.
func finish(t *tree.Tree, packages []*unpacked, f Flavour, arch string) (*tree.Tree, error) {
	m := &maker{t: t}
	m.directories()
	m.copies()
	m.accounts(packages)
	m.certificates()
	m.timezone()
	m.hosts()
	m.alternatives()
	m.python(f)
	m.status(packages)
	if m.err != nil {
		return nil, m.err
	}
	if !f.Programs {
		m.add = slices.DeleteFunc(m.add, f.drops)
	}
	t, err := t.With(m.add...)
	if err != nil {
		return nil, err
	}
	return withCache(t, arch)
}

// machines are what ELF files of an architecture are for.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// withCache adds the loader's cache, which libc-bin's trigger would have made,
// where there is a program to read it.
func withCache(t *tree.Tree, arch string) (*tree.Tree, error) {
	if _, ok := t.Resolve("sbin/ldconfig"); !ok {
		return t, nil
	}
	cache, err := ldcache.Make(t, machines[arch])
	if err != nil || cache == nil {
		return t, err
	}
	return t.With(tree.File(ldcache.Path, 0o644, cache, made("libc-bin")))
}

// maker gathers entries to add to t.
type maker struct {
	t   *tree.Tree
	add []tree.Entry
	err error
}

// put adds an entry unless there is one.
func (m *maker) put(e tree.Entry) {
	e.Path = m.t.Real(e.Path)
	if _, ok := m.t.Lookup(e.Path); !ok {
		m.add = append(m.add, e)
	}
}

// read gives a small file of the tree; nil where there is none.
func (m *maker) read(name string) []byte {
	e, ok := m.t.Resolve(name)
	if !ok || m.err != nil {
		return nil
	}
	data, err := e.ReadAll(maxMember)
	if err != nil {
		m.err = fmt.Errorf("reading %s: %w", name, err)
	}
	return data
}

// directories are those of base-files' postinst, with its modes and owners.
func (m *maker) directories() {
	from := made("base-files")
	const mail, staff, utmp = 8, 50, 43
	for _, d := range []string{
		"mnt", "srv", "opt", "etc/opt", "var/opt",
		"media", "usr/local", "usr/local/bin", "usr/local/etc",
		"usr/local/games", "usr/local/include", "usr/local/lib",
		"usr/local/sbin", "usr/local/share", "usr/local/share/man",
		"usr/local/src",
	} {
		m.put(tree.Dir(d, 0o755, from))
	}
	m.put(ownedBy(tree.Dir("var/mail", fs.ModeSetgid|0o775, from), mail))
	m.put(ownedBy(tree.Dir("var/local", fs.ModeSetgid|0o775, from), staff))
	m.put(tree.Dir("run/lock", fs.ModeSticky|0o777, from))
	m.put(tree.Symlink("var/run", "/run", from))
	m.put(tree.Symlink("var/lock", "/run/lock", from))
	m.put(tree.Symlink("var/spool/mail", "../mail", from))
	m.put(tree.Symlink("usr/local/man", "share/man", from))
	for name, mode := range map[string]fs.FileMode{"btmp": 0o660, "lastlog": 0o664, "wtmp": 0o664} {
		m.put(ownedBy(tree.File("var/log/"+name, mode, nil, from), utmp))
	}
}

// ownedBy gives e to a group.
func ownedBy(e tree.Entry, gid int) tree.Entry {
	e.GID = gid
	return e
}

// copies are configuration files that scripts copy from templates.
func (m *maker) copies() {
	for _, c := range []struct{ from, to, by string }{
		{"usr/share/base-files/dot.bashrc", "root/.bashrc", "base-files"},
		{"usr/share/base-files/dot.profile", "root/.profile", "base-files"},
		{"usr/share/base-files/motd", "etc/motd", "base-files"},
		{"usr/share/base-files/profile", "etc/profile", "base-files"},
		{"usr/share/base-files/nsswitch.conf", "etc/nsswitch.conf", "base-files"},
		{"usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf", "libc-bin"},
	} {
		if e, ok := m.t.Resolve(c.from); ok && e.IsRegular() {
			e.Path, e.Link, e.From = c.to, "", made(c.by)
			m.put(e)
		}
	}
	if _, ok := m.t.Lookup("etc/dpkg/origins/debian"); ok {
		m.put(tree.Symlink("etc/dpkg/origins/default", "debian", made("base-files")))
	}
	m.shells()
}

// shells is the list of login shells: a heading, then every shell of the
// packages, as debianutils' update-shells writes it.
func (m *maker) shells() {
	var names []string
	for e := range m.t.Under("usr/share/debianutils/shells.d") {
		if e.IsRegular() {
			for text := range strings.Lines(string(m.read(e.Path))) {
				names = append(names, strings.TrimSpace(text))
			}
		}
	}
	for _, sh := range []string{"/bin/sh", "/bin/bash", "/bin/dash"} {
		if _, ok := m.t.Resolve(sh); ok {
			names = append(names, sh)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 0 {
		m.put(tree.File("etc/shells", 0o644, []byte("# /etc/shells: valid login shells\n"+strings.Join(names, "\n")+"\n"), made("debianutils")))
	}
}

// accounts makes passwd, group and their shadows of base-passwd's masters.
func (m *maker) accounts(packages []*unpacked) {
	const shadow = 42
	from := made("base-passwd")
	passwd := m.read("usr/share/base-passwd/passwd.master")
	group := m.read("usr/share/base-passwd/group.master")
	if passwd == nil || group == nil {
		return
	}
	if slices.ContainsFunc(packages, func(u *unpacked) bool { return u.Name == "apt" }) {
		passwd = append(bytes.Clone(passwd), "_apt:*:42:65534::/nonexistent:/usr/sbin/nologin\n"...)
	}
	m.put(tree.File("etc/passwd", 0o644, bytes.ReplaceAll(passwd, []byte(":*:"), []byte(":x:")), from))
	m.put(tree.File("etc/group", 0o644, bytes.ReplaceAll(group, []byte(":*:"), []byte(":x:")), from))
	var users, groups strings.Builder
	for name := range names(passwd) {
		users.WriteString(name + ":*::0:99999:7:::\n")
	}
	for name := range names(group) {
		groups.WriteString(name + ":*::\n")
	}
	m.put(ownedBy(tree.File("etc/shadow", 0o640, []byte(users.String()), from), shadow))
	m.put(ownedBy(tree.File("etc/gshadow", 0o640, []byte(groups.String()), from), shadow))
}

// names walks the first fields of a passwd or group file.
func names(file []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for text := range strings.Lines(string(file)) {
			name, _, ok := strings.Cut(text, ":")
			if ok && !yield(name) {
				return
			}
		}
	}
}

// certificates makes the bundle that update-ca-certificates would make, and
// the names under which OpenSSL looks for it.
func (m *maker) certificates() {
	from := made("ca-certificates")
	var bundle bytes.Buffer
	for e := range m.t.Under("usr/share/ca-certificates") {
		if !e.IsRegular() || path.Ext(e.Path) != ".crt" {
			continue
		}
		bundle.Write(bytes.TrimSpace(m.read(e.Path)))
		bundle.WriteByte('\n')
	}
	if bundle.Len() == 0 {
		return
	}
	m.put(tree.File("etc/ssl/certs/ca-certificates.crt", 0o644, bundle.Bytes(), from))
	m.put(tree.Symlink("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt", from))
	m.put(tree.Symlink("usr/lib/ssl/certs", "/etc/ssl/certs", from))
}

// timezone is UTC, as in Debian's own images.
func (m *maker) timezone() {
	if _, ok := m.t.Resolve("usr/share/zoneinfo/Etc/UTC"); !ok {
		return
	}
	m.put(tree.Symlink("etc/localtime", "/usr/share/zoneinfo/Etc/UTC", made("tzdata")))
	m.put(tree.File("etc/timezone", 0o644, []byte("Etc/UTC\n"), made("tzdata")))
}

// hosts is the file that the installer would have written.
func (m *maker) hosts() {
	text := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	m.put(tree.File("etc/hosts", 0o644, []byte(text), made("netbase")))
}

// alternatives are the names that update-alternatives would have linked, each
// with the programs that may stand behind it, best first. {} is the multiarch
// directory.
func (m *maker) alternatives() {
	from := made("alternatives")
	for _, a := range []struct {
		name    string
		targets []string
	}{
		{"usr/bin/awk", []string{"usr/bin/gawk", "usr/bin/mawk", "usr/bin/original-awk"}},
		{"usr/bin/nawk", []string{"usr/bin/gawk", "usr/bin/mawk", "usr/bin/original-awk"}},
		{"usr/bin/c++", []string{"usr/bin/g++", "usr/bin/clang++"}},
		{"usr/bin/c89", []string{"usr/bin/c89-gcc"}},
		{"usr/bin/c99", []string{"usr/bin/c99-gcc"}},
		{"usr/bin/cc", []string{"usr/bin/gcc", "usr/bin/clang"}},
		{"usr/bin/editor", []string{"usr/bin/nano", "usr/bin/vim.basic", "usr/bin/vim.tiny"}},
		{"usr/bin/fakeroot", []string{"usr/bin/fakeroot-sysv", "usr/bin/fakeroot-tcp"}},
		{"usr/bin/faked", []string{"usr/bin/faked-sysv", "usr/bin/faked-tcp"}},
		{"usr/bin/lzma", []string{"usr/bin/xz"}},
		{"usr/bin/unlzma", []string{"usr/bin/unxz"}},
		{"usr/bin/lzcat", []string{"usr/bin/xzcat"}},
		{"usr/bin/nc", []string{"usr/bin/nc.openbsd", "usr/bin/nc.traditional"}},
		{"usr/bin/pager", []string{"usr/bin/less", "usr/bin/more"}},
		{"usr/bin/python3", versioned(m.t, "usr/bin/python3.")},
		{"usr/bin/sh", []string{"usr/bin/dash", "usr/bin/bash"}},
		{"usr/bin/upx", []string{"usr/bin/upx-ucl"}},
		{"usr/bin/which", []string{"usr/bin/which.debianutils"}},
		{"usr/lib/{}/libblas.so.3", []string{"usr/lib/{}/openblas-pthread/libblas.so.3", "usr/lib/{}/blas/libblas.so.3"}},
		{"usr/lib/{}/liblapack.so.3", []string{"usr/lib/{}/openblas-pthread/liblapack.so.3", "usr/lib/{}/lapack/liblapack.so.3"}},
	} {
		for _, arch := range m.multiarch(a.name) {
			name := strings.ReplaceAll(a.name, "{}", arch)
			for _, target := range a.targets {
				target = strings.ReplaceAll(target, "{}", arch)
				if _, ok := m.t.Resolve(target); ok {
					m.put(tree.Symlink(name, "/"+target, from))
					break
				}
			}
		}
	}
}

// python makes /usr/bin/python the Python that was asked for.
func (m *maker) python(f Flavour) {
	from := made("alternatives")
	for _, name := range append(f.versions(), "python3") {
		if m.has("usr/bin/" + name) {
			m.put(tree.Symlink("usr/bin/python", name, from))
			return
		}
	}
}

// has reports whether there is or will be an entry.
func (m *maker) has(name string) bool {
	_, ok := m.t.Lookup(name)
	return ok || slices.ContainsFunc(m.add, func(e tree.Entry) bool { return e.Path == name })
}

// multiarch are the multiarch directories of the tree for a name with {} in
// it, else one empty string.
func (m *maker) multiarch(name string) []string {
	if !strings.Contains(name, "{}") {
		return []string{""}
	}
	var out []string
	for _, e := range m.t.Children("usr/lib") {
		if base := path.Base(e.Path); e.IsDir() && strings.HasSuffix(base, "-linux-gnu") {
			out = append(out, base)
		}
	}
	return out
}

// versioned are the Pythons with this prefix, newest first.
func versioned(t *tree.Tree, prefix string) []string {
	var minors []int
	for _, e := range t.Children("usr/bin") {
		var minor int
		if rest, ok := strings.CutPrefix(e.Path, prefix); ok {
			if n, err := fmt.Sscanf(rest, "%d", &minor); err == nil && n == 1 && fmt.Sprint(minor) == rest {
				minors = append(minors, minor)
			}
		}
	}
	slices.Sort(minors)
	var out []string
	for _, minor := range slices.Backward(minors) {
		out = append(out, fmt.Sprint(prefix, minor))
	}
	return out
}

// status writes dpkg's list of what is installed.
func (m *maker) status(packages []*unpacked) {
	from := made("dpkg")
	var b strings.Builder
	for _, p := range packages {
		b.WriteString(p.Status + "\n")
	}
	m.put(tree.File("var/lib/dpkg/status", 0o644, []byte(b.String()), from))
	m.put(tree.File("var/lib/dpkg/info/format", 0o644, []byte("1\n"), from))
}
