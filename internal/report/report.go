// Package report holds what was built and how it was checked, as data with a
// stable JSON form. Forms for people are in files of their own.
package report

// Build is the result of `exuvia build`, and what --json prints.
type Build struct {
	Variant   string   `json:"variant"`
	Reference string   `json:"reference"` // name:tag in the local store
	Digest    string   `json:"digest"`    // of the image's manifest, "sha256:…"
	Size      int64    `json:"size"`      // unpacked bytes: regular files once per hard link, links by target length
	Download  int64    `json:"download"`  // bytes of the compressed layers
	Files     int      `json:"files"`     // entries that are not directories
	Layers    []Layer  `json:"layers"`
	Base      string   `json:"base"`
	System    string   `json:"system"`
	Python    string   `json:"python"`   // "3.11.2"
	Platform  string   `json:"platform"` // "linux/amd64"
	Engine    string   `json:"engine"`   // which way steps ran
	Verified  bool     `json:"verified"`
	Cached    bool     `json:"cached"` // nothing had changed since an earlier build
	Checks    []Check  `json:"checks"`
	Healed    []Healed `json:"healed,omitempty"` // what the image turned out to lack
	Timings   []Timing `json:"timings"`
	// BuildSeconds is how long making the image took beside what all images of
	// the project share; of the earlier build where Cached.
	BuildSeconds float64  `json:"buildSeconds"`
	Parts        []Part   `json:"parts,omitempty"` // Size by what it is of
	Notes        []Note   `json:"notes,omitempty"`
	Inputs       []Input  `json:"inputs,omitempty"`
	Published    []string `json:"published,omitempty"` // references, files
}

// Layer is one layer of the image.
type Layer struct {
	Name     string `json:"name"`     // "system", "dependencies", "app"
	Digest   string `json:"digest"`   // of the compressed layer
	Size     int64  `json:"size"`     // unpacked bytes, as in Build
	Download int64  `json:"download"` // compressed bytes
	Files    int    `json:"files"`
}

// Check is one thing that verification looked at.
type Check struct {
	Name   string `json:"name"` // "GET /openapi.json", "main --help", "readable by 65532"
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what was asked and both answers, where they differ; else what was seen, short
	// Lacks is what the image lacks by its own words, as [tool.exuvia] keep
	// names it; of checks that failed.
	Lacks string `json:"lacks,omitempty"`
}

// Healed is a file that the analysis had not found, or of which too much was
// dropped, so that the image behaved otherwise than the unreduced app.
type Healed struct {
	Path    string `json:"path"`    // in the unreduced app
	Setting string `json:"setting"` // of [tool.exuvia], that keeps it from the start: "keep", "keep-source", "keep-docstrings"
	Value   string `json:"value"`   // that it has to list: a module, a distribution, "/path"
	Why     string `json:"why"`     // "GET /: import app.plugin"
}

// The settings by which what was healed is kept.
const (
	SettingKeep       = "keep"
	SettingSource     = "keep-source"
	SettingDocstrings = "keep-docstrings"
)

// Timing is how long a phase took.
type Timing struct {
	Phase   string  `json:"phase"`
	Seconds float64 `json:"seconds"`
}

// Note is something the user should know that is no error: a file that was
// left as it was, a metadata file that could not be read.
type Note struct {
	Where string `json:"where"` // phase or pass
	Path  string `json:"path,omitempty"`
	Text  string `json:"text"`
}

// Input is something outside the project that the image was made from.
type Input struct {
	Name   string `json:"name"`   // "debian bookworm InRelease", "uv"
	Digest string `json:"digest"` // SHA-256, hex
}
