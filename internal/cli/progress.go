package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"
)

// progress tells what is going on: on a terminal lines that change, one of the
// command itself and one for each image that is being built; elsewhere (in
// CI) a line each.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	live  bool // w is a terminal
	width int
	quiet bool
	line  string   // of the command itself
	names []string // of the images being built, in the order in which they began
	lines map[string]string
	shown int // live lines on the screen
}

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, quiet: quiet, lines: make(map[string]string)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.live = true
		p.width, _, _ = term.GetSize(int(f.Fd()))
	}
	return p
}

// Printf says what has begun.
func (p *progress) Printf(format string, args ...any) {
	p.say("", oneLine(fmt.Sprintf(format, args...)))
}

// Watch says what has begun for one of several images; "" is its end.
func (p *progress) Watch(image, line string) { p.say(image, oneLine(line)) }

func (p *progress) say(image, line string) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.live {
		switch {
		case image == "":
			fmt.Fprintln(p.w, "exuvia: "+line)
		case line == "":
			fmt.Fprintln(p.w, "exuvia: "+image+": done")
		default:
			fmt.Fprintln(p.w, "exuvia: "+image+": "+line)
		}
		return
	}
	switch {
	case image == "":
		p.line = line
	case line == "":
		delete(p.lines, image)
		p.names = slices.DeleteFunc(p.names, func(n string) bool { return n == image })
	default:
		if _, ok := p.lines[image]; !ok {
			p.names = append(p.names, image)
		}
		p.lines[image] = line
	}
	p.clear()
	p.draw()
}

// draw writes the live lines and leaves the cursor at the end of the last.
func (p *progress) draw() {
	var list []string
	if len(p.names) == 0 {
		list = append(list, p.line)
	}
	for _, n := range p.names {
		list = append(list, n+": "+p.lines[n])
	}
	for i, line := range list {
		if limit := p.width - 4; limit > 20 && len(line) > limit {
			list[i] = strings.ToValidUTF8(line[:limit], "") + "…"
		}
		list[i] = "• " + list[i]
	}
	fmt.Fprint(p.w, strings.Join(list, "\n"))
	p.shown = len(list)
}

// clear takes the live lines off the screen.
func (p *progress) clear() {
	if p.shown == 0 {
		return
	}
	up := ""
	if p.shown > 1 {
		up = fmt.Sprintf("\x1b[%dA", p.shown-1)
	}
	fmt.Fprint(p.w, "\r"+up+"\x1b[J")
	p.shown = 0
}

// Done clears the live lines, before results are printed.
func (p *progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
