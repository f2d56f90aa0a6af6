package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/pipeline"
)

func newWhy(a *app) *cobra.Command {
	var asJSON bool
	var image, not string
	c := &cobra.Command{
		Use:   "why [flags] [WHAT]",
		Short: "Say why something is in an image, or why it is out",
		Long: `Prints the chain from an entry point, or from the runtime contract, to WHAT: a
path, a module ("json.decoder"), a distribution ("fastapi"), a Debian package
("deb:libssl3") or a library by its soname ("libssl.so.3"). Of several files the
first is explained. With --not it says why WHAT is out. Paths are those of
before the reductions; where they went is said too.`,
		Example: "  exuvia why json.decoder\n  exuvia why /usr/lib/x86_64-linux-gnu/libssl.so.3\n  exuvia why --not pdb",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (not != "") {
				return fault.New(fault.Usage, "see exuvia why --help", "name one thing: WHAT, or --not WHAT")
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			if image == "" {
				if image, err = latest(store); err != nil {
					return err
				}
			}
			x, err := pipeline.Explain(store, image)
			if err != nil {
				return err
			}
			if not != "" {
				absence := x.WhyNot(not)
				if asJSON {
					return printJSON(cmd.OutOrStdout(), absence)
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), absence.Text)
				return err
			}
			reason, err := x.Why(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), reason)
			}
			return writeReason(cmd.OutOrStdout(), reason)
		},
	}
	f := c.Flags()
	f.StringVarP(&image, "image", "i", "", "image of the local store (default: the one built last)")
	f.StringVar(&not, "not", "", "say why this is out")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// writeReason prints a chain, a line each, from the root down.
func writeReason(w io.Writer, r *pipeline.Reason) error {
	for i, l := range r.Chain {
		note := ""
		if l.Note != "" {
			note = " (" + l.Note + ")"
		}
		kind := l.Kind
		if i == 0 {
			kind = "root"
		}
		if _, err := fmt.Fprintf(w, "%*s%s: /%s%s\n", 2*i, "", kind, l.Path, note); err != nil {
			return err
		}
	}
	if r.Now != "" {
		if _, err := fmt.Fprintf(w, "in the image: %s\n", r.Now); err != nil {
			return err
		}
	}
	if r.Others > 0 {
		_, err := fmt.Fprintf(w, "(%d more files are called so)\n", r.Others)
		return err
	}
	return nil
}

// latest is the image that was named last.
func latest(store *oci.Store) (string, error) {
	list, err := store.List()
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", fault.New(fault.NotFound, "build one with exuvia build", "the local store has no image")
	}
	return list[0].Reference, nil
}
