package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"exuvia/internal/oci"
	"exuvia/internal/pipeline"
	"exuvia/internal/report"
)

func newReport(a *app) *cobra.Command {
	var asJSON bool
	var output string
	c := &cobra.Command{
		Use:   "report [flags] [IMAGE]",
		Short: "Write a page about an image: what it has, what was dropped, how it was checked",
		Long: `Writes one HTML page about an image of the local store (default: the one that
was named last), and prints the file's name: the sizes of distributions, modules
and libraries as a map and as tables, what each stage of the build took away,
what was dropped and why, what was healed, layers and checks. The page needs no
network, follows light and dark, and can be used by keyboard.`,
		Example: "  exuvia report\n  exuvia report -o rest-app.html rest-app:1.0\n  exuvia report --json | jq '.owners[] | {name, size, before}'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			img, err := described(store, args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), img)
			}
			if err := writeOutput(output, func(w io.Writer) error { return report.WriteImageHTML(w, *img) }); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), output)
			return err
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "report.html", "file to write")
	f.BoolVar(&asJSON, "json", false, "print JSON, sizes in bytes, in place of the page")
	return c
}

// described is the image that args name, or the one named last.
func described(store *oci.Store, args []string) (*report.Image, error) {
	if len(args) == 1 {
		return pipeline.Describe(store, args[0])
	}
	name, err := latest(store)
	if err != nil {
		return nil, err
	}
	return pipeline.Describe(store, name)
}
