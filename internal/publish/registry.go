package publish

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"exuvia/internal/fault"
	"exuvia/internal/registry"
)

// RegistryOptions are how a registry is spoken to. The zero value works.
type RegistryOptions struct {
	Insecure  bool              // plain HTTP also to other hosts than this
	Transport http.RoundTripper // with the user's CAs and proxies; nil is go-containerregistry's
	Keychain  authn.Keychain    // nil is that of the docker config
}

// Registry pushes an image to a registry, by the OCI distribution
// specification.
type Registry struct {
	tag name.Tag
	o   RegistryOptions
}

var _ Publisher = (*Registry)(nil)

// NewRegistry reads a reference as docker push does. One that is none is a
// fault of kind Usage.
func NewRegistry(ref string, o RegistryOptions) (*Registry, error) {
	var options []name.Option
	if o.Insecure {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(ref, options...)
	if err != nil || strings.Contains(ref, "//") { // "https:" would be a registry
		return nil, fault.New(fault.Usage, "write HOST/NAME:TAG, such as registry.example/team/app:1.0", "%q is no reference to push to", ref)
	}
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	return &Registry{tag, o}, nil
}

// Publish pushes the image and gives its reference with its digest. What the
// registry has already is not sent again; what fails for a moment is tried
// three times.
func (r *Registry) Publish(ctx context.Context, img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("hashing image: %w", err)
	}
	err = remote.Write(r.tag, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(r.o.Keychain),
		remote.WithTransport(registry.Guard{Next: r.o.Transport, Insecure: r.o.Insecure}), remote.WithUserAgent("exuvia"))
	if err != nil {
		return "", r.failed(ctx, err)
	}
	return r.tag.String() + "@" + digest.String(), nil
}

// failed says what went wrong with a push. Errors of the transport are taken
// apart: their texts have whole URLs, and those may have credentials.
func (r *Registry) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("pushing to %s: %w", r.tag, cause)
	}
	host := r.tag.RegistryStr()
	problem := func(hint, format string, args ...any) error {
		return &fault.Error{Kind: fault.Publish, What: fmt.Sprintf("pushing to %s: %s", r.tag, fmt.Sprintf(format, args...)), Hint: hint, Err: err}
	}
	var (
		answer *transport.Error
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &cert): // before an answer: this machine is asked without TLS too
		return problem("add its CA to those of this machine, or set SSL_CERT_FILE", "the certificate of %s is not trusted: %s", host, fault.Clip(cert.Err.Error()))
	case errors.As(err, &answer):
		return answered(answer, host, problem)
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return problem("if plain HTTP is meant, give --insecure", "%s does not speak TLS", host)
	case errors.As(err, &dns):
		return problem("check the name and the network", "no address is known of %s", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem("check the port, and that the registry runs", "%s refuses connections", host)
	case errors.Is(err, registry.ErrClear):
		return problem("if plain HTTP is meant, give --insecure", "%s wants plain HTTP", host)
	case timeout(err):
		return problem("check the network, and proxies", "%s does not answer in time", host)
	}
	return problem("check the network, and try again", "%s", fault.Clip(fault.Reason(err)))
}

// answered is what a registry's refusal means.
func answered(e *transport.Error, host string, problem func(hint, format string, args ...any) error) error {
	said := http.StatusText(e.StatusCode)
	if len(e.Errors) > 0 {
		said = strings.ToLower(string(e.Errors[0].Code)) + ": " + e.Errors[0].Message
	}
	said = fault.Clip(strings.TrimSuffix(cmp.Or(said, fmt.Sprintf("status %d", e.StatusCode)), ": "))
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return problem("run: docker login "+host, "%s wants other credentials (%s)", host, said)
	case http.StatusForbidden:
		return problem("log in as a user who may push there: docker login "+host, "%s does not allow it (%s)", host, said)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return problem("check the name; some registries want a repository to be made first", "%s has no such place (%s)", host, said)
	case http.StatusRequestEntityTooLarge:
		return problem("raise the limit of the registry or of the proxy before it", "%s takes nothing this large (%s)", host, said)
	case http.StatusTooManyRequests:
		return problem("wait, and try again", "%s has had too many requests (%s)", host, said)
	}
	return problem("try again, or look into the registry's log", "%s answers with status %d (%s)", host, e.StatusCode, said)
}

func timeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
