package report

// Image is all that is known of one image, for people.
type Image struct {
	Build Build `json:"build"`
	Contents
}

// Contents is what the bytes of an image are of, and what became of those of
// the unreduced app. It is kept beside the image.
type Contents struct {
	Owners  []Owner `json:"owners"`  // the largest first; their files are all that the image has
	Stages  []Stage `json:"stages"`  // in the order of the build, from the unreduced app to the image
	Dropped []Drop  `json:"dropped"` // in the order of the stages, most bytes first
}

// OwnerKind is the sort of thing that files belong to.
type OwnerKind string

// The kinds of owners.
const (
	OwnerPython  OwnerKind = "python"       // the interpreter and the standard library
	OwnerDist    OwnerKind = "distribution" // of Python
	OwnerDebian  OwnerKind = "debian"       // a package of the system
	OwnerProject OwnerKind = "project"
	OwnerBase    OwnerKind = "base"   // an image, a directory or an archive
	OwnerMade    OwnerKind = "exuvia" // made for the image
	OwnerBundle  OwnerKind = "bundle" // made by a freezer or a compiler
)

// Owner is a distribution, a package or whatever else files come from.
type Owner struct {
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	Kind    OwnerKind `json:"kind"`
	Part    PartName  `json:"part"`
	Size    int64     `json:"size"`   // unpacked bytes in the image
	Before  int64     `json:"before"` // bytes in the unreduced app; 0 for what is not of it
	Files   []File    `json:"files"`  // the largest first
}

// File is a file of an image, or a module in an archive of it.
type File struct {
	Path    string `json:"path"`              // in the image; of a module in an archive, that of its source
	Module  string `json:"module,omitempty"`  // its full name, where it is one
	In      string `json:"in,omitempty"`      // the archive that it lies in
	Size    int64  `json:"size"`              // bytes that it takes, of a link those of its target; 0 for a further name of a file
	Before  int64  `json:"before,omitempty"`  // bytes that what it was made of had in the unreduced app
	Sum     string `json:"sum,omitempty"`     // SHA-256 of its contents, hex, those of the bytecode where it lies in an archive; of a link "→ " and its target; "" for the index of an archive
	Covered bool   `json:"covered,omitempty"` // it is in a layer of the base, below another of the same name
}

// Stage is the app on its way to the image.
type Stage struct {
	Name  string `json:"name"` // "unreduced", "analysis", that of a pass
	About string `json:"about"`
	Size  int64  `json:"size"`  // unpacked bytes after it
	Files int    `json:"files"` // entries after it that are not directories
}

// Drop is files that went in one stage for one reason.
type Drop struct {
	Stage   string   `json:"stage"`
	Reason  string   `json:"reason"` // "nothing imports it", "only compilers read headers"
	Part    PartName `json:"part"`   // what they were of
	Files   int      `json:"files"`
	Size    int64    `json:"size"`    // bytes that they had then
	Owners  []Share  `json:"owners"`  // most bytes first
	Largest []Gone   `json:"largest"` // some of the files, the largest first
}

// Gone is a file that went.
type Gone struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Why  string `json:"why,omitempty"` // what there is to say of it alone
}

// Share is how much of something is of one owner.
type Share struct {
	Name  string `json:"name"`
	Files int    `json:"files"`
	Size  int64  `json:"size"`
}

// Parts sums the owners' sizes by what they are of, in the order in which
// parts are shown.
func (c Contents) Parts() []Part {
	sizes := make(map[PartName]int64)
	for _, o := range c.Owners {
		sizes[o.Part] += o.Size
	}
	var out []Part
	for _, n := range partOrder {
		if sizes[n] > 0 {
			out = append(out, Part{n, sizes[n]})
		}
	}
	return out
}
