package publish

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"exuvia/internal/fault"
)

const password = "correct-horse-battery"

func registryHandler() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// serve runs a registry and gives its host and port.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// push pushes an image to host/team/app:1.
func push(t *testing.T, host string, o RegistryOptions) (string, error) {
	t.Helper()
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain() // not that of whoever runs the test
	}
	r, err := NewRegistry(host+"/team/app:1", o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Publish(t.Context(), As(image(t, 1), "app:latest"))
}

func TestPush(t *testing.T) {
	host := serve(t, registryHandler())
	got, err := push(t, host, RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/team/app:1@" + digest(t, image(t, 1)); got != want {
		t.Errorf("published as %s, want %s", got, want)
	}
	tag, err := name.NewTag(host + "/team/app:1")
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
	if again, err := push(t, host, RegistryOptions{}); err != nil || again != got {
		t.Errorf("pushed again as %s, %v", again, err)
	}
}

// closed asks for a user and a password.
func closed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != "me" || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Credentials are those that docker login left.
func TestPushWithDockerConfig(t *testing.T) {
	host := serve(t, closed(registryHandler()))
	for pw, want := range map[string]bool{password: true, "wrong-" + password: false} {
		dir := t.TempDir()
		auth := base64.StdEncoding.EncodeToString([]byte("me:" + pw))
		if err := os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("DOCKER_CONFIG", dir)
		_, err := push(t, host, RegistryOptions{Keychain: authn.DefaultKeychain})
		if want {
			if err != nil {
				t.Errorf("the right password was refused: %v", err)
			}
			continue
		}
		wantFault(t, err, fault.Publish, "wants other credentials")
		if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), auth) {
			t.Errorf("credentials in the error: %v", err)
		}
	}
}

func TestPushRefused(t *testing.T) {
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	for word, h := range map[string]http.Handler{
		"wants other credentials": closed(registryHandler()),
		"does not allow it":       answer(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"not yours\u001b[2J"}]}`),
		"has no such place":       answer(http.StatusNotFound, `{"errors":[{"code":"NAME_UNKNOWN","message":"repository unknown"}]}`),
		"takes nothing this":      answer(http.StatusRequestEntityTooLarge, "<html>"+strings.Repeat("x", 100000)),
		"status 507":              answer(http.StatusInsufficientStorage, "not JSON"),
		"status 418":              http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
	} {
		t.Run(word, func(t *testing.T) {
			_, err := push(t, serve(t, h), RegistryOptions{})
			wantFault(t, err, fault.Publish, word)
			if err != nil && (len(err.Error()) > 1000 || strings.ContainsRune(err.Error(), '\x1b')) {
				t.Errorf("the registry's words went through unchecked: %q", err)
			}
		})
	}
}

func TestPushToNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	_, err = push(t, host, RegistryOptions{})
	wantFault(t, err, fault.Publish, "refuses connections")

	_, err = push(t, "registry.invalid", RegistryOptions{Transport: dialing(func(string) error {
		return &net.DNSError{Err: "no such host", Name: "registry.invalid", IsNotFound: true}
	})})
	wantFault(t, err, fault.Publish, "registry.invalid")
}

// dialing is a transport whose connections go as the function says.
func dialing(f func(addr string) error) *http.Transport {
	return &http.Transport{Dial: func(_, addr string) (net.Conn, error) { return nil, f(addr) }} //nolint:staticcheck // a test needs no context
}

// A hiccup of a registry is no failure.
func TestPushTriesAgain(t *testing.T) {
	failures := 1
	next := registryHandler()
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && failures > 0 {
			failures--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	}))
	if _, err := push(t, host, RegistryOptions{}); err != nil {
		t.Error(err)
	}
}

// Plain HTTP is for this machine, or for who asked for it, wherever
// go-containerregistry would fall back to it.
func TestPushInTheClear(t *testing.T) {
	_, err := push(t, "192.168.0.1:5000", RegistryOptions{Transport: &http.Transport{
		DialTLS: func(_, _ string) (net.Conn, error) { //nolint:staticcheck // a test needs no context
			return nil, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
		},
		Dial: func(_, _ string) (net.Conn, error) { //nolint:staticcheck // a test needs no context
			t.Error("plain HTTP was tried")
			return nil, io.EOF
		},
	}})
	wantFault(t, err, fault.Publish, "192.168.0.1:5000")
}

func TestPushWithOwnCA(t *testing.T) {
	s := httptest.NewUnstartedServer(registryHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of clients that do not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "https://")
	_, err := push(t, host, RegistryOptions{})
	wantFault(t, err, fault.Publish, "not trusted")

	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	if _, err := push(t, host, RegistryOptions{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}); err != nil {
		t.Errorf("with the CA: %v", err)
	}
}

func TestNoReference(t *testing.T) {
	for _, ref := range []string{"", "UPPER/x", "host/app@sha256:" + strings.Repeat("0", 64), "host/a b", "https://host/app"} {
		_, err := NewRegistry(ref, RegistryOptions{})
		if err == nil {
			t.Errorf("%q was taken", ref)
			continue
		}
		wantFault(t, err, fault.Usage, "")
	}
}
