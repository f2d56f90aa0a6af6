// Package plan says how an image is made, as pure data: it can be printed,
// compared and kept in a golden file before anything has run. Engines carry
// steps out, passes reduce trees; neither is known here.
package plan

import "time"

// Plan is all that is decided about an image before its variant's steps run.
type Plan struct {
	Variant string   `json:"variant"`
	Steps   []Step   `json:"steps,omitempty"`
	Roots   []Root   `json:"roots"`
	Finders []string `json:"finders"` // names of the reach.Finders that apply
	Passes  []Pass   `json:"passes"`  // in order
	Config  Config   `json:"config"`
}

// Needs is what the analysis found that the project needs.
type Needs struct {
	Modules   []string `json:"modules"`   // full names
	Packages  []string `json:"packages"`  // top-level packages that hold data
	Data      []string `json:"data"`      // paths of data files
	Metadata  []string `json:"metadata"`  // distributions whose metadata is kept
	Libraries []string `json:"libraries"` // paths of shared libraries
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
