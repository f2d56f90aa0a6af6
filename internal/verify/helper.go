package verify

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"exuvia/internal/engine"
	"exuvia/internal/tree"
)

//go:embed contract.py
var contractScript string

//go:embed imports.py
var importsScript string

// The lines after which the scripts' answers begin: a sitecustomize or an
// imported module may print before.
const (
	contractMark = "exuvia:contract:begin\n"
	importsMark  = "exuvia:imports:begin\n"
)

// script runs a helper with the interpreter of the app, without the user's
// probe settings unless they are wanted, and gives its end and what it wrote.
func (v *verifier) script(ctx context.Context, s Subject, text, input string, o engine.BootOptions) (engine.Exit, error) {
	in, err := v.scratch.input(input)
	if err != nil {
		return engine.Exit{}, fmt.Errorf("writing the input of a helper: %w", err)
	}
	defer in.Close()
	o.Stdin = in
	p, err := boot(ctx, v.Booter, s, []string{"/" + strings.TrimPrefix(v.Python, "/"), "-c", text}, o)
	if err != nil {
		return engine.Exit{}, err
	}
	defer p.kill()
	st, _, err := p.until(ctx, v.limits.script, v.limits.poll, nil)
	if err == nil && st != exits {
		err = fmt.Errorf("a helper takes more than %s", v.limits.script)
	}
	return p.exit, err
}

// unfinished is the answer of a helper that did not come to its end.
func unfinished(name string, e engine.Exit) answer {
	a := ended(name, e)
	a.fields = map[string]string{"state": "does not end well"}
	return a
}

// groups are the parts of the runtime contract, each a check.
var groups = []string{"interpreter", "codecs", "time", "names", "system", "metadata", "starts"}

const (
	contractName   = "runtime contract"
	contractPrefix = "contract: "
)

// contract compares what any Python process may lean on without importing it
// by name. What the unreduced app cannot do either is not asked of the image,
// and neither are modules that it may do without.
func (v *verifier) contract() question {
	dists := strings.Join(distributions(v.Full.Tree, v.Lean.Tree), "\n")
	q := question{
		name: contractName,
		ask: func(ctx context.Context, s Subject, _ bool) ([]answer, error) {
			e, err := v.script(ctx, s, contractScript, dists, engine.BootOptions{})
			if err != nil {
				return nil, err
			}
			_, lines, ok := strings.Cut(string(e.Stdout), contractMark)
			if !ok {
				return []answer{unfinished(contractPrefix+groups[0], e)}, nil
			}
			return contractAnswers(lines, string(e.Stderr)), nil
		},
		started: func(as []answer) error {
			if as[0].asked == nil {
				return v.noStart("python", engine.LastLines(as[0].log, 3), as[0].log)
			}
			return nil
		},
	}
	q.of = func(check string) (question, bool) { return q, strings.HasPrefix(check, contractPrefix) }
	return q
}

// contractAnswers reads the script's lines: group, item, status, value.
func contractAnswers(text, log string) []answer {
	out := make([]answer, len(groups))
	for i, g := range groups {
		out[i] = answer{name: contractPrefix + g, asked: map[string]string{}, log: log}
	}
	for l := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(l, "\n"), "\t", 4)
		i := slices.Index(groups, f[0])
		if len(f) < 4 || i < 0 {
			continue
		}
		if f[2] == "error" {
			out[i].log += "\n" + f[3]
		}
		if f[2] != "ok" {
			f[3] = f[2] + " " + f[3]
		}
		out[i].asked[f[1]] = strings.TrimSpace(f[3])
	}
	for i := range out {
		out[i].seen = fmt.Sprintf("%d facts", len(out[i].asked))
	}
	return out
}

var metadataFile = regexp.MustCompile(`(?:^|/)([A-Za-z0-9][\w.]*)-[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO)$`)

// distributions are those whose metadata both trees have, sorted.
func distributions(full, lean *tree.Tree) []string {
	var out []string
	for e := range full.All() {
		m := metadataFile.FindStringSubmatch(e.Path)
		if m == nil {
			continue
		}
		if _, ok := lean.Lookup(e.Path); ok {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// imports imports every kept module in both. It stands in for starting an app
// that wants something which is not there.
func (v *verifier) imports() question {
	modules := slices.DeleteFunc(slices.Sorted(slices.Values(v.Modules)), func(m string) bool {
		// These do something when they are imported: run, or open a browser.
		return m == "__main__" || strings.HasSuffix(m, ".__main__") || m == "antigravity" || m == "this" || strings.ContainsAny(m, " \t\n")
	})
	return question{
		name: "imports",
		ask: func(ctx context.Context, s Subject, _ bool) ([]answer, error) {
			e, err := v.script(ctx, s, importsScript, strings.Join(modules, "\n"), v.options())
			if err != nil {
				return nil, err
			}
			_, text, ok := strings.Cut(string(e.Stdout), importsMark)
			if !ok {
				return []answer{unfinished("imports", e)}, nil
			}
			return []answer{importAnswer(text, modules, string(e.Stderr))}, nil
		},
		started: func(as []answer) error {
			if as[0].asked == nil {
				return v.noStart("importing its modules", engine.LastLines(as[0].log, 3), as[0].log)
			}
			return nil
		},
	}
}

// importAnswer reads the script's lines: module, what went wrong. A module that
// the unreduced app cannot import need not be importable in the image.
func importAnswer(text string, modules []string, log string) answer {
	a := answer{name: "imports", asked: map[string]string{}, log: log}
	for _, m := range modules {
		a.asked[m] = "imported"
	}
	failed := 0
	for l := range strings.Lines(text) {
		m, what, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "\t")
		if ok && a.asked[m] != "" {
			failed++
			a.log += "\n" + what
			a.asked[m] = "error " + what
		}
	}
	a.seen = fmt.Sprintf("%d modules", len(modules))
	if failed > 0 {
		a.seen += ", of which " + strconv.Itoa(failed) + " cannot be imported"
	}
	return a
}
