package install

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/base"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/testkit/index"
	"exuvia/internal/tree"
)

// A line --no-binary is for exuvia: uv, which sees the rest, would build.
func TestSplitNoBinary(t *testing.T) {
	for lock, want := range map[string]struct {
		rest  string
		names []string
	}{
		"a==1 --hash=sha256:0\n":                            {"a==1 --hash=sha256:0\n", nil},
		"--no-binary Cx_Freeze\na==1\n":                     {"a==1\n", []string{"cx-freeze"}},
		"a==1\n--no-binary=b\n  --no-binary  C , a\r\nd==2": {"a==1\nd==2", []string{"a", "b", "c"}},
	} {
		rest, names := splitNoBinary(lock)
		if rest != want.rest || !slices.Equal(names, want.names) {
			t.Errorf("%q gives %q and %q, want %q and %q", lock, rest, names, want.rest, want.names)
		}
	}
}

func TestToolFromSources(t *testing.T) {
	b := newBench(t, nil)
	built, data := index.Wheel(t, "tool", "1.0", nil)
	_, leafData := index.Wheel(t, "leaf", "1.0", nil)
	source, sourceData := index.Sdist(t, "tool", "1.0", index.Files{"pyproject.toml": "[build-system]\nrequires = [\"backend\"]\n"})
	b.hand.answers["resolving freezer.txt"] = lockHead + b.wheel(t, "leaf") + strings.Replace(b.wheel(t, "tool"), "wheels", "sdist = { url = \""+b.FileURL("tool", source)+"\", hashes = { sha256 = \""+index.Sum(sourceData)+"\" } }\nwheels", 1)
	b.Add("tool", source, sourceData)
	b.hand.answers["what building tool needs"] = lockHead
	b.in.o.Compiler = func(context.Context) (*tree.Tree, error) { return mustTree(t, made("usr/bin/cc", "ELF")), nil }
	b.hand.builds = func(_ string, trees engine.Trees) (string, []byte, error) {
		if _, ok := trees["system"].Lookup("usr/bin/cc"); !ok {
			t.Error("the first build has no compiler")
		}
		return built, data, nil
	}
	system := &base.Base{Ref: "debian:test", Tree: &tree.Tree{}, Libc: "glibc 2.36"}
	lock := "--no-binary Tool\nleaf==1.0 --hash=sha256:" + index.Sum(leafData) + "\ntool==1.0 \\\n    --hash=sha256:" + index.Sum(data) + " --hash=sha256:" + index.Sum(sourceData) + "\n"
	if _, err := b.in.Tool(t.Context(), "freezer", lock, system, runtime311); err != nil {
		t.Fatal(err)
	}
	last := b.hand.steps[len(b.hand.steps)-1]
	if !strings.Contains(strings.Join(last.Args, " "), "--target "+plan.ToolDir) || !slices.Equal(last.Outs, []string{plan.ToolDir}) {
		t.Errorf("the tool is installed with %q to %q", last.Args, last.Outs)
	}
	var names []string
	for _, s := range b.hand.steps {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"resolving freezer.txt", "resolving what building tool needs", "building tool", "installing freezer"}, names); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}

	_, err := b.in.Tool(t.Context(), "freezer", strings.ReplaceAll(lock, index.Sum(leafData), index.Sum(nil)), system, runtime311)
	isFault(t, err, fault.Integrity, "leaf 1.0")
	if _, err := b.in.Tool(t.Context(), "freezer", "leaf==1.0\n", system, runtime311); err == nil || !strings.Contains(err.Error(), "hashes") {
		t.Errorf("a lock without hashes: %v", err)
	}
}
