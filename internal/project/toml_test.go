package project

import (
	"testing"

	"exuvia/internal/fault"
)

// A value of the wrong type is told of in TOML's words, with its place.
func TestMismatch(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`ports = "x"`, `a list is wanted here, not a string`},
		{`ports = ["x"]`, `a whole number is wanted here, not a string`},
		{`name = ["a"]`, `a string is wanted here, not an array`},
		{`name = {a = 1}`, `a string is wanted here, not an inline table`},
		{`env = "x"`, `a table is wanted here, not a string`},
		{`probe = {http = ["x"]}`, `a table is wanted here, not a string`},
		{`[tool.exuvia.optimize]`, `a whole number is wanted here, not a table`},
		{`[[tool.exuvia.name]]`, `a string is wanted here, not an array table`},
		{`name = "a`, `basic strings cannot have new lines`},
	} {
		t.Run(c.line, func(t *testing.T) {
			_, err := readSettings(document{name: "pyproject.toml", data: []byte("[tool.exuvia]\n" + c.line + "\n")})
			wantFault(t, err, fault.Project, "pyproject.toml:2: "+c.want+": "+c.line, "correct this line of pyproject.toml")
		})
	}
}
