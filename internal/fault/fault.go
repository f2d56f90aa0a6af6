// Package fault holds the errors that are meant for the user: what went wrong
// in one line, what to do about it in another, and an exit code a script can
// rely on. Everything else is an ordinary error and a defect of exuvia.
package fault

import "fmt"

// Kind says whose move it is. Its value is the process's exit code, so the
// numbers are part of the command's contract and never change.
type Kind int

// The kinds. 1 is left to defects of exuvia itself and is not a Kind.
const (
	Usage       Kind = 2   // the command line or a setting is wrong
	Project     Kind = 3   // the project's files are missing, ambiguous or broken
	Dependency  Kind = 4   // dependencies cannot be resolved, fetched or built
	Network     Kind = 5   // something has to be downloaded and cannot be
	Integrity   Kind = 6   // a hash or a signature does not match
	Base        Kind = 7   // the base does not exist or does not fit
	Step        Kind = 8   // a tool that builds the image failed
	Differs     Kind = 9   // the image does not behave like the project
	Start       Kind = 10  // the unreduced project itself does not start
	Space       Kind = 11  // no space left on the device
	Sandbox     Kind = 12  // this machine does not let exuvia isolate a process
	Publish     Kind = 13  // the image was built, and could not be delivered
	NotFound    Kind = 14  // no such image, file, module or distribution
	Busy        Kind = 15  // a port or a lock is taken
	Budget      Kind = 16  // the image is larger, or has grown more, than the user allows
	Interrupted Kind = 130 // the user stopped it
)

// Error is an error for the user.
type Error struct {
	Kind Kind
	What string // one line, no trailing period, without credentials
	Hint string // one line, says what to do; never empty
	Said string // "" or what a program printed before it failed, in lines
	Err  error  // the cause, may be nil
}

// New makes an error without an underlying cause.
func New(kind Kind, hint, format string, args ...any) error {
	return &Error{Kind: kind, What: fmt.Sprintf(format, args...), Hint: hint}
}

// Wrap makes an error for the user out of err, which becomes part of What.
func Wrap(err error, kind Kind, hint, format string, args ...any) error {
	return &Error{Kind: kind, What: fmt.Sprintf(format, args...) + ": " + err.Error(), Hint: hint, Err: err}
}

func (e *Error) Error() string { return e.What }

func (e *Error) Unwrap() error { return e.Err }
