// Package pipeline is the order of the phases from a project's directory to a
// verified image; nothing else knows it. What each phase does is in the
// packages below, reached through the interfaces here or called directly
// where there is one way of doing it.
package pipeline

import (
	"context"
	"log/slog"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/install"
	"exuvia/internal/oci"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/publish"
	"exuvia/internal/python"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Bases finds base systems by reference. An unknown or unfit one is a
// fault.Base that lists what there is.
type Bases interface {
	Base(ctx context.Context, ref string, p v1.Platform) (*base.Base, error)
	// Tools assembles the packages, with what they depend on, from the suite
	// that ref is of.
	Tools(ctx context.Context, ref string, packages []string, p v1.Platform) (*base.Base, error)
	// With gives the system that the reference of this one names with more
	// in it: packages, which it has to have, and libraries as far as its suite
	// has them. One that is of no suite takes no packages, and stays as it is.
	With(ctx context.Context, system *base.Base, more base.More, p v1.Platform) (*base.Base, error)
	// SystemFor chooses the system for a project: the newest released one
	// whose Python the versions allow.
	SystemFor(ctx context.Context, requires, pin string) (string, error)
	// Flavour names the Debian base of a flavour ("slim", "full",
	// "distroless") of the suite that a system is of.
	Flavour(system *base.Base, flavour string) string
}

// Installer puts a project and its dependencies on a system.
type Installer interface {
	Install(ctx context.Context, p *project.Project, b *base.Base, rt *python.Runtime) (*install.Result, error)
	// Key identifies what of the user's configuration changes what is
	// installed, without the secrets in it.
	Key(p *project.Project) (string, error)
	// Tool installs the distributions of a requirements file with hashes
	// below plan.ToolDir.
	Tool(ctx context.Context, name, lock string, b *base.Base, rt *python.Runtime) (*tree.Tree, error)
	// Network gives a step that downloads what the user has configured for it.
	Network(s plan.Step) (plan.Step, error)
}

// Engine runs steps and boots images.
type Engine interface {
	engine.Engine
	engine.Booter
	Mode() string
}

// Pipeline has what the phases are done with.
type Pipeline struct {
	Bases  Bases
	Engine Engine
	Cache  *cas.Store
	Store  *oci.Store
	// Install makes an installer of a tree with pip, and of what gives a C
	// compiler for sources that need one. Its key needs neither.
	Install  func(pip *tree.Tree, compiler func(context.Context) (*tree.Tree, error)) Installer
	Clock    func() time.Time
	Progress func(format string, args ...any)
	Log      *slog.Logger
	// Overlook, if not nil, makes the analysis miss files, by their paths in the
	// unreduced app: tests see so whether an image is healed or refused.
	Overlook func(path string) bool
	Version  string // of exuvia itself: enters the key of a finished build
}

// Request is what one build is asked for.
type Request struct {
	Path      string           // project directory or script
	Settings  project.Settings // of the command line; they win over the project's
	Reference string           // name:tag; "" is made of the project's name
	Platform  v1.Platform
	Epoch     time.Time // of every file in the image
	NoVerify  bool
	Budget    report.Budget // an image over it gets no name
	Anew      bool          // do not take what an earlier build of the same gave
	Publish   []publish.Publisher
	Symbols   string // directory for the symbols that strip drops, by build id; "" drops them
}
