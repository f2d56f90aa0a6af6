package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/report"
)

// tool behaves as a command line tool whose help texts are given by what stands
// before --help; what has none ends with code 2.
func tool(texts map[string]string) func([]string, string) app {
	return func(argv []string, _ string) app {
		words := strings.Join(argv[1:], " ")
		path, ok := strings.CutSuffix(words, "--help")
		if !ok {
			return app{exit: engine.Exit{Stdout: []byte("hello\n")}}
		}
		text, ok := texts[strings.TrimSpace(path)]
		if !ok {
			return app{exit: engine.Exit{Code: 2, Stderr: []byte("usage: main\nmain: error: no command " + path)}}
		}
		return app{exit: engine.Exit{Stdout: []byte(text)}}
	}
}

// naming is a help text that names commands.
func naming(title string, names ...string) string {
	text := title + "\n\nCommands:\n"
	for _, n := range names {
		text += "  " + n + "  does it\n"
	}
	return text
}

func TestSubcommandsAreAsked(t *testing.T) {
	texts := map[string]string{
		"": naming("main", "db", "serve", "ghost"), "db": naming("db", "migrate", "undo"),
		"serve": naming("main", "db", "serve", "ghost"), "db migrate": "migrates\n", "db undo": naming("db", "migrate", "undo"),
	}
	in, boots := input(t, tool(texts), tool(texts))
	in.Probe.Commands = [][]string{{"main", "db", "undo", "--help"}}
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	// What prints the text of its parent leads nowhere; what a command asks
	// already is asked once.
	want := []string{
		"main runs", "main --help", "main db --help", "main serve --help", "main ghost --help", "main db migrate --help",
		"main db undo --help",
	}
	if diff := cmp.Diff(want, names(checks)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(boots.boots) != 2*len(want) {
		t.Errorf("boots: %q", boots.boots)
	}

	boots.boots = nil
	if err := Exercise(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if len(boots.boots) != len(want) {
		t.Errorf("exercised: %q", boots.boots)
	}
}

// A module that only a subcommand imports is missed there, and nowhere else.
func TestSubcommandsThatDiffer(t *testing.T) {
	full := map[string]string{"": naming("main", "db", "serve"), "db": naming("db", "migrate"), "db migrate": naming("migrate", "deeper"), "serve": "serves\n"}
	broken := func(argv []string, stdin string) app {
		if slices.Equal(argv[1:], []string{"db", "migrate", "--help"}) {
			return app{exit: engine.Exit{Code: 1, Stderr: []byte(traceback + "\nModuleNotFoundError: No module named 'sqlite3'\n")}}
		}
		return tool(full)(argv, stdin)
	}
	in, boots := input(t, tool(full), broken)
	checks, err := Run(t.Context(), in)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Differs || !strings.Contains(f.What, "main db migrate --help: ") || !strings.Contains(f.What, "missing module sqlite3") {
		t.Errorf("error is %v", err)
	}
	if bad := failing(checks); len(bad) != 1 {
		t.Errorf("failing: %q", bad)
	}
	if slices.Contains(names(checks), "main db migrate deeper --help") {
		t.Error("what differs is followed")
	}

	boots.boots = nil
	if _, err := Repeat(t.Context(), in, checks); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"[/app/main db migrate --help]", "[/app/main db migrate --help]"}, boots.boots); diff != "" {
		t.Errorf("repeated: (-want +got)\n%s", diff)
	}
}

// A check is of the question that has it, whatever it is called.
func TestQuestionsOfChecks(t *testing.T) {
	in, boots := input(t, prints(0, "", ""), prints(0, "", ""))
	in.Python = "app"
	in.Probe.Commands = [][]string{{"ls", "-l"}}
	v, err := newVerifier(in)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	var got []string
	for _, name := range []string{"main runs", "GET /", "main --help", "main a b --help", "ls -l", "contract: time", "main at the stop signal (15)"} {
		for _, q := range v.failed([]report.Check{{Name: name}, {Name: "GET /x", OK: true}}) {
			got = append(got, name+" → "+q.name)
		}
	}
	want := []string{
		"main runs → main", "GET / → main", "main --help → main --help", "main a b --help → main a b --help", "ls -l → ls -l",
		"contract: time → runtime contract", "main at the stop signal (15) → main",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if qs := v.failed([]report.Check{{Name: "contract: time"}, {Name: "ls -l"}}); len(qs) != 1 || qs[0].name != "ls -l" {
		t.Errorf("beside another the contract is asked again: %d questions", len(qs))
	}
	if len(boots.boots) > 0 {
		t.Errorf("boots: %q", boots.boots)
	}
}

// A program that names commands without end is asked for some of them, and the
// checks say so.
func TestSubcommandsAreBounded(t *testing.T) {
	endless := func(argv []string, _ string) app {
		if argv[len(argv)-1] != "--help" {
			return app{}
		}
		var subs []string
		for i := range 12 {
			subs = append(subs, fmt.Sprintf("c%d", i))
		}
		if len(argv) > 3 {
			subs = subs[:1]
		}
		return app{exit: engine.Exit{Stdout: []byte(naming(strings.Join(argv, " "), subs...))}}
	}
	for range 3 { // whoever answers first
		in, boots := input(t, endless, endless)
		checks, err := Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * (2 + maxLed); len(boots.boots) != want {
			t.Errorf("%d boots, want %d", len(boots.boots), want)
		}
		details := make(map[string]string)
		for _, c := range checks {
			details[c.Name] = c.Detail
		}
		for name, want := range map[string]string{
			"main c1 --help":    "",
			"main c2 --help":    "; subcommands that it names and that were not asked: 8 of 12",
			"main c3 --help":    "; subcommands that it names and that were not asked: 12 of 12",
			"main c0 c0 --help": "; subcommands that it names and that were not asked: 1 of 1",
		} {
			if d := details[name]; d == "" || want == "" && strings.Contains(d, "not asked") || !strings.HasSuffix(d, want) {
				t.Errorf("%s: %q", name, d)
			}
		}
	}

	deep := func(argv []string, _ string) app {
		return app{exit: engine.Exit{Stdout: []byte(naming(strings.Join(argv, " "), "more"))}}
	}
	in, _ := input(t, deep, deep)
	checks, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	last := checks[len(checks)-1]
	if last.Name != "main more more more --help" || !strings.HasSuffix(last.Detail, "not asked: 1 of 1") {
		t.Errorf("%+v", last)
	}
}
