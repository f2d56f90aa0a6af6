package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// get asks a server that answers as h does, and gives how often it was asked.
func get(t *testing.T, keep func(io.Reader) error, h func(n int32, w http.ResponseWriter)) (asked int32, err error) {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { h(n.Add(1), w) }))
	t.Cleanup(s.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	err = Client{HTTP: s.Client()}.Get(t.Context(), req, keep)
	return n.Load(), err
}

func discard(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }

func TestGetTriesAgain(t *testing.T) {
	short := func(r io.Reader) error {
		data, err := io.ReadAll(r)
		if err == nil && len(data) < 4 {
			err = fmt.Errorf("early: %w", io.ErrUnexpectedEOF)
		}
		return err
	}
	for name, tt := range map[string]struct {
		keep  func(io.Reader) error
		first func(w http.ResponseWriter)
		want  int32
	}{
		"whole":   {discard, func(w http.ResponseWriter) { fmt.Fprint(w, "data") }, 1},
		"later":   {discard, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, 2},
		"often":   {discard, func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, 2},
		"cut off": {discard, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "9"); fmt.Fprint(w, "da") }, 2},
		"early":   {short, func(w http.ResponseWriter) { fmt.Fprint(w, "da") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := get(t, tt.keep, func(n int32, w http.ResponseWriter) {
				if n == 1 {
					tt.first(w)
				} else {
					fmt.Fprint(w, "data")
				}
			})
			if err != nil || n != tt.want {
				t.Errorf("asked %d times, want %d: %v", n, tt.want, err)
			}
		})
	}
}

func TestGetGivesUp(t *testing.T) {
	n, err := get(t, discard, func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	if s, ok := errors.AsType[*StatusError](err); !ok || s.Code != http.StatusBadGateway || s.Missing() || n != Tries {
		t.Errorf("asked %d times: %v", n, err)
	}
	n, err = get(t, discard, func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
	if s, ok := errors.AsType[*StatusError](err); !ok || !s.Missing() || n != 1 {
		t.Errorf("asked %d times: %v", n, err)
	}
	full := errors.New("no space")
	n, err = get(t, func(io.Reader) error { return full }, func(_ int32, w http.ResponseWriter) { fmt.Fprint(w, "data") })
	if _, ok := errors.AsType[*KeepError](err); !ok || !errors.Is(err, full) || n != 1 {
		t.Errorf("asked %d times: %v", n, err)
	}
}

// A certificate that is not trusted now will not be in a second.
func TestGetTrustsNoOne(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of clients that do not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	var n int
	c := Client{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { n++; return http.DefaultTransport.RoundTrip(r) })}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Get(t.Context(), req, discard)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || n != 1 {
		t.Errorf("asked %d times: %v", n, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// silent gives nothing until the request ends.
type silent <-chan struct{}

func (s silent) Read([]byte) (int, error) { <-s; return 0, io.ErrClosedPipe }
func (s silent) Close() error             { return nil }

// A server that is silent before its answer, or in it, is asked again; a user
// who stops is not kept waiting.
func TestGetEndsWhatStalls(t *testing.T) {
	for name, answer := range map[string]roundTrip{
		"no answer": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"no body": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: silent(r.Context().Done())}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n int
				c := Client{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { n++; return answer(r) })}, Pause: time.Second}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := c.Get(t.Context(), req, discard); !errors.Is(err, errStalled) || n != Tries {
					t.Errorf("asked %d times: %v", n, err)
				}
				if took := time.Since(start); took != Tries*Stall+7*time.Second {
					t.Errorf("took %s", took)
				}
				stop := errors.New("stopped")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stop) })
				if err := c.Get(ctx, req, discard); !errors.Is(err, stop) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}
