package debian

import "testing"

func TestLibraryPackage(t *testing.T) {
	packages := []string{
		"libcairo2", "libdb5.3t64", "libgeos-c1v5", "libgfortran-1a2b5", "libgl1", "libglib2.0-0t64", "libharfbuzz-dev", "libharfbuzz0b",
		"libicu72", "libicu9", "libjpeg62-turbo", "libmagic-dev", "libmagic1", "libmagickcore-6", "libpango-1.0-0", "libpng16-16",
		"libpq-dev", "libpq5", "libssl3t64", "libstdc++6", "libusb-1.0-0", "libx11-6", "libxml2", "libxml2-dev", "libxslt1-dev", "libxslt1.1", "libzstd1", "zlib1g",
	}
	for name, want := range map[string]string{
		"libstdc++.so.6":        "libstdc++6",
		"libpq.so.5":            "libpq5",
		"libpq.so.4":            "",
		"libssl.so.3":           "libssl3t64",
		"libX11.so.6":           "libx11-6",
		"libgobject-2.0.so.0":   "libglib2.0-0t64",
		"libgobject-2.0.so":     "libglib2.0-0t64",
		"libxml2.so.2":          "libxml2",
		"libxslt.so.1":          "libxslt1.1",
		"libexslt.so.0":         "libxslt1.1",
		"libGL.so.1":            "libgl1",
		"libdb-5.3.so":          "libdb5.3t64",
		"libgfortran-1a2b.so.5": "libgfortran-1a2b5",
		"libpango-1.0.so.0":     "libpango-1.0-0",
		"libusb-1.0.so.0":       "libusb-1.0-0",
		"libharfbuzz.so.0":      "libharfbuzz0b",
		"libgeos_c.so.1":        "libgeos-c1v5",
		"libz.so.1":             "zlib1g",
		"libjpeg.so.62":         "libjpeg62-turbo",
		"libmagic.so":           "libmagic1",
		"libcairo.so":           "libcairo2",
		"libpango-1.0.so":       "libpango-1.0-0",
		"libgeos_c.so":          "libgeos-c1v5",
		"libicu.so":             "libicu72",
		"libdb.so":              "libdb5.3t64",
		"libpng.so":             "libpng16-16",
		"libxml2.so":            "libxml2",
		"libzst.so":             "",
		"libSecurity.so":        "",
		"lib.so":                "",
		"libfoo; rm.so.1":       "",
		"../libpq.so.5":         "",
		"libwithout_so.1":       "",
	} {
		if got := libraryPackage(packages, name); got != want {
			t.Errorf("%s is in %q, want %q", name, got, want)
		}
	}
}
