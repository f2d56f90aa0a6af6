package verify

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"
)

// What the answers to one question may lead to.
const (
	maxLed   = 40 // further questions in all, each to both subjects
	maxLevel = 3  // of questions that led to each other
)

// outcome is what came of a question.
type outcome struct {
	full     []answer // of the unreduced app
	verdicts []verdict
}

// inquiry is a question with what came of it.
type inquiry struct {
	question
	outcome
	from *inquiry // that led to it; nil
}

// leads are the questions that the answers lead to. Where the image differs, or
// the answer is that of the question before, there are none.
func (i *inquiry) leads() []question {
	if i.next == nil || len(i.full) == 0 {
		return nil
	}
	for _, d := range i.verdicts {
		if !d.check.OK {
			return nil
		}
	}
	if i.from != nil && maps.EqualFunc(i.full[0].texts, i.from.full[0].texts, bytes.Equal) {
		return nil
	}
	return i.next(i.full)
}

// slots bound how many questions are asked at a time.
type slots chan struct{}

func (s slots) take(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s slots) give() { <-s }

// all puts every question, and what their answers lead to, so many at a time.
// The verdicts are in the order of the questions, also if there is an error.
func (v *verifier) all(ctx context.Context, parallel int, put func(context.Context, question) (outcome, error)) ([]verdict, error) {
	qs := v.questions()
	results := make([][]verdict, len(qs))
	free := make(slots, parallel)
	group, gctx := errgroup.WithContext(ctx)
	for i, q := range qs {
		if free.take(gctx) != nil {
			break // Wait says why
		}
		group.Go(func() (err error) {
			results[i], err = pursue(gctx, q, free, put)
			return err
		})
	}
	err := group.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	var out []verdict
	for _, vs := range results {
		out = append(out, vs...)
	}
	return out, err
}

// pursue puts a question, then what its answers lead to, then what those lead
// to. What is put does not depend on which answer comes first. The caller has
// taken a slot, for the first.
func pursue(ctx context.Context, q question, free slots, put func(context.Context, question) (outcome, error)) ([]verdict, error) {
	level := []*inquiry{{question: q}}
	var asked []*inquiry
	var err error
	for depth := 0; err == nil && len(level) > 0; depth++ {
		asked = append(asked, level...)
		group, gctx := errgroup.WithContext(ctx)
		for _, i := range level {
			if depth > 0 && free.take(gctx) != nil {
				break
			}
			group.Go(func() (err error) {
				defer free.give()
				i.outcome, err = put(gctx, i.question)
				return err
			})
		}
		if err = group.Wait(); err == nil {
			err = context.Cause(ctx)
		}
		room := maxLed - len(asked) + 1
		if depth == maxLevel {
			room = 0
		}
		level = follow(level, room)
	}
	var out []verdict
	for _, i := range asked {
		out = append(out, i.verdicts...)
	}
	return out, err
}

// follow gives what a level of questions leads to, if there is room for it.
// What there is no room for is said in the checks that it came from.
func follow(level []*inquiry, room int) []*inquiry {
	var out []*inquiry
	for _, i := range level {
		qs := i.leads()
		n := min(len(qs), room-len(out))
		for _, q := range qs[:n] {
			out = append(out, &inquiry{question: q, from: i})
		}
		if n < len(qs) && len(i.verdicts) > 0 {
			i.verdicts[0].check.Detail += fmt.Sprintf("; subcommands that it names and that were not asked: %d of %d", len(qs)-n, len(qs))
		}
	}
	return out
}
