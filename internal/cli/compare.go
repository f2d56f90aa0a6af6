package cli

import (
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"exuvia/internal/fault"
	"exuvia/internal/pipeline"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/variant"
)

// compareFlags are those of `exuvia compare` that are no settings.
type compareFlags struct {
	settings project.Settings
	variants []string
	all      bool
	matrix   string
	starts   int
	parallel int
	json     bool
	markdown bool
	html     string
}

func newCompare(a *app) *cobra.Command {
	var c compareFlags
	cmd := &cobra.Command{
		Use:   "compare [flags] [DIR|SCRIPT]",
		Short: "Build the project in every known way, and compare the images",
		Long: `Builds the project as every variant (see exuvia variants), each on its own base
or all on --base, boots each image, compares its answers with those of the
unreduced app, and measures the start and the memory. What does not build or
answers otherwise is shown with the reason; it does not stop the others.

Images that answer the same are in the local store as NAME:VARIANT. Variants
that take minutes are built with --all, or when they are named.

--matrix crosses the variants with options: base, strip, upx, optimize,
bytecode, rpath, nuitka, cython. Those that mean nothing to a variant are left
out there.`,
		Example: "  exuvia compare\n  exuvia compare --variant lean,slim --matrix optimize=0,1,2\n  exuvia compare --all --html compare.html examples/rest-app",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.compare(cmd, append(args, ".")[0], c)
		},
	}
	f := cmd.Flags()
	all := pflag.NewFlagSet("compare", pflag.ContinueOnError)
	settingFlags(all, &c.settings)
	all.VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains([]string{"variant", "tag", "passes", "disable"}, flag.Name) { // these are of one image
			f.AddFlag(flag)
		}
	})
	f.StringSliceVar(&c.variants, "variant", nil, "variant to compare, may be repeated or have commas (default: all that do not take minutes)")
	f.BoolVar(&c.all, "all", false, "also the variants that take minutes")
	f.StringVar(&c.matrix, "matrix", "", `options to cross the variants with: "optimize=0,1,2,upx=no,all"`)
	f.IntVarP(&c.starts, "starts", "n", 10, "how often each image is started for the median; 0 measures nothing")
	f.IntVar(&c.parallel, "parallel", 0, "images that are built at a time (default: as cores and memory allow)")
	f.BoolVar(&c.json, "json", false, "print the rows as JSON")
	f.BoolVar(&c.markdown, "markdown", false, "print a Markdown table")
	f.StringVar(&c.html, "html", "", "also write a page with the table and plots to this file")
	a.pullFlag(f)
	return cmd
}

func (a *app) compare(cmd *cobra.Command, dir string, c compareFlags) error {
	choices, err := c.choices()
	if err != nil {
		return err
	}
	req, err := a.request(dir, buildFlags{settings: c.settings})
	if err != nil {
		return err
	}
	if c.starts < 0 || c.parallel < 0 {
		return fault.New(fault.Usage, "give numbers of 0 or more", "--starts and --parallel cannot be negative")
	}
	if c.parallel == 0 {
		c.parallel = atOnce()
	}
	if c.html != "" { // before the work
		if err := writable(c.html); err != nil {
			return err
		}
	}
	out, err := work(a, func(p *pipeline.Pipeline) (*report.Comparison, error) {
		return p.Compare(cmd.Context(), pipeline.CompareRequest{
			Request: req, Images: choices, Starts: c.starts, Parallel: c.parallel, Watch: a.progress().Watch,
		})
	})
	if err != nil {
		return err
	}
	if c.html != "" {
		if err := writeOutput(c.html, func(w io.Writer) error { return report.WriteComparisonHTML(w, *out) }); err != nil {
			return err
		}
	}
	w := cmd.OutOrStdout()
	switch {
	case c.json:
		return printJSON(w, out.Rows)
	case c.markdown:
		return report.WriteComparisonMarkdown(w, *out)
	}
	return report.WriteComparison(w, *out)
}

// choices are the images that the flags ask for.
func (c compareFlags) choices() ([]pipeline.Choice, error) {
	var list []variant.Variant
	for _, name := range c.variants {
		v, err := variant.Named(name)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		list = slices.DeleteFunc(variant.All(), func(v variant.Variant) bool { return v.Slow && !c.all })
	}
	axes, err := parseMatrix(c.matrix)
	if err != nil {
		return nil, err
	}
	var out []pipeline.Choice
	for _, v := range list {
		more, err := cross(v, axes)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// axis is one option of a matrix and its values.
type axis struct {
	name   string
	values []string
}

// parseMatrix reads "optimize=0,1,2,upx=no,all": what has no "=" is another
// value of the option before it.
func parseMatrix(s string) ([]axis, error) {
	var out []axis
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(part, "=")
		_, known := options[name]
		switch {
		case s == "":
		case ok && known:
			out = append(out, axis{name, []string{value}})
		case ok || len(out) == 0:
			have := strings.Join(slices.Sorted(maps.Keys(options)), ", ")
			return nil, fault.New(fault.Usage, "the options are: "+have+`; write it as "optimize=0,1,2,upx=no,all"`, "--matrix has no option %q", name)
		default:
			last := &out[len(out)-1]
			last.values = append(last.values, part)
		}
	}
	return out, nil
}

// options set what a matrix can cross; they have the names of the settings.
var options = map[string]func(*project.Settings, string) error{
	"base":     func(s *project.Settings, v string) error { s.Base = v; return nil },
	"bytecode": func(s *project.Settings, v string) error { s.Bytecode = v; return nil },
	"upx":      func(s *project.Settings, v string) error { s.UPX = v; return nil },
	"nuitka":   func(s *project.Settings, v string) error { s.Nuitka = v; return nil },
	"cython":   func(s *project.Settings, v string) error { s.Cython = v; return nil },
	"strip":    func(s *project.Settings, v string) error { return onOff{&s.Strip}.Set(v) },
	"rpath":    func(s *project.Settings, v string) error { return onOff{&s.RPath}.Set(v) },
	"optimize": func(s *project.Settings, v string) (err error) { s.Optimize, err = strconv.Atoi(v); return err },
}

// cross makes the images of one variant: each combination of the options that
// mean something to it.
func cross(v variant.Variant, axes []axis) ([]pipeline.Choice, error) {
	out := []pipeline.Choice{{Settings: project.Settings{Variant: v.Name}}}
	for _, a := range axes {
		if a.name != "base" && !slices.Contains(v.Switches, a.name) {
			continue
		}
		var next []pipeline.Choice
		for _, c := range out {
			for _, value := range a.values {
				more := pipeline.Choice{Settings: c.Settings, Options: maps.Clone(c.Options)}
				err := options[a.name](&more.Settings, value)
				if err == nil {
					err = more.Settings.Check()
				}
				if err != nil {
					return nil, fault.Wrap(err, fault.Usage, "see exuvia build --help for the values of --"+a.name, "--matrix %s=%s", a.name, value)
				}
				if more.Options == nil {
					more.Options = make(map[string]string)
				}
				more.Options[a.name] = value
				next = append(next, more)
			}
		}
		out = next
	}
	return out, nil
}

// memoryOfBuild is what a compiler or a freezer may take, in bytes.
const memoryOfBuild = 2 << 30

// atOnce is how many images the cores and the free memory allow to be built
// at a time.
func atOnce() int {
	n := runtime.GOMAXPROCS(0) // knows of a container's limit
	if free, ok := freeMemory(); ok {
		n = min(n, int(free/memoryOfBuild))
	}
	return max(1, n)
}
