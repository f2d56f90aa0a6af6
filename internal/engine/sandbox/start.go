package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
)

// stdio is where the streams of the command go: to a file of the caller's, or
// into a tail.
type stdio struct {
	in               *os.File
	outFile, errFile *os.File
	out, err         *tail
}

// process implements [engine.Process].
type process struct {
	box     *box
	cmd     *exec.Cmd
	control *control
	io      stdio
	copies  sync.WaitGroup // of streams into tails

	mu     sync.Mutex
	calls  map[int]chan call // dials under way
	last   int
	code   int
	coded  bool
	failed string

	running chan struct{} // closed once the command runs, or never will
	served  chan struct{} // closed once init has said all
	waited  func() (engine.Exit, error)
}

// call is the answer to a dial.
type call struct {
	file *os.File
	err  error
}

// start starts the command of box and returns once it runs. Closing box is
// the process's business from then on.
func (e *Engine) start(ctx context.Context, b *box, s stdio) (*process, error) {
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	p := &process{box: b, io: s, calls: make(map[int]chan call), running: make(chan struct{}), served: make(chan struct{})}
	p.waited = sync.OnceValues(p.wait)
	if err := p.launch(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.kill)
	go func() {
		p.serve()
		_, _ = p.waited() // takes everything down, whoever waits or not
		stop()
	}()
	<-p.running
	p.mu.Lock()
	failed := p.failed
	p.mu.Unlock()
	if failed == "" {
		return p, nil
	}
	_, _ = p.waited()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if rest, ok := strings.CutPrefix(failed, "setup: "); ok {
		return nil, refused(errors.New(rest))
	}
	if rest, ok := strings.CutPrefix(failed, "mount: "); ok {
		return nil, fault.New(fault.Usage, "give the user that runs exuvia access to it, or leave it out", "%s", rest)
	}
	return nil, &engine.StepError{Step: strings.Join(b.Argv, " "), Exit: 127, Reason: failed}
}

// launch executes this program as process 1 of new namespaces.
func (p *process) launch() error {
	data, err := json.Marshal(p.box.spec)
	if err != nil {
		return err
	}
	specFile, err := memory("spec", data)
	if err != nil {
		return err
	}
	defer specFile.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	flags := syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	if !p.box.Network {
		flags |= syscall.CLONE_NEWNET
	}
	p.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{initName}, Env: []string{"GOMAXPROCS=2"}, Dir: "/",
		ExtraFiles: []*os.File{specFile, theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  uintptr(flags),
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			// Ctrl-C at a terminal goes to exuvia alone, which passes it on;
			// and without a controlling terminal there is none to type into.
			Setsid: true,
		},
	}
	if p.io.in != nil {
		p.cmd.Stdin = p.io.in
	}
	ends, err := p.streams()
	defer func() {
		for _, f := range ends {
			f.Close()
		}
	}()
	if err == nil {
		err = p.cmd.Start()
		if err != nil {
			err = refused(err)
		}
	}
	if err != nil {
		ours.close()
		return err
	}
	p.control = ours
	return nil
}

// streams sets up stdout and stderr. The files it gives are to be closed once
// the command has them.
func (p *process) streams() ([]*os.File, error) {
	var ends []*os.File
	connect := func(file *os.File, t *tail) (*os.File, error) {
		if file != nil {
			return file, nil
		}
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		ends = append(ends, w)
		p.copies.Go(func() {
			defer r.Close()
			_, _ = io.Copy(t, r) // ends when the last process that could write is gone
		})
		return w, nil
	}
	out, err := connect(p.io.outFile, p.io.out)
	if err != nil {
		return ends, err
	}
	p.cmd.Stdout = out
	if p.io.err == p.io.out && p.io.outFile == nil {
		p.cmd.Stderr = out
		return ends, nil
	}
	stderr, err := connect(p.io.errFile, p.io.err)
	if err != nil {
		return ends, err
	}
	p.cmd.Stderr = stderr
	return ends, nil
}

// memory is a file in memory with the data, read from its beginning.
func memory(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// serve takes what init says until init is gone.
func (p *process) serve() {
	started := sync.OnceFunc(func() { close(p.running) })
	defer close(p.served)
	defer started()
	for {
		text, file, err := p.control.receive()
		if err != nil {
			break
		}
		if p.take(text, file) {
			started()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		c <- call{err: net.ErrClosed}
	}
	p.calls = nil
	select {
	case <-p.running:
	default:
		p.failed = "setup: its first process ended at once"
	}
}

// take understands one message, and reports whether the command runs or
// never will.
func (p *process) take(text string, file *os.File) bool {
	verb, rest, _ := strings.Cut(text, " ")
	first, more, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(first) // 0 where the message has no number
	p.mu.Lock()
	defer p.mu.Unlock()
	switch verb {
	case "memory":
		p.box.memory = file
		return false
	case "left":
		if p.box.left == nil {
			p.box.left = make(map[string]*os.File)
		}
		p.box.left[rest] = file
		return false
	case "failed":
		p.failed = rest
	case "exit":
		p.code, p.coded = n, true
	case "dialled", "refused":
		answer := call{file: file}
		if verb == "refused" {
			answer.err = errors.New(more)
		}
		if c, ok := p.calls[n]; ok {
			delete(p.calls, n)
			c <- answer
		}
	}
	return true
}

// kill ends everything in the sandbox: it goes with its process 1.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // it may have ended by itself

// Wait implements [engine.Process].
func (p *process) Wait() (engine.Exit, error) { return p.waited() }

func (p *process) wait() (engine.Exit, error) {
	err := p.cmd.Wait()
	<-p.served // the exit code may be on its way still
	p.copies.Wait()
	p.control.close()
	exit := engine.Exit{Code: 128 + int(syscall.SIGKILL)}
	exit.Files, exit.ManyFiles = p.box.files()
	if p.box.Boot {
		p.box.close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.coded {
		exit.Code = p.code
	}
	if p.io.outFile == nil {
		exit.Stdout = p.io.out.Bytes()
	}
	if p.io.errFile == nil {
		exit.Stderr = p.io.err.Bytes()
	}
	if _, killed := errors.AsType[*exec.ExitError](err); err != nil && !killed {
		return exit, fmt.Errorf("waiting for sandbox: %w", err)
	}
	return exit, nil
}

// Signal implements [engine.Process].
func (p *process) Signal(s os.Signal) error {
	n, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("cannot send %v", s)
	}
	return p.control.send(nil, "signal %d", int(n))
}

// Dial implements [engine.Process].
func (p *process) Dial(ctx context.Context, port int) (net.Conn, error) {
	answer := make(chan call, 1)
	p.mu.Lock()
	if p.calls == nil {
		p.mu.Unlock()
		return nil, net.ErrClosed
	}
	p.last++
	id := p.last
	p.calls[id] = answer
	p.mu.Unlock()
	if err := p.control.send(nil, "dial %d %d", id, port); err != nil {
		return nil, fmt.Errorf("dialling port %d: %w", port, err)
	}
	select {
	case <-ctx.Done():
		go func() {
			if c := <-answer; c.file != nil {
				c.file.Close()
			}
		}()
		return nil, context.Cause(ctx)
	case c := <-answer:
		if c.err != nil {
			return nil, fmt.Errorf("dialling port %d: %w", port, c.err)
		}
		defer c.file.Close()
		return net.FileConn(c.file)
	}
}
