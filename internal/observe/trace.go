package observe

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
)

// Trace is what runs of a tree used. Paths are absolute and as the app named
// them, with links; those of opened files also as the kernel has them.
type Trace struct {
	Found   map[string]bool // files and directories that were opened, executed or asked about
	Opened  map[string]bool // those of them that were opened, as the kernel has them
	Missed  map[string]bool // those that do not exist
	Listed  map[string]bool // directories that were opened as such
	Modules map[string]bool // names that Python was asked to import
}

func newTrace() *Trace {
	return &Trace{Found: map[string]bool{}, Opened: map[string]bool{}, Missed: map[string]bool{}, Listed: map[string]bool{}, Modules: map[string]bool{}}
}

// maxRecord bounds what is read of one process.
const maxRecord = 1 << 30

// maxLine bounds one system call; a longer one is passed over.
const maxLine = 64 << 10

// file reads the record of a process that began in the directory cwd.
func (t *Trace) file(name, cwd string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.read(io.LimitReader(f, maxRecord), cwd)
}

func (t *Trace) read(r io.Reader, cwd string) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		case errors.Is(err, io.EOF):
			return nil // what has no end was written when the process was killed
		case err == nil:
			if c, ok := parse(string(line)); ok {
				cwd = t.note(c, cwd)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// note takes over a call and gives the working directory after it.
func (t *Trace) note(c call, cwd string) string {
	if c.dir != "" {
		if c.isCWD {
			cwd = c.dir
		}
	} else {
		c.dir = cwd
	}
	name := c.path
	if !path.IsAbs(name) {
		name = path.Join(c.dir, name)
	}
	name = path.Clean(name)
	switch rest, ok := strings.CutPrefix(name, importDir); {
	case ok:
		t.Modules[rest] = true
	case strings.HasPrefix(name, ownDir):
	case c.missing:
		t.Missed[name] = true
	default:
		t.Found[name] = true
		if c.real != "" {
			t.Found[c.real], t.Opened[c.real] = true, true
		}
		if c.listing {
			t.Listed[name] = true
		}
		if c.name == "chdir" {
			return name
		}
	}
	return cwd
}

// call is a system call with a path that succeeded, or found nothing there.
type call struct {
	name    string
	dir     string // that path is relative to; "" is the working directory
	isCWD   bool   // dir is the working directory
	path    string
	real    string // of what was opened
	missing bool
	listing bool // it opened a directory
}

// parse reads a line of strace -y such as
//
//	openat(AT_FDCWD</app>, "a.txt", O_RDONLY|O_CLOEXEC) = 3</app/a.txt>
//	access("/etc/ld.so.preload", R_OK)      = -1 ENOENT (No such file or directory)
func parse(line string) (call, bool) {
	name, rest, ok := strings.Cut(strings.TrimRight(line, "\n"), "(")
	end := strings.LastIndex(rest, " = ")
	if !ok || end < 0 || strings.ContainsAny(name, " +-<") {
		return call{}, false // a signal, an end, a call that never returned
	}
	c := call{name: name}
	args, result := strings.TrimRight(rest[:end], " "), rest[end+len(" = "):]
	switch {
	case strings.HasPrefix(result, "-1 ENOENT"), strings.HasPrefix(result, "-1 ENOTDIR"):
		c.missing = true
	case strings.HasPrefix(result, "-"), strings.HasPrefix(result, "?"):
		return call{}, false
	}
	if fd, after, ok := strings.Cut(args, "<"); ok && !strings.Contains(fd, `"`) {
		dir, more, ok := strings.Cut(after, ">, ")
		if !ok {
			return call{}, false
		}
		c.dir, c.isCWD, args = unquote(dir), fd == "AT_FDCWD", more
		if !path.IsAbs(c.dir) {
			return call{}, false // of a pipe, a socket, a deleted directory
		}
	} else if after, ok := strings.CutPrefix(args, "AT_FDCWD, "); ok {
		args = after
	}
	quoted, args, ok := cutQuoted(args)
	if !ok {
		return call{}, false
	}
	c.path = unquote(quoted)
	if c.path == "" && c.dir == "" {
		return call{}, false
	}
	c.listing = strings.Contains(args, "O_DIRECTORY") && !c.missing
	if _, real, ok := strings.Cut(result, "<"); ok && strings.HasPrefix(name, "open") && strings.HasSuffix(real, ">") {
		if real = unquote(strings.TrimSuffix(real, ">")); path.IsAbs(real) {
			c.real = real
		}
	}
	return c, true
}

// cutQuoted gives what is in the quotes that s begins with, and what follows.
func cutQuoted(s string) (in, after string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", s, false
}

// unquote undoes the escapes of strace: those of C, octal ones of one to three
// digits.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		n := 0
		for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
			n++
		}
		if n > 0 {
			code, err := strconv.ParseUint(s[i:i+n], 8, 8)
			if err != nil {
				code = '?' // more than a byte: strace writes none
			}
			out.WriteByte(byte(code))
			i += n - 1
			continue
		}
		if at := strings.IndexByte("abfnrtv", s[i]); at >= 0 {
			out.WriteByte("\a\b\f\n\r\t\v"[at])
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
