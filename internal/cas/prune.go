package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Size is the space on disk that the store takes, in bytes; files with several
// names count once.
func (s *Store) Size() (int64, error) {
	var total int64
	seen := make(map[uint64]bool)
	err := filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = true
		total += st.Blocks * 512 // stat(2): always 512
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measuring cache: %w", err)
	}
	return total, nil
}

// Prune removes everything and gives the bytes that were freed. It waits
// until no other process uses the store; see [Store.Use].
func (s *Store) Prune() (int64, error) {
	unlock, err := s.lock(syscall.LOCK_EX)
	if err != nil {
		return 0, err
	}
	defer unlock()
	n, err := s.Size()
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("pruning cache: %w", err)
	}
	for _, e := range entries {
		if e.Name() != lockFile {
			RemoveAll(filepath.Join(s.dir, e.Name()))
		}
	}
	_, err = Open(s.dir)
	return n, err
}

const lockFile = "lock"

// Use says that this process works with the store until it calls the function
// it gets, or ends: what is in the store stays until then. What killed
// processes left behind is removed by the first to come when nobody else is
// there.
func (s *Store) Use() (func(), error) {
	if unlock, err := s.lock(syscall.LOCK_EX | syscall.LOCK_NB); err == nil {
		tmp := filepath.Join(s.dir, "tmp")
		if left, err := os.ReadDir(tmp); err == nil {
			for _, e := range left {
				RemoveAll(filepath.Join(tmp, e.Name()))
			}
		}
		unlock()
	}
	return s.lock(syscall.LOCK_SH)
}

func (s *Store) lock(how int) (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking cache: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking cache: %w", err)
	}
	return func() { f.Close() }, nil
}
