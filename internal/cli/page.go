package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"exuvia/internal/fault"
)

// page is a file that is there only when it is whole.
type page struct {
	*os.File // under another name until then

	name string
}

func newPage(name string) (*page, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".exuvia-*.html")
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "name a file in a directory that you may write to", "writing %s", name)
	}
	return &page{f, name}, nil
}

// discard removes what was not kept.
func (p *page) discard() {
	p.Close()
	os.Remove(p.Name())
}

// keep gives the page its name.
func (p *page) keep() error {
	if err := errors.Join(p.Chmod(0o644), p.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", p.name, err)
	}
	if err := os.Rename(p.Name(), p.name); err != nil {
		return fault.Wrap(err, fault.Usage, "name a file in a directory that you may write to", "writing %s", p.name)
	}
	return nil
}
