package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"exuvia/internal/report"
)

// printJSON writes v as scripts read it.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func newImages(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "images", Short: "List the images in the local store", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			list, err := store.List()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 3, ' ', 0)
			fmt.Fprintln(w, "REFERENCE\tDIGEST\tBUILT\tSIZE\tDOWNLOAD")
			for _, i := range list {
				fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\t%s\n", i.Reference, i.Digest, i.Tagged.Local().Format(time.DateTime), report.Megabytes(i.Size), report.Megabytes(i.Download))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm IMAGE...", Short: "Remove images from the local store", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			for _, ref := range args {
				if err := store.Remove(ref); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), ref)
			}
			return nil
		},
	}
}

func newCache(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "cache", Short: "Show or clear what is kept between builds", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := a.cache()
			if err != nil {
				return err
			}
			n, err := cache.Size()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\n", cache.Dir(), report.Megabytes(n))
			return nil
		},
	}
	c.AddCommand(&cobra.Command{
		Use: "prune", Short: "Remove everything from the cache; images stay", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := a.cache()
			if err != nil {
				return err
			}
			n, err := cache.Prune()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "freed %s\n", report.Megabytes(n))
			return nil
		},
	})
	return c
}
