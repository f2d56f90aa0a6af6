package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"exuvia": func() {
		os.Exit(Main(context.Background(), Env{
			Args: os.Args, Getenv: os.Getenv, Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}))
	}})
}

// TestScripts runs testdata/script, which a newcomer may read as the manual.
// Beside the commands of testscript there is
//
//	refused CODE ARG…
//
// which runs exuvia with the arguments. It has to end with the exit code, say
// what is wrong and what to do in two lines, print nothing else but progress,
// and leave no image behind.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			home := e.WorkDir + "/home"
			e.Setenv("HOME", home)
			return os.Mkdir(home, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"refused": refused},
	})
}

var twoLines = regexp.MustCompile(`^(exuvia: [a-z ]+\n)*exuvia: error: \S.*\nexuvia: hint: \S.*\n$`)

func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: refused CODE ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec("exuvia", args[1:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if stdout != "" || !twoLines.MatchString(stderr) {
		ts.Fatalf("it says other things than what is wrong and what to do")
	}
	ts.Check(ts.Exec("exuvia", "images", "--json"))
	if images := ts.ReadFile("stdout"); images != "[]\n" {
		ts.Fatalf("it leaves images: %s", images)
	}
	for w, text := range map[io.Writer]string{ts.Stdout(): stdout, ts.Stderr(): stderr} { // for stdout and stderr in the script
		_, err := io.WriteString(w, text)
		ts.Check(err)
	}
}
