//go:build e2e

package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// testbed is an engine and a root tree with the guest in it.
func testbed(t *testing.T) (*Engine, *tree.Tree) {
	t.Helper()
	return testbedIn(t, t.TempDir())
}

func testbedIn(t *testing.T, dir string) (*Engine, *tree.Tree) {
	t.Helper()
	store, err := cas.Open(dir)
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
	if _, err := e.Run(t.Context(), step(nil, "full"), engine.Trees{"root": root}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v, want one of the full disk", err)
	}
	s := step(nil, "sleep")
	s.Limit = 200 * time.Millisecond
	_, err = e.Run(t.Context(), s, engine.Trees{"root": root})
	if failed, ok := errors.AsType[*engine.StepError](err); !ok || !strings.Contains(failed.Reason, "limit of 200ms") {
		t.Errorf("error is %v, want the limit", err)
	}
	s.Args, s.Limit = []string{"nothing"}, 0
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

// Exit codes and outputs are each step's own, and none gets lost.
func TestStepsInParallel(t *testing.T) {
	e, root := testbed(t)
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			name := fmt.Sprintf("/data/%d", i)
			out, err := e.Run(t.Context(), step([]string{"/data"}, "write", name, "x"), engine.Trees{"root": root})
			if _, ok := out.Lookup(name[1:]); err != nil || !ok || out.Len() != 2 {
				t.Errorf("step %d gave %v, %v", i, listing(out), err)
			}
			_, err = e.Run(t.Context(), step(nil, "exit"), engine.Trees{"root": root})
			if failed, ok := errors.AsType[*engine.StepError](err); !ok || failed.Exit != 7 {
				t.Errorf("error is %v, want exit code 7", err)
			}
		})
	}
	all.Wait()
	if left, err := os.ReadDir(filepath.Join(e.cache.Dir(), "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
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

// The nodes in /dev are the host's, which a build or an app that runs for root
// must not change.
func TestDevicesStayAsTheyAre(t *testing.T) {
	e, root := testbed(t)
	if exit := boot(t, e, root, engine.BootOptions{}, "devices"); exit.Code != 0 {
		t.Errorf("in a container: %s", exit.Stderr)
	}
	if _, err := e.Run(t.Context(), step(nil, "devices"), engine.Trees{"root": root}); err != nil {
		t.Errorf("in a step: %v", err)
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

// A machine that allows no sandbox says so, and what to switch on; in a
// sandbox there can be no other.
func TestRefused(t *testing.T) {
	e, root := testbed(t)
	exit := boot(t, e, root, engine.BootOptions{}, "nested")
	want := fmt.Sprintf("kind %d: this machine does not let exuvia make a sandbox: ", fault.Sandbox)
	if got := string(exit.Stderr); exit.Code != 3 || !strings.HasPrefix(got, want) || !strings.Contains(got, "user.max_user_namespaces=") {
		t.Errorf("exit %d: %s", exit.Code, got)
	}
}

// A tree of many makers has many layers, in paths as long as they come.
func TestManyLayers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long,and:odd\\/", 12))
	e, root := testbedIn(t, dir)
	var entries []tree.Entry
	for i := range 60 {
		entries = append(entries, tree.File(fmt.Sprintf("many/%d", i), 0o644, []byte("x"), tree.Origin{Kind: tree.Made, Name: fmt.Sprintf("maker %d", i)}))
	}
	many, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	root, err = tree.Merge(root, many)
	if err != nil {
		t.Fatal(err)
	}
	s := step([]string{"/data"}, "stat", "/many/0", "/many/59", "/in/many/0", "/in/many/59", "/none")
	s.Inputs = []plan.Mount{{Tree: "many", At: "/in"}, {Tree: "none", At: "/none"}}
	if _, err := e.Run(t.Context(), s, engine.Trees{"root": root, "many": many, "none": {}}); err != nil {
		t.Fatal(err)
	}
	s.Args = []string{"/bin/guest", "write", "/in/many/0", "y"}
	if _, err := e.Run(t.Context(), s, engine.Trees{"root": root, "many": many, "none": {}}); err == nil {
		t.Error("an input of several layers could be written to")
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

// printed boots a command and gives what it printed.
func printed(t *testing.T, e *Engine, root *tree.Tree, args ...string) string {
	t.Helper()
	exit := boot(t, e, root, engine.BootOptions{}, args...)
	if exit.Code != 0 {
		t.Fatalf("%v: exit %d: %s", args, exit.Code, exit.Stderr)
	}
	return string(exit.Stdout)
}

// What the user's umask is shows neither in the sandbox nor in its output.
func TestUmaskDoesNotShow(t *testing.T) {
	e, root := testbed(t)
	run := func(umask int) (string, string) {
		defer syscall.Umask(syscall.Umask(umask))
		out, err := e.Run(t.Context(), step([]string{"/new/out"}, "write", "/new/out/x", "1"), engine.Trees{"root": root})
		if err != nil {
			t.Fatal(err)
		}
		return out.Digest(), printed(t, e, root, "stat", "/", "/dev", "/dev/shm", "/dev/null", "/proc", "/etc", "/etc/hosts", "/tmp")
	}
	d1, s1 := run(0o022)
	d2, s2 := run(0o077)
	if d1 != d2 {
		t.Error("the output differs")
	}
	if diff := cmp.Diff(s1, s2); diff != "" {
		t.Errorf("modes (-022 +077):\n%s", diff)
	}
}

func TestStepReplacesDirectory(t *testing.T) {
	e, root := testbed(t)
	root, err := root.With(tree.File("data/sub/old", 0o644, []byte("x"), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	for out, dir := range map[string]string{"/data": "/data/sub", "/data/sub/new": "/data/sub"} {
		_, err = e.Run(t.Context(), step([]string{out}, "again", dir), engine.Trees{"root": root})
		if err == nil || !strings.Contains(err.Error(), "removed") && !strings.Contains(err.Error(), "changed") {
			t.Errorf("Outs %s: error %v, want that %s was removed", out, err, dir)
		}
	}
	if out, err := e.Run(t.Context(), step([]string{"/made"}, "again", "/made"), engine.Trees{"root": root}); err != nil || out.Len() != 1 {
		t.Errorf("an output directory that the step made anew: %v, %v", out, err)
	}
}

// A step is over when its command is, and what it left running is gone.
func TestStepLeavesNothingRunning(t *testing.T) {
	e, root := testbed(t)
	out, err := e.Run(t.Context(), step([]string{"/data"}, "orphan", "/data/late"), engine.Trees{"root": root})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := out.Lookup("data/late"); ok {
		t.Error("the step's child went on")
	}
}

func TestStepCannotEndInit(t *testing.T) {
	e, root := testbed(t)
	if _, err := e.Run(t.Context(), step(nil, "kill1"), engine.Trees{"root": root}); err != nil {
		t.Error(err)
	}
}

func TestStepOutputIsBounded(t *testing.T) {
	e, root := testbed(t)
	_, err := e.Run(t.Context(), step(nil, "loud"), engine.Trees{"root": root})
	failed, ok := errors.AsType[*engine.StepError](err)
	if !ok || failed.Exit != 1 || len(failed.Output) != 64<<10 || !strings.HasSuffix(failed.Output, "line 19999\n") {
		t.Errorf("error is %.200v, want its last 64 KiB", err)
	}
}

func TestNoPrivilegesToGain(t *testing.T) {
	e, root := testbed(t)
	status := printed(t, e, root, "status")
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "Uid:\t65532\t65532\t65532\t65532"} {
		if !strings.Contains(status, want) {
			t.Errorf("/proc/self/status lacks %q:\n%s", want, status)
		}
	}
}

// Images come with links for names that the runtime is to provide, and with
// working directories that do not exist.
func TestBootProvidesWhatIsMissing(t *testing.T) {
	e, root := testbed(t)
	root, err := root.With(tree.Symlink("etc/resolv.conf", "../run/resolve/stub.conf", tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	c := plan.Config{
		Entrypoint: []string{"/bin/guest", "stat", "."}, User: "1", WorkingDir: "/srv/app",
		Writable: []string{"/var/cache", "/var", "/var/cache/x"},
	}
	p, err := e.Boot(t.Context(), root, c, engine.BootOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Errorf("exit %d, %v: %s", exit.Code, err, exit.Stderr)
	}
}

func TestBootVolumes(t *testing.T) {
	e, root := testbed(t)
	host := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(host, "out")); err != nil {
		t.Fatal(err)
	}
	o := engine.BootOptions{Volumes: []engine.Volume{{Host: host, At: "/vol"}, {Host: host, At: "/tmp/ro", ReadOnly: true}}}
	if exit := boot(t, e, root, o, "write", "/vol/x", "kept"); exit.Code != 0 {
		t.Errorf("a volume cannot be written to: %s", exit.Stderr)
	}
	if data, err := os.ReadFile(filepath.Join(host, "x")); err != nil || string(data) != "kept" {
		t.Errorf("on the host it holds %q, %v", data, err)
	}
	if exit := boot(t, e, root, o, "write", "/tmp/ro/x", "y"); exit.Code != 3 {
		t.Error("a read-only volume can be written to")
	}
	// What is written over a volume is gone, and its top is anyone's.
	over := engine.BootOptions{Writable: true, User: "65532", Volumes: []engine.Volume{{Host: host, At: "/tmp/over", Overlay: true}}}
	if exit := boot(t, e, root, over, "write", "/tmp/over/new", "y"); exit.Code != 0 {
		t.Errorf("what is over a volume cannot be written to: %s", exit.Stderr)
	}
	if _, err := os.Lstat(filepath.Join(host, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was written over the volume is on the host: %v", err)
	}
	over.User = "0"
	if exit := boot(t, e, root, over, "write", "/tmp/over/x", "other"); exit.Code != 0 {
		t.Errorf("a file of a volume cannot be written over: %s", exit.Stderr)
	}
	if data, err := os.ReadFile(filepath.Join(host, "x")); err != nil || string(data) != "kept" {
		t.Errorf("on the host it then holds %q, %v", data, err)
	}
	// A link in a volume leads nowhere outside.
	o.Volumes = []engine.Volume{{Host: host, At: "/vol"}, {Host: host, At: "/vol/out/made"}}
	c := plan.Config{Entrypoint: []string{"/bin/guest", "id"}, User: "1"}
	if p, err := e.Boot(t.Context(), root, c, o); err == nil {
		_, _ = p.Wait()
		t.Error("mounted through a link out of the root")
	} else if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Usage {
		t.Errorf("error is %v, want one about the volume", err)
	}
	o.Volumes = []engine.Volume{{Host: host + "/none", At: "/vol"}}
	if _, err := e.Boot(t.Context(), root, c, o); err == nil {
		t.Error("mounted what does not exist")
	}
}

// What is left in directories that are gone with the container can be told, and
// what was mounted there is no part of it.
func TestBootTellsWhatIsLeft(t *testing.T) {
	e, root := testbed(t)
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "given"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := plan.Config{Entrypoint: []string{"/bin/guest", "litter", "/data/x", "/data/deep/y"}, User: "65532:65532", Writable: []string{"/data", "/data/deep"}}
	o := engine.BootOptions{Written: true, Volumes: []engine.Volume{{Host: host, At: "/tmp/vol"}, {Host: filepath.Join(host, "given"), At: "/tmp/given"}}}
	p, err := e.Boot(t.Context(), root, c, o)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	var got []string
	for _, f := range exit.Files {
		got = append(got, fmt.Sprint(f.Path, " ", f.Mode, " ", f.Size))
	}
	want := []string{"/data/deep/y -rw------- 1", "/data/x -rw------- 1", "/tmp/closed/x -rw------- 1", "/tmp/none ---------- 1"}
	if !slices.Equal(got, want) || exit.ManyFiles {
		t.Errorf("left: %q, want %q", got, want)
	}
	if exit := boot(t, e, root, engine.BootOptions{}, "write", "/tmp/x", "y"); exit.Files != nil {
		t.Errorf("nobody asked for %v", exit.Files)
	}
}

func TestBootOnHostNetwork(t *testing.T) {
	e, root := testbed(t)
	other, err := net.Listen("tcp", "127.0.0.1:0") // not the container's
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	p, err := e.Boot(t.Context(), root, plan.Config{Entrypoint: []string{"/bin/guest", "serve-any"}, User: "1"}, engine.BootOptions{Network: true})
	if err != nil {
		t.Fatal(err)
	}
	var ports []int
	for start := time.Now(); len(ports) == 0 && time.Since(start) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		if ports, err = p.Listening(); err != nil {
			t.Fatal(err)
		}
	}
	if len(ports) != 1 {
		t.Fatalf("listening on %v, want one port", ports)
	}
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 137 {
		t.Errorf("exit %d, %v, want 137", exit.Code, err)
	}
	if _, err := p.Dial(t.Context(), 80); err == nil {
		t.Error("dialled a container that has ended")
	}
}

func TestBootEndsWithItsContext(t *testing.T) {
	e, root := testbed(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := e.Boot(ctx, root, plan.Config{Entrypoint: []string{"/bin/guest", "sleep"}, User: "1"}, engine.BootOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel(errors.New("enough"))
	if exit, err := p.Wait(); err != nil || exit.Code != 137 {
		t.Errorf("exit %d, %v, want 137", exit.Code, err)
	}
	if left, err := os.ReadDir(filepath.Join(e.cache.Dir(), "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// dieEnv tells the test binary to boot a sleeper in this cache and to wait to
// be killed.
const dieEnv = "SANDBOX_TEST_DIE"

func TestKilledExuviaTakesAllWithIt(t *testing.T) {
	if cache := os.Getenv(dieEnv); cache != "" {
		e, root := testbed(t)
		p, err := e.Boot(t.Context(), root, plan.Config{Entrypoint: []string{"/bin/guest", "sleep"}, User: "1"}, engine.BootOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := p.(*process); ok {
			fmt.Println("pid", p.pids()[0])
		}
		select {}
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestKilledExuviaTakesAllWithIt$", "-test.v")
	c.Env = append(os.Environ(), dieEnv+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "pid %d", &pid)
	}
	if pid == 0 || syscall.Kill(pid, 0) != nil {
		t.Fatalf("process %d of the sandbox does not run", pid)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed
	for start := time.Now(); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("process %d of the sandbox is alive", pid)
		}
	}
}

// Where the cache cannot hold an upper layer, memory can. An overlay is such
// a file system; that one can be mounted takes root.
func TestCacheOnAnOverlay(t *testing.T) {
	if os.Getuid() != 0 {
		return // TestAsOrdinaryUser runs this too; as root it has been run
	}
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "cache"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(dir, "cache")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := syscall.Mount("overlay", cache, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(cache, syscall.MNT_DETACH) })
	e, root := testbedIn(t, cache)
	var log strings.Builder
	e.log = slog.New(slog.NewTextHandler(&log, nil))
	out, err := e.Run(t.Context(), step([]string{"/data"}, "write", "/data/x", "hello"), engine.Trees{"root": root})
	if err != nil {
		t.Fatal(err)
	}
	x, _ := out.Lookup("data/x")
	if data, err := x.ReadAll(10); err != nil || string(data) != "hello" {
		t.Errorf("data/x holds %q, %v", data, err)
	}
	if !strings.Contains(log.String(), "memory") {
		t.Errorf("the log does not say so: %s", log.String())
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
