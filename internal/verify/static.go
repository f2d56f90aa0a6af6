package verify

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Static checks the files of an image without starting anything: that the
// image's user may read them, that the entry point can be executed, that no
// link leads nowhere, and that nothing is setuid or writable by everyone.
// Directory modes and owners are those of their origin, so what is already so
// in the unreduced app does not count; full may be nil, then everything does.
func Static(lean, full *tree.Tree, c plan.Config) []report.Check {
	user, err := userOf(lean, c.User)
	s := static{lean: lean, full: full, user: user}
	for e := range lean.All() {
		s.look(e)
	}
	return []report.Check{
		passed("user", c.User, err),
		passed("entry point", strings.Join(c.Entrypoint, " "), s.entry(c)),
		listed("readable by "+cmp.Or(c.User, "root"), s.unreadable, fmt.Sprintf("%d files and directories", lean.Len())),
		listed("links", s.dangling, "none leads nowhere"),
		listed("setuid", s.setuid, "none"),
		listed("writable by everyone", s.writable, "nothing but sticky directories"),
	}
}

// Libraries makes the check of what the loader would not find in an image, one
// string a library: "/usr/bin/x needs liby.so.1".
func Libraries(missing []string) report.Check {
	return listed("shared libraries", missing, "all are found")
}

func passed(name, detail string, err error) report.Check {
	if err != nil {
		return report.Check{Name: name, Detail: err.Error()}
	}
	return report.Check{Name: name, OK: true, Detail: detail}
}

// listed makes a check that fails with the first of a list.
func listed(name string, bad []string, good string) report.Check {
	if len(bad) == 0 {
		return report.Check{Name: name, OK: true, Detail: good}
	}
	detail := strings.Join(bad[:min(shown, len(bad))], "; ")
	if n := len(bad) - shown; n > 0 {
		detail += fmt.Sprintf("; %d more", n)
	}
	return report.Check{Name: name, Detail: detail}
}

// account is a user as the kernel sees one, without supplementary groups.
type account struct{ uid, gid int }

// userOf reads Config.User as the OCI image specification has it: a name or a
// number, and perhaps a group. "" is root.
func userOf(t *tree.Tree, spec string) (account, error) {
	if spec == "" {
		return account{}, nil
	}
	name, group, hasGroup := strings.Cut(spec, ":")
	var a account
	line, known := database(t, "etc/passwd", name)
	n, err := strconv.Atoi(name)
	switch {
	case known && len(line) > 3:
		n, err = strconv.Atoi(line[2])
		if a.gid, _ = strconv.Atoi(line[3]); err != nil {
			return a, fmt.Errorf("user %s: /etc/passwd has %q for it", spec, strings.Join(line, ":"))
		}
	case err != nil || n < 0:
		return a, fmt.Errorf("user %s is not in the image's /etc/passwd", spec)
	}
	a.uid = n
	if !hasGroup {
		return a, nil
	}
	if line, known = database(t, "etc/group", group); known && len(line) > 2 {
		group = line[2]
	}
	if a.gid, err = strconv.Atoi(group); err != nil || a.gid < 0 {
		return a, fmt.Errorf("group of user %s is not in the image's /etc/group", spec)
	}
	return a, nil
}

// User reports an error where the tree does not have the user that an image
// of it would run as, written as the OCI image specification has it.
func User(t *tree.Tree, spec string) error {
	_, err := userOf(t, spec)
	return err
}

// database finds the line of a name or number in passwd(5) or group(5).
func database(t *tree.Tree, file, key string) ([]string, bool) {
	e, ok := t.Resolve(file)
	if !ok {
		return nil, false
	}
	data, err := e.ReadAll(1 << 20)
	if err != nil {
		return nil, false
	}
	for l := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(l), ":")
		if f[0] == key || len(f) > 2 && f[2] == key {
			return f, true
		}
	}
	return nil, false
}

// may reports whether a has the permission bits (4 read, 2 write, 1 execute) on
// e itself.
func (a account) may(e tree.Entry, bits fs.FileMode) bool {
	perm := e.Mode.Perm()
	switch {
	case a.uid == 0:
		return bits&1 == 0 || e.IsDir() || perm&0o111 != 0
	case a.uid == e.UID:
		perm >>= 6
	case a.gid == e.GID:
		perm >>= 3
	}
	return perm&bits == bits
}

// reaches reports whether a has the bits on the entry that name leads to, and
// may pass the directories above it.
func (a account) reaches(t *tree.Tree, e tree.Entry, bits fs.FileMode) bool {
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		if d, ok := t.Lookup(dir); ok && !a.may(d, 1) {
			return false
		}
	}
	return a.may(e, bits)
}

// static gathers what is wrong with the files of an image.
type static struct {
	lean, full                             *tree.Tree
	user                                   account
	unreadable, dangling, setuid, writable []string
}

func (s *static) look(e tree.Entry) {
	old, known := s.full.Lookup(e.Path)
	known = known && old.Mode.Type() == e.Mode.Type()
	name := "/" + e.Path
	if e.IsSymlink() {
		if leads(s.lean, e) || known && !leads(s.full, old) || mounted(e) {
			return
		}
		s.dangling = append(s.dangling, name+" → "+e.Link)
		return
	}
	bits := fs.FileMode(4)
	if e.IsDir() {
		bits = 5
	}
	if !s.user.reaches(s.lean, e, bits) && (!known || s.user.reaches(s.full, old, bits)) {
		s.unreadable = append(s.unreadable, fmt.Sprintf("%s (%s, owner %d:%d)", name, e.Mode, e.UID, e.GID))
	}
	if special := e.Mode & (fs.ModeSetuid | fs.ModeSetgid); !e.IsDir() && special != 0 && (!known || old.Mode&special != special) {
		s.setuid = append(s.setuid, name)
	}
	open := func(e tree.Entry) bool { return e.Mode.Perm()&0o002 != 0 && (!e.IsDir() || e.Mode&fs.ModeSticky == 0) }
	if open(e) && (!known || !open(old)) {
		s.writable = append(s.writable, name)
	}
}

// leads reports whether a symbolic link leads somewhere.
func leads(t *tree.Tree, e tree.Entry) bool {
	_, ok := t.Resolve(e.Path)
	return ok
}

// mounted reports whether a link leads to what a container engine mounts.
func mounted(e tree.Entry) bool {
	return slices.ContainsFunc([]string{"/proc/", "/dev/", "/sys/", "/run/"}, func(p string) bool {
		return strings.HasPrefix(e.Link, p)
	})
}

// entry checks that the image's entry point can be executed, with the
// interpreters that "#!" lines name.
func (s *static) entry(c plan.Config) error {
	if len(c.Entrypoint)+len(c.Cmd) == 0 {
		return fmt.Errorf("the image has none")
	}
	if dir := c.WorkingDir; dir != "" && dir != "/" {
		if e, ok := s.lean.Resolve(dir); !ok || !e.IsDir() || !s.user.reaches(s.lean, e, 1) {
			return fmt.Errorf("the working directory %s cannot be entered", dir)
		}
	}
	return s.executable(append(slices.Clone(c.Entrypoint), c.Cmd...)[0], c, 0)
}

// executable follows a program to the file that the kernel loads; four levels
// of interpreters are what Linux allows, execve(2).
func (s *static) executable(name string, c plan.Config, depth int) error {
	if depth > 4 {
		return fmt.Errorf("%s: too many interpreters", name)
	}
	e, ok := s.find(name, c)
	if !ok || !e.IsRegular() {
		return fmt.Errorf("%s does not exist", name)
	}
	if !s.user.reaches(s.lean, e, 1) {
		return fmt.Errorf("%s may not be executed by %s (%s, owner %d:%d)", name, c.User, e.Mode, e.UID, e.GID)
	}
	head, err := start(e)
	if err != nil {
		return err
	}
	if strings.HasPrefix(head, "\x7fELF") {
		return nil
	}
	line, _, _ := strings.Cut(head, "\n")
	f := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(f) == 0 {
		return fmt.Errorf("%s is neither an ELF file nor a script that names its interpreter", name)
	}
	if err := s.executable(f[0], c, depth+1); err != nil {
		return fmt.Errorf("%s wants an interpreter: %w", name, err)
	}
	if path.Base(f[0]) == "env" && len(f) == 2 {
		if err := s.executable(f[1], c, depth+1); err != nil {
			return fmt.Errorf("%s wants an interpreter: %w", name, err)
		}
	}
	return nil
}

// searchPath is PATH as a program has it that is started with c.
func searchPath(c plan.Config) string {
	dirs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range c.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			dirs = v
		}
	}
	return dirs
}

// find looks a program up as execvp(3) would.
func (s *static) find(name string, c plan.Config) (tree.Entry, bool) {
	if path.IsAbs(name) {
		return s.lean.Resolve(name)
	}
	if strings.Contains(name, "/") {
		return s.lean.Resolve(path.Join("/", c.WorkingDir, name))
	}
	for dir := range strings.SplitSeq(searchPath(c), ":") {
		if e, ok := s.lean.Resolve(path.Join("/", dir, name)); ok && e.IsRegular() && s.user.reaches(s.lean, e, 1) {
			return e, true
		}
	}
	return tree.Entry{}, false
}

// start reads the first 256 bytes of a file, as far as Linux looks for a "#!"
// line.
func start(e tree.Entry) (string, error) {
	r, err := e.Open()
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", e.Path, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, 256))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", e.Path, err)
	}
	return string(b), nil
}
