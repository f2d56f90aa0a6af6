// Package project finds out what a directory or a script is: its name, its
// entry points, its dependencies, its lock file, the Python it wants, and its
// [tool.exuvia] settings. It reads files and runs nothing.
package project

import (
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Form is how a project states its dependencies.
type Form string

// The forms, best first; a project is of the first that it has.
const (
	UVLock       Form = "uv.lock"
	PyLock       Form = "pylock.toml"
	PoetryLock   Form = "poetry.lock"
	Requirements Form = "requirements.txt"
	PyProject    Form = "pyproject.toml" // PEP 621 without a lock
	Script       Form = "script"         // PEP 723 metadata in one file
	Bare         Form = "bare"           // no stated dependencies
)

// Project is what was found.
type Project struct {
	Dir            string // absolute; of a single script, the directory it is in
	Name           string // normalised as PEP 503 has it; the image's name unless Settings.Name says otherwise
	Version        string // "" where it states none
	Form           Form
	DependencyFile string // file that states the dependencies, relative to Dir; "" for Bare; of a locked script its NAME.py.lock
	ScriptFile     string // the script, relative to Dir, when Form is Script or Bare and a file was named
	RequiresPython string // PEP 440 specifiers, "" for any
	PythonPin      string // of .python-version or [tool.exuvia] python: "3.11"; "" for none
	BuildSystem    bool   // is installed as a wheel; else its files are copied to /app
	Dynamic        bool   // its dependencies are known only when its wheel is built
	Groups         []string
	Extras         []string
	TestGroups     []string // installed beside for Settings.Tests alone
	TestExtras     []string
	Entries        []Entry
	Scripts        map[string]string // [project.scripts]: name → "module:func"
	Files          *tree.Tree        // what goes to /app, or what the wheel is built from; paths relative to Dir; contents in the cas
	Tests          *tree.Tree        // tests that were left out of Files; paths relative to Dir
	Observations   *tree.Tree        // the files of Settings.Observations, which are no part of Files; paths relative to Dir
	Sources        *tree.Tree        // the files that state the dependencies, whether or not Files has them; paths relative to Dir
	Settings       Settings
	Notes          []report.Note // what was left out and may be missed
}

// SourceDir is where runs of the project's own commands, such as its tests, have
// its directory.
const SourceDir = "/src"

// EntryKind is the way an entry point starts.
type EntryKind string

// The kinds of entry points.
const (
	EntryModule   EntryKind = "module"   // run as __main__: "main.py", "python -m pkg"
	EntryFunction EntryKind = "function" // "module:func"
	EntryScript   EntryKind = "script"   // a console script of the project or a dependency, by name
)

// Entry is one way into the project. The first is the image's entry point.
type Entry struct {
	Name   string    // name of the executable: "main" is /app/main, for a script the name in bin
	Kind   EntryKind // how
	Module string    // "main", "app.main"; "" for a script
	Path   string    // file of the project that Module is, relative to Dir; "" where it is none of the project's
	Dir    string    // directory of the project that is first on sys.path, relative to Dir; "" is the project's own
	Func   string    // of EntryFunction
	Args   []string  // fixed arguments: ["app.main:app"] of "uvicorn app.main:app"
	Spec   string    // as the user or the project wrote it
}

// Settings are [tool.exuvia] of pyproject.toml; the command line has a flag
// for each and wins over it. The zero value is the default of everything.
type Settings struct {
	Variant        string            `toml:"variant" json:"variant,omitempty"` // way to make the image
	Entry          []string          `toml:"entry" json:"entry,omitempty"`
	Python         string            `toml:"python" json:"python,omitempty"`
	System         string            `toml:"system" json:"system,omitempty"`                // "debian:bookworm", a directory, a tarball
	Packages       []string          `toml:"packages" json:"packages,omitempty"`            // of the system's distribution, beside what the system has
	BuildPackages  []string          `toml:"build-packages" json:"buildPackages,omitempty"` // of the same, only where distributions are built from sources
	Base           string            `toml:"base" json:"base,omitempty"`
	Platform       string            `toml:"platform" json:"platform,omitempty"`
	Name           string            `toml:"name" json:"name,omitempty"` // image name
	Tag            string            `toml:"tag" json:"tag,omitempty"`
	Groups         []string          `toml:"groups" json:"groups,omitempty"`
	Extras         []string          `toml:"extras" json:"extras,omitempty"`
	Include        []string          `toml:"include" json:"include,omitempty"`                // secrets and ignored files that are wanted after all
	Exclude        []string          `toml:"exclude" json:"exclude,omitempty"`                // patterns as in .dockerignore
	Keep           []string          `toml:"keep" json:"keep,omitempty"`                      // modules, distributions ("dist:NAME") and paths ("/…") kept in any case
	KeepSource     []string          `toml:"keep-source" json:"keepSource,omitempty"`         // distributions and paths whose Python sources stay
	KeepDocstrings []string          `toml:"keep-docstrings" json:"keepDocstrings,omitempty"` // distributions that keep their docstrings where Optimize is 2
	Observe        []string          `toml:"observe" json:"observe,omitempty"`                // command lines that a build runs in the unreduced app, to see what it uses
	Observations   []string          `toml:"observations" json:"observations,omitempty"`      // files of the project that exuvia observe wrote
	Tests          []string          `toml:"tests" json:"tests,omitempty"`                    // command lines of the project's tests, which have to pass in the image
	TestGroups     []string          `toml:"test-groups" json:"testGroups,omitempty"`         // dependency groups for Tests alone; "dev" where there is one and neither is set
	TestExtras     []string          `toml:"test-extras" json:"testExtras,omitempty"`         // extras for Tests alone
	Hooks          *bool             `toml:"hooks" json:"hooks,omitempty"`                    // nil is true: what hooks of PyInstaller name is kept
	Heal           *bool             `toml:"heal" json:"heal,omitempty"`                      // nil is true: what an image turns out to lack is added
	Env            map[string]string `toml:"env" json:"env,omitempty"`
	Labels         map[string]string `toml:"labels" json:"labels,omitempty"`
	User           string            `toml:"user" json:"user,omitempty"`
	Ports          []int             `toml:"ports" json:"ports,omitempty"`
	Writable       []string          `toml:"writable" json:"writable,omitempty"`
	Passes         []string          `toml:"passes" json:"passes,omitempty"`     // replaces the list of passes
	Disable        []string          `toml:"disable" json:"disable,omitempty"`   // passes not to run
	Optimize       int               `toml:"optimize" json:"optimize,omitempty"` // 0, 1, 2: python -O, -OO
	Bytecode       string            `toml:"bytecode" json:"bytecode,omitempty"` // "legacy", "pycache", "none"; "" is the variant's own
	Strip          *bool             `toml:"strip" json:"strip,omitempty"`       // nil is the variant's own
	UPX            string            `toml:"upx" json:"upx,omitempty"`           // "executables", "all"; "" and "no" are none
	RPath          *bool             `toml:"rpath" json:"rpath,omitempty"`       // nil is true; false sets LD_LIBRARY_PATH in its place
	Nuitka         string            `toml:"nuitka" json:"nuitka,omitempty"`     // "app" (default), "all"
	Cython         string            `toml:"cython" json:"cython,omitempty"`     // "app" (default), "all"
	Probe          Probe             `toml:"probe" json:"probe,omitzero"`
}

// Probe is [tool.exuvia.probe]: how the image and the unreduced app are
// started and what they are asked.
type Probe struct {
	Start    string            `toml:"start" json:"start,omitempty"` // "run" (default) or "import"
	Args     []string          `toml:"args" json:"args,omitempty"`   // arguments of the first entry point
	Env      map[string]string `toml:"env" json:"env,omitempty"`
	Files    map[string]string `toml:"files" json:"files,omitempty"` // path in the container → file of the project
	Port     int               `toml:"port" json:"port,omitempty"`   // 0: found from what listens
	Commands [][]string        `toml:"commands" json:"commands,omitempty"`
	HTTP     []Request         `toml:"http" json:"http,omitempty"`
	Variable []string          `toml:"variable" json:"variable,omitempty"` // known-variable fields: "header:date", "json:/id"
	Timeout  int               `toml:"timeout" json:"timeout,omitempty"`   // seconds to the first answer, default 30
}

// Request is one HTTP request of a probe.
type Request struct {
	Method  string            `toml:"method" json:"method,omitempty"` // default GET
	Path    string            `toml:"path" json:"path"`
	Headers map[string]string `toml:"headers" json:"headers,omitempty"`
	Body    string            `toml:"body" json:"body,omitempty"`
}
