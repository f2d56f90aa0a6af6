// Package plan says how an image is made, as pure data: it can be printed,
// compared and kept in a golden file before anything has run. Engines carry
// steps out, passes reduce trees; neither is known here.
package plan

import "time"

// Plan is all that is decided about an image before its variant's steps run.
type Plan struct {
	Variant string       `json:"variant"`
	Systems []ToolSystem `json:"systems,omitempty"` // roots of the steps
	Files   []File       `json:"files,omitempty"`   // are trees, which steps mount
	Steps   []Step       `json:"steps,omitempty"`   // in order
	// Bundle names the steps whose results are in the image, at the paths at
	// which they were made. All files of them are roots too.
	Bundle []string `json:"bundle,omitempty"`
	// Replaced are files of the unreduced app that the bundle stands for: they
	// are not in the tree that is walked.
	Replaced []string `json:"replaced,omitempty"`
	// Without are files that stay out whatever needs them, and why.
	Without []Root   `json:"without,omitempty"`
	Roots   []Root   `json:"roots"`
	Finders []string `json:"finders"` // names of the reach.Finders that apply
	Passes  []Pass   `json:"passes"`  // in order
	// Entrypoints are the argv, in the image, of each of the project's entry
	// points, in their order; nil for one that the image does not have. The
	// first is Config.Entrypoint.
	Entrypoints [][]string `json:"entrypoints"`
	// Unpacks are the absolute directories in which the image unpacks itself
	// when it starts, and which it leaves behind.
	Unpacks []string `json:"unpacks,omitempty"`
	Config  Config   `json:"config"`
}

// Names of trees that any plan may use beside its tool systems and the
// results of its earlier steps, which are trees by the name of the step.
const (
	TreeFiles = "files" // Plan.Files that name no tree
	TreeApp   = "app"   // what installing the project added to the system
)

// ToolDir is where a tool system has the distributions of its Lock, as a
// directory for sys.path. It is on no search path by itself, so that a tool's
// dependencies never stand in for those of the app.
const ToolDir = "/opt/exuvia/tool"

// ToolSystem is a root for steps: the project's system, with the app unless
// it is Bare, and tools.
type ToolSystem struct {
	Name     string   `json:"name"`
	Bare     bool     `json:"bare,omitempty"`     // Packages only: no project's system, no app; a step in it can serve many projects
	Suite    string   `json:"suite,omitempty"`    // Debian suite of a Bare one; "" is that of the project's system
	Packages []string `json:"packages,omitempty"` // of Debian; with a "?" at the end, only where the suite has it
	Lock     string   `json:"lock,omitempty"`     // requirements file with hashes of all distributions, installed in ToolDir
}

// File is a text file that a plan brings along.
type File struct {
	Tree string `json:"tree,omitempty"` // that it is in, "" for TreeFiles; a step of all projects mounts none that differs between them
	Path string `json:"path"`           // relative to where the tree is mounted
	Text string `json:"text"`
}

// Needs is what the analysis found that the project needs.
type Needs struct {
	Modules   []string `json:"modules"`   // full names
	Packages  []string `json:"packages"`  // top-level packages that hold data
	Data      []string `json:"data"`      // paths of data files
	Metadata  []string `json:"metadata"`  // distributions whose metadata is kept
	Libraries []string `json:"libraries"` // paths of shared libraries
	Programs  []string `json:"programs"`  // paths of programs that the project's own code starts
}

// Step is one command in a root tree. It may add files and change none; what
// it added below Outs is its result. Trees are called by name here and handed
// over as [engine.Trees] when the step runs; a step's cache key is the step
// as JSON and the digests of the trees it names.
type Step struct {
	Name    string        `json:"name"`              // for people: "compiling bytecode"
	System  string        `json:"system"`            // name of the tree that is the root
	Args    []string      `json:"args"`              // argv, looked up in PATH of the root
	Env     []string      `json:"env,omitempty"`     // beside what every step has, see engine
	Dir     string        `json:"dir,omitempty"`     // working directory, absolute; "" is /
	Inputs  []Mount       `json:"inputs,omitempty"`  // read-only trees
	Outs    []string      `json:"outs,omitempty"`    // absolute directories; made where missing
	Network bool          `json:"network,omitempty"` // the host's network instead of none
	Limit   time.Duration `json:"limit,omitempty"`   // 0 is engine.DefaultLimit

	// Secrets and SecretEnv reach the step and nothing else: not its cache
	// key, not the logs. Only a step that downloads has any.
	Secrets   []Secret `json:"-"`
	SecretEnv []string `json:"-"`
}

// Mount puts a named tree at a path of the root, read-only.
type Mount struct {
	Tree string `json:"tree"`
	At   string `json:"at"` // absolute
}

// Secret puts a file of the host at a path of the root, read-only.
type Secret struct {
	File string // absolute path on the host
	At   string // absolute
}

// Root is where the analysis begins, and why.
type Root struct {
	Path string `json:"path"` // in the tree
	Why  string `json:"why"`  // "entry point main", "runtime contract: codecs"
}

// Pass is a reduction by its name in package reduce, with its options.
type Pass struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options,omitempty"`
}

// Config is how the image runs, in the terms of the OCI image specification.
type Config struct {
	Entrypoint []string          `json:"entrypoint"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        []string          `json:"env,omitempty"` // KEY=value
	User       string            `json:"user"`          // "65532:65532"
	WorkingDir string            `json:"workingDir"`
	Ports      []string          `json:"ports,omitempty"`    // "80/tcp"
	Writable   []string          `json:"writable,omitempty"` // absolute directories that stay writable under a read-only root; /tmp always
	StopSignal string            `json:"stopSignal,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}
