package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/engine"
)

func TestParsePorts(t *testing.T) {
	for spec, want := range map[string][]forward{
		"8080:80":         {{"127.0.0.1:8080", 80}},
		"0.0.0.0:8080:80": {{"0.0.0.0:8080", 80}},
		"[::1]:8080:80":   {{"[::1]:8080", 80}},
		"0:80":            {{"127.0.0.1:0", 80}},
		"80":              nil, "": nil, ":": nil, "a:80": nil, "80:b": nil, "80:0": nil, "80:70000": nil, "70000:80": nil,
	} {
		got, err := parsePorts([]string{spec})
		if (err == nil) != (want != nil) || !cmp.Equal(got, want, cmp.AllowUnexported(forward{})) {
			t.Errorf("parsePorts(%q) = %v, %v, want %v", spec, got, err, want)
		}
	}
}

func TestParseVolumes(t *testing.T) {
	dir := t.TempDir()
	for spec, want := range map[string]*engine.Volume{
		dir + ":/data":       {Host: dir, At: "/data"},
		dir + ":/data/:ro":   {Host: dir, At: "/data", ReadOnly: true},
		dir + ":data":        nil,
		dir + ":/data:rx":    nil,
		dir:                  nil,
		dir + "/none:/data":  nil,
		dir + ":/a:ro:extra": nil,
	} {
		got, err := parseVolumes([]string{spec})
		if (err == nil) != (want != nil) || want != nil && !cmp.Equal(got, []engine.Volume{*want}) {
			t.Errorf("parseVolumes(%q) = %v, %v, want %v", spec, got, err, want)
		}
	}
}
