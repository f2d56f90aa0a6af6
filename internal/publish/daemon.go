package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"exuvia/internal/fault"
)

// Daemon loads an image into a running Docker, or into what speaks its
// protocol. The zero value is the Docker of this machine.
type Daemon struct {
	// Host is where it listens, in the form of DOCKER_HOST: unix:///path or
	// tcp://host:port. "" is Docker's own default.
	Host string
	// CertPath is a directory with ca.pem, cert.pem and key.pem, as in
	// DOCKER_CERT_PATH; "" is without TLS.
	CertPath string
}

var _ Publisher = Daemon{}

// Bounds of what Docker answers to a load.
const (
	maxAnswer  = 4 << 20
	noDaemon   = "start Docker, or set DOCKER_HOST to where it listens; --output docker-archive:FILE needs none"
	daemonTold = "look into Docker's log, or try docker load on --output docker-archive:FILE"
)

// Publish loads the image and asks whether it is there.
func (d Daemon) Publish(ctx context.Context, img v1.Image) (string, error) {
	c, err := d.connect()
	if err != nil {
		return "", fault.Wrap(err, fault.Publish, "set DOCKER_HOST to unix:///path or tcp://host:port", "reaching Docker")
	}
	defer c.Close()
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return "", d.unreachable(ctx, err)
	}
	config, err := img.ConfigName()
	if err != nil {
		return "", fmt.Errorf("hashing image config: %w", err)
	}
	if err := load(ctx, c, img); err != nil {
		return "", failed(ctx, err, daemonTold, "loading the image into Docker")
	}
	// Docker names an image by its config; with containerd's store, by its
	// manifest. By name it is found in either.
	ref := nameOf(img)
	if ref == "" {
		ref = config.String()
	}
	if _, err := c.ImageInspect(ctx, ref); err != nil {
		return "", failed(ctx, err, daemonTold, "looking for the loaded image in Docker")
	}
	return "docker:" + ref, nil
}

// Listed gives the size of a loaded image as Docker lists it, in bytes, and the
// name of the store that it counts in: "overlay2", "vfs", "overlayfs" of
// containerd.
func (d Daemon) Listed(ctx context.Context, where string) (size int64, store string, err error) {
	c, err := d.connect()
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	image, err := c.ImageInspect(ctx, strings.TrimPrefix(where, "docker:"))
	if err != nil {
		return 0, "", err
	}
	info, err := c.Info(ctx, client.InfoOptions{})
	return image.Size, info.Info.Driver, err
}

func (d Daemon) connect() (*client.Client, error) {
	var options []client.Opt
	if d.CertPath != "" {
		options = append(options, client.WithTLSClientConfig(d.CertPath+"/ca.pem", d.CertPath+"/cert.pem", d.CertPath+"/key.pem"))
	}
	if d.Host != "" {
		options = append(options, client.WithHost(d.Host))
	}
	return client.New(options...)
}

// unreachable says why Docker does not answer.
func (d Daemon) unreachable(ctx context.Context, err error) error {
	host := d.Host
	if host == "" {
		host = client.DefaultDockerHost
	}
	switch {
	case context.Cause(ctx) != nil:
		return fmt.Errorf("reaching Docker: %w", context.Cause(ctx))
	case strings.HasPrefix(host, "ssh:"):
		return fault.New(fault.Publish, "forward its socket with ssh -L and set DOCKER_HOST to that", "Docker at %s cannot be reached over ssh", host)
	case errors.Is(err, fs.ErrPermission), strings.Contains(err.Error(), "permission denied"): // the client keeps the text alone
		return fault.New(fault.Publish, "join the group that owns the socket, or use --output docker-archive:FILE", "Docker's socket %s is not open to this user", host)
	case client.IsErrConnectionFailed(err):
		return fault.New(fault.Publish, noDaemon, "no Docker answers at %s", host)
	}
	return fault.New(fault.Publish, noDaemon, "Docker at %s does not answer as it should: %s", host, fault.Clip(err.Error()))
}

// load sends the image. Docker answers 200 before it has looked at what it
// was sent; what went wrong is in the lines that follow.
func load(ctx context.Context, c *client.Client, img v1.Image) error {
	r, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.CloseWithError(writeDocker(ctx, w, img))
	}()
	defer func() {
		r.CloseWithError(io.ErrClosedPipe)
		<-sent // the image is not read any more when load returns
	}()
	answer, err := c.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		return errors.New(fault.Clip(err.Error()))
	}
	defer answer.Close()
	return loadError(answer)
}

// loadError reads the answer to a load: JSON objects, of which any may be the
// error.
func loadError(r io.Reader) error {
	bounded := &io.LimitedReader{R: r, N: maxAnswer}
	dec := json.NewDecoder(bounded)
	for {
		var line struct {
			Error       string `json:"error"`
			ErrorDetail struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF) && bounded.N > 0:
			return nil
		case bounded.N <= 0:
			return fmt.Errorf("its answer is longer than %d bytes", maxAnswer)
		case err != nil:
			return fmt.Errorf("reading its answer: %w", err)
		case line.ErrorDetail.Message != "":
			return errors.New(fault.Clip(line.ErrorDetail.Message))
		case line.Error != "":
			return errors.New(fault.Clip(line.Error))
		}
	}
}
