package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
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

// overlay mounts the tree. With userxattr an ordinary user may (Linux 5.11).
func (s *spec) overlay() error {
	options := "userxattr,lowerdir=" + escape(s.Lower) + ":" + escape(s.Stub)
	flags := uintptr(unix.MS_NODEV | unix.MS_NOSUID)
	if s.Upper != "" {
		options += ",upperdir=" + escape(s.Upper) + ",workdir=" + escape(s.Work)
	} else {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("overlay", s.Root, "overlay", flags, options); err != nil {
		return fmt.Errorf("mounting an overlay over the cache (set EXUVIA_CACHE to a directory on a local disk, not on an overlay): %w", err)
	}
	return nil
}

// escape is for a path in overlayfs' options.
func escape(p string) string { return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(p) }

func (s *spec) at(name string) string { return filepath.Join(s.Root, name) }

// devices makes a /dev with what every program may count on.
func (s *spec) devices() error {
	dev := s.at("dev")
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		p := filepath.Join(dev, name)
		if err := os.WriteFile(p, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, p, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting /dev/%s: %w", name, err)
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
	for _, p := range s.Tmpfs {
		if err := tmpfs(s.at(p)); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", s.at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

func (s *spec) binds() error {
	for _, m := range s.Mounts {
		at := s.at(m.At)
		if _, err := os.Lstat(at); err != nil { // below a tmpfs, which hides the stub
			if err := point(m.Source, at); err != nil {
				return err
			}
		}
		if err := unix.Mount(m.Source, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s at /%s: %w", m.Source, m.At, err)
		}
		if !m.ReadOnly {
			continue
		}
		var st unix.Statfs_t
		if err := unix.Statfs(at, &st); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Source, err)
		}
		// A user namespace may not take flags away that its parent has set.
		locked := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
		if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, ""); err != nil {
			return fmt.Errorf("mounting %s read-only: %w", m.Source, err)
		}
	}
	return nil
}

// point makes a mount point for source.
func point(source, at string) error {
	fi, err := os.Stat(source)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return os.MkdirAll(at, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return os.WriteFile(at, nil, 0o644)
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
