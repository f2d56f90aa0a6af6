// Package observe records what a running app uses: the files that it and its
// child processes open, map, execute and look for in vain, and the modules that
// Python imports. Strace sees the system calls, of threads and children too; an
// audit hook (PEP 578) tells it the names of modules.
//
// What was seen is kept as an [Observation], which only ever adds to what the
// analysis finds, and which heals an image that lacks something: see [Pair].
package observe

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// Packages are those of Debian that an [Observer] needs.
var Packages = []string{"strace"}

const (
	ownDir    = "/run/exuvia/observe/"
	toolDir   = ownDir + "strace"  // where strace is mounted
	hookDir   = ownDir + "names"   // where the audit hook is
	recordDir = ownDir + "record"  // where strace writes
	importDir = ownDir + "import/" // is not there: the hook asks for names below it
)

//go:embed names.py
var hook []byte

// Observer boots as another Booter does, and records what each boot uses. An
// app runs several times slower in it.
type Observer struct {
	engine.Booter
	tools   *tree.Tree
	hook    *tree.Tree
	command []string // that starts strace
	temp    string

	mu    sync.Mutex
	boots []boot
}

// boot is one container that was started.
type boot struct {
	root *tree.Tree
	dir  string // of its records
	cwd  string
}

// New makes an observer of a tree that has [Packages]. Strace runs by its own
// loader with its own libraries, so that it works in an image that has none.
func New(b engine.Booter, tools *tree.Tree, cache *cas.Store) (*Observer, error) {
	strace, ok := tools.Resolve("usr/bin/strace")
	if !ok {
		return nil, fmt.Errorf("observing: the tools have no strace")
	}
	loader, dirs := loaderOf(tools)
	if loader == "" {
		return nil, fmt.Errorf("observing: the tools of strace have no loader")
	}
	names, err := python.Sitecustomize("observe", hook)
	if err != nil {
		return nil, err
	}
	temp, err := cache.Temp("observe")
	if err != nil {
		return nil, err
	}
	return &Observer{
		Booter: b, tools: tools, hook: names, temp: temp,
		command: []string{
			loader, "--library-path", strings.Join(dirs, ":"), toolDir + "/" + strace.Path,
			// The app stays process 1 (-D); a file for each process (-ff), in
			// which no two calls are mixed; file descriptors as paths (-y).
			"-D", "-f", "-ff", "--seccomp-bpf", "-y", "-qq", "-e", "trace=%file", "-o", recordDir + "/of", "--",
		},
	}, nil
}

// Close removes what was recorded.
func (o *Observer) Close() { cas.RemoveAll(o.temp) }

// loaderOf finds glibc's loader in a tree, and the directories of libraries.
func loaderOf(t *tree.Tree) (loader string, dirs []string) {
	for e := range t.All() {
		name := path.Base(e.Path)
		if !e.IsRegular() || !strings.Contains(name, ".so") {
			continue
		}
		if strings.HasPrefix(name, "ld-") && e.Mode&0o100 != 0 {
			loader = toolDir + "/" + e.Path
		}
		if dir := toolDir + "/" + path.Dir(e.Path); strings.HasPrefix(name, "lib") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return loader, dirs
}

// Boot implements [engine.Booter].
func (o *Observer) Boot(ctx context.Context, root *tree.Tree, c plan.Config, opts engine.BootOptions) (engine.Process, error) {
	dir, err := os.MkdirTemp(o.temp, "boot-*")
	if err != nil {
		return nil, err
	}
	argv := slices.Concat(c.Entrypoint, c.Cmd)
	if opts.Entry != nil {
		argv = opts.Entry
	}
	if opts.Args != nil {
		argv = slices.Concat(opts.Entry, opts.Args)
		if opts.Entry == nil {
			argv = slices.Concat(c.Entrypoint, opts.Args)
		}
	}
	opts.Entry, opts.Args, opts.Traces = slices.Concat(o.command, argv), nil, true
	opts.Inputs = append(slices.Clip(opts.Inputs), engine.Input{Tree: o.tools, At: toolDir}, engine.Input{Tree: o.hook, At: hookDir})
	opts.Volumes = append(slices.Clip(opts.Volumes), engine.Volume{Host: dir, At: recordDir})
	opts.Env = append(slices.Clip(opts.Env), "PYTHONPATH="+pythonPath(slices.Concat(c.Env, opts.Env)))
	p, err := o.Booter.Boot(ctx, root, c, opts)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.boots = append(o.boots, boot{root, dir, path.Join("/", c.WorkingDir)})
	o.mu.Unlock()
	return p, nil
}

// pythonPath puts the hook before what an environment has as PYTHONPATH.
func pythonPath(env []string) string {
	out := hookDir
	for _, kv := range env {
		if rest, ok := strings.CutPrefix(kv, "PYTHONPATH="); ok {
			out = hookDir + ":" + rest // the last one counts
		}
	}
	return out
}

// Trace is what all boots of a tree have used so far.
func (o *Observer) Trace(root *tree.Tree) (*Trace, error) {
	o.mu.Lock()
	boots := slices.Clone(o.boots)
	o.mu.Unlock()
	t := newTrace()
	for _, b := range boots {
		if b.root != root {
			continue
		}
		files, err := filepath.Glob(filepath.Join(b.dir, "of.*"))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if err := t.file(f, b.cwd); err != nil {
				return nil, fmt.Errorf("reading what was observed: %w", err)
			}
		}
	}
	return t, nil
}
