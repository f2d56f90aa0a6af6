package debian

import (
	"context"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
)

// repo is one suite of one archive, as it was resolved.
type repo struct {
	source  source
	suite   string // "bookworm", "bookworm-security"
	release *release
}

// url gives the address of a file of the suite.
func (r *repo) url(elem ...string) *url.URL {
	return r.source.URI.JoinPath(append([]string{"dists", r.suite}, elem...)...)
}

// repos resolves a suite and its companions, once an Archive.
func (a *Archive) repos(ctx context.Context, s Suite) ([]*repo, error) {
	a.mu.Lock()
	one := a.known[s.Name]
	if one == nil {
		one = new(sync.Mutex)
		a.known[s.Name] = one
	}
	a.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	a.mu.Lock()
	known := a.suites[s.Name]
	a.mu.Unlock()
	if known != nil {
		return known, nil
	}
	repos, err := a.resolve(ctx, s)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.suites[s.Name] = repos
	return repos, nil
}

// resolve finds the archive that has the suite, and the companions that the
// host uses.
func (a *Archive) resolve(ctx context.Context, s Suite) ([]*repo, error) {
	candidates := map[role][]*repo{}
	for _, src := range a.sources {
		r, _ := roleOf(src.Suite)
		c := &repo{source: src, suite: s.Name + string(r)}
		same := func(o *repo) bool {
			return o.source.URI.String() == src.URI.String() && o.source.SignedBy == src.SignedBy
		}
		if !slices.ContainsFunc(candidates[r], same) {
			candidates[r] = append(candidates[r], c)
		}
	}
	if len(candidates[mainRole]) == 0 {
		return nil, fault.New(fault.Base, "set EXUVIA_DEBIAN_MIRROR to the address of a Debian archive",
			"no Debian archive is known: this host has no apt source for one")
	}
	roles := []role{mainRole}
	if s.Released { // sid has no companions
		roles = append(roles, updatesRole, securityRole)
	}
	found := make([]*repo, len(roles))
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range roles {
		group.Go(func() (err error) {
			found[i], err = a.first(ctx, candidates[r])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, fault.New(fault.Base, "set EXUVIA_DEBIAN_MIRROR to an archive that has it; old suites are in Debian's archive of the past",
			"no archive has Debian %s: tried %s", s.Name, addresses(candidates[mainRole]))
	}
	return slices.DeleteFunc(found, func(r *repo) bool { return r == nil }), nil
}

// first resolves the first candidate that is Debian's own and has the suite;
// nil if none has it.
func (a *Archive) first(ctx context.Context, candidates []*repo) (*repo, error) {
	var failed error
	for _, c := range candidates {
		rel, err := a.release(ctx, c)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case rel.Missing:
		case rel.Origin != "Debian" && a.opts.Mirror == "":
			a.opts.Log.Info("apt source is not Debian's", "address", c.source.URI.Redacted(), "suite", c.suite, "origin", rel.Origin)
		default:
			c.release = rel
			return c, nil
		}
	}
	return nil, failed
}

func addresses(repos []*repo) string {
	var out []string
	for _, r := range repos {
		out = append(out, r.source.URI.Redacted())
	}
	return strings.Join(out, ", ")
}

// release gives what is known of a suite, or asks for it.
func (a *Archive) release(ctx context.Context, r *repo) (*release, error) {
	key := cas.Key(assembly, r.source.URI.String(), r.suite, r.source.SignedBy)
	rel := &release{}
	if !a.opts.Pull && a.opts.Cache.Lookup("debian-release", key, rel) {
		return rel, nil
	}
	a.opts.Progress("resolving Debian %s", r.suite)
	rel, err := a.askRelease(ctx, r)
	if err != nil {
		return nil, err
	}
	return rel, a.opts.Cache.Record("debian-release", key, rel)
}

func (a *Archive) askRelease(ctx context.Context, r *repo) (*release, error) {
	where := r.url("InRelease")
	b, err := a.fetch.get(ctx, where, maxRelease, "")
	if errors.Is(err, errMissing) {
		return &release{Missing: true}, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := readBlob(a.opts.Cache, b, maxRelease)
	if err != nil {
		return nil, err
	}
	keys, err := a.host.keys(r.source.SignedBy)
	if err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "mend Signed-By of the apt source, or EXUVIA_DEBIAN_KEYRING", "looking for the keys of %s", r.source.URI.Redacted())
	}
	now := a.opts.Now()
	rel, err := verifyRelease(data, keys, now)
	if err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "the mirror may be changed, or its key unknown: name the file that has it by Signed-By of the apt source, or EXUVIA_DEBIAN_KEYRING", "verifying %s", where.Redacted())
	}
	rel.Sum = b.Sum
	if rel.Codename != r.suite && rel.Suite != r.suite {
		return nil, fault.New(fault.Integrity, "the mirror gives another suite than it was asked for; name another mirror",
			"%s is of the suite %q", where.Redacted(), rel.Codename)
	}
	src := r.source
	src.NoDate = src.NoDate || a.conf.no("acquire::check-date")
	src.NoValidUntil = src.NoValidUntil || src.NoDate || a.conf.no("acquire::check-valid-until")
	if err := rel.current(now, src); err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "the mirror or the clock is stale; apt's settings Acquire::Check-Valid-Until and Acquire::Check-Date allow it", "checking %s", where.Redacted())
	}
	return rel, nil
}

// universe loads the package indices of the suites.
func (a *Archive) universe(ctx context.Context, repos []*repo, arch string) (*universe, error) {
	type part struct {
		repo *repo
		text string
	}
	parts := make([]part, 2*len(repos))
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range repos {
		for j, arch := range []string{arch, "all"} {
			if arch == "all" && !r.release.All {
				continue
			}
			group.Go(func() error {
				text, err := a.index(ctx, r, arch)
				parts[2*i+j] = part{r, text}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	u := &universe{rows: make(map[string][]row, 70_000), providers: make(map[string][]row)}
	for _, p := range parts {
		u.add(p.text, p.repo)
	}
	return u, nil
}

// index gives the compact form of a package index; "" where the suite has
// none.
func (a *Archive) index(ctx context.Context, r *repo, arch string) (string, error) {
	name, b, ok := r.release.index(arch)
	if !ok {
		if arch == "all" || strings.Contains(r.suite, "-") {
			return "", nil
		}
		return "", fault.New(fault.Base, "choose another suite or platform", "Debian %s is not made for %s", r.suite, arch)
	}
	load := func() (string, error) {
		if text, ok := knownIndex(a.opts.Cache, b); ok {
			return text, nil
		}
		plain := r.url(path.Join(strings.Split(name, "/")...))
		places := []*url.URL{plain}
		if r.release.ByHash {
			places = []*url.URL{r.url(path.Dir(name), "by-hash", "SHA256", b.Sum), plain}
		}
		if !a.opts.Cache.Has(b) {
			a.opts.Progress("downloading the package list of Debian %s (%.1f MB)", r.suite, float64(b.Size)/1e6)
		}
		if err := a.fetch.blob(ctx, b, places...); err != nil {
			if errors.Is(err, errMissing) {
				err = fault.Wrap(err, fault.Network, "the archive has moved on: resolve the suite anew with --pull", "downloading the package list of Debian %s", r.suite)
			}
			return "", err
		}
		text, err := makeIndex(a.opts.Cache, name, b)
		if err != nil {
			err = broken(ctx, err, "reading the package list of Debian "+r.suite)
		}
		return text, err
	}
	text, err := load()
	if errors.Is(err, cas.ErrCorrupt) { // the damaged file is gone: once more
		text, err = load()
	}
	return text, err
}
