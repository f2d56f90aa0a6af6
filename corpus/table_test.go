package main

import (
	"strings"
	"testing"
)

func TestMedianRatio(t *testing.T) {
	ok := func(ratio float64) row { return row{OK: true, Ratio: ratio} }
	for _, test := range []struct {
		name string
		rows []row
		want float64
	}{
		{"none", nil, 0},
		{"all failed", []row{{Ratio: 0.5}}, 0},
		{"odd", []row{ok(0.5), ok(0.25), ok(0.75)}, 0.5},
		{"even", []row{ok(0.5), ok(0.25)}, 0.375},
		{"a failed one does not count", []row{ok(0.5), {Ratio: 0.1}}, 0.5},
	} {
		if got := medianRatio(test.rows); got != test.want {
			t.Errorf("%s: medianRatio = %v, want %v", test.name, got, test.want)
		}
	}
}

// A failed application stays in the table, and its reason is told.
func TestWriteTable(t *testing.T) {
	var out strings.Builder
	rows := []row{
		{Name: "good", OK: true, others: others{Slim: size{200e6, 80e6}, PyInstaller: size{26e6, 9e6}}, Lean: size{50e6, 20e6}, Ratio: 0.25, Checks: 7, Passed: 7},
		{Name: "alone", OK: true, others: others{PyInstaller: size{31e6, 9e6}, Frozen: "no codec", Kept: true}, Ratio: 0.25},
		{Name: "bad", Reason: "the image lacks a codec"},
	}
	if err := writeTable(&out, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200.0 MB", "25 %", "26.0 MB", "31.0 MB, fails", "1 applications as in the run before", "7 of 7", "bad failed: the image lacks a codec", "median of lean/slim: 25 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
