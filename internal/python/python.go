// Package python is what exuvia knows of a Python interpreter: where it keeps
// its files, which version it is, what is built into it. The facts come from
// the interpreter itself, asked once in the sandbox. It also has what scripts
// share that exuvia lets an interpreter run.
package python

// Runtime is an interpreter in a tree. All paths are relative to the tree's
// root, as in tree.Entry; directories are given as the interpreter spells
// them and may lead through symbolic links.
type Runtime struct {
	Exe      string   `json:"exe"`      // "usr/bin/python3.11", links followed
	Version  string   `json:"version"`  // "3.11"
	Full     string   `json:"full"`     // "3.11.2"
	CacheTag string   `json:"cacheTag"` // "cpython-311"
	Platform string   `json:"platform"` // sysconfig.get_platform(): "linux-x86_64"
	Magic    string   `json:"magic"`    // importlib.util.MAGIC_NUMBER, hex
	Stdlib   string   `json:"stdlib"`   // "usr/lib/python3.11"
	DynLoad  string   `json:"dynLoad"`  // "usr/lib/python3.11/lib-dynload"
	Site     string   `json:"site"`     // purelib of an install with --system: "usr/local/lib/python3.11/dist-packages"
	Scripts  string   `json:"scripts"`  // "usr/local/bin"
	Path     []string `json:"path"`     // sys.path with site and without the script's directory; those that exist, and Site
	Builtin  []string `json:"builtin"`  // sys.builtin_module_names
	Frozen   []string `json:"frozen"`   // modules that the interpreter carries inside, importable without a file
	Suffixes []string `json:"suffixes"` // importlib.machinery.EXTENSION_SUFFIXES
	Initial  []string `json:"initial"`  // sys.modules after the start of `python -c pass`, sorted
}
