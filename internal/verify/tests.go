package verify

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

//go:embed tests.py
var testsScript []byte

// Where boots have what tests need.
const (
	BesideDir = "/run/exuvia/beside" // Tests.Tree
	testsDir  = "/run/exuvia/tests"  // the hook, found as sitecustomize
)

// testsPrefix is that of the names of checks.
const testsPrefix = "tests: "

// Tests are the project's own, which have to pass in the image as in the
// unreduced app. They run in the project's directory, but what they test is the
// image's: its modules, its libraries, its data. What they need beside, and the
// image lacks, comes from Tree: for their own imports only, but for Lent.
type Tests struct {
	Lines   []string   // command lines, such as "python -m pytest tests"
	Tree    *tree.Tree // the unreduced app with what tests need
	Dir     string     // the project's directory on the host
	Scripts string     // directory of Tree with console scripts
	Path    []string   // directories of the image with modules of the project, absolute
	Sources []string   // directories of the project with its modules, relative to Dir; the first is "."
	Modules []string   // top-level modules of the project
	Lent    []string   // top-level modules that only tests bring, and directories of metadata
}

// testing gives the options of a boot of s that runs tests.
func (v *verifier) testing(s Subject) (engine.BootOptions, error) {
	hook, err := python.Sitecustomize("tests", testsScript)
	if err != nil {
		return engine.BootOptions{}, err
	}
	t := v.Tests
	var sources []string
	for _, d := range t.Sources {
		sources = append(sources, path.Join(project.SourceDir, d))
	}
	o := v.options()
	o.Writable = true
	o.Inputs = []engine.Input{{Tree: t.Tree, At: BesideDir}, {Tree: hook, At: testsDir}}
	o.Volumes = append(slices.Clip(o.Volumes), engine.Volume{Host: t.Dir, At: project.SourceDir, Overlay: true})
	o.Env = append(slices.Clip(o.Env),
		"PYTHONPATH="+strings.Join(append([]string{testsDir}, t.Path...), ":"),
		"PATH="+searchPath(s.Config)+":"+path.Join(BesideDir, t.Scripts),
		"TERMINFO_DIRS=:"+BesideDir+"/usr/share/terminfo", // for lent libraries; "" is where they look by themselves
		"EXUVIA_BESIDE="+BesideDir, "EXUVIA_SOURCES="+strings.Join(sources, ":"), "EXUVIA_OWN="+strings.Join(t.Modules, ":"), "EXUVIA_LENT="+strings.Join(t.Lent, ":"))
	return o, nil
}

// tests runs one command line of the project's tests, which has to pass.
func (v *verifier) tests(line string) question {
	name := testsPrefix + oneLine(line)
	return question{
		name: name,
		ask: func(ctx context.Context, s Subject, _ bool) ([]answer, error) {
			argv, err := project.Words(line)
			if err != nil {
				return nil, err
			}
			o, err := v.testing(s)
			if err != nil {
				return nil, err
			}
			s.Config.WorkingDir = project.SourceDir
			a, err := v.runUntil(ctx, s, name, argv, o, v.limits.tests, nil)
			if said := summary(a.log); a.fields["exit"] == "0" && said != "" {
				a.seen = said
			}
			a.texts, a.files = nil, nil // times and places, of which no two runs have the same
			return []answer{a}, err
		},
		started: func(as []answer) error {
			if as[0].fields["exit"] == "0" {
				return nil
			}
			return &fault.Error{
				Kind: fault.Start, What: oneLine(fmt.Sprintf("%s do not pass in the unreduced app: %s: %s", name, as[0].seen, engine.LastLines(as[0].log, 2))),
				Hint: "make them pass in a copy of this directory, without network; what they need beside the app can be named by test-groups or test-extras in [tool.exuvia]",
				Said: as[0].log,
			}
		},
	}
}

// ran matches what unittest says of how many tests it ran.
var ran = regexp.MustCompile(`(?m)^Ran \d+ tests? in .+$`)

// summary is what a run of tests says of itself: the last line, such as "12
// passed in 0.31s". Unittest's goes on stderr, with others after it.
func summary(log string) string {
	if all := ran.FindAllString(log, -1); len(all) > 0 {
		return all[len(all)-1]
	}
	return strings.Trim(engine.LastLines(log, 1), "= ")
}

// untested says so of tests that were not run.
func (v *verifier) untested() []report.Check {
	if v.hasPython() {
		return nil
	}
	var out []report.Check
	for _, line := range v.Tests.Lines {
		out = append(out, report.Check{Name: testsPrefix + oneLine(line), OK: true, Detail: "not run: the image has no interpreter of its own"})
	}
	return out
}
