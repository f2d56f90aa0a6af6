//go:build e2e

package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The Dockerfile of a variant, built by Docker's classic builder, gives an
// image that answers as the project does. No image can be pulled here, so
// Debian systems that exuvia assembles stand for Docker's own.
func TestDockerfiles(t *testing.T) {
	d := startBuilder(t)
	m := newMachine(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	bare := project(t, map[string]string{"standin.py": "print('a stand-in for the base')\n"}) + "/standin.py"
	for _, variant := range []string{"regular", "slim"} {
		m.must("build", "--variant", variant, "--python", "3.11", "--user", "0:0", "--no-verify", "--reference", variant, "--output", "docker-archive:"+at("base.tar"), bare)
		d.says("load", "--quiet", "--input", at("base.tar"))
	}
	d.says("tag", "slim", "python:3.11-slim-bookworm")
	d.says("tag", "slim", "debian:bookworm-slim")
	d.build("python:3.11-bookworm", pipOf(t))

	context := at("context")
	if err := os.CopyFS(context, os.DirFS(demo)); err != nil {
		t.Fatal(err)
	}
	m.must("build", "--no-verify", "--output", "rootfs:"+filepath.Join(context, "rootfs.tar"), demo)
	for _, variant := range []string{"slim", "shiv", "pex", "pyinstaller", "pyinstaller-onefile", "lean"} {
		t.Run(variant, func(t *testing.T) {
			d.t, m.t = t, t
			text := m.must("dockerfile", "--variant", variant, demo)
			if err := os.WriteFile(filepath.Join(context, "Dockerfile"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			d.build("demo-"+variant, context)
			if got := d.says("run", "--rm", "--network", "host", "demo-"+variant, "--help"); !strings.HasPrefix(got, "Usage: main [OPTIONS]") {
				t.Errorf("--help says %q", got)
			}
			if got := d.answer("demo-" + variant); got != `{"Hello":"World"}` {
				t.Errorf("the answer is %q", got)
			}
		})
	}
}

// pipOf is what makes the image that builds reach this machine's package
// index: its CA certificates.
func pipOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := "FROM regular\n"
	ca, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o644)
		text += "COPY ca.pem /ca.pem\nENV PIP_CERT=/ca.pem\n"
	}
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"} {
		if v := os.Getenv(name); v != "" {
			text += "ENV " + name + "=" + v + "\n"
		}
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// builder is a dockerd of the test.
type builder struct {
	t    *testing.T
	host string
}

// startBuilder runs a dockerd that touches nothing of the host's, with the
// storage that builds need: each step of one would copy all files else.
func startBuilder(t *testing.T) *builder {
	t.Helper()
	for _, p := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(p); err != nil || os.Getuid() != 0 {
			if os.Getenv("EXUVIA_E2E_STRICT") == "1" {
				t.Fatalf("%s is not there, or this is not root", p)
			}
			t.Skipf("%s is not there, or this is not root", p)
		}
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
	d := &builder{t, "unix://" + at("socket")}
	c := exec.Command("dockerd", "--host", d.host, "--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid"), "--iptables=false", "--bridge=none")
	var log strings.Builder
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	})
	for range 300 {
		if exec.Command("docker", "--host", d.host, "version").Run() == nil {
			return d
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("dockerd does not start")
	return nil
}

func (d *builder) says(args ...string) string {
	d.t.Helper()
	out, err := exec.Command("docker", append([]string{"--host", d.host}, args...)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// build builds with the host's network, since this Docker has none.
func (d *builder) build(name, dir string) {
	d.t.Helper()
	d.says("build", "--network", "host", "--tag", name, dir)
}

// answer is what a container of the image answers at /.
func (d *builder) answer(image string) string {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		d.t.Fatal(err)
	}
	id := strings.TrimSpace(d.says("run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp:exec", image, "--port", port))
	defer d.says("rm", "--force", id)
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/", http.NoBody)
		if err != nil {
			d.t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil {
			d.t.Fatal(err)
		}
		return string(text)
	}
	d.t.Errorf("nothing answers:\n%s", d.says("logs", id))
	return ""
}
