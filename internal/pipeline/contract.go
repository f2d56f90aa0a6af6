package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"exuvia/internal/plan"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// The user of every image that names no other, as distroless images have it.
const (
	nonrootID   = 65532
	nonrootName = "nonroot"
	nonrootHome = "home/nonroot"
)

// maxAccounts bounds etc/passwd and etc/group of a base.
const maxAccounts = 1 << 20

// contractFiles are the files that every image has and no system brings: an
// account for the image's user, its home, the working directory.
func contractFiles(system *tree.Tree) (*tree.Tree, error) {
	from := tree.Origin{Kind: tree.Made, Name: "runtime contract"}
	id := strconv.Itoa(nonrootID)
	passwd, err := withLine(system, "etc/passwd", nonrootName+":x:"+id+":"+id+":nonroot:/"+nonrootHome+":/sbin/nologin", from)
	if err != nil {
		return nil, err
	}
	group, err := withLine(system, "etc/group", nonrootName+":x:"+id+":", from)
	if err != nil {
		return nil, err
	}
	home := tree.Dir(nonrootHome, 0o700, from)
	home.UID, home.GID = nonrootID, nonrootID
	return tree.New(passwd, group, home, tree.Dir("app", 0o755, from))
}

// withLine is the system's file with one more line, unless it has an account
// of that name.
func withLine(system *tree.Tree, name, line string, from tree.Origin) (tree.Entry, error) {
	var data []byte
	if e, ok := system.Resolve(name); ok {
		var err error
		if data, err = e.ReadAll(maxAccounts); err != nil {
			return tree.Entry{}, fmt.Errorf("reading the system's accounts: %w", err)
		}
		from = e.From
	}
	account, _, _ := strings.Cut(line, ":")
	if !strings.HasPrefix(string(data), account+":") && !strings.Contains(string(data), "\n"+account+":") {
		data = append(data, line+"\n"...)
	}
	return tree.File(name, 0o644, data, from), nil
}

// systemPaths are what any process may lean on without naming it, beside what
// finders know of Python and of the C library. What a system does not have of
// them it does not need.
var systemPaths = []struct{ path, why string }{
	{"etc/passwd", "who the user is"},
	{"etc/group", "who the user is"},
	{"etc/os-release", "which system this is"},
	{"var/lib/dpkg/status", "scanners read it"},
	{"tmp", "temporary files"},
	{"var/tmp", "temporary files"},
	{"run", "runtime files"},
	{"app", "the working directory"},
	{nonrootHome, "the user's home"},
}

// contract lists the roots that every image has, whatever the analysis says.
func contract(t *tree.Tree) []plan.Root {
	var out []plan.Root
	for _, p := range systemPaths {
		if _, ok := t.Lookup(p.path); ok {
			out = append(out, plan.Root{Path: p.path, Why: "runtime contract: " + p.why})
		}
	}
	return out
}

// pythonContract lists the roots that every image with an interpreter has.
func pythonContract(t *tree.Tree, rt *python.Runtime) []plan.Root {
	out := []plan.Root{{Path: rt.Exe, Why: "runtime contract: the interpreter"}}
	for _, p := range []string{"usr/bin/python", "usr/bin/python3"} {
		if _, ok := t.Lookup(p); ok {
			out = append(out, plan.Root{Path: p, Why: "runtime contract: python under its usual name"})
		}
	}
	return out
}

// projectRoots are all files of the user's own: what is in the project is
// there because the user wants it, and code finds its own files in ways no
// analysis sees. What the user does not want is excluded by the settings.
func (a *app) projectRoots() []plan.Root {
	var out []plan.Root
	for e := range a.installed.App.All() {
		if !e.IsDir() && a.own(e) {
			out = append(out, plan.Root{Path: e.Path, Why: "the project's own file"})
		}
	}
	return out
}
