package image

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"exuvia/internal/fault"
	"exuvia/internal/registry"
)

// parse reads a reference as docker pull does.
func parse(ref string) (name.Reference, error) {
	if strings.Contains(ref, "//") { // "https:" would be a registry
		return nil, errors.New("two slashes")
	}
	return name.ParseReference(ref)
}

// registry finds an image in a registry.
func (s *Images) registry(ctx context.Context, w wanted) (found, error) {
	ref, err := parse(w.ref)
	if err != nil {
		return found{}, fault.New(fault.Base, "write HOST/NAME:TAG, NAME:TAG or NAME@sha256:…, in small letters", "%q is no reference to an image", w.ref)
	}
	r := puller{s, w, ref}
	digest, err := r.digest(ctx)
	if err != nil {
		return found{}, err
	}
	f := found{input: ref.Name(), remote: true, id: digest.String() + " " + w.platform.String()}
	if _, ok := s.known(f.id); ok {
		return f, nil
	}
	f.image, err = r.image(ctx, digest)
	return f, err
}

// puller asks a registry for an image.
type puller struct {
	*Images
	wanted
	name name.Reference
}

func (r puller) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(r.o.Keychain), remote.WithTransport(registry.Guard{Next: r.o.Transport}), remote.WithUserAgent("exuvia"),
	}
}

// digest is what the reference means now. A tag is asked for; where the
// registry is not reached, it is what it was the last time.
func (r puller) digest(ctx context.Context) (v1.Hash, error) {
	if d, ok := r.name.(name.Digest); ok {
		return v1.NewHash(d.DigestStr())
	}
	d, err := r.ask(ctx)
	if err == nil {
		return d, r.o.Cache.Record("base-tag", key(r.name.Name()), d.String())
	}
	var last string
	if context.Cause(ctx) == nil && away(err) && r.o.Cache.Lookup("base-tag", key(r.name.Name()), &last) {
		if d, bad := v1.NewHash(last); bad == nil {
			r.o.Log.Warn("registry not reached", "reference", r.name.Name(), "digest", last, "error", fault.Reason(err))
			r.o.Progress("%s is not reached; %s is what it was the last time, %s", r.name.Context().RegistryStr(), r.ref, last)
			return d, nil
		}
	}
	return v1.Hash{}, r.notFetched(ctx, err)
}

// ask asks for a tag's digest: for the head of the manifest, and where that
// gives none, or an error without words, for the manifest.
func (r puller) ask(ctx context.Context) (v1.Hash, error) {
	head, err := remote.Head(r.name, r.options(ctx)...)
	if err == nil {
		return head.Digest, nil
	}
	if away(err) {
		return v1.Hash{}, err
	}
	whole, err := remote.Get(r.name, r.options(ctx)...)
	if err != nil {
		return v1.Hash{}, err
	}
	return whole.Digest, nil
}

// image finds the image of the platform under a digest.
func (r puller) image(ctx context.Context, d v1.Hash) (v1.Image, error) {
	get := func(d v1.Hash) (*remote.Descriptor, error) {
		return remote.Get(r.name.Context().Digest(d.String()), r.options(ctx)...)
	}
	top, err := get(d)
	if err != nil {
		return nil, r.notFetched(ctx, err)
	}
	if top.MediaType.IsIndex() {
		d, err := r.pick(top.Manifest, func(d v1.Hash) ([]byte, error) {
			below, err := get(d)
			if err != nil {
				return nil, err
			}
			return below.Manifest, nil
		})
		if err != nil {
			return nil, r.notFetched(ctx, err)
		}
		if top, err = get(d); err != nil {
			return nil, r.notFetched(ctx, err)
		}
	}
	img, err := top.Image()
	if err != nil {
		return nil, r.notFetched(ctx, err)
	}
	r.announce(img)
	return img, nil
}

// announce says how much is going to be downloaded, if the manifest can be
// read; what is wrong with it is found later.
func (r puller) announce(img v1.Image) {
	m, err := img.Manifest()
	if err != nil {
		return
	}
	var size int64
	for _, l := range m.Layers {
		size += l.Size
	}
	r.o.Progress("downloading %s (up to %.1f MB)", r.ref, float64(size)/1e6)
}

// away reports whether a registry was not reached, or cannot answer now.
func away(err error) bool {
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		return answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return !errors.Is(err, registry.ErrClear)
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// notFetched is the error for the user of what a registry did not give.
func (w wanted) notFetched(ctx context.Context, err error) error {
	if context.Cause(ctx) == nil {
		if answer := w.unreached(err); answer != nil {
			return answer
		}
	}
	return w.failed(ctx, err)
}

// unreached says what went wrong with a registry; nil for other errors.
// Errors of the transport are taken apart: their texts have whole URLs, and
// those may have credentials.
func (w wanted) unreached(err error) error {
	host := "the registry"
	if ref, bad := parse(w.ref); bad == nil {
		host = ref.Context().RegistryStr()
	}
	problem := func(kind fault.Kind, hint, format string, args ...any) error {
		return &fault.Error{Kind: kind, What: fmt.Sprintf("fetching the base %s: %s", w.ref, fmt.Sprintf(format, args...)), Hint: hint, Err: err}
	}
	var (
		answer *transport.Error
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		netErr net.Error
	)
	switch {
	case errors.As(err, &cert):
		return problem(fault.Network, "add its CA to those of this machine, or set SSL_CERT_FILE", "the certificate of %s is not trusted: %s", host, fault.Clip(cert.Err.Error()))
	case errors.As(err, &answer):
		return answered(answer, host, problem)
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return problem(fault.Network, "use a registry with TLS; plain HTTP is for this machine only", "%s does not speak TLS", host)
	case errors.As(err, &dns):
		return problem(fault.Network, "check the name and the network", "no address is known of %s", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem(fault.Network, "check the port, and that the registry runs", "%s refuses connections", host)
	case errors.Is(err, registry.ErrClear):
		return problem(fault.Network, "use a registry with TLS; plain HTTP is for this machine only", "%s wants plain HTTP", host)
	case errors.As(err, &netErr) && netErr.Timeout():
		return problem(fault.Network, "check the network, and proxies", "%s does not answer in time", host)
	case away(err):
		return problem(fault.Network, "check the network, and try again", "%s", fault.Clip(fault.Reason(err)))
	}
	return nil
}

// answered is what a registry's refusal means.
func answered(e *transport.Error, host string, problem func(kind fault.Kind, hint, format string, args ...any) error) error {
	said := http.StatusText(e.StatusCode)
	if len(e.Errors) > 0 {
		said = strings.ToLower(string(e.Errors[0].Code)) + ": " + e.Errors[0].Message
	}
	said = fault.Clip(strings.TrimSuffix(cmp.Or(said, fmt.Sprintf("status %d", e.StatusCode)), ": "))
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return problem(fault.Base, "check the name; if it is private, run: docker login "+host, "%s wants other credentials (%s)", host, said)
	case http.StatusForbidden:
		return problem(fault.Base, "log in as a user who may read there: docker login "+host, "%s does not allow it (%s)", host, said)
	case http.StatusNotFound:
		return problem(fault.Base, "check the name and the tag", "%s has no such image (%s)", host, said)
	case http.StatusTooManyRequests:
		return problem(fault.Network, "wait, or log in: docker login "+host, "%s has had too many requests (%s)", host, said)
	}
	return problem(fault.Network, "try again, or look into the registry's log", "%s answers with status %d (%s)", host, e.StatusCode, said)
}
