package project

import (
	"errors"
	"fmt"
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
	msg := strings.TrimPrefix(bad.Error(), "toml: ")
	return fault.New(fault.Project, "correct this line of "+d.name, "%s: %s: %s", d.place(row), msg, d.line(row))
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
