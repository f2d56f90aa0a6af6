package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCount(t *testing.T) {
	for _, test := range []struct {
		said string
		want int
	}{
		{"2 failed, 472 passed, 6 skipped in 10.13s", 472},
		{"Ran 1 test in 0.010s", 1},
		{"Ran 359 tests in 0.986s", 359},
		{"no tests ran in 0.01s", 0},
	} {
		if got := count(test.said); got != test.want {
			t.Errorf("count(%q) = %d, want %d", test.said, got, test.want)
		}
	}
}

// A lock has a version for old interpreters and one for new ones, which is what
// is installed.
func TestLockedIsTheNewest(t *testing.T) {
	dir := t.TempDir()
	lock := `[[package]]
name = "django"
sdist = { url = "https://example.org/django-5.tar.gz", hash = "sha256:05" }

[[package]]
name = "django"
sdist = { url = "https://example.org/django-6.tar.gz", hash = "sha256:06" }

[[package]]
name = "other"
`
	if err := os.WriteFile(filepath.Join(dir, "uv.lock"), []byte(lock), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := suite{Sdist: "django"}.locked(dir)
	if want := (locked{"https://example.org/django-6.tar.gz", "sha256:06"}); err != nil || got != want {
		t.Errorf("locked = %+v, %v; want %+v", got, err, want)
	}
	if _, err := (suite{Sdist: "other"}).locked(dir); err == nil {
		t.Error("a distribution without sources has some")
	}
}
