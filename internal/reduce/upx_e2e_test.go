//go:build e2e

package reduce

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"exuvia/internal/tree"
)

// A whole system's programs and libraries, and a wheel's, which patchelf has
// written: whatever is packed runs, and what is not is named.
func TestUPXOfASystem(t *testing.T) {
	in, archive := realSystems(t)
	in.Systems.UPX = upxSystem(t, archive)
	in.Systems.Python = add(t, in.Systems.Python, slices.Concat(wheel(t, in, "PyYAML==6.0.2"), wheel(t, in, "pydantic-core==2.27.2"), wheel(t, in, "msgpack==1.1.0"), wheel(t, in, "typing-extensions==4.12.2"))...)
	in.Tree = in.Systems.Python.Filter(func(e tree.Entry) bool { // what an image has, or nearly so
		return e.IsDir() || packedInTest.MatchString(e.Path)
	})
	in.Options = map[string]string{"libraries": "true"}
	steps := &counting{Engine: in.Engine}
	in.Engine = steps
	out, err := UPX.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	packed := make(map[string]bool)
	for _, c := range tree.Diff(in.Tree, out.Tree) {
		if c.New == nil || c.New.Size >= c.Old.Size || c.New.Mode != c.Old.Mode || c.New.From != c.Old.From {
			t.Errorf("%s: %+v", c.Path, c.New)
		}
		packed[c.Path] = true
	}
	t.Logf("%d files packed, %d → %d bytes, steps %q", len(packed), in.Tree.Size(), out.Tree.Size(), steps.steps)
	if len(out.Notes) != 1 {
		t.Fatalf("notes: %v", out.Notes)
	}
	t.Log(out.Notes[0].Text)
	const libs = "usr/lib/x86_64-linux-gnu/"
	for _, p := range []string{"usr/bin/python3.11", "usr/bin/dash", libs + "libcrypto.so.3", libs + "libz.so.1.2.13", libs + "libsqlite3.so.0.8.6"} {
		if !packed[p] {
			t.Errorf("%s is not packed", p)
		}
	}
	for _, p := range []string{libs + "libc.so.6", libs + "ld-linux-x86-64.so.2", libs + "libm.so.6"} {
		if packed[p] || !strings.Contains(out.Notes[0].Text, p) {
			t.Errorf("%s is packed: %t, or not named", p, packed[p])
		}
	}
	var over []tree.Entry
	for e := range out.Tree.All() {
		if packed[e.Path] {
			over = append(over, e)
		}
	}
	runPython(t, in, add(t, in.Systems.Python, over...), `
import ssl, sqlite3, zlib, ctypes, decimal, hashlib, json, subprocess, sys, lzma, bz2, _elementtree
import yaml, pydantic_core, msgpack
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
assert hashlib.new("sha3_256", b"").hexdigest().startswith("a7ffc6f8")
assert zlib.decompress(zlib.compress(b"x" * 999)) == b"x" * 999 and lzma.decompress(lzma.compress(b"y")) == b"y"
assert ssl.create_default_context().protocol
assert yaml.load("a: [1]", yaml.CSafeLoader) == {"a": [1]} and msgpack.unpackb(msgpack.packb([1, "a"])) == [1, "a"]
assert pydantic_core.SchemaValidator(pydantic_core.core_schema.int_schema()).validate_python("3") == 3
try:
    pydantic_core.SchemaValidator(pydantic_core.core_schema.int_schema()).validate_python("x")
    raise AssertionError
except pydantic_core.ValidationError: pass
assert subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, check=True).stdout == b"5\n"
assert subprocess.run("echo $((6*7))", shell=True, capture_output=True, check=True).stdout == b"42\n"
`)
	steps.steps = nil
	again, err := UPX.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if d := tree.Diff(out.Tree, again.Tree); len(d) > 0 {
		t.Errorf("the second time: %d differences, steps %q", len(d), steps.steps)
	}
	t.Logf("the second time: steps %q", steps.steps)
}

var packedInTest = regexp.MustCompile(`^usr/(bin/(python3[.]11|dash|cat|tar)|lib/x86_64-linux-gnu/[^/]*[.]so|lib/python3[.]11/lib-dynload/|local/lib/)`)
