package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// progress tells what is going on: on a terminal one line that changes,
// elsewhere (in CI) a line each.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	live  bool // w is a terminal
	width int
	quiet bool
	shown bool // a live line is on the screen
}

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, quiet: quiet}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.live = true
		p.width, _, _ = term.GetSize(int(f.Fd()))
	}
	return p
}

// Printf says what has begun.
func (p *progress) Printf(format string, args ...any) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	line := oneLine(fmt.Sprintf(format, args...))
	if !p.live {
		fmt.Fprintln(p.w, "exuvia: "+line)
		return
	}
	if limit := p.width - 4; limit > 20 && len(line) > limit {
		line = strings.ToValidUTF8(line[:limit], "") + "…"
	}
	fmt.Fprint(p.w, "\r\x1b[2K• "+line)
	p.shown = true
}

// Done clears the live line, before results are printed.
func (p *progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[2K")
		p.shown = false
	}
}
