// Package cli is the command: flags, environment, text, progress and the exit
// code. It is the only place that chooses implementations, and the only one
// that sees the process's environment, clock and streams.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
)

// Env is the process as the command sees it.
type Env struct {
	Args    []string // with the program's name
	Getenv  func(string) string
	Environ []string
	Stdin   *os.File
	Stdout  io.Writer
	Stderr  io.Writer
	// Overlook is for tests: see pipeline.Pipeline.
	Overlook func(path string) bool
}

// Main runs the command and gives its exit code: 0, that of a [fault.Kind], 1
// for a defect of exuvia, or, of `exuvia run`, that of the container.
func Main(ctx context.Context, env Env) int {
	root := newRoot(env)
	root.SetArgs(env.Args[1:])
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	f := explain(ctx, err)
	writeSaid(env.Stderr, f.Said)
	fmt.Fprintf(env.Stderr, "exuvia: error: %s\n", oneLine(f.What))
	fmt.Fprintf(env.Stderr, "exuvia: hint: %s\n", oneLine(f.Hint))
	return int(f.Kind)
}

// exitError is the exit code of a container, which becomes the command's own.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// defect is the exit code of an error that no one has explained.
const defect fault.Kind = 1

// explain makes an error for the user out of any.
func explain(ctx context.Context, err error) *fault.Error {
	if ctx.Err() != nil {
		return &fault.Error{Kind: fault.Interrupted, What: "interrupted", Hint: "nothing was changed; run the same command again"}
	}
	f, ok := errors.AsType[*fault.Error](err)
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if full && (!ok || f.Kind != fault.Space) {
		return &fault.Error{Kind: fault.Space, What: err.Error(), Hint: "free some space, with exuvia cache prune for instance, or set EXUVIA_CACHE and EXUVIA_DATA to a larger disk"}
	}
	if ok {
		what := f.What
		if msg := err.Error(); msg != f.What { // context that callers put around it
			what = msg
		}
		return &fault.Error{Kind: f.Kind, What: what, Hint: f.Hint, Said: f.Said, Err: err}
	}
	if errors.Is(err, cas.ErrCorrupt) {
		return &fault.Error{Kind: fault.Integrity, What: err.Error(), Hint: "the damaged entry was removed; run the same command again"}
	}
	if errors.Is(err, fs.ErrPermission) {
		return &fault.Error{Kind: fault.Usage, What: err.Error(), Hint: "check the permissions of this path, or set EXUVIA_CACHE to a directory of yours"}
	}
	return &fault.Error{Kind: defect, What: err.Error(), Hint: "this is a defect of exuvia; please report it with the output of the same command and --debug"}
}

// mostSaid is how many lines are shown of what a program printed.
const mostSaid = 25

// writeSaid shows the end of what a program printed before it failed.
func writeSaid(w io.Writer, said string) {
	said = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, said)
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if len(lines) > mostSaid {
		lines = append([]string{"…"}, lines[len(lines)-mostSaid:]...)
	}
	for _, l := range lines {
		if said != "" {
			fmt.Fprintf(w, "    %s\n", l)
		}
	}
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n", " ")), " ")
}

// newRoot makes the command tree.
func newRoot(env Env) *cobra.Command {
	a := &app{env: env}
	root := &cobra.Command{
		Use:   "exuvia",
		Short: "The smallest container image that still behaves like your Python project",
		Long: `exuvia builds, from a Python project, the smallest OCI image that still behaves
like the project, and proves it: every image is booted and its answers are
compared with the unreduced app's before it gets a name. It needs no Docker,
no Python and no root.

What goes wrong is said in two lines, what it is and what to do, and by the exit
code: 2 command line or setting, 3 project, 4 dependencies, 5 network, 6 hash or
signature, 7 base, 8 build step, 9 the image differs, 10 the project does not
start, 11 disk full, 12 no sandbox, 13 not delivered, 14 not found, 15 port or
lock taken, 16 over budget, 130 interrupted; 1 is a defect of exuvia.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := "see " + cmd.CommandPath() + " --help"
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			f := bad.GetFlag()
			return fault.New(fault.Usage, "it is: "+f.Usage+"; "+hint, "--%s cannot be %q", f.Name, bad.GetValue())
		}
		return fault.New(fault.Usage, hint, "%s", err)
	})
	f := root.PersistentFlags()
	f.StringVar(&a.cacheDir, "cache-dir", "", "where downloads and finished work are kept (default $EXUVIA_CACHE, else ~/.cache/exuvia)")
	f.StringVar(&a.dataDir, "data-dir", "", "where images are kept (default $EXUVIA_DATA, else ~/.local/share/exuvia)")
	f.BoolVar(&a.debug, "debug", false, "log every step to stderr")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	root.AddCommand(
		newBuild(a), newDockerfile(a), newCompare(a), newVerify(a), newMeasure(a), newObserve(a), newRun(a), newWhy(a), newReport(a), newDiff(a),
		newInit(a), newImages(a), newRemove(a), newCache(a), newVariants(a), newPasses(a), newVersion(a),
	)
	explainArgs(root)
	return root
}

// explainArgs turns cobra's complaint about a command's arguments into a
// usage error with its own exit code.
func explainArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			switch err := check(cmd, args); {
			case err == nil:
				return nil
			case cmd.HasSubCommands() && len(args) > 0:
				return fault.New(fault.Usage, "see "+cmd.CommandPath()+" --help", "unknown command %q for %s", args[0], cmd.CommandPath())
			case len(args) == 0:
				return fault.New(fault.Usage, "write: "+cmd.UseLine(), "%s was given no argument", cmd.CommandPath())
			}
			return fault.New(fault.Usage, "write: "+cmd.UseLine(), "%s does not take these arguments: %s", cmd.CommandPath(), strings.Join(args, " "))
		}
	}
	for _, sub := range c.Commands() {
		explainArgs(sub)
	}
}
