//go:build e2e

package reduce

import (
	"strings"
	"testing"

	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

const (
	moduleText  = "\"\"\"What it is.\"\"\"\nVALUE = 1\ndef debug(): return __debug__\n"
	programText = "#!/usr/bin/python3\n" + moduleText
)

// importing imports a module, says whether it had to be compiled, and how it
// was.
const importing = `
import sys
sys.path.insert(0, "/app")
compiled = []
sys.addaudithook(lambda event, args: compiled.append(args[1]) if event == "compile" else None)
def state(name):
    m = __import__(name)
    return name, m.VALUE, m.debug(), bool(m.__doc__), "/app/%s.py" % name in compiled
`

// What an interpreter makes of the bytecode of each mode and level, with the
// environment that the pass asks for.
func TestBytecodeModes(t *testing.T) {
	in := real(t)
	from := tree.Origin{Kind: tree.Dist, Name: "lib"}
	var err error
	if in.Tree, err = tree.New(tree.File("app/mod.py", 0o644, []byte(moduleText), from), tree.File("app/prog.py", 0o755, []byte(programText), from)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ mode, optimize, flag, want string }{
		{"pycache", "0", "0", "1, True, True, False"},
		{"pycache", "1", "1", "1, False, True, False"},
		{"pycache", "2", "2", "1, False, False, False"},
		{"legacy", "0", "0", "1, True, True, False"},
		{"legacy", "1", "0", "1, False, True, False"},
		{"legacy", "2", "0", "1, False, False, False"},
	} {
		t.Run(test.mode+" "+test.optimize, func(t *testing.T) {
			in := in
			in.Options = map[string]string{"mode": test.mode, "optimize": test.optimize}
			out, err := Bytecode.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			root := withFiles(t, in.Systems.Python, out.Tree)
			program := importing + `
assert sys.flags.optimize == ` + test.flag + `, sys.flags
for name in "mod", "prog":
    assert state(name) == (name, ` + test.want + `), state(name)
`
			try(t, in, root, out.Env, program)
			if test.mode == "pycache" { // of the same length, and with the same time as all files
				changed := tree.File("app/mod.py", 0o644, []byte(strings.Replace(moduleText, "VALUE = 1", "VALUE = 2", 1)), from)
				try(t, in, add(t, root, changed), out.Env, importing+`
assert state("mod")[1] == 2 and state("mod")[4], state("mod")
`)
			}
		})
	}
}

// try runs a program on a tree with an environment.
func try(t *testing.T, in Input, root *tree.Tree, env []string, program string) {
	t.Helper()
	_, err := in.Engine.Run(t.Context(), plan.Step{
		Name: "trying", System: "s", Args: []string{"/" + in.Python.Exe, "-B", "-c", program}, Env: env, Outs: []string{"/run/out"},
	}, engine.Trees{"s": root})
	if err != nil {
		t.Error(err)
	}
}
