package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// spec is what the re-executed program is told, as JSON.
type spec struct {
	Lower     []string // layers of an overlay, see cas.Store.Materialise
	Stub      string   // its lowest layer
	Scratch   string   // directory of its upper layer; "": read-only
	Root      string   // where it is mounted
	Mounts    []mount
	Tmpfs     []string // paths in the root
	Network   bool     // the host's
	Boot      bool     // process 1 of its own, as UID and GID
	Traces    bool     // ptrace(2) is allowed
	Written   bool     // what is left in Tmpfs is wanted
	UID, GID  int
	Argv, Env []string
	Dir       string

	memory *os.File            // upper layer, where it had to be in memory
	left   map[string]*os.File // directories of Tmpfs, where Written
}

func (s *spec) upper() string { return filepath.Join(s.Scratch, "upper") }
func (s *spec) work() string  { return filepath.Join(s.Scratch, "work") }

// mount puts a file or directory of the host at a path, or several directories
// of the cache as one.
type mount struct {
	Sources  []string // more than one are the layers of an overlay, the topmost first
	At       string   // in the root, without leading slash, free of links
	ReadOnly bool
	Over     string // directory for what is written; "": written to where it lies
}

// box is a sandbox made ready on disk.
type box struct {
	spec
	dir   string // of everything temporary
	empty string // a directory
	tree  *tree.Tree
	outs  []string // paths in the root of a step's Outs
}

func (b *box) close() {
	if b.memory != nil {
		b.memory.Close()
	}
	for _, f := range b.left {
		f.Close()
	}
	cas.RemoveAll(b.dir)
}

// materialise gives the directories of a tree. An engine asks the store once
// for each: to hash a tree takes as long as all the rest of a step.
func (e *Engine) materialise(ctx context.Context, t *tree.Tree) ([]string, error) {
	if known, ok := e.dirs.Load(t); ok {
		if dirs, ok := known.([]string); ok {
			return dirs, nil
		}
	}
	dirs, err := e.cache.Materialise(ctx, t)
	if err == nil {
		e.dirs.Store(t, dirs)
	}
	return dirs, err
}

func (e *Engine) newBox(ctx context.Context, root *tree.Tree, writable bool) (*box, error) {
	lower, err := e.materialise(ctx, root)
	if err != nil {
		return nil, err
	}
	dir, err := e.cache.Temp("sandbox")
	if err != nil {
		return nil, err
	}
	b := &box{dir: dir, tree: root}
	b.Lower, b.Stub, b.Root = lower, filepath.Join(dir, "stub"), filepath.Join(dir, "root")
	b.empty = filepath.Join(dir, "empty")
	if len(b.Lower) == 0 {
		b.Lower = []string{b.empty} // an overlay without an upper layer has at least two others
	}
	made := []string{b.Stub, b.Root, b.empty}
	if writable {
		b.Scratch = filepath.Join(dir, "scratch")
		made = append(made, b.Scratch, b.upper(), b.work())
	}
	for _, d := range made {
		if err := errors.Join(os.Mkdir(d, 0o755), os.Chmod(d, 0o755)); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

// maxLinks is how many links one path may lead over, as Linux has it.
const maxLinks = 40

// place finds where a path of the sandbox lies, and makes it in the stub: the
// lowest layer, which holds mount points so that they never reach an output.
// Of a link that leads nowhere (/etc/resolv.conf often is one) the target is
// made.
func (b *box) place(name string, dir bool) (string, error) {
	if !path.IsAbs(name) || path.Clean(name) == "/" {
		return "", unmountable(name, "it is no absolute path below the root")
	}
	at := name
	for range maxLinks {
		if e, ok := b.tree.Resolve(at); ok {
			if e.Path == "." {
				return "", unmountable(name, "it leads to the root")
			}
			if e.IsDir() != dir {
				return "", unmountable(name, "one is a file and the other a directory")
			}
			return e.Path, nil
		}
		real, ok := b.missing(at)
		if !ok {
			return "", unmountable(name, "the tree has no such path, and it cannot be made")
		}
		e, ok := b.tree.Lookup(real)
		if !ok {
			if err := b.stub(real, dir); err != nil {
				return "", unmountable(name, err.Error())
			}
			return real, nil
		}
		if at = e.Link; !path.IsAbs(at) {
			at = path.Join(path.Dir(real), at)
		}
	}
	return "", unmountable(name, "its links go in a circle")
}

func unmountable(name, why string) error {
	return fault.New(fault.Usage, "choose another path in the image", "cannot mount at %q: %s", name, why)
}

// missing gives the path, free of links but for the last component, of what
// does not exist; false where there cannot be such a path.
func (b *box) missing(name string) (string, bool) {
	for range maxLinks { // a ".." after what does not exist can lead back to a link
		real := b.tree.Real(name)
		if !fs.ValidPath(real) || real == "." {
			return "", false
		}
		if real == name {
			for dir := path.Dir(real); dir != "."; dir = path.Dir(dir) {
				if e, ok := b.tree.Lookup(dir); ok && !e.IsDir() {
					return "", false
				}
			}
			return real, true
		}
		name = real
	}
	return "", false
}

// stub makes a directory or an empty file in the lowest layer. The modes are
// exact, whatever the umask of exuvia, for steps can see them.
func (b *box) stub(name string, dir bool) error {
	root, err := os.OpenRoot(b.Stub)
	if err != nil {
		return err
	}
	defer root.Close()
	return makePoint(root, name, dir)
}

// makePoint makes a mount point below root, and the directories above it,
// where they are missing.
func makePoint(root *os.Root, name string, dir bool) error {
	if above := path.Dir(name); above != "." {
		if err := makePoint(root, above, true); err != nil {
			return err
		}
	}
	if _, err := root.Stat(name); err == nil {
		return nil
	}
	if dir {
		if err := root.Mkdir(name, 0o755); err != nil {
			return err
		}
		return root.Chmod(name, 0o755)
	}
	if err := root.WriteFile(name, nil, 0o644); err != nil {
		return err
	}
	return root.Chmod(name, 0o644)
}

func (b *box) bind(v engine.Volume) error {
	fi, err := os.Stat(v.Host)
	if err != nil {
		return fault.Wrap(err, fault.Usage, "name a file or directory of this machine", "cannot mount at %q", v.At)
	}
	p, err := b.place(v.At, fi.IsDir())
	if err != nil {
		return err
	}
	m := mount{Sources: []string{v.Host}, At: p, ReadOnly: v.ReadOnly}
	if v.Overlay {
		m.Over = filepath.Join(b.Scratch, "over-"+strconv.Itoa(len(b.Mounts)))
	}
	b.Mounts = append(b.Mounts, m)
	return nil
}

// input puts a tree at a path, read-only.
func (b *box) input(dirs []string, at string) error {
	p, err := b.place(at, true)
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		dirs = []string{b.empty}
	}
	b.Mounts = append(b.Mounts, mount{Sources: dirs, At: p, ReadOnly: true})
	return nil
}

// common are the mount points that every sandbox has.
func (b *box) common(writable ...string) error {
	for _, d := range []string{"/proc", "/dev"} {
		p, err := b.place(d, true)
		if err != nil {
			return err
		}
		if "/"+p != d {
			return unmountable(d, "it is a link")
		}
	}
	for _, d := range append([]string{"/tmp"}, writable...) {
		p, err := b.place(d, true)
		if err != nil {
			return err
		}
		if !slices.Contains(b.Tmpfs, p) {
			b.Tmpfs = append(b.Tmpfs, p)
		}
	}
	slices.Sort(b.Tmpfs) // one in another comes after it
	return nil
}

// names gives the sandbox its files of names: the host's where it has the
// host's network, else ones that know only itself.
func (b *box) names() error {
	files := map[string]string{
		"/etc/hosts":       "127.0.0.1\tlocalhost " + engine.Hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		"/etc/resolv.conf": "",
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		source := name
		if _, err := os.Stat(name); !b.Network || err != nil {
			source = filepath.Join(b.dir, path.Base(name))
			if err := errors.Join(os.WriteFile(source, []byte(files[name]), 0o644), os.Chmod(source, 0o644)); err != nil {
				return err
			}
		}
		if err := b.bind(engine.Volume{Host: source, At: name, ReadOnly: true}); err != nil {
			return err
		}
	}
	return nil
}

// stepBox makes ready what a step needs.
func (e *Engine) stepBox(ctx context.Context, s plan.Step, trees engine.Trees) (*box, error) {
	root, ok := trees[s.System]
	if !ok {
		return nil, fmt.Errorf("no tree is called %q", s.System)
	}
	b, err := e.newBox(ctx, root, true)
	if err != nil {
		return nil, err
	}
	if err := e.fillStep(ctx, b, s, trees); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (e *Engine) fillStep(ctx context.Context, b *box, s plan.Step, trees engine.Trees) error {
	if len(s.Args) == 0 {
		return errors.New("the step has no command")
	}
	b.Network, b.Argv, b.Dir = s.Network, s.Args, s.Dir
	b.Env = slices.Concat(engine.Env(), s.Env, s.SecretEnv)
	if err := b.common(); err != nil {
		return err
	}
	if err := b.names(); err != nil {
		return err
	}
	for _, in := range s.Inputs {
		t, ok := trees[in.Tree]
		if !ok {
			return fmt.Errorf("no tree is called %q", in.Tree)
		}
		dirs, err := e.materialise(ctx, t)
		if err != nil {
			return err
		}
		if err := b.input(dirs, in.At); err != nil {
			return err
		}
	}
	for _, secret := range s.Secrets {
		if err := b.bind(engine.Volume{Host: secret.File, At: secret.At, ReadOnly: true}); err != nil {
			return err
		}
	}
	for _, out := range s.Outs {
		p, err := b.place(out, true)
		if err != nil {
			return err
		}
		b.outs = append(b.outs, p)
	}
	return nil
}

// bootBox makes ready what a container needs.
func (e *Engine) bootBox(ctx context.Context, root *tree.Tree, c plan.Config, o engine.BootOptions) (*box, error) {
	b, err := e.newBox(ctx, root, o.Writable)
	if err != nil {
		return nil, err
	}
	if err := e.fillBoot(ctx, b, c, o); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (e *Engine) fillBoot(ctx context.Context, b *box, c plan.Config, o engine.BootOptions) error {
	b.Boot, b.Network, b.Traces, b.Written, b.Dir = true, o.Network, o.Traces, o.Written, c.WorkingDir
	entry, args := c.Entrypoint, c.Cmd
	if o.Entry != nil {
		entry, args = o.Entry, nil
	}
	if o.Args != nil {
		args = o.Args
	}
	b.Argv = slices.Concat(entry, args)
	if len(b.Argv) == 0 {
		return fault.New(fault.Usage, "give it a command", "the image has no entry point")
	}
	user := c.User
	if o.User != "" {
		user = o.User
	}
	home, err := b.account(user)
	if err != nil {
		return err
	}
	b.Env = environment(home, c.Env, o.Env)
	if err := b.common(c.Writable...); err != nil {
		return err
	}
	if err := b.names(); err != nil {
		return err
	}
	if c.WorkingDir != "" && path.Clean(c.WorkingDir) != "/" { // a container is given one that its image lacks
		if _, err := b.place(c.WorkingDir, true); err != nil {
			return err
		}
	}
	for _, in := range o.Inputs {
		dirs, err := e.materialise(ctx, in.Tree)
		if err != nil {
			return err
		}
		if err := b.input(dirs, in.At); err != nil {
			return err
		}
	}
	for _, v := range o.Volumes {
		if err := b.bind(v); err != nil {
			return err
		}
	}
	return nil
}

// environment puts lists of KEY=value together, the later wins, as Docker
// does: PATH and HOME are always there.
func environment(home string, lists ...[]string) []string {
	out := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=" + engine.Hostname, "HOME=" + home}
	for _, kv := range slices.Concat(lists...) {
		key, _, _ := strings.Cut(kv, "=")
		out = slices.DeleteFunc(out, func(o string) bool { return strings.HasPrefix(o, key+"=") })
		out = append(out, kv)
	}
	return out
}

// maxPasswd bounds etc/passwd and etc/group.
const maxPasswd = 1 << 20

// maxID is the greatest user or group id; the one after it means "none".
const maxID = 1<<32 - 2

// number reads a user or group id.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n <= maxID
}

// account understands "65532:65532", "65532", "nobody" and "nobody:nogroup",
// and gives the home directory.
func (b *box) account(user string) (home string, err error) {
	name, group, hasGroup := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	uid, known := number(name)
	home = "/"
	for f := range b.database("etc/passwd") {
		if len(f) < 7 || f[0] != name && f[2] != name {
			continue
		}
		id, ok1 := number(f[2])
		gid, ok2 := number(f[3])
		if ok1 && ok2 {
			uid, b.GID, home, known = id, gid, cmp.Or(f[5], "/"), true
			break
		}
	}
	if !known {
		return "", fault.New(fault.Usage, "give numbers, UID:GID", "the image has no user %q", name)
	}
	b.UID = uid
	if !hasGroup {
		return home, nil
	}
	gid, known := number(group)
	for f := range b.database("etc/group") {
		if !known && len(f) >= 3 && f[0] == group {
			gid, known = number(f[2])
		}
	}
	if !known {
		return "", fault.New(fault.Usage, "give numbers, UID:GID", "the image has no group %q", group)
	}
	b.GID = gid
	return home, nil
}

// database walks the lines of a file of fields parted by colons.
func (b *box) database(name string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		e, ok := b.tree.Resolve(name)
		if !ok {
			return
		}
		data, err := e.ReadAll(maxPasswd)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(data)) {
			if !yield(strings.Split(strings.TrimSpace(line), ":")) {
				return
			}
		}
	}
}
