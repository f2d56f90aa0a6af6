package project

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// notFiles are names that are never part of a project, wherever they are:
// what version control, virtual environments and caches keep, and what
// instructs the tools that read a project. No setting brings them in.
var notFiles = []string{
	".git", ".hg", ".svn", ".gitignore", ".gitattributes", ".gitmodules", ".dockerignore",
	"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".eggs", ".DS_Store", ".coverage",
}

// never reports whether an entry can be no part of a project.
func (w *walk) never(name string, e fs.DirEntry) bool {
	base := path.Base(name)
	if slices.Contains(notFiles, base) || strings.HasSuffix(base, ".pyc") || strings.HasSuffix(base, ".pyo") {
		return true
	}
	return base == ".venv" || e.IsDir() && w.d.has(path.Join(name, "pyvenv.cfg")) // PEP 405: what makes it a virtual environment
}

// leftover reports whether an entry is what building or another tool leaves
// behind. Include brings it in.
func (w *walk) leftover(name string, e fs.DirEntry) bool {
	base := path.Base(name)
	switch {
	case !e.IsDir():
		return false
	case base == "node_modules", strings.HasSuffix(base, ".egg-info"), name == "htmlcov":
		return true
	}
	return (name == "build" || name == "dist") && !w.d.has(path.Join(name, "__init__.py"))
}

// secretNames are files that hold credentials by custom, as patterns of
// path.Match on the base name.
var secretNames = []string{
	".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pypirc", ".npmrc", ".pgpass", ".my.cnf", ".git-credentials", ".htpasswd", ".dockercfg",
	"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
}

// secretPlaces are the last two components of such files where the base name
// alone says nothing.
var secretPlaces = []string{".aws/credentials", ".docker/config.json", ".kube/config", ".streamlit/secrets.toml"}

// examples are the endings of files that show what a secret would look like.
var examples = []string{".example", ".sample", ".template", ".dist"}

// armoured are the files that are looked into for a private key.
var armoured = []string{".pem", ".crt", ".cer", ".asc", ".gpg", ".txt", ""}

var privateKey = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----`)

// secret reports whether a file looks as if it held credentials. The names
// decide, and for files that hold certificates or nothing in particular, what
// they begin with.
func (w *walk) secret(name string, e fs.DirEntry) bool {
	if !e.Type().IsRegular() {
		return false
	}
	base := path.Base(name)
	if slices.ContainsFunc(examples, func(end string) bool { return strings.HasSuffix(base, end) }) {
		return false
	}
	for _, pattern := range secretNames {
		if ok, err := path.Match(pattern, base); err == nil && ok {
			return true
		}
	}
	if slices.Contains(secretPlaces, path.Join(path.Base(path.Dir(name)), base)) || strings.Contains("/"+name, "/.ssh/") || strings.Contains("/"+name, "/.gnupg/") {
		return true
	}
	return slices.Contains(armoured, path.Ext(base)) && privateKey.Match(w.head(name))
}

// head is the beginning of a file; a file that cannot be read has none, and
// fails when it is kept.
func (w *walk) head(name string) []byte {
	const most = 4096
	f, err := w.d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	data := make([]byte, most)
	n, _ := io.ReadFull(f, data)
	return data[:n]
}

var (
	testDir     = []string{"test", "tests"}
	testFile    = regexp.MustCompile(`^(test_[^/]*|[^/]*_test|conftest)\.py$`)
	importsTest = regexp.MustCompile(`(?m)^[ \t]*(?:import|from)[ \t]+(tests?|test_\w+|\w+_test|conftest)\b`)
)

// withoutTests drops the top-level directories test and tests and the
// top-level files that pytest collects, unless a file that stays imports them
// or include names them.
func (d *detection) withoutTests(t *tree.Tree, included func(string) bool) (*tree.Tree, error) {
	test := func(e tree.Entry) bool {
		top, _, below := strings.Cut(e.Path, "/")
		return slices.Contains(testDir, top) && (below || e.IsDir()) || testFile.MatchString(e.Path)
	}
	wanted := make(map[string]bool)
	dropped := make(map[string]bool)
	for e := range t.All() {
		if test(e) || !e.IsRegular() || !strings.HasSuffix(e.Path, ".py") || e.Size > maxText {
			continue
		}
		data, err := e.ReadAll(maxText)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(data, []byte("test")) {
			continue
		}
		for _, m := range importsTest.FindAllSubmatch(data, -1) {
			wanted[string(m[1])] = true
		}
	}
	kept := t.Filter(func(e tree.Entry) bool {
		top, _, _ := strings.Cut(e.Path, "/")
		if !test(e) || wanted[strings.TrimSuffix(top, ".py")] || included(e.Path) {
			return true
		}
		dropped[top] = true
		return false
	})
	d.p.Tests = t.Filter(func(e tree.Entry) bool {
		_, ok := kept.Lookup(e.Path)
		return !ok
	})
	for _, top := range names(dropped) {
		d.note(top, "left out: tests that no other file imports; --include "+top+" keeps them")
	}
	return kept, nil
}
