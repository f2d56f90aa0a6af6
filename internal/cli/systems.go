package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/base/debian"
	"exuvia/internal/base/image"
	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/project"
)

// toolSuite is where tools come from for a system that is no Debian.
const toolSuite = "bookworm"

// beneath is what lies under a CPython that comes without a system: what its
// extension modules link to, and what every minimal system has.
var beneath = []string{
	"base-files", "base-passwd", "ca-certificates", "libc-bin", "netbase", "tzdata",
	"libbz2-1.0", "libexpat1", "libffi8", "libgdbm6", "liblzma5", "libncursesw6", "libnsl2", "libreadline8", "libsqlite3-0",
	"libssl3", "libtirpc3", "libuuid1", "zlib1g",
}

// systems implements pipeline.Bases over every kind of base.
type systems struct {
	archive *debian.Archive
	images  *image.Images
	cache   *cas.Store
	suites  sync.Map // of Debian systems that came as images, by reference
}

// Base implements pipeline.Bases.
func (s *systems) Base(ctx context.Context, ref string, p v1.Platform) (*base.Base, error) {
	switch {
	case ref == "scratch":
		return base.Scratch(), nil
	case strings.HasPrefix(ref, "debian:"):
		return s.archive.Base(ctx, ref, p)
	case isPath(ref):
		return s.dir(ctx, ref, p)
	case image.Is(ref):
		return s.image(ctx, ref, p)
	case strings.Contains(ref, "."): // a file that is not there
		return s.dir(ctx, ref, p)
	}
	return nil, fault.New(fault.Base, "name scratch, debian:SUITE"+debianNames()+
		", an image (NAME:TAG, oci:DIR, oci-archive:FILE, docker-archive:FILE, docker:NAME, store:NAME), or a directory or tarball that holds a CPython",
		"no base is called %q", ref)
}

// debianNames lists the suites and flavours for a hint.
func debianNames() string {
	var suites, flavours []string
	for _, s := range debian.Suites() {
		suites = append(suites, s.Name)
	}
	for _, f := range debian.Flavours() {
		if f.Name != "" {
			flavours = append(flavours, "-"+f.Name)
		}
	}
	return " (" + strings.Join(suites, ", ") + "; with " + strings.Join(flavours, ", ") + ")"
}

// isPath reports whether a reference is a path: it begins like one, or is
// there and has something that names of images seldom have.
func isPath(ref string) bool {
	if ref == "." || ref == ".." || strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") {
		return true
	}
	_, err := os.Stat(ref)
	return err == nil && strings.ContainsAny(ref, "/.")
}

// python are the images that Debian systems stand for.
var python = regexp.MustCompile(`(^|/)python[:@]|/distroless/`)

// image reads a base that comes as an image.
func (s *systems) image(ctx context.Context, ref string, p v1.Platform) (*base.Base, error) {
	b, err := s.images.Base(ctx, ref, p)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Network && python.MatchString(ref) {
		f.Hint += "; without a registry, debian:bookworm-full, -slim and -distroless stand for python:3.x, python:3.x-slim and distroless"
	}
	if err != nil {
		return nil, err
	}
	s.suites.Store(ref, debian.SuiteOf(b.Tree))
	return b, nil
}

// dir reads a directory or tarball that holds a CPython. Where it has no C
// library, it goes on that of a Debian.
func (s *systems) dir(ctx context.Context, ref string, p v1.Platform) (*base.Base, error) {
	b, err := base.Dir(ctx, s.cache, ref)
	if err != nil || b.Libc != "" {
		return b, err
	}
	under, err := s.archive.System(ctx, toolSuite, beneath, p)
	if err != nil {
		return nil, err
	}
	return base.Over(b, under)
}

// Tools implements pipeline.Bases.
func (s *systems) Tools(ctx context.Context, ref string, packages []string, p v1.Platform) (*base.Base, error) {
	return s.archive.System(ctx, s.suiteOf(ref), packages, p)
}

// With implements pipeline.Bases.
func (s *systems) With(ctx context.Context, system *base.Base, more base.More, p v1.Platform) (*base.Base, error) {
	switch {
	case strings.HasPrefix(system.Ref, "debian:"):
		return s.archive.With(ctx, system.Ref, more, p)
	case len(more.Packages) > 0:
		return nil, fault.New(fault.Base, "install them in that system, or take one that exuvia assembles, such as debian:"+toolSuite,
			"packages cannot be added to the system %s", system.Ref)
	}
	return system, nil
}

// suiteOf is the suite that tools for a system come from.
func (s *systems) suiteOf(ref string) string {
	if name, ok := strings.CutPrefix(ref, "debian:"); ok {
		suite, _, _ := strings.Cut(name, "-")
		return suite
	}
	if suite, ok := s.suites.Load(ref); ok && suite != "" {
		return suite.(string) //nolint:forcetypeassert // nothing else is in it
	}
	return toolSuite
}

// Flavour implements pipeline.Bases. A system that is no Debian gets the flavour
// of the suite that its tools come from.
func (s *systems) Flavour(system *base.Base, flavour string) string {
	if ref, ok := debian.WithFlavour(system.Ref, flavour); ok {
		return ref
	}
	return debian.Ref(cmp.Or(debian.SuiteOf(system.Tree), toolSuite), flavour, "")
}

// SystemFor implements pipeline.Bases.
func (s *systems) SystemFor(_ context.Context, requires, pin string) (string, error) {
	var bad error
	fits := func(python string) bool {
		if pin != "" && pin != python && !strings.HasPrefix(pin, python+".") {
			return false
		}
		ok, err := project.Satisfies(requires, python)
		if err != nil {
			bad = err
		}
		return ok
	}
	suite, python, ok := debian.SuiteFor(fits)
	if bad != nil {
		return "", fault.Wrap(bad, fault.Project, "write it as PEP 440 has it: >=3.11", "reading requires-python")
	}
	if !ok {
		var have []string
		for _, suite := range debian.Suites() {
			have = append(have, suite.Python...)
		}
		want := requires
		if pin != "" {
			want = pin
		}
		return "", fault.New(fault.Base, "allow another version, or name a directory or tarball that holds this Python with --system",
			"no Debian suite has a Python that is %s (there are %s)", want, strings.Join(have, ", "))
	}
	if python == suite.Python[0] {
		python = ""
	}
	return debian.Ref(suite.Name, "", python), nil
}
