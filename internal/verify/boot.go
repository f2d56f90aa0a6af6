package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"exuvia/internal/engine"
	"exuvia/internal/plan"
)

// state is how far a process has come.
type state string

const (
	exits   state = "exits"
	listens state = "listens"
	runs    state = "runs on without listening"
)

// process is a booted subject under watch. Process is nil if it ended at once.
type process struct {
	engine.Process
	done chan struct{} // closed when exit and err are set
	exit engine.Exit
	err  error
}

// boot starts s with its own entry point, or with argv in its place. The
// caller kills the process in any case.
func boot(ctx context.Context, b engine.Booter, s Subject, argv []string, o engine.BootOptions) (*process, error) {
	c := s.Config
	if argv != nil {
		c.Entrypoint, c.Cmd = argv, nil
	}
	p, err := b.Boot(ctx, s.Tree, c, o)
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		// There is nothing to start, or its loader is missing: this is what
		// the container does, not what the machine does to it.
		r := &process{done: make(chan struct{}), exit: engine.Exit{Code: failed.Exit, Stderr: []byte(failed.Reason + "\n" + failed.Output)}}
		close(r.done)
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("booting %s: %w", s.Name, err)
	}
	r := &process{Process: p, done: make(chan struct{})}
	go func() {
		r.exit, r.err = p.Wait()
		close(r.done)
	}()
	return r, nil
}

// kill ends the process and waits until it is gone.
func (p *process) kill() {
	select {
	case <-p.done:
	default:
		_ = p.Signal(os.Kill) // gone in the meantime, or done closes
		<-p.done
	}
}

// stop asks the process to end and reports whether it did within the limit.
// Most programs that do not handle the signal ignore it, as they are process 1
// (kill(2)). One that still listens after a fifth of the limit is taken for
// such: a server that stops closes its port first.
func (p *process) stop(sig os.Signal, limit time.Duration) bool {
	if err := p.Signal(sig); err != nil {
		p.kill()
		return true // it was gone before
	}
	deaf, end := time.NewTimer(limit/5), time.NewTimer(limit)
	defer deaf.Stop()
	defer end.Stop()
	for {
		select {
		case <-p.done:
			return true
		case <-deaf.C:
			if ports, err := p.Listening(); err != nil || len(ports) == 0 {
				continue
			}
		case <-end.C:
		}
		p.kill()
		return false
	}
}

// until waits for the process to exit, to listen on a port (one that wanted
// accepts; nil is none), or for the limit. What listens is asked for once a
// poll and no more: for /proc/net/tcp the kernel walks a table of all possible
// connections, which takes 5 ms where the table is large.
func (p *process) until(ctx context.Context, limit, poll time.Duration, wanted func(int) bool) (state, []int, error) {
	select {
	case <-p.done:
		return exits, nil, p.err
	default:
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	look := tick.C
	if wanted == nil {
		look = nil
	}
	for {
		select {
		case <-ctx.Done():
			p.kill()
			return "", nil, context.Cause(ctx)
		case <-p.done:
			return exits, nil, p.err
		case <-end.C:
			return runs, nil, nil
		case <-look:
			ports, err := p.Listening()
			if err != nil {
				continue // between its end and done; the limit holds for anything else
			}
			if slices.ContainsFunc(ports, wanted) {
				return listens, ports, nil
			}
		}
	}
}

func anyPort(int) bool { return true }

// signalOf is the signal that ends a container: Config.StopSignal as the OCI
// image specification has it ("SIGINT", "2"), SIGTERM by default.
func signalOf(c plan.Config) syscall.Signal {
	if n, err := strconv.Atoi(c.StopSignal); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n)
	}
	return cmp.Or(unix.SignalNum(c.StopSignal), syscall.SIGTERM)
}
