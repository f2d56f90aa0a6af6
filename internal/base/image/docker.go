package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"exuvia/internal/fault"
)

const (
	dockerHint   = "start Docker, or set DOCKER_HOST to where it listens"
	dockerFailed = "look into Docker's log, or try docker save and docker-archive:FILE"
)

// docker finds an image in the running Docker, or in what speaks its protocol.
func (s *Images) docker(ctx context.Context, w wanted, ref string) (found, error) {
	c, err := s.connect()
	if err != nil {
		return found{}, fault.Wrap(err, fault.Base, "set DOCKER_HOST to unix:///path or tcp://host:port", "reaching Docker")
	}
	defer c.Close()
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return found{}, s.silent(ctx, err)
	}
	info, err := c.ImageInspect(ctx, ref)
	switch {
	case errdefs.IsNotFound(err):
		return found{}, fault.New(fault.Base, "docker images lists what there is; docker pull fetches more", "Docker has no image %s", fault.Clip(ref))
	case err != nil:
		return found{}, w.refused(ctx, err)
	}
	if err := w.suits(&v1.ConfigFile{OS: info.Os, Architecture: info.Architecture, Variant: info.Variant}); err != nil {
		return found{}, err
	}
	f := found{input: w.ref, id: "config " + info.ID} // or the manifest's, with containerd's store
	if _, ok := s.known(f.id); ok {
		return f, nil
	}
	got, err := s.save(ctx, w, c, ref)
	got.input, got.id = f.input, f.id
	return got, err
}

// save lets Docker write the image to a file, and reads that.
func (s *Images) save(ctx context.Context, w wanted, c *client.Client, ref string) (found, error) {
	s.o.Progress("copying %s out of Docker", ref)
	r, err := c.ImageSave(ctx, []string{ref})
	if err != nil {
		return found{}, w.refused(ctx, err)
	}
	defer r.Close()
	a := &archive{name: ref}
	defer a.Close() // all of it is in the cache then
	if err := a.spill(ctx, s.o.Cache, r); err != nil {
		return found{}, w.failed(ctx, err)
	}
	if err := a.index(ctx); err != nil {
		return found{}, w.failed(ctx, err)
	}
	return s.saved(ctx, w, a, "")
}

func (s *Images) connect() (*client.Client, error) {
	var options []client.Opt
	if dir := s.o.DockerCerts; dir != "" {
		options = append(options, client.WithTLSClientConfig(dir+"/ca.pem", dir+"/cert.pem", dir+"/key.pem"))
	}
	if s.o.DockerHost != "" {
		options = append(options, client.WithHost(s.o.DockerHost))
	}
	return client.New(options...)
}

// silent says why Docker does not answer.
func (s *Images) silent(ctx context.Context, err error) error {
	host := s.o.DockerHost
	if host == "" {
		host = client.DefaultDockerHost
	}
	switch {
	case context.Cause(ctx) != nil:
		return fmt.Errorf("reaching Docker: %w", context.Cause(ctx))
	case strings.HasPrefix(host, "ssh:"):
		return fault.New(fault.Base, "forward its socket with ssh -L and set DOCKER_HOST to that", "Docker at %s cannot be reached over ssh", host)
	case errors.Is(err, fs.ErrPermission), strings.Contains(err.Error(), "permission denied"): // the client keeps the text alone
		return fault.New(fault.Base, "join the group that owns the socket, or use docker save and docker-archive:FILE", "Docker's socket %s is not open to this user", host)
	case client.IsErrConnectionFailed(err):
		return fault.New(fault.Base, dockerHint, "no Docker answers at %s", host)
	}
	return fault.New(fault.Base, dockerHint, "Docker at %s does not answer as it should: %s", host, fault.Clip(err.Error()))
}

// refused is the error of what Docker will not do.
func (w wanted) refused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("reading the base %s: %w", w.ref, cause)
	}
	return fault.New(fault.Base, dockerFailed, "reading the base %s: Docker says: %s", w.ref, fault.Clip(err.Error()))
}
