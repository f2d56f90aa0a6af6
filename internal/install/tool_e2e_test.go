//go:build e2e

package install

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/testkit/index"
	"exuvia/internal/tree"
)

// A tool lies beside the app's distributions, found only by who asks for it.
func TestTool(t *testing.T) {
	s := onDebian(t, "bookworm")
	shelf := newShelf(t, false)
	file, data := index.Wheel(t, "pure", "1.0", index.Files{"from_wheel.py": ""})
	shelf.Add("pure", file, data)
	env := shelf.env()
	in := New(Options{
		Engine: s.eng, Cache: s.cache, Pip: s.pip, Environ: os.Environ(), Home: t.TempDir(), Log: slog.New(slog.DiscardHandler), Progress: t.Logf,
		Getenv: func(k string) string {
			if v, ok := env[k]; ok {
				return v
			}
			return os.Getenv(k)
		},
	})
	lock := "--no-binary pure\n" +
		"leaf==1.0 --hash=sha256:" + shelf.sum["leaf-1.0-py3-none-any.whl"] + "\n" +
		"nosuch==1.0 ; python_version < '3.9' --hash=sha256:" + index.Sum(nil) + "\n" +
		"pure==1.0 --hash=sha256:" + index.Sum(data) + " \\\n    --hash=sha256:" + shelf.sum["pure-1.0.tar.gz"] + "\n" +
		"top==1.0 --hash=sha256:" + shelf.sum["top-1.0-py3-none-any.whl"] + "\n"
	tool, err := in.Tool(t.Context(), "some-tool", lock, s.base, s.rt)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.TrimPrefix(plan.ToolDir, "/") + "/"
	for path, dist := range map[string]string{
		"leaf.py": "leaf", "leaf-1.0.dist-info/METADATA": "leaf", "pure.py": "pure", "pure_build.py": "pure", "top/__init__.py": "top", "bin/top-tool": "top",
	} {
		e, ok := tool.Lookup(at + path)
		if !ok || e.From.Kind != tree.Dist || e.From.Name != dist || e.From.Version != "1.0" {
			t.Errorf("%s is of %s", path, e.From)
		}
	}
	for e := range tool.All() {
		if !strings.HasPrefix(e.Path+"/", at) && !strings.HasPrefix(at, e.Path+"/") || strings.HasSuffix(e.Path, "/.lock") || strings.HasSuffix(e.Path, "/from_wheel.py") {
			t.Errorf("%s has no place in a tool", e.Path)
		}
	}
	full, err := tree.Overlay(s.base.Tree, tool)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		argv, env []string
		want      string
	}{
		{[]string{plan.ToolDir + "/bin/top-tool"}, []string{"PYTHONPATH=" + plan.ToolDir}, "top\n"},
		{[]string{"/usr/bin/python3", "-c", "import sys; sys.path.append('" + plan.ToolDir + "'); import leaf; print(leaf.name)"}, nil, "leaf\n"},
	} {
		p, err := s.box.Boot(t.Context(), full, plan.Config{Entrypoint: tt.argv, WorkingDir: "/", User: "0:0", Env: tt.env}, engine.BootOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if exit, err := p.Wait(); err != nil || exit.Code != 0 || string(exit.Stdout) != tt.want {
			t.Errorf("%q: exit code %d, %q, %v", tt.argv, exit.Code, exit.Stdout, err)
		}
	}
	_, err = in.Tool(t.Context(), "some-tool", strings.ReplaceAll(lock, shelf.sum["leaf-1.0-py3-none-any.whl"], index.Sum(nil)), s.base, s.rt)
	wantFault(t, err, fault.Integrity, "leaf 1.0", "")
}
