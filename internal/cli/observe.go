package cli

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"exuvia/internal/fault"
	"exuvia/internal/observe"
	"exuvia/internal/pipeline"
	"exuvia/internal/project"
)

func newObserve(a *app) *cobra.Command {
	var b buildFlags
	var output string
	c := &cobra.Command{
		Use:   "observe [flags] [DIR|SCRIPT] [-- COMMAND...]",
		Short: "Record what the unreduced app uses while it runs",
		Long: `Installs the project in DIR (default: this directory) as exuvia build does, runs
COMMAND in it, and records the modules that are imported and the files that are
opened, mapped and executed, by child processes too. COMMAND, such as the
project's tests, runs in the project's directory, where nothing that it writes
stays; without one the app is asked what the verification asks.

The record is JSON without any path of this machine, to be committed and named
in [tool.exuvia] observations: a build then keeps what is in it, beside what the
analysis finds. A FILE that exists is united with what is new.`,
		Example: "  exuvia observe --output observed.json\n  exuvia observe --groups test -o observed.json . -- python -m pytest tests",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, command := args, []string(nil)
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				dir, command = args[:at], args[at:]
			}
			if len(dir) > 1 {
				return fault.New(fault.Usage, "put the command after --: exuvia observe "+dir[0]+" -- "+strings.Join(dir[1:], " "), "too many arguments")
			}
			return a.observe(cmd, append(slices.Clip(dir), ".")[0], command, output, b)
		},
	}
	settingFlags(c.Flags(), &b.settings)
	c.Flags().StringVarP(&output, "output", "o", "", "file to write to, in place of printing")
	return c
}

func (a *app) observe(cmd *cobra.Command, dir string, command []string, output string, b buildFlags) error {
	var known observe.Observation
	if output != "" { // before the work
		var err error
		if known, err = readObservation(output); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := writable(output); err != nil {
			return err
		}
	}
	req, err := a.request(dir, b)
	if err != nil {
		return err
	}
	seen, err := work(a, func(p *pipeline.Pipeline) (observe.Observation, error) {
		return p.Observe(cmd.Context(), req, project.Line(command))
	})
	if err != nil {
		return err
	}
	write := observe.Merge(known, seen).Write
	if output == "" {
		return write(cmd.OutOrStdout())
	}
	return writeOutput(output, write)
}

func readObservation(name string) (observe.Observation, error) {
	f, err := os.Open(name)
	if err != nil {
		return observe.Observation{}, err
	}
	defer f.Close()
	return observe.Read(f, name)
}
