package verify

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
)

// ended makes the answer of a program that ran to its end.
func ended(name string, e engine.Exit) answer {
	log := string(e.Stderr) + "\n" + string(e.Stdout)
	return answer{
		name:   name,
		seen:   fmt.Sprintf("exit code %d, %d bytes on stdout, %d on stderr", e.Code, len(e.Stdout), len(e.Stderr)),
		fields: map[string]string{"state": string(exits), "exit": strconv.Itoa(e.Code)},
		texts:  map[string][]byte{"stdout": e.Stdout, "stderr": withoutSource(e.Stderr)},
		log:    log,
	}
}

// help asks the entry point number i for its --help, or that of a subcommand,
// and leads to what this names. One that listens or stays instead does not know
// it, which has to be so in both.
func (v *verifier) help(i int, words ...string) question {
	args := append(slices.Clone(words), "--help")
	name := v.Entries[i] + " " + strings.Join(args, " ")
	return question{
		name: name,
		ask: func(ctx context.Context, s Subject, _ bool) ([]answer, error) {
			argv := s.Entries[i]
			if argv == nil {
				return []answer{{name: name, seen: "no such entry point", fields: map[string]string{"state": "is not there"}}}, nil
			}
			a, err := v.runOnce(ctx, s, name, slices.Concat(argv, args), v.options(), v.limits.help)
			return []answer{a}, err
		},
		started: func(as []answer) error {
			// An exception about the argument is an answer to it; any other
			// says that the entry point needs something that is not there. A
			// subcommand may be none at all.
			if bad := crash(as[0]); len(words) == 0 && bad != "" && !strings.Contains(bad, "--help") {
				return v.noStart(v.Entries[i], bad, as[0].log)
			}
			return nil
		},
		next: func(as []answer) []question {
			var out []question
			for _, w := range subcommands(helpText(as[0])) {
				if sub := append(slices.Clone(words), w); !v.commanded(i, sub) {
					out = append(out, v.help(i, sub...))
				}
			}
			return out
		},
		of: func(check string) (question, bool) {
			rest, ok := strings.CutPrefix(check, v.Entries[i]+" ")
			if words := strings.Fields(rest); ok && len(words) > 0 && words[len(words)-1] == "--help" {
				return v.help(i, words[:len(words)-1]...), true
			}
			return question{}, false
		},
	}
}

// commanded reports whether a command of the probe asks for the help of this
// subcommand already.
func (v *verifier) commanded(i int, words []string) bool {
	argv := slices.Concat(v.Full.Entries[i], words, []string{"--help"})
	return slices.ContainsFunc(v.Probe.Commands, func(c []string) bool {
		return len(c) > 0 && slices.Equal(v.inSubject(v.Full, c), argv)
	})
}

// command runs a command of the probe.
func (v *verifier) command(argv []string) question {
	name := oneLine(strings.Join(argv, " "))
	return question{
		name: name,
		ask: func(ctx context.Context, s Subject, _ bool) ([]answer, error) {
			a, err := v.runOnce(ctx, s, name, v.inSubject(s, argv), v.writing(), v.limits.start)
			return []answer{a}, err
		},
		started: func(as []answer) error {
			if code := as[0].fields["exit"]; code == "126" || code == "127" {
				return v.noStart(name, engine.LastLines(as[0].log, 3), as[0].log)
			}
			return nil
		},
	}
}

// inSubject gives a command as s has it: one that begins with an entry point of
// the unreduced app, by its path or its name, begins with that of s.
func (v *verifier) inSubject(s Subject, argv []string) []string {
	for i, e := range v.Full.Entries {
		if own := s.Entries[i]; len(own) > 0 && (argv[0] == e[0] || argv[0] == path.Base(e[0])) {
			return append([]string{own[0]}, argv[1:]...)
		}
	}
	return argv
}

// runOnce boots s with argv and gives how it ends, or that it does not.
func (v *verifier) runOnce(ctx context.Context, s Subject, name string, argv []string, o engine.BootOptions, limit time.Duration) (answer, error) {
	return v.runUntil(ctx, s, name, argv, o, limit, anyPort)
}

// runUntil is as runOnce, for what may listen on ports that are not wanted; nil
// wants none.
func (v *verifier) runUntil(ctx context.Context, s Subject, name string, argv []string, o engine.BootOptions, limit time.Duration, wanted func(int) bool) (answer, error) {
	p, err := boot(ctx, v.Booter, s, argv, o)
	if err != nil {
		return answer{}, err
	}
	defer p.kill()
	// Few listen here, and those lose nothing by waiting.
	st, _, err := p.until(ctx, limit, 5*v.limits.poll, wanted)
	if err != nil {
		return answer{}, err
	}
	if st == exits {
		return ended(name, p.exit).leaving(s, p.exit), nil
	}
	p.kill()
	return answer{
		name:   name,
		seen:   "no end: it " + string(st),
		fields: map[string]string{"state": string(st)},
		faults: exceptions(string(p.exit.Stderr)),
		log:    string(p.exit.Stderr),
	}, p.err
}

func (v *verifier) options() engine.BootOptions {
	return engine.BootOptions{Env: v.env, Volumes: v.volumes}
}

// writing are the options of a boot of which the files that it leaves count.
func (v *verifier) writing() engine.BootOptions {
	o := v.options()
	o.Written = true
	return o
}

var usage = regexp.MustCompile(`(?i)\busage\b`)

// crash gives what the unreduced app said if its end was no answer: by an
// exception, by a signal, or because there was nothing to start; "" if it was
// one. A command that is given no arguments explains its usage, with code 2
// (click, argparse) or another.
func crash(a answer) string {
	code, err := strconv.Atoi(a.fields["exit"])
	if err != nil || code == 0 {
		return ""
	}
	last := engine.LastLines(a.log, 3)
	if es := exceptions(a.log); len(es) > 0 {
		return es[len(es)-1]
	}
	if code == 2 || code < 126 && usage.MatchString(a.log) {
		return ""
	}
	if last == "" {
		last = "exit code " + strconv.Itoa(code)
	}
	return last
}

// lacksSystem matches what programs say that find no library or program of the
// system.
var lacksSystem = regexp.MustCompile(`(?i)cannot open shared object file|cannot load library|librar(y|ies)\b.* (not found|missing)|(failed to|could not|cannot|unable to) (find|locate|load) \S*lib|no library called|bad \w+ executable|No such file or directory: '[\w.+-]+'$|executable .*not found|unsupported locale`)

// noStart is the error for an unreduced app that does not start. Log is what
// it printed.
func (v *verifier) noStart(name, why, log string) error {
	hint := startHint
	if strings.HasPrefix(why, "ModuleNotFoundError") {
		hint = "add what brings the module to the dependencies, or the module itself to the project"
	}
	if lacksSystem.MatchString(why) || lacksSystem.MatchString(engine.LastLines(log, 40)) {
		hint = "name the Debian package of what it lacks under [tool.exuvia] packages, such as \"git\" or \"libmagic1\"; if that is not it, " + hint
	}
	return &fault.Error{
		Kind: fault.Start, What: fmt.Sprintf("the unreduced project does not start: %s: %s", name, oneLine(why)), Hint: hint,
		Said: log,
	}
}
