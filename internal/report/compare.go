package report

// Comparison is one project as several images.
type Comparison struct {
	Project  string `json:"project"`
	Python   string `json:"python"`   // "3.11.2"
	Platform string `json:"platform"` // "linux/amd64"
	System   string `json:"system"`   // what the app was installed on
	Engine   string `json:"engine"`
	Cores    int    `json:"cores"`
	Starts   int    `json:"starts"` // how often each was started for its medians
	Rows     []Row  `json:"rows"`   // sorted by size; those without an image last
}

// State is how far an image came.
type State string

// The states of a row.
const (
	StateOK          State = "ok"          // answers as the unreduced app does
	StateDiffers     State = "differs"     // was built, and answers otherwise
	StateFailed      State = "failed"      // could not be built
	StateUnavailable State = "unavailable" // cannot be built for this project or on this machine, which was tried
)

// Row is one image of a comparison.
type Row struct {
	Variant   string            `json:"variant"`
	Options   map[string]string `json:"options"` // settings that were asked for, by name: "optimize": "2"
	Base      string            `json:"base"`
	Reference string            `json:"reference,omitempty"` // name:tag in the local store, where it is OK
	Digest    string            `json:"digest,omitempty"`
	State     State             `json:"state"`
	OK        bool              `json:"ok"`
	Differs   []Check           `json:"differs"`          // the checks that failed
	Reason    string            `json:"reason,omitempty"` // why it is not OK, a line
	Size      int64             `json:"size"`             // unpacked bytes, as in Build; 0 where there is no image
	Download  int64             `json:"download"`         // compressed bytes
	Files     int               `json:"files"`            // entries that are not directories
	Layers    int               `json:"layers"`           //
	StartMS   float64           `json:"start_ms"`         // median, from the start to the first answer; 0 where it was not measured
	PSS       int64             `json:"pss"`              // median, bytes
	BuildS    float64           `json:"build_s"`          // seconds of its own, what images share not counted
	Cached    bool              `json:"cached,omitempty"` // the steps of the build had been done before, so BuildS says little
	Checks    int               `json:"checks"`           // that were made
	Parts     []Part            `json:"parts,omitempty"`  // Size by what it is of
	Notes     []Note            `json:"notes,omitempty"`
}

// PartName names what a part of an image is of.
type PartName string

// The parts of an image, in the order in which they are shown.
const (
	PartInterpreter  PartName = "interpreter"
	PartStdlib       PartName = "standard library"
	PartDependencies PartName = "dependencies"
	PartApp          PartName = "app"
	PartSystem       PartName = "system" // libraries and files of the base and of the system
	PartBundle       PartName = "bundle" // what a freezer has made, where no file says what it is of
)

// Part is how much of an image is of one kind.
type Part struct {
	Name PartName `json:"name"`
	Size int64    `json:"size"` // unpacked bytes
}
