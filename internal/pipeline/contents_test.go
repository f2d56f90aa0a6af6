package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/reduce"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// What goes must be counted once, with its reason, and what is moved must be
// known by what it was: else a report says that sizes are of something else.
func TestLedger(t *testing.T) {
	dist := tree.Origin{Kind: tree.Dist, Name: "fastapi"}
	file := func(name, data string) tree.Entry { return tree.File(name, 0o644, []byte(data), dist) }
	full := built(t, file("a.py", "source of a"), file("b.py", "source"), file("doc.txt", "text"), file("x.so", "ELF"), tree.Symlink("l", "x.so", dist))
	kept := built(t, file("a.py", "source of a"), file("doc.txt", "text"), file("x.so", "ELF"))
	bytecode := built(t, file("a.pyc", "code of a"), file("x.so", "ELF"))
	archived := built(t, file("app.pya", "index, code of a"), file("x.so", "EL"))

	l := newLedger(full, func(e tree.Entry) report.Owner { return report.Owner{Name: e.From.Name, Part: report.PartDependencies} })
	l.stage("analysis", "", full, kept, nil, func(e tree.Entry) (string, string) {
		if e.IsSymlink() {
			return "nothing needs it", "a link"
		}
		return "nothing needs it", ""
	})
	l.stage("bytecode", "", kept, bytecode, []reduce.Move{{From: "a.py", To: "a.pyc"}, {From: "doc.txt", Why: "only people read it"}}, because("no reason"))
	l.stage("archive", "", bytecode, archived, []reduce.Move{{From: "a.pyc", To: "app.pya", Member: "a.py"}}, because("no reason"))

	want := []report.Drop{
		{
			Stage: "analysis", Reason: "nothing needs it", Part: report.PartDependencies, Files: 2, Size: 10,
			Owners: []report.Share{{Name: "fastapi", Files: 2, Size: 10}}, Largest: []report.Gone{{Path: "b.py", Size: 6}, {Path: "l", Size: 4, Why: "a link"}},
		},
		{
			Stage: "bytecode", Reason: "only people read it", Part: report.PartDependencies, Files: 1, Size: 4,
			Owners: []report.Share{{Name: "fastapi", Files: 1, Size: 4}}, Largest: []report.Gone{{Path: "doc.txt", Size: 4}},
		},
	}
	if d := cmp.Diff(want, l.sum()); d != "" {
		t.Errorf("what went (-want +got)\n%s", d)
	}
	stages := []report.Stage{
		{Name: "unreduced", About: "the system with the app and all that it depends on", Size: 28, Files: 5},
		{Name: "analysis", Size: 18, Files: 3},
		{Name: "bytecode", Size: 12, Files: 2},
		{Name: "archive", Size: 18, Files: 2},
	}
	if d := cmp.Diff(stages, l.stages); d != "" {
		t.Errorf("stages (-want +got)\n%s", d)
	}
	if got := l.origin(inArchive("app.pya", "a.py")); got != "a.py" {
		t.Errorf("the module in the archive was %q", got)
	}
	if m := l.members["app.pya"]["a.py"]; m.owner.Name != "fastapi" || m.sum == "" {
		t.Errorf("the module in the archive is %+v", m)
	}
}

func TestPackages(t *testing.T) {
	got := packages("Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nDescription: a\n Package: not\n\nPackage: zlib1g\nVersion: 1.2\n\n\n")
	want := []report.Owner{{Name: "libc6", Version: "2.36-9", Kind: report.OwnerDebian}, {Name: "zlib1g", Version: "1.2", Kind: report.OwnerDebian}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Arguments with spaces must not look like two.
func TestArgv(t *testing.T) {
	if got := argv([]string{"python", "-c", "print(1, 2)", ""}); got != `python -c "print(1, 2)" ""` {
		t.Errorf("%s", got)
	}
}
