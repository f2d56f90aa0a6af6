package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"exuvia/internal/fault"
	"exuvia/internal/pipeline"
	"exuvia/internal/report"
	"exuvia/internal/verify"
)

// measured is a series as `exuvia measure --json` prints it.
type measured struct {
	Name       string    `json:"name"`
	Starts     int       `json:"starts"`
	FirstMS    float64   `json:"first_ms"`    // median, from the start to the first answer
	PSS        int64     `json:"pss"`         // median, bytes
	FirstRatio float64   `json:"first_ratio"` // to the unreduced app
	PSSRatio   float64   `json:"pss_ratio"`
	Samples    []float64 `json:"samples_ms"` // in the order of the rounds
}

func newMeasure(a *app) *cobra.Command {
	var asJSON bool
	var n int
	c := &cobra.Command{
		Use:   "measure [flags] IMAGE [DIR|SCRIPT]",
		Short: "Measure the start and the memory of an image and of the unreduced app",
		Long: `Starts the unreduced app and the image in turn, one at a time, and prints the
median time to the first answer and the median proportional set size. The
unreduced app is measured twice: what it differs from itself is the noise.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 {
				return fault.New(fault.Usage, "give a number of 1 or more", "cannot start anything %d times", n)
			}
			req, err := a.request(append(args, ".")[1], buildFlags{})
			if err != nil {
				return err
			}
			series, err := work(a, func(p *pipeline.Pipeline) ([]verify.Series, error) { return p.Measure(cmd.Context(), req, args[0], n) })
			if err != nil {
				return err
			}
			rows := make([]measured, len(series))
			for i, s := range series {
				rows[i] = row(s, series[0])
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			return writeMeasured(cmd.OutOrStdout(), rows)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().IntVarP(&n, "starts", "n", 10, "how often each is started")
	return c
}

func row(s, first verify.Series) measured {
	m := measured{Name: s.Name, Starts: len(s.Samples), FirstMS: float64(s.First.Microseconds()) / 1000, PSS: s.PSS}
	m.FirstRatio, m.PSSRatio = s.Ratio(first)
	for _, x := range s.Samples {
		m.Samples = append(m.Samples, float64(x.First.Microseconds())/1000)
	}
	return m
}

func writeMeasured(out io.Writer, rows []measured) error {
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(w, "\tSTARTS\tFIRST ANSWER\t×\tMEMORY (PSS)\t×")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%.0f ms\t%.3f\t%s\t%.3f\n", r.Name, r.Starts, r.FirstMS, r.FirstRatio, report.Megabytes(r.PSS), r.PSSRatio)
	}
	return w.Flush()
}
