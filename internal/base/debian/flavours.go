package debian

import (
	"slices"
	"strings"

	"exuvia/internal/fault"
)

// Flavour says what a named system is made of.
type Flavour struct {
	Name string // "" is the default
	Doc  string // one line for people
	// Packages are dependencies as in a Depends field; the first of several
	// alternatives that the suite has is taken. One that ends in "?" is left
	// out where the suite has no such package.
	Packages []string
	// Essential adds every package that the archive marks as essential.
	Essential bool
	// Docs keeps manuals, documentation and translations. Licences always stay.
	Docs bool
	// Programs is false for a system without a single executable of its own.
	Programs bool
	// Waived are packages that others depend on for their maintainer scripts
	// only, which never run here.
	Waived []string
}

// scriptsOnly are waived in every system that is not complete: exuvia does
// what the scripts that need them would have done.
var scriptsOnly = []string{"debconf", "debconf-2.0", "dpkg", "install-info", "openssl"}

// core is what any system needs for commands to run in it.
var core = []string{
	"base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "grep", "libc-bin", "libc6", "mawk",
	"ncurses-base", "netbase", "sed", "tzdata",
}

// Flavours lists the named systems.
func Flavours() []Flavour {
	withPython := []string{"python3", "python3-distutils?"}
	slim := []string{"apt", "ca-certificates", "netbase", "tzdata", "python3-pip", "usr-is-merged?"}
	return []Flavour{
		{
			Name: "", Doc: "Python with its whole standard library, a shell and the basic commands",
			Packages: slices.Concat(core, withPython), Programs: true, Waived: scriptsOnly,
		},
		{
			Name: "bare", Doc: "as the default, without Python: for a CPython of your own",
			Packages: core, Programs: true, Waived: scriptsOnly,
		},
		{
			Name: "slim", Doc: "what python:3-slim holds: a complete small Debian, Python and pip",
			Packages: slices.Concat(slim, withPython), Programs: true, Essential: true,
		},
		{
			Name: "full", Doc: "what python:3 holds: slim with compilers, version control and development files",
			Packages: slices.Concat(slim, withPython, buildpack), Programs: true, Essential: true, Docs: true,
		},
		{
			Name: "distroless", Doc: "C library, OpenSSL, certificates, time zones and names; no program at all",
			Packages: []string{
				"base-files", "base-passwd", "ca-certificates", "libc-bin", "libc6", "libssl3t64 | libssl3 | libssl1.1", "netbase", "tzdata",
			},
			Waived: slices.Concat(scriptsOnly, []string{"awk", "libdebconfclient0", "libselinux1"}),
		},
	}
}

// buildpack is what the images python:3 are built on adds to a Debian, with
// the -dev packages that their own Python was compiled with.
var buildpack = []string{
	"autoconf", "automake", "bzip2", "curl", "default-libmysqlclient-dev", "dpkg-dev", "file", "g++", "gcc", "git", "gnupg",
	"imagemagick", "libbluetooth-dev", "libbz2-dev", "libc6-dev", "libcurl4-openssl-dev", "libdb-dev", "libevent-dev",
	"libffi-dev", "libgdbm-dev", "libglib2.0-dev", "libgmp-dev", "libjpeg-dev", "libkrb5-dev", "liblzma-dev",
	"libmagickcore-dev", "libmagickwand-dev", "libmaxminddb-dev", "libncurses-dev", "libpng-dev", "libpq-dev",
	"libreadline-dev", "libsqlite3-dev", "libssl-dev", "libtool", "libwebp-dev", "libxml2-dev", "libxslt1-dev",
	"libyaml-dev", "make", "mercurial", "openssh-client", "patch", "procps", "python3-dev", "python3-venv", "subversion",
	"tk-dev", "unzip", "uuid-dev", "wget", "xz-utils", "zlib1g-dev",
}

func (f Flavour) python() bool { return slices.Contains(f.Packages, "python3") }

// versions are the packages of certain Pythons in it, such as "python3.15".
func (f Flavour) versions() []string {
	var out []string
	for _, p := range f.Packages {
		if v, ok := strings.CutPrefix(p, "python"); ok && isMinor(v) {
			out = append(out, p)
		}
	}
	return out
}

// with gives the flavour with Python X.Y in place of the suite's own. Where
// something else needs python3 both are there.
func (f Flavour) with(python string) Flavour {
	if python == "" {
		return f
	}
	var packages []string
	for _, p := range f.Packages {
		switch p {
		case "python3":
			packages = append(packages, "python"+python)
		case "python3-dev", "python3-venv":
			packages = append(packages, p, "python"+python+strings.TrimPrefix(p, "python3"))
		case "python3-distutils?": // belongs to the suite's own Python
		default:
			packages = append(packages, p)
		}
	}
	f.Packages = packages
	return f
}

func flavourNamed(name string) (Flavour, error) {
	var known []string
	for _, f := range Flavours() {
		if f.Name == name {
			return f, nil
		}
		if f.Name != "" {
			known = append(known, f.Name)
		}
	}
	return Flavour{}, fault.New(fault.Base, "choose none or one of "+strings.Join(known, ", "), "unknown flavour %q of a Debian system", name)
}
