package cas

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Key hashes the parts of a key. Parts are JSON, so structs, maps and slices
// are fine and no two lists of parts meet in one key.
func Key(parts ...any) string {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(parts); err != nil {
		panic(fmt.Sprintf("cas: key of %T: %v", parts, err)) // a programming error: all parts are ours
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Record keeps v, as JSON, under a key. Kind is a short name for people who
// look into the store; records of one key and two kinds do not meet.
func (s *Store) Record(kind, key string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("recording %s: %w", kind, err)
	}
	sum := sha256.Sum256(body)
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "record-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%x\n%s", sum, body); err != nil {
		return fmt.Errorf("recording %s: %w", kind, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("recording %s: %w", kind, err)
	}
	return s.adopt(f.Name(), s.record(kind, key))
}

// Lookup fills v with what was recorded under the key. A damaged record is
// removed and counts as none.
func (s *Store) Lookup(kind, key string, v any) bool {
	name := s.record(kind, key)
	data, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	head, body, _ := bytes.Cut(data, []byte("\n"))
	sum := sha256.Sum256(body)
	if string(head) != hex.EncodeToString(sum[:]) || json.Unmarshal(body, v) != nil {
		_ = os.Remove(name)
		return false
	}
	return true
}

func (s *Store) record(kind, key string) string {
	return filepath.Join(s.dir, "records", kind, key[:2], key)
}
