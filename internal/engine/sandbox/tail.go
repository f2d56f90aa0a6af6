package sandbox

import (
	"bytes"
	"sync"
	"time"
)

// now is the clock of log lines.
func now() time.Time { return time.Now() } //nolint:forbidigo // how long a step took is for the debug log only

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	data  []byte
}

func newTail(limit int) *tail { return &tail{limit: limit} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if extra := len(t.data) - t.limit; extra > t.limit { // seldom, as it copies
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}

// Bytes is the end of what was written, at most limit bytes.
func (t *tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.data[max(0, len(t.data)-t.limit):])
}

func (t *tail) String() string { return string(t.Bytes()) }
