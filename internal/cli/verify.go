package cli

import (
	"fmt"

	"github.com/spf13/cobra"

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
			dir := "."
			if len(args) == 2 {
				dir = args[1]
			}
			req, err := a.request(dir, buildFlags{})
			if err != nil {
				return err
			}
			p, done, err := a.pipeline()
			if err != nil {
				return err
			}
			defer done()
			checks, err := p.Verify(cmd.Context(), req, args[0])
			a.progress().Done()
			if asJSON {
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
