// Package engine is the contract between those who need a command run and
// those who run it: a step in a root tree, or an image booted as a container
// would boot it. Implementations are packages below it. It knows no variant,
// no Python and no image format.
package engine

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// DefaultLimit is how long a step may take that sets no limit itself.
const DefaultLimit = 15 * time.Minute

// Hostname is the host name in every step and boot.
const Hostname = "exuvia"

// Env is the environment that every step has, before its own: nothing in it
// depends on the machine, so that the same step gives the same bytes
// everywhere. SOURCE_DATE_EPOCH is cas.Stamp.
func Env() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/tmp", "LC_ALL=C.UTF-8", "TZ=UTC",
		"PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1", "SOURCE_DATE_EPOCH=315532800",
	}
}

// Trees are the trees that a step names.
type Trees map[string]*tree.Tree

// Engine runs a step and gives what it added below its Outs, with paths from
// the root, owned by 0:0, its contents in the cas. Origins are Made, by the
// step's name. A step that exits other than 0 is a [*StepError]; a whiteout,
// a device or a change to an existing file is an error too.
type Engine interface {
	Run(ctx context.Context, s plan.Step, trees Trees) (*tree.Tree, error)
}

// StepError is a command that failed.
type StepError struct {
	Step   string // plan.Step.Name
	Exit   int    // exit code, or 128 + signal
	Output string // the last lines of stdout and stderr, at most 64 KiB
	Reason string // "" or why it was stopped: "time limit of 15m0s"
}

func (e *StepError) Error() string {
	why := fmt.Sprintf("exit code %d", e.Exit)
	if e.Reason != "" {
		why = e.Reason
	}
	if tail := LastLines(e.Output, 3); tail != "" {
		why += ": " + tail
	}
	return fmt.Sprintf("%s: %s", e.Step, why)
}

// LastLines gives the last n non-empty lines of s joined by " | ".
func LastLines(s string, n int) string {
	var lines []string
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// Booter starts a tree as a container. The root is read-only; /tmp and
// Config.Writable are fresh tmpfs. The process sees loopback only, runs as
// process 1 of its own, as Config.User, with all capabilities dropped except
// that it may listen on ports below 1024.
type Booter interface {
	Boot(ctx context.Context, root *tree.Tree, c plan.Config, o BootOptions) (Process, error)
}

// BootOptions are what `docker run` would be given.
type BootOptions struct {
	Args     []string // in place of Config.Cmd
	Entry    []string // in place of Config.Entrypoint
	Env      []string // after Config.Env
	User     string   // in place of Config.User
	Volumes  []Volume
	Inputs   []Input  // trees beside the root, read-only
	Traces   bool     // its processes may trace each other: ptrace(2)
	Writable bool     // the root may be written to (gone at exit)
	Written  bool     // Exit.Files is wanted
	Network  bool     // the host's network in place of loopback only
	Stdin    *os.File // nil is /dev/null
	Stdout   *os.File // nil: kept, see Process.Wait
	Stderr   *os.File
}

// Input is a tree at a path of the container.
type Input struct {
	Tree *tree.Tree
	At   string // absolute
}

// Volume is a directory or file of the host in the container.
type Volume struct {
	Host, At string // absolute
	ReadOnly bool
	Overlay  bool // a directory whose top anyone may write to: gone at exit, and never the host's; needs BootOptions.Writable
}

// Process is a booted container.
type Process interface {
	// Dial connects to a TCP port on the container's 127.0.0.1.
	Dial(ctx context.Context, port int) (net.Conn, error)
	// Listening gives the TCP ports that are listened on, sorted.
	Listening() ([]int, error)
	// Signal sends a signal to process 1 of the container.
	Signal(os.Signal) error
	// Wait waits for process 1 and takes everything down. It may be called
	// more than once.
	Wait() (Exit, error)
	// PSS is the proportional set size, in bytes, of all processes in it.
	PSS() (int64, error)
}

// Exit is how a container ended.
type Exit struct {
	Code           int    // exit code, or 128 + signal
	Stdout, Stderr []byte // what it wrote, at most 1 MiB each, its end; nil where BootOptions named a file

	// Files are what it left in /tmp and Config.Writable, where BootOptions
	// wanted to know, sorted by path; nil with ManyFiles.
	Files     []File
	ManyFiles bool // there are more than 1000 files and directories, 64 MiB of contents, or 50 directories in each other
}

// File is one that a container left behind: regular or not, but no directory.
type File struct {
	Path   string // absolute, in the container
	Mode   fs.FileMode
	Size   int64  // of a regular file
	Digest string // SHA-256 of a regular file's contents, in hex; "" where they cannot be read
	Link   string // what a symbolic link points to
}
