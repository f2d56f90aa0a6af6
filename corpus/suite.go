package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/download"
)

// Bounds of what is downloaded and unpacked.
const (
	maxSdist = 256 << 20
	maxTaken = 512 << 20
)

// suite is [tool.corpus] of an application: a part of the tests of the
// distribution that it is about, which run against its image.
type suite struct {
	Sdist string   `toml:"sdist"` // distribution whose source distribution has them
	Take  []string `toml:"take"`  // files and directories of it, which are put beside the application by their last names
	Run   []string `toml:"run"`   // command lines
}

// readSuite reads what an application's pyproject.toml says of tests.
func readSuite(dir string) (suite, error) {
	data, err := os.ReadFile(filepath.Join(dir, "pyproject.toml"))
	if err != nil {
		return suite{}, err
	}
	var doc struct {
		Tool struct {
			Corpus suite `toml:"corpus"`
		} `toml:"tool"`
	}
	return doc.Tool.Corpus, toml.Unmarshal(data, &doc)
}

// flags are those of a build that runs the tests: the group of dependencies that
// is called suite is theirs, and they are no part of the application.
func (s suite) flags() []string {
	if len(s.Run) == 0 {
		return nil
	}
	out := []string{"--test-groups", "suite"}
	for _, line := range s.Run {
		out = append(out, "--tests", line)
	}
	for _, name := range s.Take {
		out = append(out, "--exclude", path.Base(name))
	}
	return out
}

// beside makes a copy of an application's directory and puts its tests there.
func (s suite) beside(ctx context.Context, dir, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		return err
	}
	if s.Sdist == "" {
		return nil
	}
	locked, err := s.locked(dir)
	if err != nil {
		return err
	}
	archive, err := fetch(ctx, locked.URL, strings.TrimPrefix(locked.Hash, "sha256:"))
	if err != nil {
		return fmt.Errorf("getting the tests of %s: %w", s.Sdist, err)
	}
	return s.unpack(archive, to)
}

// passed matches what pytest and unittest say of tests at their end.
var passed = regexp.MustCompile(`(\d+) passed|Ran (\d+) tests?`)

// count is how many tests passed, by what a run says at its end.
func count(said string) int {
	m := passed.FindStringSubmatch(said)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1] + m[2])
	if err != nil {
		return 0
	}
	return n
}

// locked is a file of a lock of uv.
type locked struct {
	URL  string `toml:"url"`
	Hash string `toml:"hash"`
}

// locked finds the source distribution in the application's lock: of several
// versions the newest, which is the last, as it is for the newest Python.
func (s suite) locked(dir string) (locked, error) {
	data, err := os.ReadFile(filepath.Join(dir, "uv.lock"))
	if err != nil {
		return locked{}, err
	}
	var lock struct {
		Package []struct {
			Name  string `toml:"name"`
			Sdist locked `toml:"sdist"`
		} `toml:"package"`
	}
	if err := toml.Unmarshal(data, &lock); err != nil {
		return locked{}, err
	}
	for _, p := range slices.Backward(lock.Package) {
		if p.Name == s.Sdist && p.Sdist.URL != "" {
			return p.Sdist, nil
		}
	}
	return locked{}, fmt.Errorf("%s/uv.lock has no source distribution of %s", dir, s.Sdist)
}

// fetch downloads a file once, to a place named by its hash.
func fetch(ctx context.Context, url, sum string) (string, error) {
	name := filepath.Join(images, "sdists", filepath.Base(sum))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	var data []byte
	client := download.Client{HTTP: http.DefaultClient, Pause: time.Second}
	err = client.Get(ctx, req, func(r io.Reader) (err error) {
		data, err = io.ReadAll(io.LimitReader(r, maxSdist))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != sum {
		return "", fmt.Errorf("%s has SHA-256 %s, not %s", url, got, sum)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	return name, renameio.WriteFile(name, data, 0o644)
}

// unpack takes what is wanted out of a source distribution, which has all in one
// directory (PEP 625).
func (s suite) unpack(archive, to string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	var found []string
	for r := tar.NewReader(io.LimitReader(z, maxTaken)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", archive, err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		i := slices.IndexFunc(s.Take, func(t string) bool { return name == t || strings.HasPrefix(name, t+"/") })
		if h.Typeflag != tar.TypeReg || i < 0 {
			continue
		}
		found = append(found, s.Take[i])
		name = path.Base(s.Take[i]) + strings.TrimPrefix(name, s.Take[i])
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.CopyN(out, r, h.Size)
		if err := errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
	for _, t := range s.Take {
		if !slices.Contains(found, t) {
			return fmt.Errorf("the source distribution of %s has no %s", s.Sdist, t)
		}
	}
	return nil
}
