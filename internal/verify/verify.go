// Package verify proves that an image behaves like the project it was made
// of: both are booted side by side, asked the same questions in the same
// order, and every answer is compared. What is asked is found out, not
// configured: the port from what listens, the requests from /openapi.json,
// `--help` of every entry point and of the subcommands that it names, and what
// any Python process may lean on. Files that commands write are answers too, and
// the project's own tests have to pass in both, where they are named ([Tests]). It
// also checks the image's files without starting anything ([Static]) and
// measures starts ([Measure]).
//
// It knows neither how an image is stored nor how it is booted, and it decides
// nothing about what an image should contain.
package verify

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Subject is an app that can be booted.
type Subject struct {
	Name   string // for people: "lean", "the unreduced app"
	Tree   *tree.Tree
	Config plan.Config
	// Entries are the argv of each of Input.Entries, without arguments of the
	// user: ["/app/main"]; nil for one that the subject does not have.
	Entries [][]string
	// Unpacks are directories in which it unpacks itself when it starts; what
	// is in them is no file that the app wrote.
	Unpacks []string
}

// Input is what a verification works on.
type Input struct {
	Full    Subject  // the app as installed, with sources; the measure of all
	Lean    Subject  // the image, as read back from the disk
	Entries []string // names of the entry points; the first is started as Config.Entrypoint says, the others only say their --help
	Probe   project.Probe
	// ProjectFiles has what Probe.Files names, by paths relative to the
	// project.
	ProjectFiles *tree.Tree
	// Modules are imported in both where Probe.Start is "import".
	Modules []string
	Tests   Tests
	// Python is the interpreter's path in Full, "" where it has none. The
	// runtime contract is compared if Lean has it too.
	Python   string
	Booter   engine.Booter
	Temp     string // a directory for files that boots are given; "" is the system's
	Parallel int    // questions at a time, each to both subjects; 0 is one a core
	Log      *slog.Logger
	Progress func(format string, args ...any) // may be nil

	limits limits
}

// limits are how long things may take.
type limits struct {
	start  time.Duration // to listen or to exit
	help   time.Duration // to exit after --help
	stop   time.Duration // to exit after the stop signal
	script time.Duration // of a helper
	tests  time.Duration // to pass
	head   time.Duration // from a request to the head of its answer
	body   time.Duration // from there to its end
	poll   time.Duration // between two looks at a process
}

// defaults are the limits that apply where none is set.
func (l limits) defaults(p project.Probe) limits {
	l.start = cmp.Or(l.start, time.Duration(p.Timeout)*time.Second, 30*time.Second)
	l.help = cmp.Or(l.help, 20*time.Second)
	l.script = cmp.Or(l.script, 5*time.Minute)
	l.tests = cmp.Or(l.tests, 30*time.Minute)
	l.stop = cmp.Or(l.stop, 10*time.Second)
	l.head = cmp.Or(l.head, 10*time.Second)
	l.body = cmp.Or(l.body, 5*time.Second)
	l.poll = cmp.Or(l.poll, 40*time.Millisecond)
	return l
}

const (
	startHint = "say under [tool.exuvia.probe] what it needs to start: args, env, files, or commands to run in its place; start = \"import\" compares imports only"
	keepHint  = "keep what is missing with [tool.exuvia] keep = [\"module\", \"dist:NAME\", \"/path\"]"
	varyHint  = ", or if it varies by nature, say so: [tool.exuvia.probe] variable = [%q]"
)

// Run asks both subjects and compares. The checks are given in any case, in a
// fixed order. If the unreduced app does not start the error is a
// [*fault.Error] of kind Start, if the image differs one of kind Differs; any
// other is a failure to verify at all.
func Run(ctx context.Context, in Input) ([]report.Check, error) {
	v, err := newVerifier(in)
	if err != nil {
		return nil, err
	}
	defer v.close()
	verdicts, err := v.all(ctx, cmp.Or(in.Parallel, runtime.NumCPU()), func(ctx context.Context, q question) (outcome, error) {
		v.progress("comparing %s", q.name)
		return v.settle(ctx, q)
	})
	var checks []report.Check
	var failed []verdict
	for _, d := range verdicts {
		checks = append(checks, d.check)
		if !d.check.OK {
			failed = append(failed, d)
		}
	}
	if v.Python != "" && !v.hasPython() {
		checks = append(checks, report.Check{Name: "contract", OK: true, Detail: "nothing to compare: the image has no interpreter of its own"})
	}
	checks = append(checks, v.untested()...)
	if err == nil && len(failed) > 0 {
		err = differs(failed)
	}
	return checks, err
}

// Exercise asks the unreduced app all that Run would, and compares nothing.
func Exercise(ctx context.Context, in Input) error {
	v, err := in.slowly()
	if err != nil {
		return err
	}
	defer v.close()
	_, err = v.all(ctx, 1, func(ctx context.Context, q question) (outcome, error) {
		v.progress("observing %s", q.name)
		full, err := q.ask(ctx, v.Full, true)
		if err == nil {
			err = q.started(full)
		}
		return outcome{full: full}, err
	})
	return err
}

// Said is all that both wrote in answer to a question: bodies, stdout, stderr.
type Said struct{ Full, Lean [][]byte }

// Repeat asks both once more what the checks that failed are of, and compares
// nothing: for a Booter that observes.
func Repeat(ctx context.Context, in Input, checks []report.Check) (said []Said, err error) {
	v, err := in.slowly()
	if err != nil {
		return nil, err
	}
	defer v.close()
	for _, q := range v.failed(checks) {
		v.progress("observing %s", q.name)
		full, err := q.ask(ctx, v.Full, true)
		if err != nil {
			return nil, fmt.Errorf("observing %s: %w", v.Full.Name, err)
		}
		lean, err := q.ask(ctx, v.Lean, false)
		if err != nil {
			return nil, fmt.Errorf("observing %s: %w", v.Lean.Name, err)
		}
		said = append(said, Said{texts(full), texts(lean)})
	}
	return said, nil
}

// texts are those of some answers.
func texts(as []answer) [][]byte {
	var out [][]byte
	for _, a := range as {
		for _, name := range slices.Sorted(maps.Keys(a.texts)) {
			out = append(out, a.texts[name])
		}
	}
	return out
}

// failed gives the questions that failed checks are of. The first of all is the
// one that others' checks are not of.
func (v *verifier) failed(checks []report.Check) []question {
	qs := v.questions()
	var out []question
	for _, c := range checks {
		if c.OK {
			continue
		}
		for _, q := range slices.Backward(qs) {
			of, ok := q.about(c.Name)
			if !ok {
				continue
			}
			if !slices.ContainsFunc(out, func(o question) bool { return o.name == of.name }) {
				out = append(out, of)
			}
			break
		}
	}
	// The contract looks also for what an image may do without: what else has
	// failed shows better what it lacks.
	if len(out) > 1 {
		out = slices.DeleteFunc(out, func(q question) bool { return q.name == contractName })
	}
	return out
}

// slowly is a verifier that waits for an app that an observer slows down.
func (in Input) slowly() (*verifier, error) {
	const slower = 5
	v, err := newVerifier(in)
	if err != nil {
		return nil, err
	}
	for _, d := range []*time.Duration{&v.limits.start, &v.limits.help, &v.limits.tests, &v.limits.stop, &v.limits.head, &v.limits.body} {
		*d *= slower
	}
	return v, nil
}

// varies matches the fields of which a user may say that they are variable.
var varies = regexp.MustCompile(`^(header|json|line|body|stdout|stderr|file|content)\b`)

// differs makes the error of the checks that failed. The first whose cause is
// known speaks for all: a missing module shows in many places.
func differs(failed []verdict) error {
	first := failed[0]
	for _, d := range failed {
		if d.cause.what != "" {
			first = d
			break
		}
	}
	what := fmt.Sprintf("the image does not behave like the project: %s: %s", first.check.Name, first.check.Detail)
	if n := len(failed) - 1; n == 1 {
		what += " (one more check fails)"
	} else if n > 1 {
		what += fmt.Sprintf(" (%d more checks fail)", n)
	}
	hint := keepHint
	if f := first.field(); varies.MatchString(f) {
		hint += fmt.Sprintf(varyHint, f)
	}
	if first.cause.keep != "" {
		hint = fmt.Sprintf("[tool.exuvia] keep = [%q] keeps it in the image", first.cause.keep)
	}
	return &fault.Error{Kind: fault.Differs, What: oneLine(what), Hint: hint}
}

// oneLine makes a message fit for an error: no line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// verifier is an Input made ready.
type verifier struct {
	Input
	volumes []engine.Volume
	env     []string
	scratch *scratch
}

func newVerifier(in Input) (*verifier, error) {
	in.limits = in.limits.defaults(in.Probe)
	if in.Log == nil {
		in.Log = slog.New(slog.DiscardHandler)
	}
	if n := len(in.Entries); n == 0 || len(in.Full.Entries) != n || len(in.Lean.Entries) != n {
		return nil, fmt.Errorf("verifying %s: %d entry points, of which it has %d and %s %d", in.Lean.Name, n, len(in.Lean.Entries), in.Full.Name, len(in.Full.Entries))
	}
	if _, ok := in.Lean.Tree.Resolve(in.Python); in.Probe.Start == "import" && (in.Python == "" || !ok) {
		return nil, fault.New(fault.Project, "say under [tool.exuvia.probe] what can be run in place of imports: args, env, files or commands",
			"%s has no Python interpreter, so it cannot be asked to import modules", in.Lean.Name)
	}
	dir, err := newScratch(in.Temp)
	if err != nil {
		return nil, err
	}
	v := &verifier{Input: in, scratch: dir, env: project.Environ(in.Probe.Env)}
	if v.volumes, err = dir.volumes(in.Probe.Files, in.ProjectFiles); err != nil {
		dir.close()
		return nil, err
	}
	return v, nil
}

func (v *verifier) close() { v.scratch.close() }

func (v *verifier) progress(format string, args ...any) {
	if v.Progress != nil {
		v.Progress(format, args...)
	}
}

// questions are all that is asked; each is asked on boots of its own. The slow
// ones come first.
func (v *verifier) questions() []question {
	var qs []question
	if v.Probe.Start == "import" {
		qs = append(qs, v.imports())
	} else {
		qs = append(qs, v.run())
		for i := range v.Entries {
			qs = append(qs, v.help(i))
		}
	}
	for _, argv := range v.Probe.Commands {
		if len(argv) > 0 {
			qs = append(qs, v.command(argv))
		}
	}
	if v.hasPython() {
		for _, line := range v.Tests.Lines {
			qs = append(qs, v.tests(line))
		}
		qs = append(qs, v.contract())
	}
	return qs
}

// hasPython reports whether the image has the app's interpreter. One that was
// frozen has none, and need not keep what an interpreter promises.
func (v *verifier) hasPython() bool {
	_, ok := v.Lean.Tree.Resolve(v.Python)
	return v.Python != "" && ok
}
