//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve starts `exuvia run` as a process of its own with a free port of this
// machine on the container's port 80, and gives its address once it answers.
// The process is ended by SIGTERM, which has to end it in order.
func (m machine) serve(flags []string, args ...string) string {
	m.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	line := append([]string{"--cache-dir", m.cache, "--data-dir", m.data, "run", "-p", strings.TrimPrefix(address, "127.0.0.1:") + ":80"}, flags...)
	c := exec.CommandContext(context.WithoutCancel(m.t.Context()), "/proc/self/exe", append(line, args...)...)
	c.Env = append(os.Environ(), asCommand+"=022")
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	m.t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			m.t.Errorf("stopping the container: %v", err)
		}
		select {
		case err := <-ended:
			if err != nil {
				m.t.Errorf("the container did not end in order: %v\n%s", err, log.Bytes())
			}
		case <-time.After(20 * time.Second):
			m.t.Errorf("the container ignores SIGTERM (killed: %v)\n%s", c.Process.Kill(), log.Bytes())
		}
	})
	for range 400 {
		select {
		case err := <-ended:
			ended <- err
			m.t.Fatalf("the container ended: %v\n%s", err, log.Bytes())
		default:
		}
		if r, err := http.Get("http://" + address + "/"); err == nil {
			r.Body.Close()
			return "http://" + address
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.t.Fatalf("the container does not answer\n%s", log.Bytes())
	return ""
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// The routes of the demo, as README has them, on port 80 of the container; as
// one process and as several.
func TestServe(t *testing.T) {
	for name, flags := range map[string][]string{"one process": nil, "two workers": {"-e", "WEB_CONCURRENCY=2"}, "another user": {"-u", "1000"}} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.build(demo)
			url := m.serve(flags, "rest-app", "--host", "0.0.0.0", "--port", "80")
			if code, body := get(t, url+"/items/5?q=x"); code != 200 || body != `{"item_id":5,"q":"x"}` {
				t.Errorf("GET /items/5?q=x: %d %s", code, body)
			}
			if code, body := get(t, url+"/openapi.json"); code != 200 || !strings.Contains(body, "/items/{item_id}") {
				t.Errorf("GET /openapi.json: %d %s", code, body)
			}
			if code, _ := get(t, url+"/items/x"); code != 422 {
				t.Errorf("GET /items/x: %d, want 422", code)
			}
		})
	}
}

// An app in the image reaches a server with a certificate of a private CA
// once it is told of the CA, and not before.
func TestOutgoingTLS(t *testing.T) {
	m := newMachine(t)
	m.build(demo)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret garden") }))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, data, 0o644); err != nil {
		t.Fatal(err)
	}
	// The test server's certificate is for example.com; localhost is where it is.
	code := `import socket, ssl
s = ssl.create_default_context().wrap_socket(socket.create_connection(("localhost", ` + port + `)), server_hostname="example.com")
s.sendall(b"GET / HTTP/1.0\r\n\r\n")
print(s.recv(4096))
while True:
    more = s.recv(4096)
    if not more: break
    print(more)`
	run := []string{"run", "--host-network", "--entrypoint", "/usr/bin/python3"}
	if r := m.run(append(slices.Clone(run), "rest-app", "-c", code)...); r.code == 0 || !strings.Contains(r.stderr, "CERTIFICATE_VERIFY_FAILED") {
		t.Errorf("without the CA: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	trusting := append(slices.Clone(run), "-v", ca+":/run/ca.pem:ro", "-e", "SSL_CERT_FILE=/run/ca.pem", "rest-app", "-c", code)
	if r := m.run(trusting...); r.code != 0 || !strings.Contains(r.stdout, "secret garden") {
		t.Errorf("with the CA: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
}
