//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"

	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/publish"
	"exuvia/internal/report"
)

// service starts a program for the time of the test and waits until it
// answers.
func service(t *testing.T, ready func() bool, program string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, program+" is not installed")
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
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
		if data, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", program, data)
		}
		log.Close()
	})
	for end := time.Now().Add(time.Minute); !ready(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not answer within a minute", program)
		}
	}
}

// missing skips a test whose programs are not there; where they have to be,
// EXUVIA_E2E_STRICT=1 makes that a failure.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("EXUVIA_E2E_STRICT") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// startRegistry runs Debian's docker-registry.
func startRegistry(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", dir, addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	service(t, func() bool {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	}, "docker-registry", "serve", config)
	return addr
}

// startDocker runs a dockerd of its own, which touches nothing of the host's.
func startDocker(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"containerd", "runc", "docker"} {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is not installed")
		}
	}
	if os.Getuid() != 0 {
		missing(t, "dockerd needs root")
	}
	dir, err := os.MkdirTemp("", "dockerd") //nolint:usetesting // short enough for a socket, and unmounted before it is removed
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Cleanup(func() {
		_ = unix.Unmount(at("exec/netns/default"), unix.MNT_DETACH) // is there if a container had the host's network
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	host := "unix://" + at("docker.sock")
	service(t, func() bool { return exec.Command("docker", "--host", host, "version").Run() == nil },
		"dockerd", "--host", host, "--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid"), "--iptables=false", "--bridge=none")
	return host
}

func docker(t *testing.T, host string, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append([]string{"--host", host}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// distroless is an image like Google's.
func distroless(t *testing.T, m machine) v1.Image {
	t.Helper()
	return debianImage(t, m, "debian:bookworm-distroless")
}

// debianImage makes an image of a Debian system, as others would bring it.
func debianImage(t *testing.T, m machine, ref string) v1.Image {
	t.Helper()
	cache, err := cas.Open(m.cache)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := debian.New(debian.Options{
		Cache: cache, Root: "/", Mirror: os.Getenv("EXUVIA_DEBIAN_MIRROR"), Keyring: os.Getenv("EXUVIA_DEBIAN_KEYRING"), Client: http.DefaultClient, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := v1.Platform{OS: "linux", Architecture: "amd64"}
	b, err := archive.Base(t.Context(), ref, p)
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := oci.Assemble(t.Context(), cache, []oci.LayerSpec{{Name: "base", Tree: b.Tree}}, plan.Config{Env: []string{"FROM_BASE=1"}},
		oci.Meta{Platform: p, Epoch: cas.Stamp, Name: "base"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

const onBase = `import os, ssl, sqlite3
print("hello from", os.environ["FROM_BASE"], ssl.OPENSSL_VERSION[:7], sqlite3.sqlite_version_info[0])
`

const onBaseSays = "hello from 1 OpenSSL 3"

// begins checks that the image's first layers are the base's, and that it was
// compared with the unreduced app.
func begins(t *testing.T, m machine, b report.Build, base v1.Image) {
	t.Helper()
	store, err := oci.OpenStore(filepath.Join(m.data, "images"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	img, err := store.Get(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	theirs, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range theirs.RootFS.DiffIDs {
		if i >= len(ours.RootFS.DiffIDs) || ours.RootFS.DiffIDs[i] != d {
			t.Errorf("layer %d is not the base's: %v", i, ours.RootFS.DiffIDs)
		}
	}
	if len(ours.RootFS.DiffIDs) == len(theirs.RootFS.DiffIDs) || !b.Verified {
		t.Errorf("built %+v", b)
	}
}

func TestBaseFromRegistry(t *testing.T) {
	m := newMachine(t)
	host := startRegistry(t)
	img := distroless(t, m)
	ref := host + "/distroless:12"
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	dir := project(t, map[string]string{"main.py": onBase})
	args := []string{"--python", "3.11", "--base", ref, "--push", host + "/app:1", "--reference", "onbase:1", dir}
	b := m.build(args...)
	begins(t, m, b, img)
	if b.Base != ref {
		t.Errorf("the base is called %s", b.Base)
	}
	if out := m.must("run", "onbase:1"); !strings.HasPrefix(out, onBaseSays) {
		t.Errorf("it says %q", out)
	}
	pushed, err := name.ParseReference(host + "/app@" + b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(pushed)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Error(err)
	}
	if again := m.build(args...); again.Digest != b.Digest {
		t.Errorf("built again it is %s, not %s", again.Digest, b.Digest)
	}
	m = newMachine(t)
	m.refused(m.run("build", "--base", host+"/none:1", dir), fault.Base, ".* has no such image .*", "check the name and the tag")
	m.refused(m.run("build", "--base", "127.0.0.1:1/python:3.11", dir), fault.Network, ".* refuses connections",
		".*; without a registry, debian:bookworm-full, -slim and -distroless stand for .*")
}

// A Python that comes in an image is what the app is installed on.
func TestSystemFromRegistry(t *testing.T) {
	m := newMachine(t)
	host := startRegistry(t)
	tag, err := name.NewTag(host + "/python:3.11")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, debianImage(t, m, "debian:bookworm")); err != nil {
		t.Fatal(err)
	}
	dir := project(t, map[string]string{"main.py": "import ssl\nprint('hello', ssl.OPENSSL_VERSION[:9])\n"})
	b := m.build("--system", host+"/python:3.11", "--reference", "onbase:1", dir)
	if b.System != host+"/python:3.11" || !b.Verified || !strings.HasPrefix(b.Python, "3.11.") {
		t.Errorf("built %+v", b)
	}
	if out := m.must("run", "onbase:1"); out != "hello OpenSSL 3\n" {
		t.Errorf("it says %q", out)
	}
	// On top of it, its Python stays, and the app alone is added.
	b = m.build("--base", host+"/python:3.11", "--reference", "onbase:2", dir)
	added := b.Size
	for _, l := range b.Layers {
		if l.Name == "base" {
			added -= l.Size
		}
	}
	if b.System != b.Base || !b.Verified || added > 100_000 {
		t.Errorf("%d bytes were added: %+v", added, b)
	}
	if out := m.must("run", "onbase:2"); out != "hello OpenSSL 3\n" {
		t.Errorf("on top of it, it says %q", out)
	}
}

// Docker gives a base and takes the image, and both programs say the same
// size of it.
func TestBaseFromDocker(t *testing.T) {
	m := newMachine(t)
	host := startDocker(t)
	registry := startRegistry(t)
	t.Setenv("DOCKER_HOST", host)
	img := distroless(t, m)
	if _, err := (publish.Daemon{Host: host}).Publish(t.Context(), publish.As(img, "distroless:12")); err != nil {
		t.Fatal(err)
	}
	dir := project(t, map[string]string{"main.py": onBase})
	b := m.build("--python", "3.11", "--base", "docker:distroless:12", "--load", "--push", registry+"/app:1", "--reference", "onbase:1", dir)
	begins(t, m, b, img)
	if out := docker(t, host, "run", "--rm", "--network=none", "--read-only", "onbase:1"); !strings.HasPrefix(out, onBaseSays) {
		t.Errorf("in Docker it says %q", out)
	}
	size, err := strconv.ParseInt(docker(t, host, "image", "inspect", "--format", "{{.Size}}", "onbase:1"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	driver := docker(t, host, "info", "--format", "{{.Driver}}")
	t.Logf("%s: %d bytes in Docker, %d here", driver, size, b.Size)
	named := slices.ContainsFunc(b.Notes, func(n report.Note) bool { return n.Where == "publish" && strings.Contains(n.Text, driver) })
	if driver == "overlay2" && size != b.Size || named != (size != b.Size) {
		t.Errorf("Docker lists %d bytes in %s, exuvia %d; a note names it: %v", size, driver, b.Size, named)
	}
	docker(t, host, "image", "rm", "onbase:1")
	docker(t, host, "pull", registry+"/app:1") // of one form, which Docker 20.10 takes
}
