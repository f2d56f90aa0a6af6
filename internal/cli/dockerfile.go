package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newDockerfile(a *app) *cobra.Command {
	var b buildFlags
	c := &cobra.Command{
		Use:   "dockerfile [flags] [DIR|SCRIPT]",
		Short: "Print a Dockerfile that makes the image of a variant without exuvia",
		Long: `Installs and analyses as exuvia build does, then prints a Dockerfile of several
stages which does the same with Docker's own means: the same files of the
dependencies by their hashes, the same tools at the same versions, the same
options. It is for the classic builder too. The image is another one, on the
base that Docker gives: only exuvia build compares what it makes.

The variant lean is work that no Dockerfile can do; its Dockerfile takes what
exuvia build --output rootfs:FILE writes.`,
		Example: "  exuvia dockerfile --variant slim > Dockerfile",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			req, err := a.request(dir, b)
			if err != nil {
				return err
			}
			p, done, err := a.pipeline()
			if err != nil {
				return err
			}
			defer done()
			text, err := p.Dockerfile(cmd.Context(), req)
			a.progress().Done()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	settingFlags(c.Flags(), &b.settings)
	c.Flags().BoolVar(&a.pull, "pull", false, "look for a newer state of the Debian suite, and resolve dependencies that no file locks anew")
	return c
}
