package internal

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// levels reads the table of ARCHITECTURE.md, so that the document and the
// rule are one.
func levels(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\d) \| ([^|]+) \|`)
	name := regexp.MustCompile("`([a-z0-9/]+)`")
	out := make(map[string]int)
	for _, m := range row.FindAllStringSubmatch(string(data), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range name.FindAllStringSubmatch(m[2], -1) {
			out[p[1]] = n
		}
	}
	if len(out) < 15 {
		t.Fatalf("ARCHITECTURE.md names %d packages; its table was not understood", len(out))
	}
	return out
}

// sources walks the Go files of internal, without test data.
func sources(t *testing.T, f func(pkg, file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			f(filepath.ToSlash(filepath.Dir(p)), p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An import from a lower package to a higher one would make the two one
// package that cannot be understood, tested or replaced by itself.
func TestImportsGoDown(t *testing.T) {
	level := levels(t)
	seen := make(map[string]bool)
	sources(t, func(pkg, file string) {
		if pkg == "." || strings.HasPrefix(pkg, "testkit") || strings.HasPrefix(pkg, "e2e") {
			return
		}
		seen[pkg] = true
		own, ok := level[pkg]
		if !ok {
			t.Errorf("package %s has no level in ARCHITECTURE.md", pkg)
			return
		}
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			to, ours := strings.CutPrefix(p, "exuvia/internal/")
			if !ours {
				continue
			}
			if l, ok := level[to]; !ok || l >= own {
				t.Errorf("%s (level %d) imports %s (level %d)", file, own, to, l)
			}
		}
	})
	for pkg := range level {
		if !seen[pkg] {
			t.Errorf("ARCHITECTURE.md has a package %s that does not exist", pkg)
		}
	}
}

// A variant decides and does nothing: what it may not import, it cannot do.
func TestVariantsArePure(t *testing.T) {
	sources(t, func(pkg, file string) {
		if pkg != "variant" || strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			if p := strings.Trim(imp.Path.Value, `"`); p == "os" || p == "os/exec" || p == "net/http" {
				t.Errorf("%s imports %s", file, p)
			}
		}
	})
}

// Every package says what it is for and where it stops.
func TestPackagesAreDocumented(t *testing.T) {
	documented := make(map[string]bool)
	sources(t, func(pkg, file string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		has := f.Doc != nil && strings.HasPrefix(f.Doc.Text(), "Package "+path.Base(f.Name.Name))
		documented[pkg] = documented[pkg] || has
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}
