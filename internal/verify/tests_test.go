package verify

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// The tests pass or fail as the case has it; all else is the same in both.
func TestTests(t *testing.T) {
	passes := app{exit: engine.Exit{Stdout: []byte("...\n=== 3 passed in 0.1s ===\n")}}
	ranThree := app{exit: engine.Exit{Stderr: []byte("...\nRan 3 tests in 0.1s\n\nOK\n"), Stdout: []byte("Found 3 test(s).\n")}}
	fails := app{exit: engine.Exit{Code: 1, Stdout: []byte("ModuleNotFoundError: No module named 'fractions'\n=== 1 failed ===\n")}}
	contract := app{exit: engine.Exit{Stdout: []byte(contractMark + "codecs\tutf-8\tok\tutf-8\n")}}
	subject := func(tests app) func([]string, string) app {
		return func(argv []string, _ string) app {
			switch {
			case argv[0] == "pytest":
				return tests
			case slices.Contains(argv, "-c"):
				return contract
			}
			return app{}
		}
	}
	for _, tt := range []struct {
		name       string
		full, lean app
		frozen     bool // the image has no Python
		kind       fault.Kind
		want       string // in the check or in the error
	}{
		{"pass in both", passes, passes, false, 0, "3 passed in 0.1s"},
		{"of unittest", ranThree, ranThree, false, 0, "Ran 3 tests in 0.1s"},
		{"pass in other times", passes, app{exit: engine.Exit{Stdout: []byte("=== 3 passed in 0.2s ===\n")}}, false, 0, "3 passed in 0.1s"},
		{"fail in the unreduced app", fails, fails, false, fault.Start, "do not pass in the unreduced app"},
		{"fail in the image", passes, fails, false, fault.Differs, "tests: pytest -q: exit: image 1, unreduced app 0; missing module fractions"},
		{"cannot run", passes, passes, true, 0, "not run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, boots := input(t, subject(tt.full), subject(tt.lean))
			python := tree.File("usr/bin/python3", 0o755, nil, tree.Origin{})
			full, lean := newTree(t, python), newTree(t, python)
			if tt.frozen {
				lean = newTree(t)
			}
			boots.apps[full], boots.apps[lean] = subject(tt.full), subject(tt.lean)
			in.Full.Tree, in.Lean.Tree, in.Python = full, lean, "usr/bin/python3"
			in.Tests = Tests{Lines: []string{"pytest -q"}, Tree: full, Dir: t.TempDir(), Sources: []string{"."}}
			checks, err := Run(t.Context(), in)
			if tt.kind != 0 {
				if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != tt.kind || !strings.Contains(f.What, tt.want) {
					t.Fatalf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			i := slices.Index(names(checks), "tests: pytest -q")
			if i < 0 || !checks[i].OK || !strings.Contains(checks[i].Detail, tt.want) {
				t.Errorf("checks %+v, want %q", checks, tt.want)
			}
		})
	}
}
