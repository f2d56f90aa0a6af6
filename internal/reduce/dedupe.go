package reduce

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"exuvia/internal/tree"
)

// Dedupe makes one file of several equal ones.
var Dedupe = Pass{
	Name:  "dedupe",
	Short: "equal files become links of one",
	Doc: `Files of one layer that are equal in contents, mode and owner become hard links
of one file: the time zones alone have hundreds. What is configured or written
at run time (/etc, /var, /home, /root, /srv) stays apart.`,
	Run: runDedupe,
}

// apart are the directories whose files a process may change in place: where
// the file system keeps hard links, that would change all names.
var apart = []string{"etc/", "var/", "home/", "root/", "srv/", "tmp/", "run/"}

// twin is what equal files have in common.
type twin struct {
	layer, sum, meta string
}

func runDedupe(_ context.Context, in Input) (Output, error) {
	first := make(map[twin]string)
	leader := make(map[string]string) // path → the name that is the file
	for e := range in.Tree.All() {
		if !e.IsRegular() || e.Size == 0 || e.Sum == "" ||
			slices.ContainsFunc(apart, func(dir string) bool { return strings.HasPrefix(e.Path, dir) }) {
			continue
		}
		k := twinOf(e)
		if _, ok := first[k]; !ok {
			first[k] = e.Path
		}
		leader[e.Path] = first[k]
	}
	return Output{Tree: in.Tree.Map(func(e tree.Entry) tree.Entry {
		l, ok := leader[e.Path]
		switch {
		case ok && l == e.Path:
			e.Link = ""
		case ok:
			e.Link = l
		case e.IsRegular() && e.Link != "":
			if l, ok := leader[e.Link]; ok {
				e.Link = l
			}
		}
		return e
	})}, nil
}

func twinOf(e tree.Entry) twin {
	var meta strings.Builder
	fmt.Fprintf(&meta, "%o %d:%d", e.Mode, e.UID, e.GID)
	for _, k := range slices.Sorted(maps.Keys(e.Xattrs)) {
		fmt.Fprintf(&meta, " %q=%q", k, e.Xattrs[k])
	}
	return twin{archiveOf(e.From), e.Sum, meta.String()}
}
