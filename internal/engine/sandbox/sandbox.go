// Package sandbox runs steps and boots images in Linux namespaces, with
// nothing to install and no privileges: user, mount, pid, ipc, uts and network
// namespaces, an overlay over a materialised tree, no new privileges, dropped
// capabilities and a seccomp filter. It is one code path for root and for an
// ordinary user with a single mapped id.
//
// The program executes itself twice: as "exuvia-init", process 1 of the
// namespaces, which mounts, serves the control socket and reaps; and from
// there as "exuvia-exec", which gives up what is left of its powers and
// becomes the command. [Init] is where these two begin.
//
// It keeps what runs in it from the host's files, processes and network (unless
// it is given the network), and from changing the cache. It sets no limits to
// memory, processes or disk space.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"sync"
	"syscall"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// Options are what an Engine is made of.
type Options struct {
	Cache *cas.Store
	Log   *slog.Logger // nil for none
}

// Engine implements [engine.Engine] and [engine.Booter]. Processes that it
// boots live as long as the context they were booted with, and no longer than
// exuvia.
type Engine struct {
	cache *cas.Store
	log   *slog.Logger
	dirs  sync.Map // *tree.Tree → its directories
}

var (
	_ engine.Engine = (*Engine)(nil)
	_ engine.Booter = (*Engine)(nil)
)

// New makes an engine. Whether this machine allows what it needs shows at the
// first step or boot, as a fault of kind Sandbox.
func New(o Options) (*Engine, error) {
	if o.Cache == nil {
		return nil, errors.New("sandbox: no cache")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{cache: o.Cache, log: o.Log}, nil
}

// Mode says how steps run here, for reports.
func (e *Engine) Mode() string {
	if os.Getuid() == 0 {
		return "namespaces (root)"
	}
	return "namespaces (user)"
}

// Run implements [engine.Engine]. What a step writes outside its Outs and /tmp
// is dropped without a word, changes to existing files there included. The limit counts from the start of the
// command.
func (e *Engine) Run(ctx context.Context, s plan.Step, trees engine.Trees) (*tree.Tree, error) {
	box, err := e.stepBox(ctx, s, trees)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	defer box.close()
	if err := e.command(ctx, box, s); err != nil {
		return nil, err
	}
	return e.harvest(ctx, box, s)
}

// command runs the step's command to its end.
func (e *Engine) command(ctx context.Context, b *box, s plan.Step) error {
	limit := cmp.Or(s.Limit, engine.DefaultLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLimit)
	defer cancel()
	began, out := now(), newTail(maxOutput)
	exit := engine.Exit{Code: 128 + int(syscall.SIGKILL)}
	p, err := e.start(ctx, b, stdio{out: out, err: out})
	if err == nil {
		exit, err = p.Wait()
	}
	e.noteMemory(b)
	e.log.Debug("step", "name", s.Name, "exit", exit.Code, "seconds", time.Since(began).Seconds())
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLimit):
		return &engine.StepError{Step: s.Name, Exit: exit.Code, Output: out.String(), Reason: "time limit of " + limit.String()}
	case cause != nil:
		return cause
	case err != nil:
		return fmt.Errorf("%s: %w", s.Name, err)
	case exit.Code != 0 && full.MatchString(out.String()):
		return fmt.Errorf("%s, with its work in %s: %w", s.Name, e.cache.Dir(), syscall.ENOSPC)
	case exit.Code != 0:
		return &engine.StepError{Step: s.Name, Exit: exit.Code, Output: out.String()}
	}
	return nil
}

// noteMemory says when what a step wrote was not on disk.
func (e *Engine) noteMemory(b *box) {
	if b.memory != nil {
		e.log.Warn("the file system of the cache cannot hold the upper layer of an overlay; writes go to memory", "cache", e.cache.Dir())
	}
}

// full matches what programs print that find the disk full: the C library's
// words, Python's number and Rust's.
var full = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded|\[Errno 28\]|os error 28\b`)

var errLimit = errors.New("time limit")

// maxOutput is how much of a step's output is kept, its end.
const maxOutput = 64 << 10

// maxStream is how much of each stream of a booted image is kept.
const maxStream = 1 << 20

// Boot implements [engine.Booter].
func (e *Engine) Boot(ctx context.Context, root *tree.Tree, c plan.Config, o engine.BootOptions) (engine.Process, error) {
	box, err := e.bootBox(ctx, root, c, o)
	if err != nil {
		return nil, fmt.Errorf("booting: %w", err)
	}
	p, err := e.start(ctx, box, stdio{
		in: o.Stdin, outFile: o.Stdout, errFile: o.Stderr, out: newTail(maxStream), err: newTail(maxStream),
	})
	if err != nil {
		box.close()
		return nil, fmt.Errorf("booting: %w", err)
	}
	e.noteMemory(box)
	return p, nil
}
