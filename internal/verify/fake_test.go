package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// app is how a fake subject behaves when it is booted with some argv.
type app struct {
	serve  http.Handler // listens on port 8000 if not nil
	stay   bool         // neither listens nor exits
	exit   engine.Exit  // what Wait gives; with serve or stay, after a signal
	deaf   bool         // ignores all signals but SIGKILL
	opaque bool         // answers, but not in HTTP
	absent bool         // there is no such program
}

// subjects is a Booter whose trees stand for functions from argv to behaviour.
type subjects struct {
	t    *testing.T
	apps map[*tree.Tree]func(argv []string, stdin string) app

	mu    sync.Mutex
	boots []string
}

func (b *subjects) Boot(_ context.Context, root *tree.Tree, c plan.Config, o engine.BootOptions) (engine.Process, error) {
	argv := slices.Concat(c.Entrypoint, c.Cmd)
	var stdin []byte
	if o.Stdin != nil {
		var err error
		if stdin, err = io.ReadAll(o.Stdin); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	b.boots = append(b.boots, fmt.Sprint(argv))
	b.mu.Unlock()
	a := b.apps[root](argv, string(stdin))
	if a.absent {
		return nil, &engine.StepError{Step: argv[0], Exit: 127, Reason: argv[0] + ": no such file or directory"}
	}
	p := &fakeProcess{app: a, done: make(chan struct{})}
	switch {
	case a.opaque:
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		p.addr = l.Addr().String()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("\x00 not HTTP at all \r\n\r\n"))
				c.Close()
			}
		}()
		b.t.Cleanup(func() { l.Close() })
	case a.serve != nil:
		s := httptest.NewServer(a.serve)
		p.addr = s.Listener.Addr().String()
		b.t.Cleanup(s.Close)
	case !a.stay:
		close(p.done)
	}
	return p, nil
}

type fakeProcess struct {
	app
	addr string
	once sync.Once
	done chan struct{}
}

func (p *fakeProcess) Dial(ctx context.Context, port int) (net.Conn, error) {
	if port != 8000 {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
}

func (p *fakeProcess) Listening() ([]int, error) {
	if p.addr == "" {
		return nil, nil
	}
	return []int{8000}, nil
}

func (p *fakeProcess) Signal(s os.Signal) error {
	if p.deaf && s != os.Kill {
		return nil
	}
	p.once.Do(func() {
		select {
		case <-p.done:
		default:
			if s == os.Kill {
				p.exit.Code = 128 + int(syscall.SIGKILL)
			}
			close(p.done)
		}
	})
	return nil
}

func (p *fakeProcess) Wait() (engine.Exit, error) {
	<-p.done
	return p.exit, nil
}

func (p *fakeProcess) PSS() (int64, error) { return 1000, nil }

// quick are limits for tests: what never happens is given up soon.
var quick = limits{
	start: 3 * time.Second, help: 2 * time.Second, stop: 2 * time.Second,
	head: 10 * time.Second, body: 3 * time.Second, poll: time.Millisecond,
}

// input makes an Input of two behaviours.
func input(t *testing.T, full, lean func(argv []string, stdin string) app) (Input, *subjects) {
	t.Helper()
	a, b := newTree(t), newTree(t)
	boots := &subjects{t: t, apps: map[*tree.Tree]func([]string, string) app{a: full, b: lean}}
	c := plan.Config{Entrypoint: []string{"/app/main"}, Cmd: []string{"--port", "8000"}, User: "65532:65532"}
	return Input{
		Full:    Subject{Name: "the unreduced app", Tree: a, Config: c, Entries: [][]string{{"/app/main"}}},
		Lean:    Subject{Name: "lean", Tree: b, Config: c, Entries: [][]string{{"/app/main"}}},
		Entries: []string{"main"},
		Booter:  boots, Temp: t.TempDir(), limits: quick,
	}, boots
}

func newTree(t *testing.T, entries ...tree.Entry) *tree.Tree {
	t.Helper()
	tr, err := tree.New(append(entries, tree.Dir("app", 0o755, tree.Origin{}))...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// server behaves as a web server with a --help.
func server(h http.Handler) func([]string, string) app {
	return func(argv []string, _ string) app {
		if slices.Contains(argv, "--help") {
			return app{exit: engine.Exit{Stdout: []byte("Usage: main\n")}}
		}
		return app{serve: h}
	}
}

// prints behaves as a command that ends at once.
func prints(code int, stdout, stderr string) func([]string, string) app {
	return func([]string, string) app {
		return app{exit: engine.Exit{Code: code, Stdout: []byte(stdout), Stderr: []byte(stderr)}}
	}
}

// clock is a clock that moves on by a second with every look.
func clock() func() time.Time {
	at := time.Unix(0, 0)
	return func() time.Time {
		at = at.Add(time.Second)
		return at
	}
}
