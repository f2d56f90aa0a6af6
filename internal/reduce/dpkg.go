package reduce

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"path"
	"strings"

	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// dpkgStatus is where dpkg, and every scanner, looks for installed packages.
const dpkgStatus = "var/lib/dpkg/status"

// maxStatus bounds the status file: Debian's largest installations have about
// 5,000 packages of 2 KB.
const maxStatus = 64 << 20

// DPKG rewrites dpkg's records for what is left.
var DPKG = Pass{
	Name:  "dpkg",
	Short: "file lists of packages go, which are true no longer",
	Doc: `Leaves in dpkg's status the packages of which a file is left, so that scanners
report on what is there and on nothing else, and drops the file lists, which
would no longer be true.`,
	Run: runDPKG,
}

func runDPKG(_ context.Context, in Input) (Output, error) {
	status, ok := in.Tree.Lookup(dpkgStatus)
	if !ok {
		return Output{Tree: in.Tree, Notes: []report.Note{{Where: "dpkg", Text: "the system has no dpkg status"}}}, nil
	}
	data, err := status.ReadAll(maxStatus)
	if err != nil {
		return Output{}, err
	}
	left := make(map[string]bool)
	for e := range in.Tree.All() {
		// A package's licence is kept with its files and is no reason by itself.
		if e.From.Kind == tree.Deb && !e.IsDir() && !strings.HasPrefix(e.Path, "usr/share/doc/") {
			left[e.From.Name] = true
		}
	}
	out := Output{}
	kept := in.Tree.Filter(func(e tree.Entry) bool {
		if path.Dir(e.Path) != "var/lib/dpkg/info" {
			return true
		}
		out.Moves = append(out.Moves, Move{From: e.Path, Why: "dpkg's file lists would not be true of this image"})
		return false
	})
	e := tree.File(dpkgStatus, status.Mode.Perm(), installed(data, left), status.From)
	if out.Tree, err = kept.With(e); err != nil {
		return Output{}, fmt.Errorf("writing dpkg status: %w", err)
	}
	return out, nil
}

// installed keeps the paragraphs of the packages that are left.
func installed(status []byte, left map[string]bool) []byte {
	var out bytes.Buffer
	for name, para := range paragraphs(status) {
		if left[name] {
			out.Write(para)
			out.WriteString("\n\n")
		}
	}
	return out.Bytes()
}

// paragraphs gives the packages of a status file with their paragraphs,
// without the empty line after them.
func paragraphs(status []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for para := range bytes.SplitSeq(status, []byte("\n\n")) {
			para = bytes.Trim(para, "\n")
			first, _, _ := bytes.Cut(para, []byte("\n"))
			if name, ok := bytes.CutPrefix(first, []byte("Package: ")); ok && !yield(string(name), para) {
				return
			}
		}
	}
}

// Records unites dpkg's records of a base with those of what comes on top of
// it: of a package that both have, the base's stay. It gives nothing where one
// of them has none.
func Records(base, top *tree.Tree) ([]tree.Entry, error) {
	under, ok := base.Lookup(dpkgStatus)
	over, has := top.Lookup(dpkgStatus)
	if !ok || !has || under.Sum == over.Sum {
		return nil, nil
	}
	first, err := under.ReadAll(maxStatus)
	if err != nil {
		return nil, err
	}
	second, err := over.ReadAll(maxStatus)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	for name := range paragraphs(first) {
		known[name] = true
	}
	out := bytes.NewBuffer(bytes.TrimRight(first, "\n"))
	out.WriteString("\n\n")
	for name, para := range paragraphs(second) {
		if !known[name] {
			out.Write(para)
			out.WriteString("\n\n")
		}
	}
	return []tree.Entry{tree.File(dpkgStatus, under.Mode.Perm(), out.Bytes(), under.From)}, nil
}
