package debian

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"

	"exuvia/internal/cas"
	"exuvia/internal/download"
	"exuvia/internal/fault"
)

// errMissing is an answer of 404 or 410.
var errMissing = errors.New("not found")

// mismatch is a file that is not what the signed index says.
type mismatch struct {
	what  string
	short bool // it may have been cut off on its way
}

func (m *mismatch) Error() string { return m.what }

func (m *mismatch) Unwrap() error {
	if m.short {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// fetcher downloads into the cache.
type fetcher struct {
	download.Client

	cache *cas.Store
}

// clientFor is the caller's client with the proxies and CA files that the
// host's apt uses. The caller's own proxy is used where apt names none.
func clientFor(c *http.Client, h host, settings conf) (*http.Client, error) {
	if c == nil {
		c = &http.Client{}
	}
	base, ok := c.Transport.(*http.Transport)
	if c.Transport == nil {
		base, ok = http.DefaultTransport.(*http.Transport)
	}
	if !ok {
		return c, nil // the caller knows better
	}
	t := base.Clone()
	given := t.Proxy
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		switch p := settings.proxy(r.URL); {
		case strings.EqualFold(p, "DIRECT"):
			return nil, nil
		case p != "":
			return url.Parse(p)
		case given != nil:
			return given(r)
		}
		return nil, nil
	}
	if name := settings["acquire::https::cainfo"]; name != "" {
		pem, err := h.read(name, maxKeyring)
		if err != nil {
			return nil, fmt.Errorf("reading the CA file that apt uses: %w", err)
		}
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s, which apt uses", name)
		}
	}
	own := *c
	own.Transport = t
	return &own, nil
}

// proxy gives the proxy that apt would use for u: "" for no word on it.
func (c conf) proxy(u *url.URL) string {
	names := []string{"acquire::http::proxy"}
	if u.Scheme == "https" {
		names = []string{"acquire::https::proxy", "acquire::http::proxy"}
	}
	for _, n := range names {
		if p := c[n+"::"+strings.ToLower(u.Hostname())]; p != "" {
			return p
		}
		if p := c[n]; p != "" && p != "false" {
			return p
		}
	}
	return ""
}

// blob makes sure that the file with this hash is in the cache. The first of
// the addresses that has it is used.
func (f *fetcher) blob(ctx context.Context, b cas.Blob, addresses ...*url.URL) error {
	if f.cache.Has(b) {
		return nil
	}
	var last error
	for _, u := range addresses {
		_, err := f.get(ctx, u, b.Size, b.Sum)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, errMissing) {
			last = err
		}
		if _, wrong := errors.AsType[*mismatch](err); !wrong && !errors.Is(err, errMissing) {
			break
		}
	}
	return last
}

// get downloads a file of at most limit bytes into the cache, and of exactly
// that many and with this hash where sum is not "".
func (f *fetcher) get(ctx context.Context, u *url.URL, limit int64, sum string) (cas.Blob, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return cas.Blob{}, err
	}
	var b cas.Blob
	err = f.Get(ctx, req, func(r io.Reader) (err error) {
		b, err = f.cache.Put(&body{r: r, left: limit, h: sha256.New(), sum: sum})
		return err
	})
	return b, explain(ctx, u, err)
}

// explain makes err one for the user.
func explain(ctx context.Context, u *url.URL, err error) error {
	if err == nil {
		return nil
	}
	status, answered := errors.AsType[*download.StatusError](err)
	_, local := errors.AsType[*download.KeepError](err)
	found, wrong := errors.AsType[*mismatch](err)
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case answered && status.Missing():
		return fmt.Errorf("%s: %w", u.Redacted(), errMissing)
	case wrong:
		return fault.Wrap(found, fault.Integrity, "the mirror or a proxy changes files or is being updated; try again later or name another mirror",
			"downloading %s", u.Redacted())
	case local:
		return err
	}
	return &fault.Error{
		Kind: fault.Network, What: u.Redacted() + " has to be downloaded: " + fault.Reason(err), Err: err,
		Hint: "connect to the network, or see apt's proxy and sources and EXUVIA_DEBIAN_MIRROR; what is in the cache needs none",
	}
}

// body checks a download while it is written, so that nothing wrong enters the
// cache.
type body struct {
	r    io.Reader
	left int64 // bytes that may still come
	h    hash.Hash
	sum  string // "" for any
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.h.Write(p[:n])
	b.left -= int64(n)
	switch {
	case b.left < 0:
		err = &mismatch{what: "it is larger than expected"}
	case errors.Is(err, io.EOF) && b.sum != "" && b.left > 0:
		err = &mismatch{what: fmt.Sprintf("it ends %d bytes early", b.left), short: true}
	case errors.Is(err, io.EOF) && b.sum != "" && hex.EncodeToString(b.h.Sum(nil)) != b.sum:
		err = &mismatch{what: "its SHA-256 is not " + b.sum}
	}
	return n, err
}
