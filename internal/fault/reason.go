package fault

import (
	"errors"
	"net"
	"net/url"
	"syscall"
)

// Reason is what err says to somebody who does not know the program: the word
// of the operating system or of the network, without the calls and addresses
// it met on its way. Where it has no such cause it is the error's own text,
// without a URL, which may have credentials.
func Reason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return "the address of " + dns.Name + " cannot be found"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}
