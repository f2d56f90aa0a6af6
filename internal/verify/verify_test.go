package verify

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// demo is the project that exuvia shows itself with, in Go.
func demo(change func(w http.ResponseWriter, r *http.Request) bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Hello":"World"}`) })
	mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\ndocs\n</html>") })
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, demoDocument) })
	mux.HandleFunc("/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1000))
		if err != nil {
			return
		}
		fmt.Fprintf(w, `{"method":%q,"id":%q,"q":%q,"body":%q}`, r.Method, r.PathValue("id"), r.URL.Query().Get("q"), body)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if change == nil || !change(w, r) {
			mux.ServeHTTP(w, r)
		}
	})
}

func names(checks []report.Check) []string {
	var out []string
	for _, c := range checks {
		out = append(out, c.Name)
	}
	return out
}

func failing(checks []report.Check) []string {
	var out []string
	for _, c := range checks {
		if !c.OK {
			out = append(out, c.Name+": "+c.Detail)
		}
	}
	return out
}

func TestServersThatAgree(t *testing.T) {
	in, boots := input(t, server(demo(nil)), server(demo(nil)))
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"main runs", "GET /", "GET /openapi.json", "GET /docs", "GET /redoc",
		"GET /items/1", "GET /items/1?q=exuvia", "GET /items/x",
		"PUT /items/1 {}", `PUT /items/1 {"is_offer":true,"name":"exuvia","price":1.5}`,
		"GET /exuvia-asks-for-nothing", "HEAD /", "main at the stop signal (15)", "main --help",
	}
	if diff := cmp.Diff(want, names(checks)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if bad := failing(checks); bad != nil {
		t.Errorf("failing: %q", bad)
	}
	// Nothing differs, so that nobody needs to know what varies.
	if len(boots.boots) != 4 {
		t.Errorf("boots: %q", boots.boots)
	}
}

// Every way in which an image can differ has to stop the build, with a message
// that says what was asked, and both answers.
func TestServersThatDiffer(t *testing.T) {
	on := func(path string, f func(w http.ResponseWriter)) http.Handler {
		return demo(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			f(w)
			return true
		})
	}
	for _, tt := range []struct {
		name string
		lean func(argv []string, stdin string) app
		want string // in the error
	}{
		{
			"status",
			server(on("/openapi.json", func(w http.ResponseWriter) { w.WriteHeader(500) })),
			"GET /openapi.json: ",
		},
		{
			"JSON field",
			server(on("/", func(w http.ResponseWriter) { fmt.Fprint(w, `{"Hello":"Welt!"}`) })),
			`GET /: json:/Hello: image "Welt!", unreduced app "World"`,
		},
		{
			"bytes of equal JSON",
			server(on("/", func(w http.ResponseWriter) { fmt.Fprint(w, `{"Hello": "World"}`) })),
			`body: image "{\"Hello\": \"World\"}", unreduced app "{\"Hello\":\"World\"}"`,
		},
		{
			"line",
			server(on("/docs", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>\nduck\n</html>") })),
			`GET /docs: line:2: image "duck", unreduced app "docs"`,
		},
		{
			"header",
			server(on("/", func(w http.ResponseWriter) { w.Header().Add("X-A", "1"); fmt.Fprint(w, `{"Hello":"World"}`) })),
			`GET /: header:x-a: image 1, unreduced app nothing`,
		},
		{
			"connection",
			server(on("/docs", func(http.ResponseWriter) { panic(http.ErrAbortHandler) })),
			`GET /docs: image no answer: the connection was closed, unreduced app 200, 19 bytes`,
		},
		{
			"help",
			func(argv []string, _ string) app {
				if slices.Contains(argv, "--help") {
					return prints(0, "Usage: Main\n", "")(nil, "")
				}
				return app{serve: demo(nil)}
			},
			`main --help: stdout:line:1: image "Usage: Main", unreduced app "Usage: main"`,
		},
		{
			"exit code after the stop signal",
			func(argv []string, stdin string) app {
				a := server(demo(nil))(argv, stdin)
				if a.serve != nil {
					a.exit.Code = 3
				}
				return a
			},
			"main at the stop signal (15): exit: image 3, unreduced app 0",
		},
		{
			"does not stop",
			func(argv []string, stdin string) app {
				a := server(demo(nil))(argv, stdin)
				a.deaf = true
				return a
			},
			"main at the stop signal (15): image it runs on, unreduced app exit code 0",
		},
		{
			"traceback in the log",
			func(argv []string, stdin string) app {
				a := server(demo(nil))(argv, stdin)
				if a.serve != nil {
					a.exit.Stderr = []byte(traceback + "\n  File \"/app/main.py\", line 3\nLookupError: unknown encoding: utf-7\n")
				}
				return a
			},
			`main runs: traceback: image "LookupError: unknown encoding: utf-7", unreduced app none of that kind; missing codec utf-7`,
		},
		{
			"does not start",
			prints(1, "", traceback+"\n  File \"/app/main.py\", line 3\nModuleNotFoundError: No module named 'anyio._backends'\n"),
			"missing module anyio._backends",
		},
		{
			"is not there",
			func([]string, string) app { return app{absent: true} },
			"main runs: image exit code 127, 0 bytes on stdout, 37 on stderr, unreduced app listens on 8000; it says: /app/main: no such file",
		},
		{
			"stays without listening",
			func(argv []string, stdin string) app {
				if slices.Contains(argv, "--help") {
					return server(nil)(argv, stdin)
				}
				return app{stay: true}
			},
			`main runs: image runs on without listening, unreduced app listens on 8000`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := input(t, server(demo(nil)), tt.lean)
			in.limits.start = quick.start / 3
			checks, err := Run(t.Context(), in)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != fault.Differs {
				t.Fatalf("error is %v, checks %+v", err, checks)
			}
			if !strings.Contains(f.What, tt.want) || strings.Contains(f.What, "\n") {
				t.Errorf("error is %q, want %q in it", f.What, tt.want)
			}
			if !strings.Contains(f.Hint, "[tool.exuvia") {
				t.Errorf("hint is %q", f.Hint)
			}
			if len(failing(checks)) == 0 {
				t.Error("no check fails")
			}
		})
	}
}

// counter gives another number with each boot's answers, never the same.
func counter(n *atomic.Int64, extra string) http.Handler {
	return demo(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/" {
			return false
		}
		id := n.Add(1)
		w.Header().Set("X-Id", fmt.Sprint(id))
		fmt.Fprintf(w, `{"id":%d,"name":"a"%s}`, 7+id*10_000, extra)
		return true
	})
}

// A field that varies in the unreduced app is named; one beside it that does
// not still counts.
func TestVariableFields(t *testing.T) {
	var n atomic.Int64
	in, boots := input(t, server(counter(&n, "")), server(counter(&n, "")))
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got := checks[1].Detail; !strings.HasSuffix(got, "; variable: header:x-id, json:/id") {
		t.Errorf("%s: %s", checks[1].Name, got)
	}
	if len(boots.boots) != 5 {
		t.Errorf("boots: %q", boots.boots)
	}

	in, _ = input(t, server(counter(&n, "")), server(counter(&n, `,"more":1`)))
	_, err = Run(t.Context(), in)
	if err == nil || !strings.Contains(err.Error(), "GET /: json:/more: image 1, unreduced app nothing") || strings.Contains(err.Error(), "json:/id") {
		t.Errorf("error is %v", err)
	}
}

func TestRunsThatEnd(t *testing.T) {
	crashed := traceback + "\n  File \"/app/main.py\", line 3, in <module>\nConnectionRefusedError: [Errno 111] Connection refused\n"
	for _, tt := range []struct {
		name       string
		full, lean func([]string, string) app
		kind       fault.Kind // 0: no error
		want       string
	}{
		{"equal", prints(0, "hi\n", ""), prints(0, "hi\n", ""), 0, ""},
		{"usage", prints(2, "", "Usage: main NAME\n"), prints(2, "", "Usage: main NAME\n"), 0, ""},
		{"other code", prints(0, "hi\n", ""), prints(1, "hi\n", ""), fault.Differs, "exit: image 1, unreduced app 0"},
		{"shorter", prints(0, "a\nb\n", ""), prints(0, "a\n", ""), fault.Differs, `stdout: image "", unreduced app "b"`},
		{"full crashes", prints(1, "", crashed), prints(1, "", crashed), fault.Start, "main: ConnectionRefusedError: [Errno 111]"},
		{"full refuses", prints(1, "", "DATABASE_URL is not set\n"), prints(0, "", ""), fault.Start, "DATABASE_URL is not set"},
		{"full gives up", prints(3, "", ""), prints(0, "", ""), fault.Start, "exit code 3"},
		{"full is not there", func([]string, string) app { return app{absent: true} }, prints(0, "", ""), fault.Start, "/app/main: no such file or directory"},
		{
			"warnings with and without source",
			prints(0, "", "/app/a.py:3: UserWarning: old\n  warnings.warn('old')\nbye\n"), prints(0, "", "/app/a.py:3: UserWarning: old\nbye\n"), 0, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := input(t, tt.full, tt.lean)
			_, err := Run(t.Context(), in)
			f, _ := errors.AsType[*fault.Error](err)
			switch {
			case tt.kind == 0 && err != nil:
				t.Errorf("error is %v", err)
			case tt.kind != 0 && (f == nil || f.Kind != tt.kind || !strings.Contains(f.What, tt.want)):
				t.Errorf("error is %v, want kind %d and %q", err, tt.kind, tt.want)
			case tt.kind == fault.Start && !strings.Contains(f.Hint, "[tool.exuvia.probe]"):
				t.Errorf("hint is %q", f.Hint)
			}
		})
	}
}

// An entry point that takes --help for a word of its own is no defect.
func TestHelpThatIsNone(t *testing.T) {
	ends := func(stderr string) func([]string, string) app {
		return func(argv []string, _ string) app {
			if slices.Contains(argv, "--help") {
				return prints(1, "", stderr)(nil, "")
			}
			return app{exit: engine.Exit{Stdout: []byte("55\n")}}
		}
	}
	word := traceback + "\n  File \"/app/fib.py\", line 3\n%sValueError: invalid literal for int(): '--help'\n"
	in, _ := input(t, ends(fmt.Sprintf(word, "    int(x)\n")), ends(fmt.Sprintf(word, "")))
	if _, err := Run(t.Context(), in); err != nil {
		t.Error(err)
	}
	in, _ = input(t, ends(traceback+"\nKeyError: 'DATABASE_URL'\n"), ends(""))
	if _, err := Run(t.Context(), in); err == nil || !strings.Contains(err.Error(), "does not start: main: KeyError") {
		t.Errorf("error is %v", err)
	}
	for said, packages := range map[string]bool{
		"ImportError: failed to find libmagic.  Check your installation":                              true,
		"OSError: no library called \"cairo-2\" was found":                                            true,
		"OSError: libzbar.so.0: cannot open shared object file: No such file or directory":            true,
		"FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'":                            true,
		"FileNotFoundError: [Errno 2] No such file or directory: '/data/config.toml'":                 false,
		"ImportError: cannot import name 'x' from 'y' (/usr/local/lib/python3.11/dist-packages/y.py)": false,
	} {
		in, _ = input(t, ends(traceback+"\n"+said+"\n"), ends(""))
		_, err := Run(t.Context(), in)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || strings.Contains(f.Hint, "[tool.exuvia] packages") != packages {
			t.Errorf("%s: error is %v, to hint at packages: %v", said, err, packages)
		}
	}
	serves := func([]string, string) app { return app{serve: demo(nil)} }
	in, _ = input(t, serves, serves)
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if last := checks[len(checks)-1]; last.Detail != "no end: it listens" {
		t.Errorf("%+v", last)
	}
}

func TestServerThatIsNoWebServer(t *testing.T) {
	in, _ := input(t, func([]string, string) app { return app{opaque: true} }, func([]string, string) app { return app{opaque: true} })
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"main runs", "GET /", "main at the stop signal (15)", "main --help"}
	if diff := cmp.Diff(want, names(checks)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestProbeSettings(t *testing.T) {
	in, boots := input(t, server(demo(nil)), server(demo(nil)))
	in.Probe = project.Probe{
		Args:     []string{"serve"},
		Env:      map[string]string{"B": "2", "A": "1"},
		Files:    map[string]string{"/etc/app.toml": "conf/app.toml", "/etc/conf.d": "conf"},
		Port:     8000,
		Commands: [][]string{{"/app/main", "--help", "db"}},
		HTTP:     []project.Request{{Method: "delete", Path: "/items/9", Body: "x"}},
	}
	in.ProjectFiles = newTree(t, tree.File("conf/app.toml", 0o600, []byte("a = 1"), tree.Origin{}), tree.Symlink("conf/link", "app.toml", tree.Origin{}))
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DELETE /items/9 x", "/app/main --help db"} {
		if !slices.Contains(names(checks), want) {
			t.Errorf("no check %q in %q", want, names(checks))
		}
	}
	if !slices.Contains(boots.boots, "[/app/main serve]") {
		t.Errorf("boots: %q", boots.boots)
	}

	for name, change := range map[string]func(*project.Probe){
		"is not among the project's files": func(p *project.Probe) { p.Files = map[string]string{"/x": "../../etc/passwd"} },
		"is not absolute":                  func(p *project.Probe) { p.Files = map[string]string{"x": "conf/app.toml"} },
		"is not one that can be asked for": func(p *project.Probe) { p.HTTP = []project.Request{{Path: "http://example.com/"}} },
		"header": func(p *project.Probe) {
			p.HTTP = []project.Request{{Path: "/", Headers: map[string]string{"a": "b\nc"}}}
		},
	} {
		bad := in
		change(&bad.Probe)
		_, err := Run(t.Context(), bad)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Project || !strings.Contains(f.What, name) {
			t.Errorf("error is %v, want %q", err, name)
		}
	}
}

// A server that streams without end, or sends more than anyone wants to read,
// must not hold up the build or fill the memory.
func TestEndlessAnswers(t *testing.T) {
	endless := demo(func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/docs":
			fmt.Fprint(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/redoc":
			part := []byte(strings.Repeat("x", 1<<20))
			for r.Context().Err() == nil {
				if _, err := w.Write(part); err != nil {
					break
				}
			}
		default:
			return false
		}
		return true
	})
	in, _ := input(t, server(endless), server(endless))
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	details := map[string]string{}
	for _, c := range checks {
		details[c.Name], _, _ = strings.Cut(c.Detail, ";") // "; variable: header:date" where a second passes meanwhile
	}
	if got, want := details["GET /docs"], "200, 9 bytes of a body without end"; got != want {
		t.Errorf("stream: %q", got)
	}
	if got, want := details["GET /redoc"], "200, 8388608 bytes of a longer body"; got != want {
		t.Errorf("flood: %q", got)
	}
}

func TestImports(t *testing.T) {
	says := func(lines string) func([]string, string) app {
		return func(_ []string, stdin string) app {
			if stdin == "" {
				return app{exit: engine.Exit{Stdout: []byte(contractMark)}}
			}
			if stdin != "app\njson" {
				return app{exit: engine.Exit{Stderr: []byte("got " + stdin)}}
			}
			return app{exit: engine.Exit{Stdout: []byte("noise\n" + importsMark + lines)}}
		}
	}
	run := func(full, lean string) ([]report.Check, error) {
		in, boots := input(t, says(full), says(lean))
		in.Probe.Start, in.Modules, in.Python = "import", []string{"json", "this", "app", "app.__main__"}, "app/python"
		for _, s := range []*Subject{&in.Full, &in.Lean} {
			old := s.Tree
			s.Tree = newTree(t, tree.File("app/python", 0o755, nil, tree.Origin{Kind: tree.Project}))
			boots.apps[s.Tree] = boots.apps[old]
		}
		return Run(t.Context(), in)
	}
	checks, err := run("app\tModuleNotFoundError: No module named 'winreg'\n", "app\tModuleNotFoundError: No module named 'winreg'\n")
	if err != nil || checks[0].Detail != "2 modules, of which 1 cannot be imported" {
		t.Errorf("%+v, %v", checks, err)
	}
	_, err = run("", "json\tModuleNotFoundError: No module named 'json.scanner'\n")
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Differs || !strings.Contains(f.What, "missing module json.scanner") || f.Hint != `[tool.exuvia] keep = ["json.scanner"] keeps it in the image` {
		t.Errorf("error is %+v", err)
	}
}

// A frozen app has no interpreter: that is said, and asking it for imports is
// the user's mistake.
func TestImageWithoutPython(t *testing.T) {
	in, _ := input(t, prints(0, "", ""), prints(0, "", ""))
	in.Python = "usr/bin/python3"
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if last := checks[len(checks)-1]; last.Name != "contract" || !last.OK {
		t.Errorf("%+v", last)
	}
	in.Probe.Start = "import"
	_, err = Run(t.Context(), in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Project {
		t.Errorf("error is %v", err)
	}
}

func TestContract(t *testing.T) {
	says := func(lines ...string) func([]string, string) app {
		return func(argv []string, stdin string) app {
			if argv[0] != "/usr/bin/python3" {
				return app{exit: engine.Exit{}}
			}
			return app{exit: engine.Exit{Stdout: []byte(contractMark + strings.Join(lines, "\n") + "\n" + "metadata\t" + stdin + "\tok\t1\n")}}
		}
	}
	meta := tree.File("usr/lib/python3/dist-packages/fastapi-1.0.dist-info/METADATA", 0o644, nil, tree.Origin{})
	run := func(full, lean func([]string, string) app) ([]report.Check, error) {
		in, boots := input(t, full, lean)
		in.Python = "usr/bin/python3"
		for s, other := range map[*Subject]tree.Entry{&in.Full: tree.Dir("full", 0o755, tree.Origin{}), &in.Lean: tree.Dir("lean", 0o755, tree.Origin{})} {
			old := s.Tree
			s.Tree = newTree(t, tree.File("usr/bin/python3", 0o755, nil, tree.Origin{}), meta, other)
			boots.apps[s.Tree] = boots.apps[old]
		}
		return Run(t.Context(), in)
	}
	full := says("codecs\tidna\tok\tidna", "system\tCA certificates\tok\t140", "time\tzoneinfo\tok\tx", "names\tuser\terror\tKeyError")
	checks, err := run(full, says("codecs\tidna\tok\tidna", "system\tCA certificates\tok\t140", "time\tzoneinfo\tabsent\t", "names\tuser\tok\tnobody"))
	if err != nil {
		t.Error(err)
	}
	i := slices.IndexFunc(checks, func(c report.Check) bool { return c.Name == "contract: metadata" })
	if i < 0 || checks[i].Detail != "1 facts" {
		t.Errorf("checks: %+v", checks)
	}
	_, err = run(full, says("codecs\tidna\terror\tLookupError: unknown encoding: idna", "system\tCA certificates\tok\t0"))
	for _, want := range []string{`contract: codecs: idna: image "error LookupError: unknown encoding: idna", unreduced app "idna"; missing codec idna`, "2 more checks fail"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

func TestMeasure(t *testing.T) {
	in, boots := input(t, server(demo(nil)), server(demo(nil)))
	got, err := Measure(t.Context(), Trial{
		Booter: boots, Subjects: []Subject{in.Full, in.Lean}, Starts: 4, Temp: t.TempDir(), Clock: clock(), limits: quick,
	})
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, s := range got {
		have = append(have, s.Name)
		if len(s.Samples) != 4 || s.First <= 0 || s.PSS != 1000 {
			t.Errorf("%+v", s)
		}
	}
	if diff := cmp.Diff([]string{"the unreduced app", "lean", "the unreduced app again"}, have); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if first, pss := got[1].Ratio(got[0]); first <= 0 || pss != 1 {
		t.Errorf("ratios %v, %v", first, pss)
	}
	if len(boots.boots) != 15 {
		t.Errorf("%d boots", len(boots.boots))
	}
}

// Of a command, the end is the answer.
func TestMeasureCommands(t *testing.T) {
	in, boots := input(t, prints(0, "", ""), prints(0, "", ""))
	got, err := Measure(t.Context(), Trial{Booter: boots, Subjects: []Subject{in.Lean}, Starts: 1, Temp: t.TempDir(), Clock: clock(), limits: quick})
	if err != nil || len(got) != 2 || got[0].First != time.Second || got[0].PSS != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	in, boots = input(t, nil, func([]string, string) app { return app{stay: true} })
	_, err = Measure(t.Context(), Trial{Booter: boots, Subjects: []Subject{in.Lean}, Starts: 1, Temp: t.TempDir(), Clock: clock(), limits: limits{start: 10 * time.Millisecond}})
	if err == nil || !strings.Contains(err.Error(), "measuring lean: it runs on without listening for 10ms") {
		t.Errorf("error is %v", err)
	}
}
