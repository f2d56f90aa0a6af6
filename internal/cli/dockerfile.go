package cli

import (
	"fmt"

	"exuvia/internal/pipeline"

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
			req, err := a.request(append(args, ".")[0], b)
			if err != nil {
				return err
			}
			text, err := work(a, func(p *pipeline.Pipeline) (string, error) { return p.Dockerfile(cmd.Context(), req) })
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	settingFlags(c.Flags(), &b.settings)
	a.pullFlag(c.Flags())
	return c
}
