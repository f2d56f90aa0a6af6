//go:build e2e

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
)

// TestMain is the sandbox's own processes, the guest that runs in it, or the
// tests.
func TestMain(m *testing.M) {
	Init()
	if os.Args[0] == "/bin/guest" {
		if err := guest[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	os.Exit(m.Run())
}

// guest is the program in the root trees of these tests: what it can do, by
// its first argument.
var guest = map[string]func(args []string) error{
	"write":  func(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o640) },
	"litter": litter,
	"remove": func(args []string) error { return os.Remove(args[0]) },
	"read":   show,
	"status": func([]string) error { return show([]string{"/proc/self/status"}) },
	"stat":   stat,
	"again":  func(args []string) error { return replace(args[0]) },
	"env": func([]string) error {
		fmt.Print(strings.Join(os.Environ(), "\n"))
		return nil
	},
	"id": func([]string) error {
		fmt.Printf("%d:%d pid %d", os.Getuid(), os.Getgid(), os.Getpid())
		return nil
	},
	"exit": func([]string) error {
		os.Exit(7)
		return nil
	},
	"devices": devices,
	"full": func([]string) error {
		return errors.New("copying: No space left on device (os error 28)")
	},
	"sleep": func([]string) error {
		time.Sleep(time.Minute)
		return nil
	},
	"nested":     func([]string) error { return nested() },
	"orphan":     orphan,
	"later":      later,
	"kill1":      func([]string) error { return killInit() },
	"loud":       func([]string) error { return loud() },
	"mount":      func([]string) error { return syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, "") },
	"userns":     func([]string) error { return userNamespace() },
	"interfaces": func([]string) error { return interfaces() },
	"serve":      func([]string) error { return serve(":80") },
	"serve-any":  func([]string) error { return serve("127.0.0.1:0") },
}

// litter leaves files that nobody may read, and a process that would go on.
func litter(args []string) error {
	if err := os.Mkdir("/tmp/closed", 0o700); err != nil {
		return err
	}
	for _, p := range append([]string{"/tmp/closed/x", "/tmp/none"}, args...) {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod("/tmp/none", 0), os.Chmod("/tmp/closed", 0o500))
}

// nested makes a sandbox in the sandbox.
func nested() error {
	store, err := cas.Open("/tmp/cache")
	if err != nil {
		return err
	}
	e, err := New(Options{Cache: store})
	if err != nil {
		return err
	}
	_, err = e.Run(context.Background(), step(nil, "id"), engine.Trees{"root": {}})
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return fmt.Errorf("kind %d: %s; %s", f.Kind, f.What, f.Hint)
	}
	return err
}

func show(args []string) error {
	data, err := os.ReadFile(args[0])
	if err == nil {
		_, err = os.Stdout.Write(data)
	}
	return err
}

func stat(args []string) error {
	for _, p := range args {
		fi, err := os.Stat(p)
		if err != nil {
			return err
		}
		fmt.Println(p, fi.Mode())
	}
	return nil
}

// devices writes to /dev/null, and tries to change what it is on the host: its
// times, which a failure of this test leaves harmless.
func devices([]string) error {
	for _, flags := range []int{os.O_WRONLY, os.O_WRONLY | os.O_CREATE | os.O_TRUNC, os.O_RDWR} {
		f, err := os.OpenFile("/dev/null", flags, 0o666)
		if err != nil {
			return err
		}
		if _, err := f.WriteString("x"); err != nil {
			return err
		}
		f.Close()
	}
	for _, err := range []error{os.Chtimes("/dev/null", time.Now(), time.Now()), os.Chmod("/dev/null", 0o666)} {
		if !errors.Is(err, syscall.EROFS) {
			return fmt.Errorf("changing /dev/null: %w, want that it is read-only", err)
		}
	}
	return nil
}

// replace removes a directory and makes it anew.
func replace(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}

// orphan starts a process that outlives it, and would write later.
func orphan(args []string) error {
	c := exec.Command("/bin/guest", "later", args[0])
	c.Stdout = os.Stdout
	return c.Start()
}

func later(args []string) error {
	time.Sleep(300 * time.Millisecond)
	return os.WriteFile(args[0], []byte("late"), 0o644)
}

func killInit() error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL} {
		if err := syscall.Kill(1, sig); err != nil {
			return err
		}
	}
	time.Sleep(100 * time.Millisecond)
	return nil
}

func loud() error {
	for i := range 20000 {
		fmt.Println("line", i)
	}
	os.Exit(1)
	return nil
}

func userNamespace() error {
	c := exec.Command("/bin/guest", "id")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	return c.Run()
}

func interfaces() error {
	list, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.Flags&net.FlagUp != 0 {
			fmt.Println(i.Name)
		}
	}
	return nil
}

// serve says hello to everyone until SIGTERM, and ends with 42.
func serve(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(42)
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		c.Close()
	}
}
