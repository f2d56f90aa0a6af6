package debian

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLibraryPackages(t *testing.T) {
	for soname, want := range map[string]string{
		"libstdc++.so.6":        "libstdc++6",
		"libpq.so.5":            "libpq5",
		"libssl.so.3":           "libssl3",
		"libX11.so.6":           "libx11-6",
		"libgobject-2.0.so.0":   "libglib2.0-0",
		"libxml2.so.2":          "libxml2",
		"libGL.so.1":            "libgl1",
		"libdb-5.3.so":          "libdb5.3",
		"libpython3.11.so.1.0":  "libpython3.11-1.0", // is in none of that name
		"libfoo.so":             "",
		"libfoo; rm.so.1":       "",
		"../libfoo.so.1":        "",
		"libwithout_so.1":       "",
		"libgfortran-1a2b.so.5": "libgfortran-1a2b5",
	} {
		var names []string
		if want != "" {
			names = []string{want + "?", want + "t64?"}
		}
		if diff := cmp.Diff(names, libraryPackages(soname)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", soname, diff)
		}
	}
}
