package cli

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/google/renameio/v2"

	"exuvia/internal/fault"
)

// writable checks that a file can be written later. It leaves nothing behind,
// since the directory may be that of the project.
func writable(name string) error {
	f, err := pending(name)
	if err == nil {
		err = f.Cleanup()
	}
	return unwritable(err, name)
}

// writeOutput writes a file that has its name only when it is whole. What had
// the name before stays until then, and gives its permissions.
func writeOutput(name string, write func(io.Writer) error) error {
	f, err := pending(name)
	if err != nil {
		return unwritable(err, name)
	}
	defer f.Cleanup() //nolint:errcheck // the error that matters is another
	if err := write(f); err != nil {
		return err
	}
	return unwritable(f.CloseAtomicallyReplace(), name)
}

// pending begins a file. Where the name is a link, it is the file that it leads
// to.
func pending(name string) (*renameio.PendingFile, error) {
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		target, err = name, nil
	}
	if err != nil {
		return nil, err
	}
	return renameio.NewPendingFile(target, renameio.WithTempDir(filepath.Dir(target)), renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
}

func unwritable(err error, name string) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Usage, "name a file in a directory that you may write to", "writing %s", name)
}
