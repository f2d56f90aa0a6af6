// Package debian assembles Debian systems from the signed archive, as
// distroless images are made: no Debian on this machine, no root and no
// maintainer script is needed. It verifies the archive's signature, the
// indices and every package by its hash; it resolves dependencies, unpacks the
// packages side by side and makes what their scripts would have made. It
// neither runs nor reduces anything.
package debian

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/download"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// assembly enters every key: raise it when the same packages give another
// system or an index is kept in another form.
const assembly = "4"

// downloads is how many files are fetched at once.
const downloads = 8

// Options say where systems come from and where they are kept.
type Options struct {
	Cache *cas.Store
	// Root is where the host's etc/apt and keyrings are looked up: "/", or a
	// directory of a test.
	Root string
	// Mirror is the address of an archive in place of the host's apt sources;
	// after a blank that of its security archive may follow, which is
	// otherwise taken to be the same with "-security" at its end.
	Mirror string
	// Keyring is the file with the keys that sign the mirror; "" for those that
	// the host trusts.
	Keyring string
	// Client has the proxies and CA files of the user's; apt's own settings of
	// these are added. Nil is a plain client.
	Client *http.Client
	// Pull resolves every suite anew. Without, a suite stays what it was.
	Pull bool
	Now  func() time.Time
	// Progress gets a line for the user now and then; may be nil.
	Progress func(format string, args ...any)
	Log      *slog.Logger // nil for none
}

// Archive assembles systems. It is safe for concurrent use.
type Archive struct {
	opts    Options
	host    host
	conf    conf
	sources []source
	fetch   *fetcher

	mu     sync.Mutex
	suites map[string][]*repo     // by suite
	known  map[string]*sync.Mutex // one resolution a suite at a time
}

// New reads the host's apt configuration. It asks nothing of the network.
func New(o Options) (*Archive, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	a := &Archive{opts: o, host: host{o.Root, o.Log}, suites: make(map[string][]*repo), known: make(map[string]*sync.Mutex)}
	var err error
	if a.conf, err = a.host.conf(); err != nil {
		return nil, fault.Wrap(err, fault.Usage, "mend it, apt cannot read it either", "reading apt's configuration")
	}
	if a.sources, err = mirrorSources(o.Mirror, o.Keyring); err != nil {
		return nil, fault.Wrap(err, fault.Usage, "give the address that an apt source has", "reading EXUVIA_DEBIAN_MIRROR")
	}
	if a.sources == nil {
		a.sources = a.host.sources()
	}
	client, err := clientFor(o.Client, a.host, a.conf)
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "mend apt's setting Acquire::https::CaInfo", "setting up downloads")
	}
	a.fetch = &fetcher{Client: download.Client{HTTP: client, Pause: 300 * time.Millisecond}, cache: o.Cache}
	return a, nil
}

// Base assembles a named system: "debian:SUITE[-FLAVOUR][-pythonX.Y]", see
// [Suites] and [Flavours]. What does not exist is a fault of kind Base.
func (a *Archive) Base(ctx context.Context, ref string, p v1.Platform) (*base.Base, error) {
	s, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	return a.system(ctx, ref, s.Suite, s.Flavour.with(s.Python), p)
}

// System assembles a system of packages, written as in a Depends field, and
// the few that commands need to run. A package whose name ends in "?" is left
// out where the suite has none.
func (a *Archive) System(ctx context.Context, suite string, packages []string, p v1.Platform) (*base.Base, error) {
	s, err := suiteNamed(suite)
	if err != nil {
		return nil, err
	}
	ref := Ref(suite, "", "") + " with " + strings.Join(packages, ", ")
	f := Flavour{Packages: append(append([]string{}, core...), packages...), Programs: true, Waived: scriptsOnly}
	return a.system(ctx, ref, s, f, p)
}

// architecture is Debian's name of a platform.
func architecture(p v1.Platform) (string, error) {
	if p.OS == "linux" || p.OS == "" {
		switch p.Architecture {
		case "amd64":
			return "amd64", nil
		case "arm64":
			if p.Variant == "" || p.Variant == "v8" {
				return "arm64", nil
			}
		}
	}
	return "", fault.New(fault.Base, "choose linux/amd64 or linux/arm64", "no Debian system for the platform %s", p.String())
}

// facts are what is recorded of a system beside its tree.
type facts struct{ Python, Libc string }

func (a *Archive) system(ctx context.Context, ref string, s Suite, f Flavour, p v1.Platform) (*base.Base, error) {
	arch, err := architecture(p)
	if err != nil {
		return nil, err
	}
	repos, err := a.repos(ctx, s)
	if err != nil {
		return nil, err
	}
	b := &base.Base{Ref: ref, Inputs: make(map[string]string)}
	for _, r := range repos {
		b.Inputs[r.release.Codename+" InRelease"] = "sha256:" + r.release.Sum
	}
	key := cas.Key(assembly, b.Inputs, f, arch)
	var known facts
	if a.opts.Cache.Lookup("debian-system", key, &known) {
		if t, ok := a.opts.Cache.Tree("debian-tree", key); ok {
			b.Tree, b.Python, b.Libc = t, known.Python, known.Libc
			return b, nil
		}
	}
	packages, err := a.packages(ctx, s, repos, f, arch)
	if err != nil {
		return nil, err
	}
	t, err := assemble(packages, f, arch)
	if err != nil {
		return nil, err
	}
	if b.Tree, err = a.opts.Cache.PutTree(ctx, "debian-tree", key, t); err != nil {
		return nil, err
	}
	b.Python, b.Libc = pythonOf(b.Tree, f), libcOf(packages)
	return b, a.opts.Cache.Record("debian-system", key, facts{b.Python, b.Libc})
}

// packages chooses, downloads and unpacks what a system is made of.
func (a *Archive) packages(ctx context.Context, s Suite, repos []*repo, f Flavour, arch string) ([]*unpacked, error) {
	u, err := a.universe(ctx, repos, arch)
	if err != nil {
		return nil, err
	}
	chosen, err := resolve(u, arch, f.Packages, f.Essential, f.Waived)
	if err != nil {
		return nil, err
	}
	var files int
	var bytes int64
	for _, p := range chosen {
		if !a.opts.Cache.Has(p.Blob) {
			files, bytes = files+1, bytes+p.Blob.Size
		}
	}
	if files > 0 {
		a.opts.Progress("downloading %d packages of Debian %s (%.1f MB)", files, s.Name, float64(bytes)/1e6)
	}
	return a.unpack(ctx, chosen)
}

// unpack downloads and unpacks packages side by side.
func (a *Archive) unpack(ctx context.Context, chosen []*pkg) ([]*unpacked, error) {
	out := make([]*unpacked, len(chosen))
	cpus := make(chan struct{}, runtime.GOMAXPROCS(0))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	for i, p := range chosen {
		group.Go(func() error {
			if err := a.download(ctx, p); err != nil {
				return err
			}
			cpus <- struct{}{}
			defer func() { <-cpus }()
			u, err := unpack(ctx, a.opts.Cache, p)
			if errors.Is(err, cas.ErrCorrupt) { // the damaged file is gone: once more
				if err = a.download(ctx, p); err == nil {
					u, err = unpack(ctx, a.opts.Cache, p)
				}
			}
			out[i] = u
			return err
		})
	}
	return out, group.Wait()
}

// download makes sure that a .deb is in the cache.
func (a *Archive) download(ctx context.Context, p *pkg) error {
	err := a.fetch.blob(ctx, p.Blob, p.From.source.URI.JoinPath(p.File))
	if errors.Is(err, errMissing) {
		return fault.Wrap(err, fault.Network, "the archive has moved on: resolve the suite anew with --pull", "downloading %s %s", p.Name, p.Version)
	}
	return err
}

// pythonOf finds the interpreter that the flavour asks for.
func pythonOf(t *tree.Tree, f Flavour) string {
	for _, name := range append(f.versions(), "python3") {
		if e, ok := t.Resolve("usr/bin/" + name); ok && e.IsRegular() {
			return e.Path
		}
	}
	return ""
}

// libcOf names the C library by its upstream version.
func libcOf(packages []*unpacked) string {
	for _, p := range packages {
		if p.Name == "libc6" {
			upstream, _, _ := strings.Cut(p.Version, "-")
			return fmt.Sprintf("glibc %s", upstream)
		}
	}
	return ""
}
