package debian

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"pault.ag/go/debian/dependency"
	"pault.ag/go/debian/version"

	"exuvia/internal/fault"
	"exuvia/internal/tree"
)

// assemble makes one tree of unpacked packages, as dpkg would have laid them
// out, with what their maintainer scripts would have made.
func assemble(packages []*unpacked, f Flavour, arch string) (*tree.Tree, error) {
	entries, err := overwritten(packages)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, f.drops)
	t, err := tree.New(entries...)
	if _, conflict := errors.AsType[*tree.ConflictError](err); conflict {
		t, err = layered(packages, f)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Base, "these packages cannot be in one system; name others", "putting packages together")
	}
	if t, err = layout(t, arch); err != nil {
		return nil, err
	}
	return finish(t, packages, f, arch)
}

// layered is the slow way, for packages that reach a directory through a link
// of another.
func layered(packages []*unpacked, f Flavour) (*tree.Tree, error) {
	trees := make([]*tree.Tree, len(packages))
	for i, p := range packages {
		trees[i] = p.Tree.Filter(func(e tree.Entry) bool { return !f.drops(e) })
	}
	return tree.Merge(trees...)
}

// overwritten gives all entries, less the files of packages that others
// replace (Debian policy 7.6.1).
func overwritten(packages []*unpacked) ([]tree.Entry, error) {
	type place struct {
		index int
		owner *unpacked
	}
	var out []tree.Entry
	seen := make(map[string]place)
	for _, p := range packages {
		for e := range p.Tree.All() {
			old, ok := seen[e.Path]
			if !ok || e.IsDir() || out[old.index].IsDir() {
				seen[e.Path] = place{len(out), p}
				out = append(out, e)
				continue
			}
			newWins, err := p.replaces(old.owner)
			if err != nil {
				return nil, err
			}
			oldWins, err := old.owner.replaces(p)
			if err != nil {
				return nil, err
			}
			switch {
			case newWins:
				out[old.index] = e
				seen[e.Path] = place{old.index, p}
			case !oldWins:
				out = append(out, e) // tree.New tells whether it is a conflict
			}
		}
	}
	return out, nil
}

// replaces reports whether p may overwrite files of q.
func (p *unpacked) replaces(q *unpacked) (bool, error) {
	if p.Replaces == "" {
		return false, nil
	}
	d, err := dependency.Parse(strings.ReplaceAll(p.Replaces, "\n", " "))
	if err != nil {
		return false, fmt.Errorf("field Replaces of %s: %w", p.Name, err)
	}
	v, err := version.Parse(q.Version)
	if err != nil {
		return false, fmt.Errorf("version of %s: %w", q.Name, err)
	}
	for _, rel := range d.Relations {
		for _, poss := range rel.Possibilities {
			if poss.Name == q.Name && satisfies(v, poss.Version) {
				return true, nil
			}
		}
	}
	return false, nil
}

// drops reports whether the flavour goes without a file.
func (f Flavour) drops(e tree.Entry) bool {
	if e.IsDir() {
		return false
	}
	if !f.Programs && (strings.HasPrefix(e.Path, "usr/bin/") || strings.HasPrefix(e.Path, "usr/sbin/")) {
		return true
	}
	return !f.Docs && isDoc(e.Path)
}

// isDoc reports whether the slim images of Debian go without a file. Licences
// are no such file, and neither is the table of locale names.
func isDoc(name string) bool {
	rest, ok := strings.CutPrefix(name, "usr/share/")
	if !ok {
		return false
	}
	switch top, rest, _ := strings.Cut(rest, "/"); top {
	case "doc":
		return path.Base(rest) != "copyright"
	case "info", "linda", "man", "doc-base":
		return true
	case "locale":
		return rest != "locale.alias"
	case "lintian":
		return strings.HasPrefix(rest, "overrides/")
	}
	return false
}

// layout adds the links of a merged /usr.
func layout(t *tree.Tree, arch string) (*tree.Tree, error) {
	from := made("usrmerge")
	links := []string{"bin", "lib", "sbin"}
	if arch == "amd64" {
		links = append(links, "lib64")
	}
	var add []tree.Entry
	for _, l := range links {
		if _, ok := t.Lookup(l); !ok {
			add = append(add, tree.Symlink(l, "usr/"+l, from))
		}
		if _, ok := t.Lookup("usr/" + l); !ok {
			add = append(add, tree.Dir("usr/"+l, 0o755, from))
		}
	}
	if len(add) == 0 {
		return t, nil
	}
	return t.With(add...)
}

// made is the origin of what exuvia makes in place of the script, or the
// program, that is named.
func made(by string) tree.Origin { return tree.Origin{Kind: tree.Made, Name: by} }
