//go:build e2e

package elffile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readelf says in its own words what Read says.
type readelf struct {
	Needed, Path   []string
	Soname, Interp string
	BuildID        string
	Versions       []string // "libc.so.6 GLIBC_2.34", sorted
	Defines        []string
	Modules        []string
	Symbols        bool
}

var (
	tagLine   = regexp.MustCompile(`\((NEEDED|SONAME|RPATH|RUNPATH)\)[^\[]*\[(.*)\]`)
	interp    = regexp.MustCompile(`Requesting program interpreter: (.*)\]`)
	buildID   = regexp.MustCompile(`Build ID: ([0-9a-f]+)`)
	needFile  = regexp.MustCompile(`Version: 1  File: (\S+)  Cnt`)
	needName  = regexp.MustCompile(`Name: (\S+)  Flags: (.*)  Version: \d+`)
	defName   = regexp.MustCompile(`Rev: 1  Flags: (.*?)\s+Index: .*Name: (\S+)`)
	module    = regexp.MustCompile(`(?m) (?:GLOBAL|WEAK) +DEFAULT +(?:\d+|ABS) PyInit_(\w+)`)
	droppable = regexp.MustCompile(`(?m)\] \.(symtab|z?debug_\S*|gnu_debugdata) `)
)

func askReadelf(t *testing.T, name string) readelf {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "readelf", "-W", "-d", "-l", "-V", "-n", "-S", "--dyn-syms", name)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("readelf %s: %v", name, err)
	}
	text := string(out)
	var r readelf
	for _, m := range tagLine.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "NEEDED":
			r.Needed = append(r.Needed, m[2])
		case "SONAME":
			r.Soname = m[2]
		default:
			r.Path = append(r.Path, splitPath(m[2])...)
		}
	}
	if m := interp.FindStringSubmatch(text); m != nil {
		r.Interp = m[1]
	}
	if m := buildID.FindStringSubmatch(text); m != nil {
		r.BuildID = m[1]
	}
	file := ""
	for line := range strings.SplitSeq(text, "\n") {
		if m := needFile.FindStringSubmatch(line); m != nil {
			file = m[1]
		} else if m := defName.FindStringSubmatch(line); m != nil {
			if !strings.Contains(m[1], "BASE") {
				r.Defines = append(r.Defines, m[2])
			}
		} else if m := needName.FindStringSubmatch(line); m != nil {
			r.Versions = append(r.Versions, file+" "+m[1])
		}
	}
	for _, m := range module.FindAllStringSubmatch(text, -1) {
		r.Modules = append(r.Modules, m[1])
	}
	r.Symbols = droppable.MatchString(text)
	slices.Sort(r.Versions)
	slices.Sort(r.Defines)
	slices.Sort(r.Modules)
	r.Modules = slices.Compact(r.Modules)
	return r
}

func askRead(t *testing.T, data []byte) readelf {
	t.Helper()
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r := readelf{
		Needed: f.Needed, Path: slices.Concat(f.RPath, f.RunPath), Soname: f.Soname, Interp: f.Interp, BuildID: f.BuildID, Defines: f.Versions, Symbols: f.Symbols,
	}
	for _, n := range f.Needs {
		for _, v := range slices.Concat(n.Versions, n.Weak) {
			r.Versions = append(r.Versions, n.Library+" "+v)
		}
	}
	slices.Sort(r.Versions)
	if r.Modules, err = f.Modules(); err != nil {
		t.Fatal(err)
	}
	return r
}

// binutils read the same of the machine's own files: libraries, programs, and
// the extension modules of whatever Python there is.
func TestReadelfAgrees(t *testing.T) {
	read := 0
	for _, pattern := range []string{"/usr/lib/*/*.so*", "/usr/bin/*", filepath.Join(ask(t, "python3", "-c", "import sysconfig; print(sysconfig.get_config_var('DESTSHARED'))"), "*.so")} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			fi, err := os.Lstat(name)
			if err != nil || !fi.Mode().IsRegular() || fi.Size() > 64<<20 {
				continue
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !IsELF(data) {
				continue
			}
			read++
			if diff := cmp.Diff(askReadelf(t, name), askRead(t, data)); diff != "" {
				t.Errorf("%s (-readelf +Read):\n%s", name, diff)
			}
		}
	}
	t.Logf("%d files", read)
	if read < 50 {
		t.Errorf("only %d files were there to be compared", read)
	}
}

// ask gives what a command prints, without the end of the line.
func ask(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// What strip leaves is the same to a process.
func TestStripKeepsTheImage(t *testing.T) {
	seen := 0
	names, err := filepath.Glob(filepath.Join(ask(t, "go", "env", "GOTOOLDIR"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		old, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil || !old.Symbols || seen >= 60 {
			continue
		}
		seen++
		to := filepath.Join(t.TempDir(), "stripped")
		if out, err := exec.CommandContext(t.Context(), "strip", "--strip-unneeded", "-o", to, name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		stripped, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		made, err := Read(bytes.NewReader(stripped), int64(len(stripped)))
		if err != nil {
			t.Fatal(err)
		}
		if err := SameImage(old, made); err != nil || made.Symbols {
			t.Errorf("%s: %v, still symbols: %v", name, err, made.Symbols)
		}
	}
	t.Logf("%d files", seen)
	if seen < 3 {
		t.Errorf("only %d files were there to be stripped", seen)
	}
}
