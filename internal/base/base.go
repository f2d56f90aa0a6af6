// Package base holds what an image is built on and what it sits on: file
// trees with facts about them. Each kind of base has a file or a package of
// its own: debian (assembled from the signed archive), dir (a directory or a
// tarball that holds a CPython), scratch.
package base

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/tree"
)

// Base is a system as a file tree.
type Base struct {
	Ref    string     // "debian:bookworm", "scratch", a path; for people and reports
	Image  v1.Image   // nil unless it came as an image
	Tree   *tree.Tree // never nil
	Python string     // path of the interpreter in Tree, without leading slash; "" when it has none
	Libc   string     // "glibc 2.36", "musl 1.2.5"; "" when it has none
	// Inputs are the names and digests of what it was made from, such as a
	// Debian InRelease file. They identify it in reports and cache keys.
	Inputs map[string]string
}

// More is what a system gets beside what its name says.
type More struct {
	Packages  []string // names of packages of its distribution
	Libraries []string // names of libraries: "libpq.so.5", or "libmagic.so" where any version does
}

// Scratch is the empty base.
func Scratch() *Base { return &Base{Ref: "scratch", Tree: &tree.Tree{}} }
