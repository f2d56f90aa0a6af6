// Command corpus builds every application of this directory as the slim, the
// PyInstaller and the lean image, the latter two compared with the unreduced
// app, runs tests of what it is about against the lean one, measures what came of
// it and prints a table. What an application is, and what it is asked,
// stands in its pyproject.toml. Images are kept in bin/corpus, so a second run
// rebuilds only what has changed. It fails if any application does.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"exuvia/internal/report"
)

const (
	exuvia = "bin/exuvia"
	images = "bin/corpus"
	apps   = "corpus"
)

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "names of applications, with commas between; all of them if empty")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.IntVar(&o.starts, "starts", 3, "how often each image is started to measure it")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

type options struct {
	only   string
	json   bool
	starts int
}

// row is what came of one application. Sizes are in bytes.
type row struct {
	Name string `json:"name"`
	others
	Lean         size    `json:"lean"`
	Ratio        float64 `json:"ratio"` // of the unpacked sizes
	FirstMS      float64 `json:"first_ms"`
	FullMS       float64 `json:"full_first_ms"` // of the unreduced app
	PSS          int64   `json:"pss"`
	Checks       int     `json:"checks"`
	Passed       int     `json:"passed"`
	Tests        int     `json:"tests"`    // of what it is about, that passed
	Healed       int     `json:"healed"`   // files that the analysis had missed
	BuildSeconds float64 `json:"build_s"`  // of the lean image, with its comparison
	StartSeconds float64 `json:"starts_s"` // that measuring its starts took, and the app's
	OK           bool    `json:"ok"`
	Reason       string  `json:"reason,omitempty"` // why not
}

type size struct {
	Unpacked int64 `json:"unpacked"`
	Download int64 `json:"download"`
}

func run(ctx context.Context, o options) error {
	names, err := choose(o.only)
	if err != nil {
		return err
	}
	var rows []row
	for _, name := range names {
		fmt.Fprintln(os.Stderr, name)
		rows = append(rows, try(ctx, name, o.starts))
	}
	if o.json {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(struct {
			Apps   []row   `json:"apps"`
			Median float64 `json:"median_ratio"`
		}{rows, medianRatio(rows)})
	} else {
		err = writeTable(os.Stdout, rows)
	}
	failed := 0
	for _, r := range rows {
		if !r.OK {
			failed++
		}
	}
	if failed > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d applications failed", failed, len(rows)))
	}
	return err
}

// choose lists the applications that are wanted, each a directory with a
// pyproject.toml.
func choose(only string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(apps, "*", "pyproject.toml"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range found {
		all = append(all, filepath.Base(filepath.Dir(f)))
	}
	slices.Sort(all)
	if only == "" {
		return all, nil
	}
	names := strings.Split(only, ",")
	for _, n := range names {
		if !slices.Contains(all, n) {
			return nil, fmt.Errorf("no application is called %q; there are: %s", n, strings.Join(all, ", "))
		}
	}
	return names, nil
}

// try builds and measures one application; an error is the row's reason.
func try(ctx context.Context, name string, starts int) row {
	r := row{Name: name}
	if err := r.measure(ctx, filepath.Join(apps, name), starts); err != nil {
		r.Reason = err.Error()
	}
	r.OK = r.Reason == ""
	return r
}

func (r *row) measure(ctx context.Context, dir string, starts int) error {
	tests, err := readSuite(dir)
	if err != nil {
		return err
	}
	app := filepath.Join(images, "apps", r.Name)
	if err := tests.beside(ctx, dir, app); err != nil {
		return err
	}
	begin := time.Now()
	lean, err := build(ctx, slices.Concat([]string{"--reference", r.Name + ":lean"}, tests.flags(), []string{app})...)
	r.BuildSeconds = time.Since(begin).Seconds()
	if err != nil {
		return err
	}
	r.Lean = size{lean.Size, lean.Download}
	r.Checks = len(lean.Checks)
	for _, c := range lean.Checks {
		if strings.HasPrefix(c.Name, "tests: ") {
			r.Tests += count(c.Detail)
		}
		if c.OK {
			r.Passed++
		}
	}
	r.Healed = len(lean.Healed)
	others, err := otherImages(ctx, r.Name, dir)
	if err != nil {
		return err
	}
	r.others = others
	if r.Frozen == "" && r.Lean.Unpacked > r.PyInstaller.Unpacked {
		r.Reason = fmt.Sprintf("%s, larger than the %s of PyInstaller's image", report.Megabytes(lean.Size), report.Megabytes(r.PyInstaller.Unpacked))
	}
	r.Ratio = float64(lean.Size) / float64(r.Slim.Unpacked)
	var series []struct {
		FirstMS float64 `json:"first_ms"`
		PSS     int64   `json:"pss"`
	}
	begin = time.Now()
	if err := call(ctx, &series, "measure", "-q", "--json", "-n", strconv.Itoa(starts), r.Name+":lean", dir); err != nil {
		return fmt.Errorf("measuring: %w", err)
	}
	r.StartSeconds = time.Since(begin).Seconds()
	if len(series) == 0 {
		return errors.New("measuring: nothing was measured")
	}
	last := series[len(series)-1] // the first ones are of the unreduced app
	r.FirstMS, r.PSS, r.FullMS = last.FirstMS, last.PSS, series[0].FirstMS
	return nil
}

func build(ctx context.Context, args ...string) (report.Build, error) {
	var b report.Build
	err := call(ctx, &b, append([]string{"build", "-q", "--json"}, args...)...)
	return b, err
}

// message is how exuvia says what went wrong.
var message = regexp.MustCompile(`(?m)^exuvia: error: (.*)$`)

// call runs exuvia and decodes what it prints. An error says what exuvia says,
// which all of it also goes to stderr.
func call(ctx context.Context, to any, args ...string) error {
	c := exec.CommandContext(ctx, exuvia, append([]string{"--data-dir", images}, args...)...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		os.Stderr.Write(said.Bytes())
		if m := message.FindSubmatch(said.Bytes()); m != nil {
			return errors.New(string(m[1]))
		}
		return err
	}
	return json.Unmarshal(out, to)
}
