package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/pipeline"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/publish"
	"exuvia/internal/report"
)

// buildFlags are those of `exuvia build` that are no settings.
type buildFlags struct {
	settings project.Settings
	ref      string
	outputs  []string
	push     []string
	insecure bool
	load     bool
	noVerify bool
	healed   bool // write what was healed to the project's settings
	symbols  string
	budget   report.Budget
	dryRun   bool
	json     bool
}

func newBuild(a *app) *cobra.Command {
	var b buildFlags
	c := &cobra.Command{
		Use:   "build [flags] [DIR|SCRIPT]",
		Short: "Build the smallest image that still behaves like the project",
		Long: `Installs the project and its dependencies on a Debian system, finds out what
they need, reduces that, writes an image, boots it, and compares its answers
with those of the unreduced app. Only an image that answers the same gets a
name. The same inputs give the same digest, on any machine.

Debian packages come from the archive at $EXUVIA_DEBIAN_MIRROR, signed by a key
in $EXUVIA_DEBIAN_KEYRING or one of Debian's, else from the host's apt sources;
Python packages as pip's and uv's configuration and environment say, with their
proxies, CA files and credentials.

Every setting can stand in pyproject.toml under [tool.exuvia]; see exuvia init.`,
		Example: "  exuvia build\n  exuvia build --push registry.example/team/app:1.2 .\n  exuvia build --entry 'uvicorn app.main:app' --output oci-archive:app.tar",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.build(cmd, append(args, ".")[0], b)
		},
	}
	f := c.Flags()
	settingFlags(f, &b.settings)
	f.StringVar(&b.ref, "reference", "", "name:tag of the image in the local store (default: the project's name)")
	f.StringArrayVarP(&b.outputs, "output", "o", nil, "also write the image: oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:FILE or FILE.tar")
	f.StringArrayVar(&b.push, "push", nil, "also push the image to a registry, as this reference")
	f.BoolVar(&b.insecure, "insecure", false, "push over plain HTTP also to other hosts than this")
	f.BoolVar(&b.load, "load", false, "also load the image into the running Docker")
	f.BoolVar(&b.noVerify, "no-verify", false, "name the image without comparing it with the unreduced app")
	f.BoolVar(&b.healed, "write-healed", false, "write what had to be healed to [tool.exuvia], so that the next build needs no healing")
	f.StringVar(&b.symbols, "symbols", "", "write the symbols that are stripped to this directory, by build id, as debuggers look for them")
	budgetFlags(f, &b.budget, "what the name has now")
	f.BoolVar(&b.dryRun, "dry-run", false, "install and analyse, then print the plan")
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	a.pullFlag(f)
	return c
}

func (a *app) build(cmd *cobra.Command, dir string, b buildFlags) error {
	req, err := a.request(dir, b)
	if err != nil {
		return err
	}
	if b.healed { // before the work
		if err := canWriteHealed(req); err != nil {
			return err
		}
	}
	if b.dryRun {
		p, err := work(a, func(p *pipeline.Pipeline) (*plan.Plan, error) { return p.Plan(cmd.Context(), req) })
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), p)
	}
	out, err := work(a, func(p *pipeline.Pipeline) (*report.Build, error) { return p.Build(cmd.Context(), req) })
	if err != nil {
		if out != nil && len(out.Checks) > 0 {
			writeFailedChecks(a.env.Stderr, out.Checks)
		}
		return err
	}
	wrote := ""
	if b.healed && len(out.Healed) > 0 {
		wrote, err = project.Extend(req.Path, healed(out.Healed))
	}
	if b.json {
		return errors.Join(printJSON(cmd.OutOrStdout(), out), err)
	}
	if err := errors.Join(report.WriteText(cmd.OutOrStdout(), *out), err); err != nil || wrote == "" {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "what was healed is in [tool.exuvia] of %s\n", wrote)
	return err
}

// canWriteHealed refuses a project whose settings could not be written to, or
// would be hidden by those of the command line.
func canWriteHealed(r pipeline.Request) error {
	flags := map[string][]string{
		report.SettingKeep: r.Settings.Keep, report.SettingSource: r.Settings.KeepSource, report.SettingDocstrings: r.Settings.KeepDocstrings,
	}
	names := slices.Sorted(maps.Keys(flags))
	for _, name := range names {
		if len(flags[name]) > 0 {
			return fault.New(fault.Usage, "put "+name+" into [tool.exuvia] first", "--%s would win over the %s that --write-healed writes", name, name)
		}
	}
	return project.CanExtend(r.Path, names...)
}

// healed are the settings that keep what was healed.
func healed(list []report.Healed) map[string][]string {
	out := make(map[string][]string)
	for _, h := range list {
		out[h.Setting] = append(out[h.Setting], h.Value)
	}
	return out
}

// request makes flags into what the pipeline is asked for.
func (a *app) request(dir string, b buildFlags) (pipeline.Request, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return pipeline.Request{}, err
	}
	epoch, err := a.epoch()
	if err != nil {
		return pipeline.Request{}, err
	}
	r := pipeline.Request{
		Path: path, Settings: b.settings, Reference: b.ref,
		Epoch: epoch, NoVerify: b.noVerify, Anew: a.pull, Symbols: b.symbols, Budget: b.budget, Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
	}
	r.Publish, err = a.publishers(b)
	return r, err
}

// publishers are where the image goes beside the local store.
func (a *app) publishers(b buildFlags) ([]publish.Publisher, error) {
	var out []publish.Publisher
	for _, o := range b.outputs {
		p, err := publish.Parse(o)
		if err != nil {
			return nil, err
		}
		if c, ok := p.(interface{ Check() error }); ok {
			if err := c.Check(); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	for _, ref := range b.push {
		p, err := publish.NewRegistry(ref, publish.RegistryOptions{Insecure: b.insecure})
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if b.load {
		out = append(out, a.docker())
	}
	return out, nil
}

// docker is the Docker that the environment names.
func (a *app) docker() publish.Daemon {
	d := publish.Daemon{Host: a.env.Getenv("DOCKER_HOST")}
	if a.env.Getenv("DOCKER_TLS_VERIFY") != "" {
		d.CertPath = a.env.Getenv("DOCKER_CERT_PATH")
	}
	return d
}

// epoch is the time of every file in an image: SOURCE_DATE_EPOCH where it is
// set (reproducible-builds.org), else that of the cache's files.
func (a *app) epoch() (time.Time, error) {
	s := a.env.Getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return cas.Stamp, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 253402300799 { // the year 9999
		return time.Time{}, fault.New(fault.Usage, "unset it, or set it to seconds since 1970", "SOURCE_DATE_EPOCH is %q", s)
	}
	return time.Unix(n, 0).UTC(), nil
}

// writeFailedChecks shows what differed, before the error sums it up.
func writeFailedChecks(w io.Writer, checks []report.Check) {
	for _, c := range checks {
		if !c.OK {
			fmt.Fprintf(w, "✗ %s\n    %s\n", c.Name, strings.ReplaceAll(c.Detail, "\n", "\n    "))
		}
	}
}
