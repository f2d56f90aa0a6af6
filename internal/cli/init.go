package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"exuvia/internal/project"
)

func newInit(*app) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write every setting, with comments, to pyproject.toml",
		Long: `Adds [tool.exuvia] to the pyproject.toml of DIR (default: this directory), with
every setting commented out and explained. What is there already stays as it is.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := project.Init(append(args, ".")[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), name)
			return err
		},
	}
}
