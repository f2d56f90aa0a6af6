// Package image reads bases that come as images: from a registry, an OCI
// layout, an archive, a running Docker or exuvia's own store. What an image
// consists of goes into the cache, so that it is fetched once. It starts
// nothing, and believes no size, digest or path before it was checked.
//
// What cannot be had is a fault of kind Network where that is the network's
// doing, Integrity where bytes are not what their digest says, else Base.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
)

// version enters the keys of what is remembered here; raise it when the same
// image gives another base.
const version = "1"

// Options say where images come from and where they are kept. All but the
// cache may be left out.
type Options struct {
	Cache *cas.Store
	Store *oci.Store // for store:REF
	// Transport has the user's CAs and proxies; nil is go-containerregistry's.
	Transport http.RoundTripper
	Keychain  authn.Keychain // nil is that of the docker config
	// DockerHost and DockerCerts are what DOCKER_HOST and, with
	// DOCKER_TLS_VERIFY, DOCKER_CERT_PATH say.
	DockerHost, DockerCerts string
	// Progress gets a line for the user now and then; may be nil.
	Progress func(format string, args ...any)
	Log      *slog.Logger // nil for none
}

// Images gives bases that come as images. It is safe for concurrent use.
type Images struct{ o Options }

// New asks nothing of anybody yet.
func New(o Options) *Images {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	return &Images{o}
}

// forms are the beginnings of references that are none to a registry.
var forms = []string{"oci", "oci-archive", "docker-archive", "docker", "store"}

// Is reports whether a reference names an image: one of the forms, or a name
// with a tag, a digest or a registry.
func Is(ref string) bool {
	if form, _, ok := strings.Cut(ref, ":"); ok && slices.Contains(forms, form) {
		return true
	}
	_, err := parse(ref)
	return err == nil && strings.ContainsAny(ref, ":@/")
}

// wanted is an image that is asked for.
type wanted struct {
	ref      string // for people
	platform v1.Platform
}

// found is where an image was found.
type found struct {
	image v1.Image
	input string // what reports call it
	// id identifies the image before it was read; "" where its digest does.
	id     string
	remote bool   // the image is read over a network
	done   func() // frees what the image is read from
}

// Base gives the image that ref names, for a platform, as a base:
//
//	NAME:TAG, NAME@DIGEST   in a registry; without a host, Docker's
//	oci:DIR[:TAG]           an OCI layout
//	oci-archive:FILE[:TAG]  an OCI layout in a tar archive
//	docker-archive:FILE[:REF]  what docker save writes
//	docker:REF              in the running Docker
//	store:REF               in exuvia's own store
func (s *Images) Base(ctx context.Context, ref string, p v1.Platform) (*base.Base, error) {
	w := wanted{ref, p}
	f, err := s.find(ctx, w)
	if err != nil {
		return nil, err
	}
	if f.done != nil {
		defer f.done()
	}
	img, err := s.keep(ctx, w, f)
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, w, f.input, img)
}

func (s *Images) find(ctx context.Context, w wanted) (found, error) {
	form, rest, _ := strings.Cut(w.ref, ":")
	switch form {
	case "oci":
		return s.layout(w, rest)
	case "oci-archive":
		return s.ociArchive(ctx, w, rest)
	case "docker-archive":
		return s.dockerArchive(ctx, w, rest)
	case "docker":
		return s.docker(ctx, w, rest)
	case "store":
		return s.stored(w, rest)
	}
	return s.registry(ctx, w)
}

// stored finds an image in exuvia's own store.
func (s *Images) stored(w wanted, ref string) (found, error) {
	if s.o.Store == nil {
		return found{}, fault.New(fault.Base, "name an image of another place", "there is no store for %s", w.ref)
	}
	img, err := s.o.Store.Get(ref)
	if err != nil {
		return found{}, err
	}
	return found{image: img, input: w.ref}, nil
}

// keep checks that an image is for the platform, and copies it into the cache.
func (s *Images) keep(ctx context.Context, w wanted, f found) (v1.Image, error) {
	if img, ok := s.known(f.id); ok {
		return img, w.fits(img)
	}
	failed := w.failed
	if f.remote {
		failed = w.notFetched
	}
	if err := w.fits(f.image); err != nil {
		return nil, failed(ctx, err)
	}
	img, err := oci.Keep(ctx, s.o.Cache, f.image)
	if err != nil {
		return nil, failed(ctx, err)
	}
	return img, s.remember(f.id, img)
}

// known finds an image that was kept, by another name than its digest.
func (s *Images) known(id string) (v1.Image, bool) {
	var digest string
	if id == "" || !s.o.Cache.Lookup("base-image", key(id), &digest) {
		return nil, false
	}
	d, err := v1.NewHash(digest)
	if err != nil {
		return nil, false
	}
	return oci.Kept(s.o.Cache, d)
}

func (s *Images) remember(id string, img v1.Image) error {
	if id == "" {
		return nil
	}
	d, err := img.Digest()
	if err != nil {
		return err
	}
	return s.o.Cache.Record("base-image", key(id), d.String())
}

// key is that of something remembered. Go's version is part of it, for layers
// that come without compression are compressed by its library.
func key(id string) string { return cas.Key(version, runtime.Version(), id) }

// fits checks that an image is for the platform.
func (w wanted) fits(img v1.Image) error {
	c, err := oci.ConfigFile(img)
	if err != nil {
		return err
	}
	return w.suits(c)
}

func (w wanted) suits(c *v1.ConfigFile) error {
	have := v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
	if suits(have, w.platform) {
		return nil
	}
	return fault.New(fault.Base, "choose a base for this platform, or build for the other with --platform", "%s is for %s, not for %s", w.ref, called(have), w.platform.String())
}

// suits reports whether what is for one platform runs on the other. A variant
// that is not said is any.
func suits(have, want v1.Platform) bool {
	return have.OS == want.OS && have.Architecture == want.Architecture &&
		(have.Variant == "" || want.Variant == "" || have.Variant == want.Variant)
}

func called(p v1.Platform) string {
	if p.OS == "" || p.Architecture == "" {
		return "a platform that it does not name"
	}
	return fault.Clip(p.String())
}

// describe finds out what is in an image.
func (s *Images) describe(ctx context.Context, w wanted, input string, img v1.Image) (*base.Base, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	t, ok := oci.Flattened(s.o.Cache, digest)
	if !ok {
		s.o.Progress("reading the files of %s", w.ref)
		if t, _, err = oci.Flatten(ctx, s.o.Cache, img); err != nil {
			return nil, w.failed(ctx, err)
		}
	}
	libc, err := base.Libc(t)
	if err != nil {
		return nil, w.failed(ctx, err)
	}
	return &base.Base{
		Ref: w.ref, Image: img, Tree: t, Python: base.PythonIn(t, searchPath(config.Config.Env)), Libc: libc,
		Inputs: map[string]string{input: digest.String()},
	}, nil
}

// searchPath is the PATH of an image.
func searchPath(env []string) []string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return strings.Split(v, ":")
		}
	}
	return nil
}

// failed is the error for the user of an image that cannot be read.
func (w wanted) failed(ctx context.Context, err error) error {
	const what = "reading the base %s"
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf(what+": %w", w.ref, cause)
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, cas.ErrCorrupt) {
		return fault.Wrap(err, fault.Integrity, "fetch or write the image again; what it holds is not what its digests say", what, w.ref)
	}
	if onDisk(err) {
		return fmt.Errorf(what+": %w", w.ref, err)
	}
	return &fault.Error{Kind: fault.Base, What: fmt.Sprintf(what+": %s", w.ref, fault.Clip(fault.Reason(err))), Hint: "name an image that Docker can read too", Err: err}
}

// local names a file of this machine in reports, which do not say where it is.
func local(form, file string) string { return form + ":" + path.Base(filepath.ToSlash(file)) }
