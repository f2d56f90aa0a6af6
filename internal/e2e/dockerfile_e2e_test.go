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
	d := &builder{t, startDocker(t)}
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
