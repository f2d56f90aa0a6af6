package cli

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"exuvia/internal/fault"
	"exuvia/internal/pipeline"
	"exuvia/internal/variant"
)

func names(list []pipeline.Choice) string {
	var out []string
	for _, c := range list {
		out = append(out, c.Name())
	}
	return strings.Join(out, "; ")
}

func TestChoicesAreVariantsByOptions(t *testing.T) {
	for _, c := range []struct {
		flags compareFlags
		want  string
	}{
		{compareFlags{variants: []string{"lean"}}, "lean"},
		{compareFlags{variants: []string{"lean"}, matrix: "optimize=0,2,upx=no,all"}, "lean optimize=0 upx=no; lean optimize=0 upx=all; lean optimize=2 upx=no; lean optimize=2 upx=all"},
		{compareFlags{variants: []string{"lean", "slim"}, matrix: "base=scratch,debian:bookworm-slim"}, "lean base=scratch; lean base=debian:bookworm-slim; slim base=scratch; slim base=debian:bookworm-slim"},
		{compareFlags{variants: []string{"lean"}, matrix: "cython=app,all"}, "lean"}, // means nothing to it
		{compareFlags{variants: []string{"lean"}, matrix: "strip=false"}, "lean strip=false"},
	} {
		got, err := c.flags.choices()
		if err != nil || names(got) != c.want {
			t.Errorf("%+v: %q, %v, want %q", c.flags, names(got), err, c.want)
		}
	}
	quick, err := compareFlags{}.choices()
	all, allErr := compareFlags{all: true}.choices()
	if err != nil || allErr != nil || len(all) != len(variant.All()) {
		t.Errorf("by default %q, %v, with --all %q, %v", names(quick), err, names(all), allErr)
	}
	for _, v := range variant.All() {
		if slices.Contains(strings.Split(names(quick), "; "), v.Name) == v.Slow {
			t.Errorf("%s is slow: %v, and by default there are %q", v.Name, v.Slow, names(quick))
		}
	}
}

func TestBadChoicesSayWhatThereIs(t *testing.T) {
	for _, c := range []struct {
		flags compareFlags
		hint  string
	}{
		{compareFlags{variants: []string{"leen"}}, "lean"},
		{compareFlags{matrix: "optimise=1"}, "optimize"},
		{compareFlags{matrix: "1,2"}, "optimize"},
		{compareFlags{variants: []string{"lean"}, matrix: "optimize=7"}, "optimize"},
		{compareFlags{variants: []string{"lean"}, matrix: "optimize=x"}, "optimize"},
		{compareFlags{variants: []string{"lean"}, matrix: "strip=perhaps"}, "strip"},
		{compareFlags{variants: []string{"lean"}, matrix: "upx=best"}, "upx"},
	} {
		_, err := c.flags.choices()
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Usage || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%+v: %v", c.flags, err)
		}
	}
}

func TestAvailableMemory(t *testing.T) {
	const meminfo = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n"
	if n, ok := available(strings.NewReader(meminfo)); !ok || n != 2<<20 {
		t.Errorf("%d, %v", n, ok)
	}
	for _, bad := range []string{"", "MemAvailable: much\n", "MemTotal: 1 kB\n"} {
		if n, ok := available(strings.NewReader(bad)); ok {
			t.Errorf("%q: %d", bad, n)
		}
	}
}

// On a terminal each image has a line, which goes when the image is done.
func TestProgressOfSeveral(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false)
	p.live, p.width = true, 80
	p.Printf("installing")
	p.Watch("lean", "reducing")
	p.Watch("slim", "building")
	out.Reset()
	p.Watch("lean", "")
	if got := out.String(); got != "\r\x1b[1A\x1b[J• slim: building" {
		t.Errorf("%q", got)
	}
	out.Reset()
	p.Done()
	if got := out.String(); got != "\r\x1b[J" {
		t.Errorf("%q", got)
	}
	plain := newProgress(&out, false)
	out.Reset()
	plain.Watch("lean", "reducing")
	plain.Watch("lean", "")
	if got := out.String(); got != "exuvia: lean: reducing\nexuvia: lean: done\n" {
		t.Errorf("%q", got)
	}
}
