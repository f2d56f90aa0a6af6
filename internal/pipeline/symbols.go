package pipeline

import (
	"fmt"
	"io"
	"os"
	"path"

	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// writeSymbols writes what strip dropped to the directory that was asked for:
// usr/lib/debug/.build-id/xx/yyyy.debug, as gdb's debug-file-directory and
// debuginfod have it.
func (b *build) writeSymbols() error {
	if b.Symbols == "" {
		return nil
	}
	if b.symbols == nil {
		b.out.Notes = append(b.out.Notes, report.Note{Where: "strip", Text: "no file had symbols to write to " + b.Symbols})
		return nil
	}
	if err := os.MkdirAll(b.Symbols, 0o755); err != nil {
		return fmt.Errorf("writing symbols: %w", err)
	}
	root, err := os.OpenRoot(b.Symbols)
	if err != nil {
		return fmt.Errorf("writing symbols: %w", err)
	}
	defer root.Close()
	for e := range b.symbols.All() {
		if !e.IsRegular() {
			continue
		}
		if err := writeEntry(root, e); err != nil {
			return fmt.Errorf("writing symbols: %w", err)
		}
	}
	return nil
}

func writeEntry(root *os.Root, e tree.Entry) error {
	if err := root.MkdirAll(path.Dir(e.Path), 0o755); err != nil {
		return err
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := root.Create(e.Path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}
