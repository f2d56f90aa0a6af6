package verify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"exuvia/internal/plan"
	"exuvia/internal/project"
)

// run starts the image's entry point as the image would. If it listens it is a
// server and is asked over HTTP; if it exits, its output is its answer.
func (v *verifier) run() question {
	name := v.Entries[0]
	asks := &promise{done: make(chan struct{})}
	q := question{
		name: name,
		ask: func(ctx context.Context, s Subject, lead bool) ([]answer, error) {
			if lead {
				defer asks.keep(nil) // whatever happens, nobody waits in vain
			}
			return v.session(ctx, s, name, asks, lead)
		},
		started: func(as []answer) error {
			if as[0].fields["state"] != string(exits) {
				return nil
			}
			if why := crash(as[0]); why != "" {
				return v.noStart(name, why, as[0].log)
			}
			return nil
		},
	}
	q.of = func(string) (question, bool) { return q, true } // requests have names of any form
	return q
}

// promise is the list of requests, which the first boot of the unreduced app
// makes and all others wait for.
type promise struct {
	once sync.Once
	done chan struct{}
	asks []ask
}

func (p *promise) keep(asks []ask) {
	p.once.Do(func() {
		p.asks = asks
		close(p.done)
	})
}

// session is one boot of the entry point, from start to stop.
func (v *verifier) session(ctx context.Context, s Subject, name string, asks *promise, lead bool) ([]answer, error) {
	if v.Probe.Args != nil {
		s.Config.Cmd = v.Probe.Args
	}
	p, err := boot(ctx, v.Booter, s, nil, v.writing())
	if err != nil {
		return nil, err
	}
	defer p.kill()
	wanted := anyPort
	if v.Probe.Port != 0 {
		wanted = func(port int) bool { return port == v.Probe.Port }
	}
	st, ports, err := p.until(ctx, v.limits.start, v.limits.poll, wanted)
	if err != nil {
		return nil, err
	}
	if st == exits {
		return []answer{ended(name+" runs", p.exit).leaving(s, p.exit)}, nil
	}
	starts := answer{name: name + " runs", seen: string(st), fields: map[string]string{"state": string(st)}}
	var got []answer
	if st == listens {
		if got, err = v.interview(ctx, p, choose(v.Probe, s.Config, ports), asks, lead); err != nil {
			return nil, err
		}
		// Looked at last: some listen on more ports only after a while.
		if ports, err = p.Listening(); err == nil {
			starts.fields["ports"] = list(ports)
			starts.seen += " on " + starts.fields["ports"]
		} else {
			starts.fields["ports"] = "none any more"
		}
	}
	out := append([]answer{starts}, got...)
	out = append(out, v.farewell(p, s, name))
	log := string(p.exit.Stdout) + "\n" + string(p.exit.Stderr)
	for i := range out {
		out[i].log = log
	}
	out[0].faults = exceptions(log)
	return out, p.err
}

// farewell stops the process as a container engine would.
func (v *verifier) farewell(p *process, s Subject, name string) answer {
	sig := signalOf(s.Config)
	a := answer{name: fmt.Sprintf("%s at the stop signal (%d)", name, int(sig))}
	if !p.stop(sig, v.limits.stop) {
		a.fields = map[string]string{"state": "runs on"}
		a.seen = "it runs on"
		return a
	}
	a.fields = map[string]string{"state": string(exits), "exit": strconv.Itoa(p.exit.Code)}
	a.seen = "exit code " + a.fields["exit"]
	return a
}

func list(ports []int) string {
	var s []string
	for _, p := range ports {
		s = append(s, strconv.Itoa(p))
	}
	return strings.Join(s, ", ")
}

// interview asks a server. The unreduced app's first boot decides what: two
// fixed requests, and what its /openapi.json makes of the rest.
func (v *verifier) interview(ctx context.Context, p *process, port int, asks *promise, lead bool) ([]answer, error) {
	c := newClient(p, port, v.limits)
	var got []answer
	say := func(as []ask) error {
		for _, q := range as {
			a, err := c.do(ctx, q)
			if err != nil {
				return err
			}
			a.name = unique(got, a.name)
			got = append(got, a)
		}
		return nil
	}
	if err := say(fixed()[:1]); err != nil {
		return nil, err
	}
	if got[0].fields["status"] == "" && len(v.Probe.HTTP) == 0 {
		return got, nil // it speaks something else than HTTP
	}
	if err := say(fixed()[1:]); err != nil {
		return nil, err
	}
	if lead {
		var doc []byte
		if got[1].fields["status"] == "200" {
			doc = got[1].texts["body"]
		}
		asks.keep(v.requests(doc))
	}
	select {
	case <-asks.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return got, say(asks.asks)
}

// fixed are the requests that come first, whatever a server is.
func fixed() []ask {
	return []ask{{method: http.MethodGet, path: "/"}, {method: http.MethodGet, path: "/openapi.json"}}
}

// requests are those after the fixed ones.
func (v *verifier) requests(openapi []byte) []ask {
	out := derive(openapi)
	for _, r := range v.Probe.HTTP {
		out = append(out, ask{method: r.Method, path: r.Path, header: r.Headers, body: r.Body})
	}
	return append(out,
		ask{method: http.MethodGet, path: "/exuvia-asks-for-nothing"},
		ask{method: http.MethodHead, path: "/"})
}

// choose gives the port to ask among those that are listened on: the one that
// the user names, one that the image declares, the lowest.
func choose(p project.Probe, c plan.Config, ports []int) int {
	if p.Port != 0 {
		return p.Port
	}
	for _, declared := range c.Ports {
		number, _, _ := strings.Cut(declared, "/")
		if n, err := strconv.Atoi(number); err == nil && slices.Contains(ports, n) {
			return n
		}
	}
	return slices.Min(ports)
}

// unique gives name, or name with a number if there is an answer of that name.
func unique(have []answer, name string) string {
	out := name
	for n := 2; slices.ContainsFunc(have, func(a answer) bool { return a.name == out }); n++ {
		out = fmt.Sprintf("%s (%d)", name, n)
	}
	return out
}
