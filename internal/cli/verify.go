package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"exuvia/internal/pipeline"
	"exuvia/internal/report"
)

func newVerify(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify IMAGE [DIR|SCRIPT]",
		Short: "Compare an image of the local store with the unreduced app",
		Long: `Installs the project in DIR (default: this directory) as exuvia build does,
boots it and the image side by side, and compares their answers.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := a.request(append(args, ".")[1], buildFlags{})
			if err != nil {
				return err
			}
			checks, err := work(a, func(p *pipeline.Pipeline) ([]report.Check, error) { return p.Verify(cmd.Context(), req, args[0]) })
			if asJSON && checks != nil {
				if jsonErr := printJSON(cmd.OutOrStdout(), checks); jsonErr != nil {
					return jsonErr
				}
				return err
			}
			if err != nil {
				writeFailedChecks(a.env.Stderr, checks)
				return err
			}
			return writeChecks(cmd, checks)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func writeChecks(cmd *cobra.Command, checks []report.Check) error {
	for _, c := range checks {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "✓ %s\n", c.Name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d of %d checks passed\n", len(checks), len(checks))
	return err
}
