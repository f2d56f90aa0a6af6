package verify

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The texts are what programs with these libraries printed, as of 2026.
func TestSubcommands(t *testing.T) {
	for _, tt := range []struct {
		file string
		want []string
	}{
		{"click.txt", []string{"db", "run-server"}},
		{"click-leaf.txt", nil},
		{"celery.txt", []string{
			"amqp", "beat", "call", "control", "events", "graph", "inspect", "list", "logtool", "migrate", "multi", "purge",
			"report", "result", "shell", "status", "upgrade", "worker",
		}},
		{"typer.txt", []string{"serve", "db", "clean"}},
		{"typer-ascii.txt", []string{"serve", "db", "clean"}},
		{"typer-plain.txt", []string{"serve", "clean", "db"}},
		{"typer-leaf.txt", nil},
		{"cyclopts.txt", []string{"init", "run"}},
		{"argparse.txt", []string{"init", "run-all-of-the-very-long-names", "quiet"}},
		{"argparse-title.txt", []string{"init", "run"}},
		{"argparse-metavar.txt", []string{"init", "run"}},
		{"django.txt", []string{
			"changepassword", "createsuperuser", "remove_stale_contenttypes", "check", "compilemessages", "createcachetable",
			"dbshell", "diffsettings", "dumpdata", "flush", "inspectdb", "loaddata", "makemessages", "makemigrations", "migrate",
			"optimizemigration", "sendtestemail", "shell", "showmigrations", "sqlflush", "sqlmigrate", "sqlsequencereset",
			"squashmigrations", "startapp", "startproject", "test", "testserver", "clearsessions", "collectstatic", "findstatic",
			"runserver",
		}},
		{"django-check.txt", nil},
	} {
		t.Run(tt.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "help", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, subcommands(text)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSubcommandsOfSections(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"prose", "Usage: x\n\nIt has commands:\nnone at all\n", nil},
		{"cobra", "Usage:\n  tool [command]\n\nAvailable Commands:\n  completion  Generate the script\n  get         Display\n\nFlags:\n  -h, --help   help\n", []string{"completion", "get"}},
		{"aliases", "Commands:\n  list, ls   Lists\n  remove (rm, del)  Removes\n  rm         Removes\n", []string{"list", "remove"}},
		{"arguments", "Commands:\n  run [flags] FILE  Runs\n  stop <id>\n  it has words in a row\n", []string{"run", "stop"}},
		{"upper case", "COMMANDS\n    up      Starts\n            and waits\n    down    Stops\n\nOPTIONS\n    no      No\n", []string{"up", "down"}},
		{"colours", "\x1b[1mCommands:\x1b[0m\n  \x1b[36mup\x1b[0m    Starts\n", []string{"up"}},
		{"tabs", "Commands:\n\tup\tStarts\n", []string{"up"}},
		{"choices", "usage: x [--a {b,c}] {d,e}\n\npositional arguments:\n  {d,e}\n", nil},
		{"options", "Commands:\n  --help  Help\n  -v      Version\n", nil},
		{"twice", "Commands:\n  up  Starts\n\nMore commands:\n  up  Starts\n  on  Goes on\n", []string{"up", "on"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, subcommands([]byte(tt.text))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Whatever a program prints, what comes of it can stand on a command line and
// in the name of a check, and is there once.
func FuzzSubcommands(f *testing.F) {
	seeds, err := filepath.Glob("testdata/help/*.txt")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, s := range seeds {
		text, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := subcommands(text)
		for i, n := range got {
			if !commandName.MatchString(n) || len(strings.Fields(n)) != 1 || strings.HasPrefix(n, "-") {
				t.Errorf("%q is none", n)
			}
			if slices.Contains(got[:i], n) {
				t.Errorf("%q is there twice", n)
			}
		}
	})
}
