package registry

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		url      string
		insecure bool
		want     bool
	}{
		{"http://localhost:5000/v2/", false, true},
		{"http://127.0.0.2/v2/", false, true},
		{"http://[::1]:5000/v2/", false, true},
		{"http://192.168.0.1:5000/v2/", false, false},
		{"http://10.0.0.1/v2/", false, false},
		{"http://registry.local/v2/", false, false},
		{"http://localhost.example/v2/", false, false},
		{"https://192.168.0.1:5000/v2/", false, true},
		{"https://registry.example/v2/", false, true},
		{"http://192.168.0.1:5000/v2/", true, true},
	} {
		asked := false
		g := Guard{roundTrip(func(*http.Request) (*http.Response, error) { asked = true; return nil, io.EOF }), c.insecure}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.RoundTrip(req)
		if resp != nil {
			resp.Body.Close()
		}
		if asked != c.want || errors.Is(err, ErrClear) == c.want {
			t.Errorf("%s (insecure %v): asked %v, error %v", c.url, c.insecure, asked, err)
		}
	}
}
