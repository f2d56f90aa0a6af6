package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"exuvia/internal/reduce"
	"exuvia/internal/variant"
)

// listed is a variant or a pass as --json prints it.
type listed struct {
	Name    string   `json:"name"`
	Short   string   `json:"short,omitempty"`
	Doc     string   `json:"doc"`
	Base    string   `json:"base,omitempty"`
	Options []string `json:"options,omitempty"`
}

func newVariants(*app) *cobra.Command {
	return listing("variants", "List the ways to make an image", func() []listed {
		var out []listed
		for _, v := range variant.All() {
			out = append(out, listed{Name: v.Name, Short: v.Short, Doc: v.Doc, Base: v.Base})
		}
		return out
	})
}

func newPasses(*app) *cobra.Command {
	return listing("passes", "List the reductions, for --passes and --disable", func() []listed {
		var out []listed
		for _, p := range reduce.All() {
			out = append(out, listed{Name: p.Name, Short: p.Short, Doc: p.Doc, Options: p.Options})
		}
		return out
	})
}

// listing is a command that lists what there is.
func listing(use, short string, list func() []listed) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list())
			}
			for _, l := range list() {
				if err := writeListed(cmd.OutOrStdout(), l); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func writeListed(w io.Writer, l listed) error {
	head := l.Name
	if l.Short != "" {
		head += ": " + l.Short
	}
	if l.Base != "" {
		head += " (on " + l.Base + ")"
	}
	_, err := fmt.Fprintf(w, "%s\n    %s\n\n", head, strings.ReplaceAll(l.Doc, "\n", "\n    "))
	return err
}
