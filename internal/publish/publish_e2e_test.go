//go:build e2e

package publish

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/crypto/bcrypt"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// TestMain is also what the image of these tests runs: this very binary, which
// is static.
func TestMain(m *testing.M) {
	if os.Getenv("EXUVIA_E2E_HELLO") != "" {
		hello()
		return
	}
	os.Exit(m.Run())
}

// hello says what a process in the image sees.
func hello() {
	wd, _ := os.Getwd()
	fmt.Printf("uid %d in %s, args %q\n", os.Getuid(), wd, os.Args[1:])
	for _, name := range []string{"/tmp", "/app/data.txt", "/app/link", "/app/hard", "/home/nonroot"} {
		fi, err := os.Lstat(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		st, _ := fi.Sys().(*syscall.Stat_t)
		fmt.Printf("%s %v %d:%d %d names, %s\n", name, fi.Mode(), st.Uid, st.Gid, st.Nlink, fi.ModTime().UTC().Format(time.DateOnly))
	}
}

const seen = `uid 65532 in /app, args ["--port" "80"]
/tmp dtrwxrwxrwx 0:0 2 names, 1980-01-01
/app/data.txt -rw-r--r-- 0:0 2 names, 1980-01-01
/app/link Lrwxrwxrwx 0:0 1 names, 1980-01-01
/app/hard -rw-r--r-- 0:0 2 names, 1980-01-01
/home/nonroot drwx------ 65532:65532 2 names, 1980-01-01
`

// realImage is an image as exuvia makes them, read back from its store.
func realImage(t *testing.T) v1.Image {
	t.Helper()
	cache, err := cas.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	blob, err := cache.Put(exe)
	if err != nil {
		t.Fatal(err)
	}
	from := tree.Origin{Kind: tree.Project, Name: "app"}
	home := tree.Dir("home/nonroot", 0o700, from)
	home.UID, home.GID = 65532, 65532
	hard := tree.File("app/hard", 0o644, []byte("data"), from)
	hard.Link = "app/data.txt"
	tr, err := tree.New(
		cache.Entry("app/main", 0o755, blob, tree.Origin{}), tree.File("app/data.txt", 0o644, []byte("data"), from), hard,
		tree.Symlink("app/link", "data.txt", from), tree.Dir("tmp", fs.ModeSticky|0o777, from), home,
	)
	if err != nil {
		t.Fatal(err)
	}
	layers := oci.Split(tr, func(e tree.Entry) string { return string(e.From.Kind) }, "", string(tree.Project))
	img, _, err := oci.Assemble(t.Context(), cache, layers, plan.Config{
		Entrypoint: []string{"/app/main"}, Cmd: []string{"--port", "80"}, Env: []string{"EXUVIA_E2E_HELLO=1"}, User: "65532:65532", WorkingDir: "/app",
	}, oci.Meta{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Epoch: cas.Stamp, Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	store, err := oci.OpenStore(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	back, err := store.Put(img)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// need skips a test whose programs are not installed; where they have to be,
// EXUVIA_E2E_STRICT=1 makes that a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			absent(t, "%s is not installed", p)
		}
	}
}

func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("EXUVIA_E2E_STRICT") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// run starts a program for the time of the test and gives the function that
// tells what it has written.
func run(t *testing.T, program string, args ...string) func() string {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	written := func() string {
		data, err := os.ReadFile(log.Name())
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		killer := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait() // that it was killed is no news
		killer.Stop()
		if t.Failed() {
			t.Logf("%s:\n%s", program, written())
		}
		log.Close()
	})
	return written
}

// until waits for something to become true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startRegistry runs Debian's docker-registry.
func startRegistry(t *testing.T, auth string) string {
	t.Helper()
	need(t, "docker-registry")
	dir, addr := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n%s", dir, addr, auth)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "docker-registry", "serve", config)
	until(t, "registry", func() bool {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	return addr
}

func TestPushToDockerRegistry(t *testing.T) {
	host := startRegistry(t, "")
	img := realImage(t)
	r, err := NewRegistry(host+"/team/app:1", RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Publish(t.Context(), As(img, "app:latest"))
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/team/app:1@" + digest(t, img); got != want {
		t.Errorf("published as %s, want %s", got, want)
	}
	tag, err := name.ParseReference(got)
	if err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Errorf("image is not valid: %v", err)
	}
}

func TestPushToDockerRegistryWithPassword(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	htpasswd := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(htpasswd, append([]byte("me:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	host := startRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", htpasswd))
	r, err := NewRegistry(host+"/app:1", RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	img := realImage(t)
	for auth, ok := range map[string]bool{"me:" + password: true, "me:wrong": false, "": false} {
		dir := t.TempDir()
		config := "{}"
		if auth != "" {
			config = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(auth)))
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("DOCKER_CONFIG", dir)
		_, err := r.Publish(t.Context(), img)
		if ok {
			if err != nil {
				t.Errorf("the right password was refused: %v", err)
			}
			continue
		}
		wantFault(t, err, fault.Publish, "wants other credentials")
	}
}

// startDocker runs a dockerd of its own, which touches nothing of the host's.
func startDocker(t *testing.T) string {
	t.Helper()
	need(t, "dockerd", "containerd", "runc", "docker")
	if os.Getuid() != 0 {
		absent(t, "dockerd needs root")
	}
	dir, err := os.MkdirTemp("", "dockerd") //nolint:usetesting // short enough for a socket, and unmounted before it is removed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	host := "unix://" + at("docker.sock")
	written := run(t, "dockerd", "--host", host, "--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid"),
		"--iptables=false", "--bridge=none", "--storage-driver=vfs")
	until(t, "dockerd", func() bool {
		if strings.Contains(written(), "failed to start daemon") {
			t.Fatalf("dockerd does not start:\n%s", written())
		}
		return exec.Command("docker", "--host", host, "version").Run() == nil
	})
	return host
}

func dockerSays(t *testing.T, host string, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append([]string{"--host", host}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// Docker loads the image, from us and from a file, and a container of it sees
// what the tree has.
func TestDocker(t *testing.T) {
	host := startDocker(t)
	img := As(realImage(t), "app:1")
	if got := publish(t, Daemon{Host: host}, img); got != "docker:app:1" {
		t.Errorf("published as %q", got)
	}
	if got := dockerSays(t, host, "run", "--rm", "--network=none", "--read-only", "app:1"); got != seen {
		t.Errorf("the container saw\n%s, want\n%s", got, seen)
	}
	if size, store, err := (Daemon{Host: host}).Listed(t.Context(), "docker:app:1"); err != nil || size == 0 || store != "vfs" {
		t.Errorf("it is listed with %d bytes in the store %q, %v", size, store, err)
	}
	publish(t, Daemon{Host: host}, img) // again

	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(dockerSays(t, host, "image", "inspect", "--format", "{{.Id}}", "app:1")); got != config.String() {
		t.Errorf("Docker's ID of it is %s, want %s", got, config)
	}
	dockerSays(t, host, "image", "rm", "app:1")
	file := filepath.Join(t.TempDir(), "app.tar")
	publish(t, Archive{file, Docker}, img)
	dockerSays(t, host, "load", "--input", file)
	if got := dockerSays(t, host, "run", "--rm", "--network=none", "app:1"); got != seen {
		t.Errorf("the container saw\n%s, want\n%s", got, seen)
	}

	// Docker refuses a layer that is not what the config says, and says so
	// after it said 200.
	_, err = Daemon{Host: host}.Publish(t.Context(), As(lying{image(t, 1)}, "broken:1"))
	wantFault(t, err, fault.Publish, "loading the image into Docker")
}

// lying is an image one of whose layers has other files than its config says.
type lying struct{ v1.Image }

type lyingLayer struct {
	v1.Layer
	other v1.Layer
}

func (l lying) Layers() ([]v1.Layer, error) {
	ls, err := l.Image.Layers()
	ls[0] = lyingLayer{ls[0], ls[1]}
	return ls, err
}

func (l lyingLayer) Compressed() (io.ReadCloser, error) { return l.other.Compressed() }
func (l lyingLayer) Size() (int64, error)               { return l.other.Size() }
