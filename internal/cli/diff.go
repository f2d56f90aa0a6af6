package cli

import (
	"context"
	"errors"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"exuvia/internal/pipeline"
	"exuvia/internal/report"
)

// limit is a [pflag.Value] of a bound of a budget.
type limit struct {
	to     *report.Limit
	shares bool // percents mean something
}

func (l limit) String() string {
	if l.to == nil {
		return ""
	}
	return l.to.Text
}

func (l limit) Set(s string) error {
	v, ok := report.ParseLimit(s)
	if !ok || v.Share && !l.shares {
		return errors.New("not a number of bytes")
	}
	*l.to = v
	return nil
}

func (l limit) Type() string {
	if l.shares {
		return "SIZE|PERCENT"
	}
	return "SIZE"
}

// budgetFlags adds what bounds an image.
func budgetFlags(f *pflag.FlagSet, b *report.Budget, before string) {
	f.Var(limit{to: &b.Size}, "max-size", `most unpacked bytes that the image may have, as "35MB" (B, kB, MB, GB, powers of 1000)`)
	f.Var(limit{&b.Growth, true}, "max-growth", `most by which it may have grown from `+before+`, as "2%" or "500kB"`)
}

func newDiff(a *app) *cobra.Command {
	var asJSON, all bool
	var budget report.Budget
	c := &cobra.Command{
		Use:   "diff [flags] [[BEFORE] IMAGE]",
		Short: "Say what is different in two images, and keep to a budget",
		Long: `Compares two images: sizes, distributions and packages, files and modules by
their contents, layers, configuration. With one name it compares the image that
has the name with the one that had it before; without any, those of the name
that was given last.

An image is a name or a digest of the local store, or oci:DIR, oci-archive:FILE,
docker-archive:FILE, docker:NAME. What files are of is known of images that were
built here; of others only the versions of their packages are compared.

With --max-size or --max-growth an image that is larger ends the command with
exit code 16 and the names of what grew most; exuvia build has the same flags,
and gives such an image no name.`,
		Example: "  exuvia diff\n  exuvia diff rest-app:1.0 rest-app:1.1\n  exuvia diff --max-growth 2% oci-archive:main.tar rest-app",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, over, err := a.diff(cmd.Context(), args, budget)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), d)
			} else {
				err = report.WriteDiff(cmd.OutOrStdout(), d, all)
			}
			return errors.Join(err, over)
		},
	}
	f := c.Flags()
	f.BoolVarP(&all, "all", "a", false, "show every file, not only the largest differences")
	f.BoolVar(&asJSON, "json", false, "print JSON, sizes in bytes")
	budgetFlags(f, &budget, "the other")
	return c
}

// diff compares the images that args name. An image over the budget is the
// second error.
func (a *app) diff(ctx context.Context, args []string, budget report.Budget) (d report.Diff, over, err error) {
	store, err := a.store()
	if err != nil {
		return d, nil, err
	}
	if len(args) == 0 {
		name, err := latest(store)
		if err != nil {
			return d, nil, err
		}
		args = []string{name}
	}
	name := args[0]
	if len(args) == 1 {
		before, err := store.Previous(name)
		if err != nil {
			return d, nil, err
		}
		args = []string{before, name}
	}
	both, err := work(a, func(p *pipeline.Pipeline) ([2]*report.Snapshot, error) {
		before, after, err := p.Snapshots(ctx, args[0], args[1], v1.Platform{OS: "linux", Architecture: runtime.GOARCH})
		return [2]*report.Snapshot{before, after}, err
	})
	if err != nil {
		return d, nil, err
	}
	before, after := both[0], both[1]
	if args[0] != name {
		before.Reference = name + ", before"
	}
	return report.Difference(*before, *after), pipeline.OverBudget(budget, before, *after), nil
}
