package install

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/project"
)

// Limits of a download.
const (
	maxFile  = 8 << 30 // bytes of a distribution file; the largest seen are below 3 GiB
	tries    = 4
	stall    = 60 * time.Second // without a byte
	parallel = 8
)

// errStalled ends a download in which nothing moves.
var errStalled = fmt.Errorf("nothing came for %s", stall)

// fetcher downloads files whose hashes are known into the cache. It is the
// only one that is told credentials beside the steps that resolve, and it runs
// nothing of what it downloads.
type fetcher struct {
	cfg    *config
	cache  *cas.Store
	client *http.Client
	pause  time.Duration // before the second try; it doubles
}

func newFetcher(cfg *config, cache *cas.Store) (*fetcher, error) {
	t := &http.Transport{
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: parallel, TLSHandshakeTimeout: 30 * time.Second,
		ResponseHeaderTimeout: stall, IdleConnTimeout: stall, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	value := func(names ...string) string {
		for _, kv := range cfg.proxies() {
			k, v, _ := strings.Cut(kv, "=")
			if slices.Contains(names, k) {
				return v
			}
		}
		return ""
	}
	all := value("ALL_PROXY", "all_proxy")
	proxies := httpproxy.Config{HTTPProxy: value("HTTP_PROXY", "http_proxy"), HTTPSProxy: value("HTTPS_PROXY", "https_proxy"), NoProxy: value("NO_PROXY", "no_proxy")}
	if proxies.HTTPProxy == "" {
		proxies.HTTPProxy = all
	}
	if proxies.HTTPSProxy == "" {
		proxies.HTTPSProxy = all
	}
	choose := proxies.ProxyFunc()
	t.Proxy = func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
	if cfg.ca != "" {
		pem, err := cfg.host.read(cfg.ca)
		if err != nil {
			return nil, err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.Usage, "check SSL_CERT_FILE and pip's cert", "%s holds no CA certificate", cfg.ca)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if cfg.client != "" {
		cert, err := tls.LoadX509KeyPair(cfg.client, cfg.client)
		if err != nil {
			return nil, fault.Wrap(err, fault.Usage, "check SSL_CLIENT_CERT and pip's client-cert", "reading the client certificate")
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{cert}
	}
	return &fetcher{cfg: cfg, cache: cache, client: &http.Client{Transport: t}, pause: time.Second}, nil
}

// missing counts the files that are not in the cache.
func (f *fetcher) missing(files []file) int {
	n := 0
	for _, want := range files {
		var b cas.Blob
		if !f.cache.Lookup("dist", cas.Key(want.algo, want.sum), &b) || !f.cache.Has(b) {
			n++
		}
	}
	return n
}

// fetchAll makes sure that the files are in the cache, and gives them in the
// same order.
func (f *fetcher) fetchAll(ctx context.Context, p *project.Project, files []file) ([]cas.Blob, error) {
	out := make([]cas.Blob, len(files))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, want := range files {
		group.Go(func() (err error) {
			out[i], err = f.fetch(gctx, p, want)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// fetch gives one file, from the cache, the project or the network.
func (f *fetcher) fetch(ctx context.Context, p *project.Project, want file) (cas.Blob, error) {
	key := cas.Key(want.algo, want.sum)
	var b cas.Blob
	if f.cache.Lookup("dist", key, &b) && f.cache.Has(b) {
		return b, nil
	}
	var err error
	if want.path != "" {
		b, err = f.local(p, want)
	} else {
		b, err = f.download(ctx, want)
	}
	if err != nil {
		return cas.Blob{}, err
	}
	return b, f.cache.Record("dist", key, b)
}

// local takes a file of the project or of a directory of find-links.
func (f *fetcher) local(p *project.Project, want file) (cas.Blob, error) {
	var r io.ReadCloser
	var err error
	if at, ok := f.cfg.onHost(want.path); ok {
		r, err = os.Open(at)
	} else if e, found := p.Files.Resolve(want.path); found && e.IsRegular() {
		r, err = e.Open()
	} else {
		err = fs.ErrNotExist
	}
	if err != nil {
		return cas.Blob{}, fault.New(fault.Dependency, "put it there, and see that no pattern leaves it out", "the lock names the file %s, which the project does not have", project.Clip(want.path))
	}
	defer r.Close()
	return f.put(r, want)
}

// put keeps what r gives if it has the hash that is wanted.
func (f *fetcher) put(r io.Reader, want file) (cas.Blob, error) {
	h := hasher(want.algo)
	b, err := f.cache.Put(io.TeeReader(io.LimitReader(r, maxFile), h))
	if err != nil {
		return cas.Blob{}, err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.sum {
		return cas.Blob{}, fault.New(fault.Integrity, "do not trust the index; if the file was replaced there on purpose, make the lock anew",
			"%s has %s %s, the lock says %s", want.name, want.algo, got, want.sum)
	}
	return b, nil
}

func hasher(algo string) hash.Hash {
	switch algo {
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return sha256.New()
}

// statusError is an answer other than 200.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return fmt.Sprintf("answer %d %s", e.code, http.StatusText(e.code))
}

// download tries until the file has come, or what is wrong will not pass.
func (f *fetcher) download(ctx context.Context, want file) (cas.Blob, error) {
	u, err := url.Parse(want.url)
	if err != nil {
		return cas.Blob{}, fmt.Errorf("address of %s: %s", want.name, project.Redact(want.url))
	}
	pause := f.pause
	for try := 1; ; try++ {
		b, err := f.once(ctx, u, want)
		if err == nil || context.Cause(ctx) != nil || try == tries || !passing(err) {
			return b, f.explain(ctx, u, want, err)
		}
		select {
		case <-ctx.Done():
			return cas.Blob{}, context.Cause(ctx)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// passing reports whether a later try may do better.
func passing(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return status.code >= 500 || status.code == http.StatusTooManyRequests || status.code == http.StatusRequestTimeout
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return false
	}
	_, cert := errors.AsType[*tls.CertificateVerificationError](err)
	return !cert
}

func (f *fetcher) once(ctx context.Context, u *url.URL, want file) (cas.Blob, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bare := *u
	bare.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), http.NoBody)
	if err != nil {
		return cas.Blob{}, err
	}
	req.Header.Set("Accept-Encoding", "identity") // a .tar.gz must come as it is
	if user, password, ok := f.cfg.credentials(u); ok {
		req.SetBasicAuth(user, password) // net/http drops it when it is sent to another host
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return cas.Blob{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return cas.Blob{}, &statusError{resp.StatusCode}
	}
	watch := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer watch.Stop()
	b, err := f.put(&alive{resp.Body, watch}, want)
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return cas.Blob{}, errStalled
	}
	return b, err
}

// alive puts the watch off with every read that gives something.
type alive struct {
	r     io.Reader
	watch *time.Timer
}

func (a *alive) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.watch.Reset(stall)
	}
	return n, err
}

// explain makes an error for the user, without credentials.
func (f *fetcher) explain(ctx context.Context, u *url.URL, want file, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || !isLocal(err) {
		status, answered := errors.AsType[*statusError](err)
		switch {
		case answered && (status.code == http.StatusUnauthorized || status.code == http.StatusForbidden):
			return fault.New(fault.Network, "give credentials in .netrc, pip.conf or UV_INDEX_…", "downloading %s: %s wants other credentials (%d)", want.name, u.Host, status.code)
		case answered && (status.code == http.StatusNotFound || status.code == http.StatusGone):
			return fault.New(fault.Dependency, "make the lock anew", "%s is not at %s any more (%d)", want.name, u.Host, status.code)
		}
		return fault.New(fault.Network, networkHint, "%s has to be downloaded from %s: %s", want.name, u.Host, f.cfg.clean(fault.Reason(err)))
	}
	return fmt.Errorf("keeping %s: %w", want.name, err)
}

// isLocal reports whether an error comes from the disk.
func isLocal(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}
