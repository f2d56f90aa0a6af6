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
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// TestMain is the sandbox's own processes, the guest that runs in it, or the
// tests.
func TestMain(m *testing.M) {
	Init()
	if len(os.Args) > 1 && os.Args[0] == "/bin/guest" {
		guest(os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// guest is the program in the root trees of these tests.
func guest(args []string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	switch args[0] {
	case "write":
		fail(os.WriteFile(args[1], []byte(args[2]), 0o640))
	case "remove":
		fail(os.Remove(args[1]))
	case "read":
		data, err := os.ReadFile(args[1])
		fail(err)
		os.Stdout.Write(data)
	case "id":
		fmt.Printf("%d:%d pid %d", os.Getuid(), os.Getgid(), os.Getpid())
	case "env":
		fmt.Print(strings.Join(os.Environ(), "\n"))
	case "exit":
		os.Exit(7)
	case "sleep":
		time.Sleep(time.Minute)
	case "mount":
		fail(syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
	case "userns":
		c := exec.Command("/bin/guest", "id")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		fail(c.Run())
	case "interfaces":
		list, err := net.Interfaces()
		fail(err)
		for _, i := range list {
			if i.Flags&net.FlagUp != 0 {
				fmt.Println(i.Name)
			}
		}
	case "serve":
		l, err := net.Listen("tcp", ":80")
		fail(err)
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		go func() {
			<-stop
			os.Exit(42)
		}()
		for {
			c, err := l.Accept()
			fail(err)
			io.WriteString(c, "hello")
			c.Close()
		}
	}
}

// testbed is an engine and a root tree with the guest in it.
func testbed(t *testing.T) (*Engine, *tree.Tree) {
	t.Helper()
	store, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{Cache: store})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	blob, err := store.Put(exe)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.New(
		store.Entry("usr/bin/guest", 0o755, blob, tree.Origin{}), tree.Symlink("bin", "usr/bin", tree.Origin{}),
		tree.File("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n"), tree.Origin{}),
		tree.Dir("data", 0o755, tree.Origin{}), tree.Dir("tmp", fsSticky, tree.Origin{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return e, root
}

const fsSticky = os.ModeSticky | 0o777

func step(outs []string, args ...string) plan.Step {
	return plan.Step{Name: "test", System: "root", Args: append([]string{"/bin/guest"}, args...), Outs: outs}
}

func TestStepGivesWhatItAdded(t *testing.T) {
	e, root := testbed(t)
	out, err := e.Run(t.Context(), step([]string{"/data", "/bin/new"}, "write", "/data/x", "hello"), engine.Trees{"root": root})
	if err != nil {
		t.Fatal(err)
	}
	x, ok := out.Lookup("data/x")
	if !ok || x.Mode != 0o640 || x.UID != 0 || x.From.Kind != tree.Made {
		t.Fatalf("data/x is %+v", x)
	}
	if data, err := x.ReadAll(10); err != nil || string(data) != "hello" {
		t.Errorf("data/x holds %q, %v", data, err)
	}
	var paths []string
	for e := range out.All() {
		paths = append(paths, e.Path)
	}
	if diff := cmp.Diff([]string{"data", "data/x"}, paths); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	left, err := os.ReadDir(filepath.Join(e.cache.Dir(), "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestStepMayOnlyAdd(t *testing.T) {
	e, root := testbed(t)
	root, err := root.With(tree.File("data/old", 0o644, []byte("x"), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"removed /data/old": {"remove", "/data/old"},
		"changed /data/old": {"write", "/data/old", "y"},
	} {
		_, err := e.Run(t.Context(), step([]string{"/data"}, args...), engine.Trees{"root": root})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}

func TestStepFails(t *testing.T) {
	e, root := testbed(t)
	_, err := e.Run(t.Context(), step(nil, "exit"), engine.Trees{"root": root})
	if failed, ok := errors.AsType[*engine.StepError](err); !ok || failed.Exit != 7 {
		t.Errorf("error is %v, want exit code 7", err)
	}
	s := step(nil, "sleep")
	s.Limit = 200 * time.Millisecond
	_, err = e.Run(t.Context(), s, engine.Trees{"root": root})
	if failed, ok := errors.AsType[*engine.StepError](err); !ok || !strings.Contains(failed.Reason, "limit of 200ms") {
		t.Errorf("error is %v, want the limit", err)
	}
	s.Args = []string{"nothing"}
	_, err = e.Run(t.Context(), s, engine.Trees{"root": root})
	if err == nil || !strings.Contains(err.Error(), "not in PATH") {
		t.Errorf("error is %v, want that it is not in PATH", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	if _, err = e.Run(ctx, step(nil, "sleep"), engine.Trees{"root": root}); !errors.Is(err, cause) {
		t.Errorf("error is %v, want the cause of cancelling", err)
	}
}

// What a step could use to get out, or back to power, is not there.
func TestStepHasNoPowers(t *testing.T) {
	e, root := testbed(t)
	for _, args := range [][]string{{"mount"}, {"userns"}, {"write", "/proc/sys/kernel/core_pattern", "|/x"}} {
		_, err := e.Run(t.Context(), step(nil, args...), engine.Trees{"root": root})
		if failed, ok := errors.AsType[*engine.StepError](err); !ok || failed.Exit != 3 {
			t.Errorf("%v: error is %v, want that it is refused", args, err)
		}
	}
}

func TestBootHasNoPowers(t *testing.T) {
	e, root := testbed(t)
	for _, args := range [][]string{{"mount"}, {"userns"}, {"write", "/proc/sys/kernel/core_pattern", "|/x"}} {
		if exit := boot(t, e, root, engine.BootOptions{User: "0"}, args...); exit.Code != 3 {
			t.Errorf("%v: exit %d, want that it is refused", args, exit.Code)
		}
	}
}

func TestStepInputsAndSecrets(t *testing.T) {
	e, root := testbed(t)
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := tree.New(tree.File("x", 0o644, []byte("input"), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	s := step(nil, "read", "/run/secret")
	s.Inputs = []plan.Mount{{Tree: "in", At: "/run/in"}}
	s.Secrets = []plan.Secret{{File: secret, At: "/run/secret"}}
	s.SecretEnv = []string{"TOKEN=hush"}
	trees := engine.Trees{"root": root, "in": input}
	if _, err := e.Run(t.Context(), s, trees); err != nil {
		t.Error(err)
	}
	s.Args = []string{"/bin/guest", "write", "/run/in/x", "changed"}
	if _, err := e.Run(t.Context(), s, trees); err == nil {
		t.Error("an input could be written to")
	}
	s.Args = []string{"/bin/guest", "write", "/run/secret", "changed"}
	if _, err := e.Run(t.Context(), s, trees); err == nil {
		t.Error("a secret could be written to")
	}
}

func boot(t *testing.T, e *Engine, root *tree.Tree, o engine.BootOptions, args ...string) engine.Exit {
	t.Helper()
	p, err := e.Boot(t.Context(), root, plan.Config{Entrypoint: []string{"/bin/guest"}, Cmd: args, User: "65532:65532", WorkingDir: "/data"}, o)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

func TestBootIsAContainer(t *testing.T) {
	e, root := testbed(t)
	if got := string(boot(t, e, root, engine.BootOptions{}, "id").Stdout); got != "65532:65532 pid 1" {
		t.Errorf("id is %q", got)
	}
	if got := string(boot(t, e, root, engine.BootOptions{User: "web"}, "id").Stdout); got != "33:44 pid 1" {
		t.Errorf("id of web is %q", got)
	}
	if got := string(boot(t, e, root, engine.BootOptions{}, "interfaces").Stdout); got != "lo\n" {
		t.Errorf("interfaces are %q", got)
	}
	if exit := boot(t, e, root, engine.BootOptions{}, "write", "/data/x", "y"); exit.Code != 3 {
		t.Errorf("the root can be written to: %+v", exit)
	}
	if exit := boot(t, e, root, engine.BootOptions{}, "write", "/tmp/x", "y"); exit.Code != 0 {
		t.Errorf("/tmp cannot be written to: %s", exit.Stderr)
	}
	if exit := boot(t, e, root, engine.BootOptions{Writable: true}, "write", "/data/x", "y"); exit.Code != 0 {
		t.Errorf("a writable root cannot be written to: %s", exit.Stderr)
	}
	env := strings.Split(string(boot(t, e, root, engine.BootOptions{User: "web", Env: []string{"A=1"}}, "env").Stdout), "\n")
	for _, want := range []string{"A=1", "HOME=/srv", "HOSTNAME=" + engine.Hostname} {
		if !slices.Contains(env, want) {
			t.Errorf("environment %q lacks %s", env, want)
		}
	}
}

func TestBootServes(t *testing.T) {
	e, root := testbed(t)
	p, err := e.Boot(t.Context(), root, plan.Config{Entrypoint: []string{"/bin/guest", "serve"}, User: "65532:65532"}, engine.BootOptions{})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		ports, err := p.Listening()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(ports, []int{80}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("listening on %v, want port 80", ports)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for range 3 {
		c, err := p.Dial(t.Context(), 80)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(c)
		c.Close()
		if err != nil || string(data) != "hello" {
			t.Errorf("got %q, %v", data, err)
		}
	}
	if _, err := p.Dial(t.Context(), 81); err == nil {
		t.Error("dialled a port on which nobody listens")
	}
	if n, err := p.PSS(); err != nil || n < 100_000 {
		t.Errorf("PSS is %d, %v", n, err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 42 {
		t.Errorf("exit %d, %v, want 42", exit.Code, err)
	}
}

func TestBootOfNothing(t *testing.T) {
	e, root := testbed(t)
	for argv, want := range map[string]string{"/bin/none": "no such file", "/etc/passwd": "not executable", "/data": "not executable"} {
		_, err := e.Boot(t.Context(), root, plan.Config{Entrypoint: []string{argv}, User: "0"}, engine.BootOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", argv, err, want)
		}
	}
}

// Everything above, as an ordinary user.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is an ordinary user already")
	}
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	exe := filepath.Join(dir, "sandbox.test")
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe, "-test.v")
	c.Dir, c.Env = dir, []string{"TMPDIR=" + dir, "HOME=" + dir, "PATH=/usr/bin:/bin"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestBootServes") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func BenchmarkTrue(b *testing.B) {
	store, err := cas.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	e, err := New(Options{Cache: store})
	if err != nil {
		b.Fatal(err)
	}
	root, err := tree.New(tree.File("bin/guest", 0o755, must(os.ReadFile("/proc/self/exe")), tree.Origin{}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Run(b.Context(), step(nil, "id"), engine.Trees{"root": root}); err != nil {
			b.Fatal(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
