package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// forward is one port of the container on the host.
type forward struct {
	host      string // address to listen on: "127.0.0.1:8080"
	container int
}

func newRun(a *app) *cobra.Command {
	var o engine.BootOptions
	var ports, volumes []string
	var entrypoint string
	c := &cobra.Command{
		Use:   "run [flags] IMAGE [ARG...]",
		Short: "Boot an image of the local store, without Docker",
		Long: `Boots an image as a container: its own processes, network and users, a
read-only root, loopback only. Ports given with --publish are reached from the
host. The exit code is the container's. SIGINT and SIGTERM go to its process 1.`,
		Example: "  exuvia run -p 8080:80 rest-app --host 0.0.0.0 --port 80",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			o.Args = args[1:]
			if entrypoint != "" {
				o.Entry = []string{entrypoint}
			}
			if o.Volumes, err = parseVolumes(volumes); err != nil {
				return err
			}
			forwards, err := parsePorts(ports)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), args[0], o, forwards)
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringArrayVarP(&ports, "publish", "p", nil, "port of the container on the host: [ADDRESS:]HOST:CONTAINER")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "environment variable, KEY=value")
	f.StringArrayVarP(&volumes, "volume", "v", nil, "directory or file of the host in the container: HOST:CONTAINER[:ro]")
	f.StringVarP(&o.User, "user", "u", "", "user to run as, UID[:GID] or a name")
	f.StringVar(&entrypoint, "entrypoint", "", "executable in place of the image's entry point")
	f.BoolVar(&o.Writable, "writable", false, "let the container write to its root; gone when it ends")
	f.BoolVar(&o.Network, "host-network", false, "the host's network in place of loopback only")
	return c
}

// parsePorts reads "8080:80" and "0.0.0.0:8080:80".
func parsePorts(specs []string) ([]forward, error) {
	var out []forward
	for _, s := range specs {
		i := strings.LastIndex(s, ":")
		host, container := s[:max(i, 0)], s[i+1:]
		if !strings.Contains(host, ":") {
			host = "127.0.0.1:" + host
		}
		n, err := strconv.ParseUint(container, 10, 16)
		_, port, err2 := net.SplitHostPort(host)
		_, err3 := strconv.ParseUint(port, 10, 16)
		if i < 0 || n == 0 || err != nil || err2 != nil || err3 != nil {
			return nil, fault.New(fault.Usage, "write it as HOST:CONTAINER, for instance 8080:80", "cannot read port %q", s)
		}
		out = append(out, forward{host, int(n)})
	}
	return out, nil
}

// parseVolumes reads "/data:/data" and "./conf:/etc/app:ro".
func parseVolumes(specs []string) ([]engine.Volume, error) {
	var out []engine.Volume
	for _, s := range specs {
		parts := strings.Split(s, ":")
		if len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" || len(parts) < 2 || len(parts) > 3 || !filepath.IsAbs(parts[1]) {
			return nil, fault.New(fault.Usage, "write it as HOST:CONTAINER[:ro] with an absolute path in the container", "cannot read volume %q", s)
		}
		host, err := filepath.Abs(parts[0])
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(host); err != nil {
			return nil, fault.New(fault.Usage, "make it first, or name another", "cannot mount %s: %s", parts[0], fault.Reason(err))
		}
		out = append(out, engine.Volume{Host: host, At: filepath.Clean(parts[1]), ReadOnly: len(parts) == 3 && parts[2] == "ro"})
	}
	return out, nil
}

// run boots the image and stays until it ends.
func (a *app) run(ctx context.Context, ref string, o engine.BootOptions, forwards []forward) error {
	cache, err := a.cache()
	if err != nil {
		return err
	}
	done, err := cache.Use()
	if err != nil {
		return err
	}
	defer done()
	root, config, err := a.unpacked(ctx, cache, ref)
	if err != nil {
		return err
	}
	eng, err := a.engine()
	if err != nil {
		return err
	}
	listeners, err := listen(ctx, forwards)
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	if err != nil {
		return err
	}
	o.Stdin = a.env.Stdin
	o.Stdout, o.Stderr = file(a.env.Stdout), file(a.env.Stderr)
	// The user's Ctrl-C goes to the container, which decides what it means.
	bootCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	p, err := eng.Boot(bootCtx, root, config, o)
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		return fault.New(fault.NotFound, "name a program that the image has with --entrypoint; exuvia why PATH says what is in it", "the container cannot be started: %s", failed.Reason)
	}
	if err != nil {
		return err
	}
	for i, l := range listeners {
		go serve(bootCtx, l, p, forwards[i].container)
	}
	defer passOn(p)()
	exit, err := p.Wait()
	if err != nil {
		return err
	}
	a.copyOut(exit)
	if exit.Code != 0 {
		return exitError(exit.Code)
	}
	return nil
}

// unpacked is an image of the store, ready to boot.
func (a *app) unpacked(ctx context.Context, cache *cas.Store, ref string) (*tree.Tree, plan.Config, error) {
	store, err := a.store()
	if err != nil {
		return nil, plan.Config{}, err
	}
	img, err := store.Get(ref)
	if err != nil {
		return nil, plan.Config{}, err
	}
	return oci.Flatten(ctx, cache, img)
}

// listen opens the published ports, as far as it comes.
func listen(ctx context.Context, forwards []forward) ([]net.Listener, error) {
	var out []net.Listener
	for _, f := range forwards {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.host)
		if errors.Is(err, syscall.EADDRINUSE) {
			return out, fault.New(fault.Busy, "stop what uses it, or choose another with --publish", "port %s is in use", f.host)
		}
		if err != nil {
			return out, fault.New(fault.Usage, "choose an address of this host and a port you may listen on", "cannot listen on %s: %s", f.host, fault.Reason(err))
		}
		out = append(out, l)
	}
	return out, nil
}

// passOn hands the signals of this process to the container, until the
// function that it gives is called.
func passOn(p engine.Process) func() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			_ = p.Signal(s) // it has ended: Wait says so
		}
	}()
	return func() { signal.Stop(signals) }
}

// file is w where a container can write to it by itself.
func file(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	return f
}

// copyOut shows what the container wrote where it could not do so itself.
func (a *app) copyOut(exit engine.Exit) {
	if _, ok := a.env.Stdout.(*os.File); !ok {
		fmt.Fprintf(a.env.Stdout, "%s", exit.Stdout)
	}
	if _, ok := a.env.Stderr.(*os.File); !ok {
		fmt.Fprintf(a.env.Stderr, "%s", exit.Stderr)
	}
}

// serve carries the connections of one published port.
func serve(ctx context.Context, l net.Listener, p engine.Process, port int) {
	for {
		outside, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer outside.Close()
			inside, err := p.Dial(ctx, port)
			if err != nil {
				return
			}
			defer inside.Close()
			go pipe(inside, outside)
			pipe(outside, inside)
		}()
	}
}

// pipe copies until src ends, and passes the end on.
func pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // either side may hang up at any time
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}
