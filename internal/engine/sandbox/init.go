package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"exuvia/internal/engine"
)

// Names under which the program executes itself.
const (
	initName = "exuvia-init"
	execName = "exuvia-exec"
)

// File descriptors of the re-executed programs.
const (
	specFD    = 3
	controlFD = 4 // of init
	statusFD  = 4 // of exec: says what went wrong, closed when the command runs
)

// Init has to be the first call of main and of TestMain. In a process that is
// the sandbox's own it never returns.
func Init() {
	switch os.Args[0] {
	case initName:
		runtime.LockOSThread() // what a thread gives up, its children do not have
		runInit()
	case execName:
		runtime.LockOSThread()
		runExec()
	}
}

// init runs before most of the packages that the sandbox has no need of, for
// Go initialises packages in order of their paths, those they import first.
// Two processes that wait for no regular expressions make a step 8 ms faster.
// That main calls Init stays the rule.
func init() { Init() } //nolint:gochecknoinits // nothing else comes before the rest of main's packages

// runInit is process 1 of the namespaces.
func runInit() {
	unix.Umask(0o022)
	// What a step sends to process 1 must not end it; caught, not ignored, as
	// the command would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	ctl, err := newControl(os.NewFile(controlFD, "control"))
	if err != nil {
		os.Exit(125) //nolint:forbidigo // a process of the sandbox, with nobody to tell
	}
	s, err := readSpec()
	if err == nil {
		err = s.mountAll()
	}
	if err == nil && s.memory != nil {
		err = ctl.send(s.memory, "memory")
	}
	if err == nil {
		err = s.handOut(ctl)
	}
	if err != nil {
		reason := "setup"
		if _, ok := errors.AsType[*mountError](err); ok {
			reason = "mount"
		}
		_ = ctl.send(nil, "failed %s: %s", reason, err) // the other end is gone: so are we
		os.Exit(125)                                    //nolint:forbidigo // as above
	}
	pid, err := s.launch()
	if err != nil {
		_ = ctl.send(nil, "failed %s", err)
		os.Exit(127) //nolint:forbidigo // as above
	}
	if ctl.send(nil, "running") != nil {
		os.Exit(125) //nolint:forbidigo // as above
	}
	go obey(ctl, pid)
	code := reap(pid)
	_ = ctl.send(nil, "exit %d", code)
	os.Exit(0) //nolint:forbidigo // takes every process of the namespace with it
}

// handOut sends the directories that are to be looked into at the end. They
// stay as long as they are open, also when the namespace is gone.
func (s *spec) handOut(ctl *control) error {
	for p, f := range s.left {
		if err := ctl.send(f, "left %s", p); err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func readSpec() (*spec, error) {
	f := os.NewFile(specFD, "spec")
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return nil, err
	}
	var s spec
	return &s, json.Unmarshal(data, &s)
}

// obey carries out what comes over the control socket, and ends with it: when
// exuvia is gone, so is the sandbox.
func obey(ctl *control, pid int) {
	for {
		text, _, err := ctl.receive()
		if err != nil {
			os.Exit(125) //nolint:forbidigo // takes every process of the namespace with it
		}
		f := strings.Fields(text)
		switch {
		case len(f) == 2 && f[0] == "signal":
			if n, err := strconv.Atoi(f[1]); err == nil {
				_ = syscall.Kill(pid, syscall.Signal(n)) // it may have ended
			}
		case len(f) == 3 && f[0] == "dial":
			go dial(ctl, f[1], f[2])
		}
	}
}

// dial connects inside the network namespace and hands the socket out.
func dial(ctl *control, id, port string) {
	var d net.Dialer
	conn, err := d.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		_ = ctl.send(nil, "refused %s %s", id, err)
		return
	}
	defer conn.Close()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	f, err := tcp.File()
	if err != nil {
		_ = ctl.send(nil, "refused %s %s", id, err)
		return
	}
	defer f.Close()
	_ = ctl.send(f, "dialled %s", id)
}

// reap waits for children, our own and those we inherit, until pid has ended.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 125
		case got == pid && status.Exited():
			return status.ExitStatus()
		case got == pid && status.Signaled():
			return 128 + int(status.Signal())
		}
	}
}

// Capabilities that a step keeps: what adding files as root needs. All count
// only inside the user namespace.
var stepCapabilities = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID,
}

// launch starts the second re-execution and waits until the command runs.
func (s *spec) launch() (int, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	specFile, err := memory("spec", data)
	if err != nil {
		return 0, err
	}
	defer specFile.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	attr := &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, specFile, w}} //nolint:forbidigo // the command's streams
	if s.Boot {
		// A user other than 0 keeps capabilities over exec as ambient ones
		// only. They are good for mounting /proc and are then given up.
		attr.Sys = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: s.UID, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: s.GID, HostID: 0, Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE},
		}
	}
	p, err := os.StartProcess("/proc/self/exe", []string{execName}, attr)
	w.Close()
	if err != nil {
		return 0, err
	}
	status, err := io.ReadAll(io.LimitReader(r, maxMessage))
	if err != nil {
		return 0, err
	}
	if len(status) > 0 {
		return 0, errors.New(string(bytes.TrimSpace(status)))
	}
	return p.Pid, nil
}

// up switches the loopback interface on.
func up() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("switching loopback on: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("switching loopback on: %w", err)
	}
	return nil
}

// host names the sandbox.
func host() error { return unix.Sethostname([]byte(engine.Hostname)) }
