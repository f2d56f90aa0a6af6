package pydata

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// maxRecord bounds a RECORD; that of a distribution with 20,000 files has
// 2.5 MB.
const maxRecord = 64 << 20

// dist is an installed distribution.
type dist struct {
	name     string   // as its directory has it
	dir      string   // its .dist-info or .egg-info directory
	metadata string   // METADATA or PKG-INFO, "" where there is none
	record   string   // "" where there is none
	files    []string // in the tree, of RECORD
	outside  []string // those of them that are in no package: scripts, share/
}

// readDists finds the distributions in directories of the path.
func readDists(ctx context.Context, t *tree.Tree, dirs []string) ([]dist, error) {
	var out []dist
	seen := make(map[string]bool)
	for _, dir := range dirs {
		dir = t.Real(dir)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		for _, e := range t.Children(dir) {
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			base := path.Base(e.Path)
			ext := path.Ext(base)
			if !e.IsDir() || ext != ".dist-info" && ext != ".egg-info" {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimSuffix(base, ext), "-")
			d, err := readDist(t, dist{name: name, dir: e.Path}, dir)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	return out, nil
}

func readDist(t *tree.Tree, d dist, site string) (dist, error) {
	for _, m := range []string{"METADATA", "PKG-INFO"} {
		if e, ok := t.Lookup(d.dir + "/" + m); ok && e.IsRegular() && d.metadata == "" {
			d.metadata = e.Path
		}
	}
	record, ok := t.Lookup(d.dir + "/RECORD")
	if !ok || !record.IsRegular() {
		return d, nil
	}
	data, err := record.ReadAll(maxRecord)
	if err != nil {
		return dist{}, err
	}
	d.record = record.Path
	names, err := parseRecord(data)
	if err != nil {
		return dist{}, fmt.Errorf("reading %s: %w", record.Path, err)
	}
	for _, n := range names {
		p := path.Join("/", site, n)[1:]
		if path.IsAbs(n) {
			p = path.Clean(n)[1:]
		}
		e, ok := t.Lookup(t.Real(p))
		if !ok || e.IsDir() {
			continue // dropped since, or compiled on installation
		}
		if e.From != record.From {
			continue // a RECORD may claim what it likes, such as the system's files
		}
		d.files = append(d.files, e.Path)
		if inside := strings.HasPrefix(e.Path, site+"/"); !inside || beside(strings.TrimPrefix(e.Path, site+"/")) {
			d.outside = append(d.outside, e.Path)
		}
	}
	return d, nil
}

// beside reports whether a file of a site directory lies beside the packages
// and is no module: what auditwheel puts into NAME.libs is found by those who
// need it.
func beside(rel string) bool {
	return !strings.Contains(rel, "/") && !isModule(rel) && !isBytecode(rel)
}

// parseRecord gives the names in a RECORD, as
// https://packaging.python.org/en/latest/specifications/recording-installed-packages/
// has it.
func parseRecord(data []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	r.ReuseRecord = true
	var out []string
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if name := fields[0]; name != "" && !strings.ContainsRune(name, 0) {
			out = append(out, name)
		}
	}
}

var separators = regexp.MustCompile(`[-_.]+`)

// canonical is the normalised name of a distribution (PEP 503).
func canonical(name string) string {
	return separators.ReplaceAllString(strings.ToLower(name), "-")
}

// owners says of which distribution a file is: by RECORD, or by the origin
// that the entry has.
func owners(t *tree.Tree, dists []dist) map[string]int {
	out := make(map[string]int)
	byName := make(map[string]int)
	for i, d := range dists {
		if _, ok := byName[canonical(d.name)]; !ok { // the first on the path wins
			byName[canonical(d.name)] = i
		}
	}
	for e := range t.All() {
		if e.From.Kind != tree.Dist || e.IsDir() {
			continue
		}
		if i, ok := byName[canonical(e.From.Name)]; ok {
			out[e.Path] = i
		}
	}
	for i, d := range slices.Backward(dists) {
		for _, p := range d.files {
			out[p] = i
		}
		for e := range t.Under(d.dir) {
			if !e.IsDir() {
				out[e.Path] = i
			}
		}
	}
	return out
}
