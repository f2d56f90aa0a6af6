package fault

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode"
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
		return Reason(u.Err)
	}
	return err.Error()
}

// maxMessage bounds what is shown of a message that another program sent, in
// characters.
const maxMessage = 400

// Clip makes one printable line of what another program said.
func Clip(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }), " ")
	if r := []rune(s); len(r) > maxMessage {
		s = string(r[:maxMessage]) + "…"
	}
	return s
}
