package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"exuvia/internal/report"
)

// writeTable prints the rows, the median of their ratios, and why applications
// failed.
func writeTable(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(w, "APP\tSLIM\tDOWNLOAD\tLEAN\tDOWNLOAD\tLEAN/SLIM\tPYINSTALLER\tFIRST ANSWER\tUNREDUCED\tPSS\tCHECKS\tOWN TESTS\tHEALED\tBUILD")
	for _, r := range rows {
		if !r.OK {
			fmt.Fprintf(w, "%s\tfailed\t\t\t\t\t\t\t\t\t\t\t\t%.0f s\n", r.Name, r.BuildSeconds)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f %%\t%s\t%.0f ms\t%.0f ms\t%s\t%d of %d\t%d\t%d\t%.0f s\n", r.Name,
			report.Megabytes(r.Slim.Unpacked), report.Megabytes(r.Slim.Download),
			report.Megabytes(r.Lean.Unpacked), report.Megabytes(r.Lean.Download),
			100*r.Ratio, r.frozen(), r.FirstMS, r.FullMS, known(r.PSS), r.Passed, r.Checks, r.Tests, r.Healed, r.BuildSeconds)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		if !r.OK {
			fmt.Fprintf(out, "\n%s failed: %s\n", r.Name, r.Reason)
		}
		if r.Frozen != "" {
			fmt.Fprintf(out, "\n%s as PyInstaller's image failed: %s\n", r.Name, r.Frozen)
		}
	}
	var lean, starts, other float64
	kept := 0
	for _, r := range rows {
		lean += r.BuildSeconds
		starts += r.StartSeconds
		if r.Kept {
			kept++
		} else {
			other += r.OtherSeconds
		}
	}
	fmt.Fprintf(out, "\nmedian of lean/slim: %.0f %%\nlean images: %.0f s, with their comparison\ntheir starts and the apps': %.0f s\nothers: %.0f s", 100*medianRatio(rows), lean, starts, other)
	if kept > 0 {
		fmt.Fprintf(out, ", of %d applications as in the run before", kept)
	}
	_, err := fmt.Fprintln(out)
	return err
}

// frozen is the size of PyInstaller's image, with a mark where that does not
// behave as the app.
func (r row) frozen() string {
	if r.Frozen != "" {
		return report.Megabytes(r.PyInstaller.Unpacked) + ", fails"
	}
	return report.Megabytes(r.PyInstaller.Unpacked)
}

// known is "–" for what there is not: the memory of a program that has ended
// when it has answered.
func known(bytes int64) string {
	if bytes == 0 {
		return "–"
	}
	return report.Megabytes(bytes)
}

// medianRatio is that of the applications which did not fail; 0 if all did.
func medianRatio(rows []row) float64 {
	var ratios []float64
	for _, r := range rows {
		if r.OK {
			ratios = append(ratios, r.Ratio)
		}
	}
	if len(ratios) == 0 {
		return 0
	}
	slices.Sort(ratios)
	middle := len(ratios) / 2
	if len(ratios)%2 == 1 {
		return ratios[middle]
	}
	return (ratios[middle-1] + ratios[middle]) / 2
}
