package pipeline

import (
	"errors"
	"testing"

	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/verify"
)

func TestChoiceNames(t *testing.T) {
	c := Choice{Settings: project.Settings{Variant: "lean"}, Options: map[string]string{"upx": "all", "base": "debian:bookworm-slim"}}
	if got := c.Name(); got != "lean base=debian:bookworm-slim upx=all" {
		t.Errorf("name is %q", got)
	}
	if got := report.TagOf(c.Name()); got != "lean-base-debian-bookworm-slim-upx-all" {
		t.Errorf("tag is %q", got)
	}
}

// What went wrong with one image is in its row, and how far it came.
func TestRowsSayHowFarAnImageCame(t *testing.T) {
	failed := []report.Check{{Name: "GET /", OK: true}, {Name: "main --help", Detail: "exit code 1"}}
	for name, c := range map[string]struct {
		err     error
		booted  bool
		state   report.State
		reason  string
		differs int
	}{
		"fine":        {nil, true, report.StateOK, "", 0},
		"differs":     {fault.New(fault.Differs, "h", "GET / differs"), true, report.StateDiffers, "GET / differs", 1},
		"tool failed": {fault.New(fault.Step, "h", "nuitka:\n exit code 1"), false, report.StateFailed, "nuitka: exit code 1", 1},
		"not for it":  {fault.New(fault.Base, "use 3.11", "no Python 3.14"), false, report.StateUnavailable, "no Python 3.14 (use 3.11)", 1},
		"defect":      {errors.New("oops"), true, report.StateFailed, "oops", 1},
	} {
		t.Run(name, func(t *testing.T) {
			x := candidate{Choice: Choice{Settings: project.Settings{Variant: "lean"}}, build: &build{out: &report.Build{Digest: "sha256:1", Reference: "a:lean", Checks: failed}}}
			if c.booted {
				x.subject = &verify.Subject{}
			}
			if c.err == nil {
				x.build.out.Checks = failed[:1]
			}
			x.settle(c.err)
			r := x.row
			if r.State != c.state || r.OK != (c.err == nil) || r.Reason != c.reason || len(r.Differs) != c.differs || r.Options == nil {
				t.Errorf("row is %+v", r)
			}
			if (r.Reference == "") == (c.err == nil) {
				t.Errorf("its name is %q", r.Reference)
			}
		})
	}
}
