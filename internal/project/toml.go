package project

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
)

// document is a TOML file of the project, or a part of one.
type document struct {
	name  string // for messages, relative to the project
	data  []byte
	first int    // lines of the file before data
	block []byte // of a script: the comment that data was in
}

// decode reads all that into has a field for. A syntax error, or a value of
// the wrong type, is a [fault.Project] that shows the place.
func (d document) decode(into any) error {
	err := toml.Unmarshal(d.data, into)
	if err == nil {
		return nil
	}
	return d.explain(err)
}

// explain says where in the file a decoding error is, and shows the line.
func (d document) explain(err error) error {
	bad, ok := errors.AsType[*toml.DecodeError](err)
	if !ok {
		return fault.Wrap(err, fault.Project, "correct "+d.name, "reading %s", d.name)
	}
	row, _ := bad.Position()
	msg := inTOML(strings.TrimPrefix(bad.Error(), "toml: "))
	return fault.New(fault.Project, "correct this line of "+d.name, "%s: %s: %s", d.place(row), msg, d.line(row))
}

// mismatch matches what go-toml says of a value of the wrong type.
var mismatch = regexp.MustCompile(`^cannot (?:decode TOML|store) (?:an? )?([a-z ]+?) (?:into|in)(?: a| struct field \S+ of type)? (\S+)$`)

// inTOML says in TOML's words what go-toml says in Go's.
func inTOML(msg string) string {
	m := mismatch.FindStringSubmatch(msg)
	if m == nil {
		return msg
	}
	want := "a table"
	switch target := m[2]; {
	case target == "string":
		want = "a string"
	case target == "int":
		want = "a whole number"
	case target == "bool":
		want = "true or false"
	case strings.HasPrefix(target, "[]"):
		want = "a list"
	}
	return want + " is wanted here, not " + article(m[1])
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

func (d document) place(row int) string { return fmt.Sprintf("%s:%d", d.name, d.first+row) }

// line is the text of a line, counted from 1.
func (d document) line(row int) string {
	lines := strings.Split(string(d.data), "\n")
	if row < 1 || row > len(lines) {
		return "end of file"
	}
	return Clip(strings.TrimSpace(lines[row-1]))
}
