// Package registry is how registries of images are reached, by those who read
// from them and those who push to them: never in the clear.
package registry

import (
	"errors"
	"net"
	"net/http"
)

// Guard keeps credentials and images from crossing a network in the clear.
// go-containerregistry falls back to plain HTTP for private addresses and
// follows redirects.
type Guard struct {
	Next     http.RoundTripper
	Insecure bool // plain HTTP is meant
}

// ErrClear is a request that a Guard refused.
var ErrClear = errors.New("plain HTTP to another host")

// RoundTrip implements http.RoundTripper.
func (g Guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.Insecure && !loopback(r.URL.Hostname()) {
		return nil, ErrClear
	}
	return g.Next.RoundTrip(r)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
