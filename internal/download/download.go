// Package download gets files over HTTP, whole: what may pass is tried again,
// and what no longer moves is ended. Whose file it is, what it has to be, and
// where it is kept, is the caller's.
package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Tries is how often a file is asked for at most.
const Tries = 4

// Stall is how long a download may go without a byte.
const Stall = 60 * time.Second

// errStalled ends a download in which nothing moves.
var errStalled = fmt.Errorf("nothing came for %s", Stall)

// StatusError is an answer other than 200.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("answer %d %s", e.Code, http.StatusText(e.Code))
}

// Missing reports whether the answer was that there is no such file.
func (e *StatusError) Missing() bool {
	return e.Code == http.StatusNotFound || e.Code == http.StatusGone
}

// KeepError is one of the function that keeps the file, not of the network.
type KeepError struct{ Err error }

func (e *KeepError) Error() string { return e.Err.Error() }

func (e *KeepError) Unwrap() error { return e.Err }

// Client gets files.
type Client struct {
	HTTP  *http.Client
	Pause time.Duration // before the second try; it doubles
}

// Get asks for a file and lets keep read it, which may happen several times. An
// error of keep is final and given as a [*KeepError], unless it is
// io.ErrUnexpectedEOF: then the file was cut off on its way. A context that has
// ended gives its cause.
func (c Client) Get(ctx context.Context, r *http.Request, keep func(io.Reader) error) error {
	pause := c.Pause
	for try := 1; ; try++ {
		err := c.once(ctx, r, keep)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		if err == nil || try == Tries || !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// passing reports whether another try may help.
func passing(err error) bool {
	if s, ok := errors.AsType[*StatusError](err); ok {
		return s.Code >= 500 || s.Code == http.StatusTooManyRequests || s.Code == http.StatusRequestTimeout
	}
	if _, ok := errors.AsType[*KeepError](err); ok {
		return errors.Is(err, io.ErrUnexpectedEOF)
	}
	_, cert := errors.AsType[*tls.CertificateVerificationError](err)
	return !cert
}

func (c Client) once(ctx context.Context, r *http.Request, keep func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(Stall, func() { cancel(errStalled) })
	defer idle.Stop()
	r = r.Clone(ctx)
	r.Header.Set("User-Agent", "exuvia")
	r.Header.Set("Accept-Encoding", "identity") // a .gz file is to stay one
	resp, err := c.HTTP.Do(r)                   //nolint:gosec // whom to ask is the caller's
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &StatusError{resp.StatusCode}
	}
	b := &body{r: resp.Body, idle: idle}
	err = keep(b)
	switch {
	case b.err != nil && context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case b.err != nil:
		return b.err
	case err != nil:
		return &KeepError{err}
	}
	return nil
}

// body puts the end of a download off with every byte, and remembers whether it
// was the reading that failed.
type body struct {
	r    io.Reader
	idle *time.Timer
	err  error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if n > 0 {
		b.idle.Reset(Stall)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
