package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestReason(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"file", &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, "no such file or directory"},
		{"refused", &url.Error{Op: "Get", URL: "http://u:secret@h/", Err: refused}, "connection refused"},
		{"name", fmt.Errorf("asking: %w", &net.DNSError{Err: "no such host", Name: "h", Server: "192.0.2.1:53"}), "the address of h cannot be found"},
		{"url", &url.Error{Op: "Get", URL: "http://u:secret@h/", Err: errors.New("stopped")}, "stopped"},
		{"url in url", &url.Error{Op: "Get", URL: "http://h/", Err: &url.Error{Op: "Get", URL: "http://u:secret@h/", Err: errors.New("stopped")}}, "stopped"},
		{"other", errors.New("other"), "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Reason(c.err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{" a\n\tb ", "a b"},
		{"\x1b[31mred", "[31mred"},
		{"", ""},
		{strings.Repeat("é", maxMessage+1), strings.Repeat("é", maxMessage) + "…"},
	} {
		if got := Clip(c.in); got != c.want {
			t.Errorf("Clip(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
