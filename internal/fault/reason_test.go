package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
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
		{"other", errors.New("other"), "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Reason(c.err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
