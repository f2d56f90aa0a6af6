package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// runExec gives up what powers are left and becomes the command.
func runExec() {
	status := os.NewFile(statusFD, "status")
	syscall.CloseOnExec(statusFD)
	err := becomeCommand()
	fmt.Fprintln(status, err)
	os.Exit(127) //nolint:forbidigo // a process of the sandbox
}

// becomeCommand returns only with an error.
func becomeCommand() error {
	s, err := readSpec()
	if err != nil {
		return err
	}
	keep := stepCapabilities
	if s.Boot {
		keep = nil
		if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mounting /proc: %w", err)
		}
	}
	if s.Dir != "" {
		if err := os.Chdir(s.Dir); err != nil {
			return fmt.Errorf("working directory: %w", err)
		}
	}
	argv0, err := lookPath(s.Argv[0], s.Env)
	if err != nil {
		return err
	}
	// No user namespace inside, in which all powers would be back.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o644); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("forbidding user namespaces: %w", err)
	}
	if err := mask(); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	unix.Umask(0o022)
	if err := drop(keep); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	if err := filter(s.Traces); err != nil {
		return fmt.Errorf("filtering system calls: %w", err)
	}
	err = syscall.Exec(argv0, s.Argv, s.Env)
	if errors.Is(err, fs.ErrNotExist) { // the file is there, so its interpreter is not
		err = errors.New("its interpreter (the loader, or the program after #!) does not exist")
	}
	return fmt.Errorf("starting %s: %w", argv0, err)
}

// masked are the files and directories in /proc that a write to would be felt
// outside, as Docker has them.
var masked = []string{
	"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/asound",
	"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/mtrr", "/proc/scsi", "/proc/timer_list",
}

// mask makes read-only what is the whole machine's in /proc. Where exuvia runs
// as root, so does the command as far as these files can tell.
func mask() error {
	for _, p := range masked {
		if _, err := os.Lstat(p); err != nil {
			continue // this kernel has none
		}
		if err := unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("masking %s: %w", p, err)
		}
		flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		if err := unix.Mount("", p, "", flags, ""); err != nil {
			return fmt.Errorf("masking %s: %w", p, err)
		}
	}
	return nil
}

// lookPath finds the executable as execvp(3) does.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	for _, kv := range slices.Backward(env) {
		dirs, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(dirs, ":") {
			if p := path.Join(dir, name); path.IsAbs(p) && executable(p) == nil {
				return p, nil
			}
		}
		break
	}
	return "", fmt.Errorf("starting %s: it is not in PATH", name)
}

func executable(name string) error {
	fi, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("starting %s: no such file", name)
	}
	if fi.IsDir() || fi.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("starting %s: it is not executable", name)
	}
	return nil
}

// drop leaves the capabilities in keep, for root of the namespace, and none
// to gain.
func drop(keep []uintptr) error {
	var mask [2]uint32
	for _, c := range keep {
		mask[c/32] |= 1 << (c % 32)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if mask[c/32]&(1<<(c%32)) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) { // an older kernel has fewer
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{}
	for i := range data {
		data[i] = unix.CapUserData{Effective: mask[i], Permitted: mask[i]}
	}
	return unix.Capset(&header, &data[0])
}
