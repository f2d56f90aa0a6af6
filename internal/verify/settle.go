package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"exuvia/internal/report"
)

// reruns is how often the unreduced app is asked again before a difference
// counts. The first rerun starts after the image has answered, so whatever
// follows the clock has moved on for it too.
const reruns = 2

// question is something that a subject is asked on a boot of its own.
type question struct {
	name string
	// ask boots s and asks it. Lead marks the first boot of the unreduced
	// app, which may find out what there is to ask.
	ask func(ctx context.Context, s Subject, lead bool) ([]answer, error)
	// started says, of the unreduced app's answers, whether they are worth
	// comparing. Its error ends the verification.
	started func([]answer) error
	// next gives what these answers of the unreduced app lead to; may be nil.
	next func([]answer) []question
	// of gives the question, this one or one that it leads to, that has a check
	// of this name; nil if it has one of its own name and leads to none.
	of func(check string) (question, bool)
}

// about gives the question that a check is of, if it is this one or one that it
// leads to.
func (q question) about(check string) (question, bool) {
	if q.of != nil {
		return q.of(check)
	}
	return q, q.name == check
}

// verdict is a check with what is needed to explain it.
type verdict struct {
	check report.Check
	left  []difference // that nothing explains
	cause cause
}

// field is the name of a field that differs, for the hint.
func (d verdict) field() string {
	if len(d.left) == 0 {
		return ""
	}
	return d.left[0].field
}

// settle asks both subjects at the same time and compares. The unreduced app
// is asked again only if something differs: a field is variable if two of its
// runs differ in it, and that is no news where the image agrees.
func (v *verifier) settle(ctx context.Context, q question) (outcome, error) {
	var full, lean []answer
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if full, err = q.ask(gctx, v.Full, true); err != nil {
			return fmt.Errorf("asking %s for %s: %w", v.Full.Name, q.name, err)
		}
		return q.started(full)
	})
	group.Go(func() (err error) {
		if lean, err = q.ask(gctx, v.Lean, false); err != nil {
			return fmt.Errorf("asking %s for %s: %w", v.Lean.Name, q.name, err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return outcome{}, err
	}
	runs := [][]answer{full}
	verdicts := v.judge(runs, lean)
	for range reruns {
		if !slices.ContainsFunc(verdicts, func(d verdict) bool { return !d.check.OK }) || slices.ContainsFunc(verdicts, stuck) {
			break
		}
		again, err := q.ask(ctx, v.Full, false)
		if err != nil {
			return outcome{full, verdicts}, fmt.Errorf("asking %s again for %s: %w", v.Full.Name, q.name, err)
		}
		runs = append(runs, again)
		verdicts = v.judge(runs, lean)
	}
	return outcome{full, verdicts}, nil
}

// judge compares the image's answers with those of one or more runs of the
// unreduced app.
func (v *verifier) judge(runs [][]answer, lean []answer) []verdict {
	var out []verdict
	var logs logReader
	missed := 0
	for _, a := range runs[0] {
		b, ok := find(lean, a.name)
		if !ok {
			missed++
			continue
		}
		var others []answer
		for _, r := range runs[1:] {
			if o, ok := find(r, a.name); ok {
				others = append(others, o)
			}
		}
		left, varying := explain(a, b, others, v.Probe.Variable)
		d := conclude(a, left, varying)
		if !d.check.OK {
			c, tail := logs.of(b, a)
			d.explain(c, tail, failedItself(b))
		}
		out = append(out, d)
	}
	// Requests that were never made because the image did not start are no
	// news beside that.
	if missed > 0 && !slices.ContainsFunc(out, func(d verdict) bool { return !d.check.OK }) {
		out = append(out, verdict{check: report.Check{
			Name: runs[0][0].name, Detail: fmt.Sprintf("the image gave no answer to %d of %d questions", missed, len(runs[0])),
		}})
	}
	return out
}

func find(all []answer, name string) (answer, bool) {
	i := slices.IndexFunc(all, func(a answer) bool { return a.name == name })
	if i < 0 {
		return answer{}, false
	}
	return all[i], true
}

// shown is how many differences a check spells out.
const shown = 3

// conclude makes the check of one answer.
func conclude(full answer, left []difference, varying []string) verdict {
	d := verdict{check: report.Check{Name: full.name, OK: len(left) == 0}, left: left}
	var parts []string
	if d.check.OK {
		parts = append(parts, full.seen)
		if len(varying) > 0 {
			parts = append(parts, "variable: "+strings.Join(varying, ", "))
		}
	} else {
		for _, x := range left[:min(shown, len(left))] {
			parts = append(parts, x.String())
		}
		if n := len(left) - shown; n > 0 {
			parts = append(parts, fmt.Sprintf("%d more fields differ", n))
		}
	}
	d.check.Detail = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
	return d
}

// stuck reports whether the image did not get as far as the unreduced app, which
// no variable field can explain.
func stuck(d verdict) bool { return d.field() == "state" }

// explain adds what the image's log says about the difference.
func (d *verdict) explain(c cause, tail string, trouble bool) {
	d.cause, d.check.Lacks = c, c.keep
	switch {
	case c.what != "":
		d.check.Detail += "; " + c.what
	case tail != "" && trouble:
		d.check.Detail += "; it says: " + tail
	}
}

// logReader reads a pair of logs once: all answers of a boot have the same.
type logReader struct {
	lean, full string
	cause      cause
	tail       string
}

func (r *logReader) of(lean, full answer) (cause, string) {
	if r.lean != lean.log || r.full != full.log {
		*r = logReader{lean.log, full.log, causeOf(lean.log, full.log), newLines(lean.log, full.log)}
	}
	return r.cause, r.tail
}

// failedItself reports whether an answer is that of an app in trouble, so that
// what it logged is of interest.
func failedItself(a answer) bool {
	s, http := a.fields["status"]
	return !http || s >= "500"
}
