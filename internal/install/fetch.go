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
	"exuvia/internal/download"
	"exuvia/internal/fault"
	"exuvia/internal/project"
)

// Limits of a download.
const (
	maxFile  = 8 << 30 // bytes of a distribution file; the largest seen are below 3 GiB
	parallel = 8
)

// fetcher downloads files whose hashes are known into the cache. It is the
// only one that is told credentials beside the steps that resolve, and it runs
// nothing of what it downloads.
type fetcher struct {
	cfg    *config
	cache  *cas.Store
	client download.Client
}

func newFetcher(cfg *config, cache *cas.Store) (*fetcher, error) {
	t := &http.Transport{
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: parallel, TLSHandshakeTimeout: 30 * time.Second,
		IdleConnTimeout: download.Stall, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
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
	return &fetcher{cfg: cfg, cache: cache, client: download.Client{HTTP: &http.Client{Transport: t}, Pause: time.Second}}, nil
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

// download gets a file from an index.
func (f *fetcher) download(ctx context.Context, want file) (cas.Blob, error) {
	u, err := url.Parse(want.url)
	if err != nil {
		return cas.Blob{}, fmt.Errorf("address of %s: %s", want.name, project.Redact(want.url))
	}
	bare := *u
	bare.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), http.NoBody)
	if err != nil {
		return cas.Blob{}, err
	}
	if user, password, ok := f.cfg.credentials(u); ok {
		req.SetBasicAuth(user, password) // net/http drops it when it is sent to another host
	}
	var b cas.Blob
	err = f.client.Get(ctx, req, func(r io.Reader) (err error) {
		b, err = f.put(r, want)
		return err
	})
	return b, f.explain(ctx, u, want, err)
}

// explain makes an error for the user, without credentials.
func (f *fetcher) explain(ctx context.Context, u *url.URL, want file, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if kept, ok := errors.AsType[*download.KeepError](err); ok {
		return fmt.Errorf("keeping %s: %w", want.name, kept.Err)
	}
	status, answered := errors.AsType[*download.StatusError](err)
	switch {
	case answered && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden):
		return fault.New(fault.Network, "give credentials in .netrc, pip.conf or UV_INDEX_…", "downloading %s: %s wants other credentials (%d)", want.name, u.Host, status.Code)
	case answered && status.Missing():
		return fault.New(fault.Dependency, "make the lock anew", "%s is not at %s any more (%d)", want.name, u.Host, status.Code)
	}
	return fault.New(fault.Network, networkHint, "%s has to be downloaded from %s: %s", want.name, u.Host, f.cfg.clean(fault.Reason(err)))
}
