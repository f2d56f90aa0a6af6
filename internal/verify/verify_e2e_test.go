//go:build e2e

package verify_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
	"exuvia/internal/engine/sandbox"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/verify"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// app answers over HTTP, imports a module only when it is asked for it, and
// says at every start another id.
const app = `#!/usr/bin/python3
import http.server, sys, uuid
ID = str(uuid.uuid4())
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/late":
            import colorsys
            body = repr(colorsys.rgb_to_hls(1, 0, 0))
        else:
            body = '{"id": "%s", "path": "%s"}' % (ID, self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
if "--help" in sys.argv:
    print("usage: main")
else:
    http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler).serve_forever()
`

// setup assembles a Debian system with the app in it.
func setup(t *testing.T) verify.Input {
	t.Helper()
	dir := os.Getenv("EXUVIA_E2E_CACHE")
	if dir == "" {
		dir = t.TempDir()
	}
	cache, err := cas.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := debian.New(debian.Options{Cache: cache, Root: "/", Now: time.Now, Progress: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	b, err := archive.Base(t.Context(), "debian:bookworm", v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := sandbox.New(sandbox.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	full, err := b.Tree.With(tree.File("app/main", 0o755, []byte(app), tree.Origin{Kind: tree.Project}))
	if err != nil {
		t.Fatal(err)
	}
	files, err := tree.New(tree.File("word.txt", 0o600, []byte("there"), tree.Origin{Kind: tree.Project}))
	if err != nil {
		t.Fatal(err)
	}
	c := plan.Config{
		Entrypoint: []string{"/app/main"}, User: "65532:65532", WorkingDir: "/app",
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"},
	}
	return verify.Input{
		Full:    verify.Subject{Name: "the unreduced app", Tree: full, Config: c, Entries: [][]string{{"/app/main"}}},
		Lean:    verify.Subject{Name: "the image", Tree: full, Config: c, Entries: [][]string{{"/app/main"}}},
		Entries: []string{"main"},
		Probe: project.Probe{
			HTTP:     []project.Request{{Path: "/late"}},
			Env:      map[string]string{"WORD": "hello"},
			Files:    map[string]string{"/etc/app/word.txt": "word.txt", "/tmp/word.txt": "word.txt"},
			Commands: [][]string{{"python3", "-c", "import os; print(os.environ['WORD'], open('/etc/app/word.txt').read(), open('/tmp/word.txt').read())"}},
		},
		ProjectFiles: files,
		Python:       b.Python, Booter: eng, Temp: t.TempDir(),
	}
}

func TestRealBoots(t *testing.T) {
	in := setup(t)
	for _, tt := range []struct{ name, without, want, hint string }{
		{name: "equal"},
		{"module that a route imports", "usr/lib/python3.11/colorsys.py", "missing module colorsys", `keep = ["colorsys"]`},
		{"codec", "usr/lib/python3.11/encodings/idna.py", "missing codec idna", `keep = ["encodings.idna"]`},
		{"strptime", "usr/lib/python3.11/_strptime.py", "contract: time", `keep = ["_strptime"]`},
		{"time zones", "usr/share/zoneinfo/America", "contract: time: TZ=America/New_York", "[tool.exuvia] keep"},
		{"server module", "usr/lib/python3.11/socketserver.py", "missing module socketserver", `keep = ["socketserver"]`},
		{"loader", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "main runs", "[tool.exuvia] keep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := in
			in.Lean.Tree = in.Full.Tree.Filter(func(e tree.Entry) bool {
				return tt.without == "" || e.Path != tt.without && !strings.HasPrefix(e.Path, tt.without+"/")
			})
			began := time.Now()
			checks, err := verify.Run(t.Context(), in)
			t.Logf("%d checks in %s", len(checks), time.Since(began))
			f, _ := errors.AsType[*fault.Error](err)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error is %v", err)
			case tt.want != "" && (f == nil || f.Kind != fault.Differs || !strings.Contains(f.What, tt.want) || !strings.Contains(f.Hint, tt.hint)):
				t.Errorf("error is %#v", err)
			}
			has := func(name, detail string) bool {
				return slices.ContainsFunc(checks, func(c report.Check) bool {
					return strings.HasPrefix(c.Name, name) && strings.Contains(c.Detail, detail)
				})
			}
			if tt.want == "" && !has("GET /", "json:/id") {
				t.Error("the id of a start is not known to vary")
			}
			if tt.want == "" && !has("python3 -c", "exit code 0, 18 bytes") {
				t.Error("the command does not find its environment and files")
			}
			for _, c := range checks {
				t.Logf("%v %s: %s", c.OK, c.Name, c.Detail)
			}
		})
	}
}

// An app that cannot start without something gets a word about the probe.
func TestRealStart(t *testing.T) {
	in := setup(t)
	broken, err := in.Full.Tree.With(tree.File("app/main", 0o755, []byte("#!/usr/bin/python3\nimport os\nos.environ['DATABASE_URL']\n"), tree.Origin{Kind: tree.Project}))
	if err != nil {
		t.Fatal(err)
	}
	in.Full.Tree, in.Lean.Tree = broken, broken
	_, err = verify.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Start || !strings.Contains(f.What, "KeyError: 'DATABASE_URL'") {
		t.Errorf("error is %v", err)
	}
	in.Probe.Start, in.Modules = "import", []string{"json", "colorsys", "idlelib.idle"}
	in.Lean.Tree = broken.Filter(func(e tree.Entry) bool { return e.Path != "usr/lib/python3.11/colorsys.py" })
	_, err = verify.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Differs || !strings.Contains(f.What, "missing module colorsys") {
		t.Errorf("error is %v", err)
	}
}

// A program that writes another file than before is found out, although it
// prints the same; names that are random are not.
func TestRealFiles(t *testing.T) {
	in := setup(t)
	with := func(text string) *tree.Tree {
		out, err := in.Full.Tree.With(tree.File("app/data.txt", 0o644, []byte(text), tree.Origin{Kind: tree.Project}))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	in.Probe.Commands = [][]string{{"python3", "-c", "import os, shutil, tempfile; shutil.copy('/app/data.txt', '/var/lib/app'); tempfile.mkstemp(suffix='.txt')"}}
	for _, s := range []*verify.Subject{&in.Full, &in.Lean} {
		s.Config.Writable = []string{"/var/lib/app"}
	}
	in.Full.Tree, in.Lean.Tree = with("one"), with("one")
	checks, err := verify.Run(t.Context(), in)
	if err != nil {
		t.Error(err)
	}
	i := slices.IndexFunc(checks, func(c report.Check) bool { return strings.HasPrefix(c.Name, "python3 -c") })
	if i < 0 || !strings.Contains(checks[i].Detail, "files written: 2") {
		t.Errorf("%+v", checks)
	}
	in.Lean.Tree = with("two")
	_, err = verify.Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Differs || !strings.Contains(f.What, "content:/var/lib/app/data.txt: ") || strings.Contains(f.What, "more") {
		t.Errorf("error is %v", err)
	}
}

func TestRealMeasure(t *testing.T) {
	in := setup(t)
	got, err := verify.Measure(t.Context(), verify.Trial{
		Booter: in.Booter, Subjects: []verify.Subject{in.Full, in.Lean}, Starts: 3, Temp: t.TempDir(), Clock: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got {
		first, pss := s.Ratio(got[0])
		t.Logf("%s: %s, %d bytes, ratios %.2f %.2f", s.Name, s.First, s.PSS, first, pss)
		if s.First <= 0 || s.PSS < 1<<20 {
			t.Errorf("%+v", s)
		}
	}
}
