package verify

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"exuvia/internal/engine"
	"exuvia/internal/project"
	"exuvia/internal/tree"
)

// Trial is a measurement to be made.
type Trial struct {
	Booter       engine.Booter
	Subjects     []Subject // the first is what the others are measured by
	Starts       int       // of each subject
	Probe        project.Probe
	ProjectFiles *tree.Tree
	Temp         string
	Clock        func() time.Time
	Progress     func(format string, args ...any) // may be nil

	limits limits
}

// Sample is one cold start: a fresh container, files in the page cache.
type Sample struct {
	First time.Duration // from the start to the head of the first answer; of a command, to its end
	PSS   int64         // bytes after the first answer; 0 of a command
}

// Series are the starts of one subject.
type Series struct {
	Name    string
	Samples []Sample      // in the order of the rounds
	First   time.Duration // median
	PSS     int64         // median, bytes
}

// Ratio gives the medians of s as multiples of those of t.
func (s Series) Ratio(t Series) (first, pss float64) {
	if t.First > 0 {
		first = float64(s.First) / float64(t.First)
	}
	if t.PSS > 0 {
		pss = float64(s.PSS) / float64(t.PSS)
	}
	return first, pss
}

// Measure starts the subjects in turn, one at a time, as often as the trial
// says, after one start each that does not count. The last series is the first
// subject once more: its ratio to the first series is the noise of this
// machine, by which the other ratios are to be judged. Every round begins with
// another subject, so that no one always follows the same.
func Measure(ctx context.Context, t Trial) ([]Series, error) {
	if len(t.Subjects) == 0 || t.Starts < 1 {
		return nil, fmt.Errorf("measuring %d subjects %d times: nothing to do", len(t.Subjects), t.Starts)
	}
	t.limits = t.limits.defaults(t.Probe)
	dir, err := newScratch(t.Temp)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	o := engine.BootOptions{Env: project.Environ(t.Probe.Env)}
	if o.Volumes, err = dir.volumes(t.Probe.Files, t.ProjectFiles); err != nil {
		return nil, err
	}
	subjects := append(slices.Clone(t.Subjects), t.Subjects[0])
	out := make([]Series, len(subjects))
	ports := slices.Repeat([]int{-1}, len(subjects))
	for round := range t.Starts + 1 {
		for i := range subjects {
			n := (round + i) % len(subjects)
			s, err := t.once(ctx, subjects[n], o, &ports[n])
			if err != nil {
				return nil, fmt.Errorf("measuring %s: %w", subjects[n].Name, err)
			}
			if round > 0 {
				out[n].Samples = append(out[n].Samples, s)
			}
		}
		if t.Progress != nil {
			t.Progress("measured %d of %d rounds", round, t.Starts)
		}
	}
	for i := range out {
		out[i].Name = subjects[i].Name
		out[i].First = median(out[i].Samples, func(s Sample) time.Duration { return s.First })
		out[i].PSS = median(out[i].Samples, func(s Sample) int64 { return s.PSS })
	}
	out[len(out)-1].Name += " again"
	return out, nil
}

// once makes one start. Port is where the subject listens, 0 if it ends by
// itself, -1 if that is not known yet; then it is found out.
func (t Trial) once(ctx context.Context, s Subject, o engine.BootOptions, port *int) (Sample, error) {
	if t.Probe.Args != nil {
		s.Config.Cmd = t.Probe.Args
	}
	begin := t.Clock()
	p, err := boot(ctx, t.Booter, s, nil, o)
	if err != nil {
		return Sample{}, err
	}
	defer p.kill()
	if *port < 0 {
		if *port, err = t.find(ctx, p, s); err != nil {
			return Sample{}, err
		}
	}
	if *port == 0 {
		st, _, err := p.until(ctx, t.limits.start, t.limits.poll, nil)
		if err == nil && st != exits {
			err = fmt.Errorf("it has not ended after %s, as it did before", t.limits.start)
		}
		return Sample{First: t.Clock().Sub(begin)}, err
	}
	if err := t.first(ctx, p, *port); err != nil {
		return Sample{}, err
	}
	sample := Sample{First: t.Clock().Sub(begin)}
	if sample.PSS, err = p.PSS(); err != nil {
		return Sample{}, fmt.Errorf("reading its memory: %w", err)
	}
	p.kill()
	return sample, p.err
}

// find gives the port that a subject listens on, 0 if it exits.
func (t Trial) find(ctx context.Context, p *process, s Subject) (int, error) {
	wanted := func(port int) bool { return t.Probe.Port == 0 || port == t.Probe.Port }
	st, ports, err := p.until(ctx, t.limits.start, t.limits.poll, wanted)
	switch {
	case err != nil:
		return 0, err
	case st == exits:
		return 0, nil
	case st == runs:
		return 0, fmt.Errorf("it %s for %s", st, t.limits.start)
	}
	return choose(t.Probe, s.Config, ports), nil
}

// first waits for the first byte of an answer to GET /, whatever it is. It
// tries to connect every millisecond: that costs next to nothing, and looking
// for what listens does not.
func (t Trial) first(ctx context.Context, p *process, port int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.limits.start, errTooLong)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		c, err := p.Dial(ctx, port)
		if err == nil {
			return hello(ctx, c, port)
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended with exit code %d: %s", p.exit.Code, engine.LastLines(string(p.exit.Stderr), 3))
		case <-ctx.Done():
			return fmt.Errorf("connecting to port %d: %w", port, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// hello asks over c, which it closes.
func hello(ctx context.Context, c net.Conn, port int) error {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	request := "GET / HTTP/1.1\r\nHost: localhost:" + strconv.Itoa(port) + "\r\nUser-Agent: exuvia\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := c.Write([]byte(request)); err != nil {
		return fmt.Errorf("asking port %d: %w", port, err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for an answer of port %d: %w", port, err)
	}
	return nil
}

// median is that of an even number of samples between the two in the middle.
func median[T int64 | time.Duration](samples []Sample, of func(Sample) T) T {
	var all []T
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}
