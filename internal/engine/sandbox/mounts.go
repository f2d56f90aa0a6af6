package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountAll makes the root and moves into it.
func (s *spec) mountAll() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := s.overlay(); err != nil {
		return err
	}
	for _, f := range []func() error{s.devices, s.filesystems, s.binds, s.network, host, s.enter} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// overlay mounts the tree.
func (s *spec) overlay() error {
	layers, done, err := lowerdirs(append(s.Lower, s.Stub))
	if err != nil {
		return err
	}
	defer done()
	if s.Scratch == "" {
		if err := unix.Mount("overlay", s.Root, "overlay", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_RDONLY, layers); err != nil {
			return fmt.Errorf("mounting an overlay: %w", err)
		}
		return nil
	}
	if err = s.writable(layers); err == nil {
		return nil
	}
	// Not every file system can hold an upper layer; another overlay, as in a
	// container, cannot. Memory can.
	if err2 := unix.Mount("tmpfs", s.Scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err2 != nil {
		return fmt.Errorf("mounting an overlay: %w, and a tmpfs: %w", err, err2)
	}
	for _, d := range []string{s.upper(), s.work()} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := s.writable(layers); err != nil {
		return fmt.Errorf("mounting an overlay: %w", err)
	}
	s.memory, err = os.Open(s.upper())
	return err
}

func (s *spec) writable(layers string) error {
	return mountOver(s.Root, layers, s.upper(), s.work())
}

// mountOver mounts layers and, over them, what is written.
func mountOver(at, layers, upper, work string) error {
	options := layers + ",upperdir=" + escape(upper) + ",workdir=" + escape(work)
	return unix.Mount("overlay", at, "overlay", unix.MS_NODEV|unix.MS_NOSUID, options)
}

// lowerdirs are overlayfs' options for these directories, the topmost first,
// until the function it gives is called. They go by open files, for options
// have to fit into a page, and paths of the cache are long. With userxattr an
// ordinary user may mount it (Linux 5.11).
func lowerdirs(dirs []string) (string, func(), error) {
	var fds []int
	done := func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	names := make([]string, len(dirs))
	for i, d := range dirs {
		fd, err := unix.Open(d, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			done()
			return "", nil, fmt.Errorf("opening layer %s: %w", d, err)
		}
		fds = append(fds, fd)
		names[i] = "/proc/self/fd/" + strconv.Itoa(fd)
	}
	return "userxattr,lowerdir=" + strings.Join(names, ":"), done, nil
}

// escape is for a path in overlayfs' options.
func escape(p string) string { return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(p) }

func (s *spec) at(name string) string { return filepath.Join(s.Root, name) }

// devices makes a /dev with what every program may count on. The nodes are the
// host's; mounted read-only they can be read and written as ever, while their
// mode and owner cannot be changed, which root's own processes could do.
func (s *spec) devices() error {
	dev := s.at("dev")
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if _, err := os.Stat("/dev/" + name); errors.Is(err, fs.ErrNotExist) {
			continue // a bare container has no tty
		}
		p := filepath.Join(dev, name)
		if err := os.WriteFile(p, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, p, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting /dev/%s: %w", name, err)
		}
		if err := readOnly(p); err != nil {
			return fmt.Errorf("protecting /dev/%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"shm", "pts"} {
		if err := os.Mkdir(filepath.Join(dev, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return fmt.Errorf("mounting /dev/pts: %w", err)
	}
	return tmpfs(filepath.Join(dev, "shm"))
}

func tmpfs(p string) error {
	if err := unix.Mount("tmpfs", p, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return nil
}

func (s *spec) filesystems() error {
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	s.left = make(map[string]*os.File)
	for _, p := range s.Tmpfs {
		if err := makePoint(root, p, true); err != nil { // below another tmpfs, which hides the stub
			return err
		}
		if err := tmpfs(s.at(p)); err != nil {
			return err
		}
		if !s.Written {
			continue
		}
		// Opened before anything is mounted on it or in it.
		if s.left[p], err = root.Open(p); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", s.at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// binds mounts what is the host's. Nothing outside the root can be hit, for
// all paths are looked up as if it were the root already: what is mounted
// first may hold links.
func (s *spec) binds() error {
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, m := range s.Mounts {
		if err := m.mount(root); err != nil {
			return &mountError{fmt.Errorf("mounting %s at /%s: %w", m.Sources[0], m.At, err)}
		}
	}
	return nil
}

// mountError is a mount of the user's that cannot be; all others are exuvia's.
type mountError struct{ error }

func (m mount) mount(root *os.Root) error {
	fi, err := os.Stat(m.Sources[0])
	if err != nil {
		return err
	}
	if _, err := root.Lstat(m.At); err != nil { // below a tmpfs or another mount, which hides the stub
		if err := makePoint(root, m.At, fi.IsDir()); err != nil {
			return err
		}
	}
	at, err := inside(root, m.At)
	if err != nil {
		return err
	}
	defer at.Close()
	if len(m.Sources) > 1 || m.Over != "" {
		layers, done, err := lowerdirs(m.Sources)
		if err != nil {
			return err
		}
		defer done()
		if m.Over != "" {
			return m.over(at.Name(), layers)
		}
		return unix.Mount("overlay", at.Name(), "overlay", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_RDONLY, layers)
	}
	if err := unix.Mount(m.Sources[0], at.Name(), "", unix.MS_BIND|unix.MS_REC, ""); err != nil || !m.ReadOnly {
		return err
	}
	mounted, err := inside(root, m.At)
	if err != nil {
		return err
	}
	defer mounted.Close()
	return readOnly(mounted.Name())
}

// over mounts layers with what is written in m.Over.
func (m mount) over(at, layers string) error {
	upper, work := filepath.Join(m.Over, "upper"), filepath.Join(m.Over, "work")
	for _, d := range []string{m.Over, upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(upper, 0o777); err != nil { // its mode is that of the mount
		return err
	}
	return mountOver(at, layers, upper, work)
}

// inside opens what a path means to a process whose root is root. The name of
// the file it gives can be mounted on.
func inside(root *os.Root, name string) (*os.File, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat2(int(dir.Fd()), name, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/proc/self/fd/"+strconv.Itoa(fd)), nil
}

// readOnly makes a mount, and those below it, read-only.
func readOnly(at string) error {
	err := unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if !errors.Is(err, unix.ENOSYS) {
		return err
	}
	var st unix.Statfs_t // before Linux 5.12
	if err := unix.Statfs(at, &st); err != nil {
		return err
	}
	// A user namespace may not take flags away that its parent has set.
	locked := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME) //nolint:gosec // bits
	return unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, "")
}

// network readies the sandbox's own network, in which anyone may listen on
// any port, as Docker has it.
func (s *spec) network() error {
	if s.Network {
		return nil
	}
	if err := up(); err != nil {
		return err
	}
	if err := os.WriteFile(s.at("proc/sys/net/ipv4/ip_unprivileged_port_start"), []byte("0"), 0o644); err != nil {
		return fmt.Errorf("opening ports below 1024: %w", err)
	}
	return nil
}

// enter makes the root the root, and leaves nothing of the host's behind.
func (s *spec) enter() error {
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("entering root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's root: %w", err)
	}
	return os.Chdir("/")
}
