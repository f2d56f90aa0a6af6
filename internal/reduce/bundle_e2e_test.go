//go:build e2e

package reduce

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/engine"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// bundleScript makes what freezers make: a program that finds its libraries
// beside itself, two that read an archive in their own file, behind its end
// and in a section, an extension module in a package, an interpreter.
const bundleScript = `set -e
mkdir -p /opt/app/_internal/pkg
cd /tmp
echo 'static const unsigned char table[80000] = {1}; int dep(int i) { return 41 + table[i] * 0; }' > dep.c
echo 'static const unsigned char table[80000] = {1}; extern int dep(int); void *PyInit_ext(void) { return 0; } int ext(int i) { return dep(i) + 1 + table[i + 1]; }' > ext.c
echo '#include <stdio.h>
static const unsigned char table[80000] = {1}; extern int dep(int); int main(int n, char **v) { printf("%d", dep(n) + 1 + table[n]); return putchar(10) < 0; }' > plain.c
cat > archive.c <<'END'
#include <stdio.h>
#include <string.h>
static unsigned char self[1 << 20];
int main(void) {
	char mark[8] = "DPPLJF>"; /* each one more than what it stands for, lest it be found here */
	for (int i = 0; mark[i]; i++) mark[i]--;
	FILE *f = fopen("/proc/self/exe", "rb");
	size_t n = f ? fread(self, 1, sizeof self, f) : 0;
	for (size_t i = n - 7; i > 0; i--)
		if (!memcmp(self + i, mark, 7)) return printf("%.7s\n", self + i + 7) < 0;
	return 1;
}
END
gcc -g -O1 -shared -fPIC -Wl,-soname,libdep.so -o /opt/app/_internal/libdep.so dep.c
gcc -g -O1 -shared -fPIC -o /opt/app/_internal/pkg/ext.so ext.c -L/opt/app/_internal -ldep '-Wl,-rpath,$ORIGIN/..'
gcc -g -O1 -o /opt/app/plain plain.c -L/opt/app/_internal -ldep '-Wl,-rpath,$ORIGIN/_internal'
gcc -g -O1 -o onefile archive.c
printf 'COOKIE=archive' > data
cat onefile data > /opt/app/onefile
objcopy --add-section pydata=data onefile /opt/app/section
cp /usr/lib/*/libpython3.11.so.1.0 /opt/app/_internal/
chmod 755 /opt/app/onefile /opt/app/section
`

// Tools work on a freezer's bundle as on a system: what is in it runs after
// all of them as before.
func TestBundle(t *testing.T) {
	in, archive := realSystems(t)
	in.Systems.UPX = upxSystem(t, archive)
	compiler, err := archive.System(t.Context(), "bookworm", []string{"gcc", "libc6-dev", "libpython3.11"}, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	in.Tree, err = in.Engine.Run(t.Context(), plan.Step{Name: "making a bundle", System: "s", Args: []string{"/bin/sh", "-c", bundleScript}, Outs: []string{"/opt/app"}},
		engine.Trees{"s": compiler.Tree})
	if err != nil {
		t.Fatal(err)
	}
	before := in.Tree
	in.Systems.Python = withFiles(t, in.Systems.Python, in.Tree)
	in.Options = map[string]string{"symbols": "true"}
	stripped, err := Strip.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	checkSymbols(t, stripped.Symbols)
	in.Tree, in.Options = stripped.Tree, nil
	found, err := RPath.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Tree, in.Options = found.Tree, map[string]string{"libraries": "true"}
	out, err := UPX.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(stripped.Notes, found.Notes, out.Notes)
	sizes := make(map[string]string)
	for e := range before.All() {
		if e.IsRegular() {
			s, _ := stripped.Tree.Lookup(e.Path)
			p, _ := out.Tree.Lookup(e.Path)
			sizes[strings.TrimPrefix(e.Path, "opt/app/")] = fmt.Sprintf("stripped %t, packed %t", s.Size < e.Size, p.Size < s.Size)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"plain": "stripped true, packed true", "_internal/libdep.so": "stripped true, packed true", "_internal/pkg/ext.so": "stripped true, packed true",
		"onefile": "stripped false, packed false", "section": "stripped false, packed false",
		"_internal/libpython3.11.so.1.0": "stripped false, packed true", // Debian's are stripped
	}, sizes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	runPython(t, in, withFiles(t, in.Systems.Python, out.Tree), `
import ctypes, subprocess
for name, said in ("plain", b"42\n"), ("onefile", b"archive\n"), ("section", b"archive\n"):
    assert subprocess.run(["/opt/app/" + name], capture_output=True, check=True).stdout == said, name
assert ctypes.CDLL("/opt/app/_internal/pkg/ext.so").ext(1) == 42
ctypes.CDLL("/opt/app/_internal/libpython3.11.so.1.0").Py_GetVersion
`)
}

// withFiles puts the files of over into t.
func withFiles(t *testing.T, tr, over *tree.Tree) *tree.Tree {
	t.Helper()
	var entries []tree.Entry
	for e := range over.All() {
		if !e.IsDir() {
			entries = append(entries, e)
		}
	}
	return add(t, tr, entries...)
}

// checkSymbols asks a debugger's library what it reads of them.
func checkSymbols(t *testing.T, symbols *tree.Tree) {
	t.Helper()
	functions := make(map[string]bool)
	for e := range symbols.All() {
		if !e.IsRegular() {
			continue
		}
		if ok, err := path.Match("usr/lib/debug/.build-id/??/*.debug", e.Path); err != nil || !ok {
			t.Errorf("no debugger looks for %s", e.Path)
		}
		data, err := e.ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.DWARF(); err != nil {
			t.Errorf("%s: %v", e.Path, err)
		}
		names, err := f.Symbols()
		if err != nil {
			t.Errorf("%s: %v", e.Path, err)
		}
		for _, s := range names {
			functions[s.Name] = true
		}
	}
	for _, name := range []string{"main", "dep", "ext"} {
		if !functions[name] {
			t.Errorf("the symbol %s is kept nowhere", name)
		}
	}
}
