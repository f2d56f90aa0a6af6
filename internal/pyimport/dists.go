package pyimport

import (
	"bufio"
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// maxMetadata bounds a metadata file: the largest entry_points.txt seen has
// 100 KB.
const maxMetadata = 4 << 20

// entryPoint is one line of an entry_points.txt, as
// https://packaging.python.org/en/latest/specifications/entry-points/ has it.
type entryPoint struct {
	Group, Name, Module, Attr string
}

// reference is "module", "module:attr" and, of old, "module:attr [extra]".
var reference = regexp.MustCompile(`^\s*([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[[^\]]*\]\s*)?$`)

// parseEntryPoints reads an entry_points.txt. What is not understood is
// left out, as importlib.metadata does when it is not asked for that line.
func parseEntryPoints(data []byte) []entryPoint {
	var out []entryPoint
	group := ""
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxMetadata+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' {
			group = strings.TrimSpace(line[1 : len(line)-1])
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		m := reference.FindStringSubmatch(value)
		if !ok || m == nil || group == "" {
			continue
		}
		out = append(out, entryPoint{Group: group, Name: strings.TrimSpace(name), Module: m[1], Attr: m[2]})
	}
	return out
}

// plugin is an entry point and the file that declares it.
type plugin struct {
	entryPoint
	file string
}

// readDists gathers the entry points of all distributions by group, and where
// their metadata are by their normalised names.
func readDists(t *tree.Tree, dirs []string) (groups map[string][]plugin, metadata map[string]string, err error) {
	groups, metadata = make(map[string][]plugin), make(map[string]string)
	for _, dir := range dirs {
		for _, d := range t.Children(dir) {
			base := path.Base(d.Path)
			ext := path.Ext(base)
			if !d.IsDir() || ext != ".dist-info" && ext != ".egg-info" {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimSuffix(base, ext), "-")
			name = canonical(name)
			for _, m := range []string{"METADATA", "PKG-INFO"} {
				if e, ok := t.Lookup(path.Join(d.Path, m)); ok && metadata[name] == "" {
					metadata[name] = e.Path
				}
			}
			e, ok := t.Lookup(path.Join(d.Path, "entry_points.txt"))
			if !ok || !e.IsRegular() {
				continue
			}
			data, err := e.ReadAll(maxMetadata)
			if err != nil {
				return nil, nil, err
			}
			for _, p := range parseEntryPoints(data) {
				groups[p.Group] = append(groups[p.Group], plugin{p, e.Path})
			}
		}
	}
	return groups, metadata, nil
}

var separators = regexp.MustCompile(`[-_.]+`)

// canonical is the normalised name of a distribution (PEP 503).
func canonical(name string) string {
	return separators.ReplaceAllString(strings.ToLower(name), "-")
}

// maxPth bounds a .pth file; site reads any, those of setuptools have 150
// bytes.
const maxPth = 1 << 20

// parsePth gives the directories that a .pth file in dir adds to sys.path,
// relative to the root, as site.addpackage reads it. Lines that begin with
// "import" are code and not for us.
func parsePth(dir string, data []byte) []string {
	var out []string
	for line := range strings.SplitSeq(string(data), "\n") {
		line = strings.TrimRight(line, " \t\r\n\v\f")
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "import\t") || strings.ContainsRune(line, 0) {
			continue
		}
		p := path.Join("/", dir, line)
		if path.IsAbs(line) {
			p = path.Clean(line)
		}
		if p != "/" {
			out = append(out, p[1:])
		}
	}
	return out
}

// pthPaths are the directories that the .pth files of the site directories
// add.
func pthPaths(t *tree.Tree, dirs []string) ([]string, error) {
	var out []string
	for _, dir := range dirs {
		if !siteDir(dir) {
			continue
		}
		for _, e := range t.Children(dir) {
			if !isPth(e.Path) || !e.IsRegular() {
				continue
			}
			data, err := e.ReadAll(maxPth)
			if err != nil {
				return nil, err
			}
			out = append(out, parsePth(dir, data)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
