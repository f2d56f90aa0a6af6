package pipeline

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/oci"
	"exuvia/internal/reduce"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// mostOfDrop is how many of the files that went for one reason are kept by
// name; `exuvia why --not` knows of each.
const mostOfDrop = 20

// ledger keeps account of what becomes of the unreduced app's files on their
// way to the image.
type ledger struct {
	owner   func(tree.Entry) report.Owner // without sizes and files
	stages  []report.Stage
	drops   []*dropped
	origins map[string]string            // path now, or that of a member as in inArchive → path in the unreduced app
	members map[string]map[string]member // archive → name in it
}

// member is a module in an archive.
type member struct {
	owner report.Owner
	sum   string
}

// dropped is files that went for one reason.
type dropped struct {
	report.Drop
	owners map[string]report.Share
}

// newLedger begins with the unreduced app.
func newLedger(full *tree.Tree, owner func(tree.Entry) report.Owner) *ledger {
	l := &ledger{owner: owner, origins: make(map[string]string), members: make(map[string]map[string]member)}
	l.mark("unreduced", "the system with the app and all that it depends on", full)
	return l
}

// mark writes down how much there is after a stage.
func (l *ledger) mark(name, about string, t *tree.Tree) {
	s := report.Stage{Name: name, About: about, Size: t.Size()}
	for e := range t.All() {
		if !e.IsDir() {
			s.Files++
		}
	}
	l.stages = append(l.stages, s)
}

// stage writes down what made one tree of another: why files are gone, by the
// moves or by why, and where others went.
func (l *ledger) stage(name, about string, before, after *tree.Tree, moves []reduce.Move, why func(tree.Entry) (reason, alone string)) {
	l.mark(name, about, after)
	moved := make(map[string]reduce.Move, len(moves))
	for _, m := range moves {
		moved[m.From] = m
	}
	drops := make(map[string]*dropped)
	for e := range before.All() {
		m, ok := moved[e.Path]
		switch now, stays := after.Lookup(e.Path); {
		case e.IsDir():
		case ok && m.To != "":
			l.follow(e, m)
		case stays && !now.IsDir():
		default:
			o := l.owner(e)
			reason, alone := m.Why, ""
			if reason == "" {
				reason, alone = why(e)
			}
			key := string(o.Part) + "\n" + reason
			if drops[key] == nil {
				drops[key] = &dropped{report.Drop{Stage: name, Reason: reason, Part: o.Part}, make(map[string]report.Share)}
			}
			drops[key].add(e, o, alone)
		}
	}
	list := slices.SortedFunc(maps.Values(drops), func(a, b *dropped) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Reason, b.Reason))
	})
	l.drops = append(l.drops, list...)
}

// follow remembers what a file was, under its new name.
func (l *ledger) follow(e tree.Entry, m reduce.Move) {
	to := m.To
	if m.Member != "" {
		if l.members[m.To] == nil {
			l.members[m.To] = make(map[string]member)
		}
		l.members[m.To][m.Member] = member{l.owner(e), e.Sum}
		to = inArchive(m.To, m.Member)
	}
	l.origins[to] = l.origin(e.Path)
}

func inArchive(archive, name string) string { return archive + "\n" + name }

func (l *ledger) origin(now string) string { return cmp.Or(l.origins[now], now) }

func (d *dropped) add(e tree.Entry, o report.Owner, alone string) {
	size := weight(e)
	d.Files++
	d.Size += size
	s := d.owners[o.Name]
	d.owners[o.Name] = report.Share{Name: o.Name, Files: s.Files + 1, Size: s.Size + size}
	d.Largest = append(d.Largest, report.Gone{Path: e.Path, Size: size, Why: alone})
}

// sum is what went, in the order of the stages.
func (l *ledger) sum() []report.Drop {
	out := make([]report.Drop, 0, len(l.drops))
	for _, d := range l.drops {
		d.Owners = slices.SortedFunc(maps.Values(d.owners), func(a, b report.Share) int {
			return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
		})
		slices.SortFunc(d.Largest, func(a, b report.Gone) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path)) })
		d.Largest = d.Largest[:min(len(d.Largest), mostOfDrop)]
		out = append(out, d.Drop)
	}
	return out
}

// because is the reason of all that goes in a stage.
func because(reason string) func(tree.Entry) (string, string) {
	return func(tree.Entry) (string, string) { return reason, "" }
}

// weight is what a file takes in an image.
func weight(e tree.Entry) int64 {
	switch {
	case e.IsSymlink():
		return int64(len(e.Link))
	case e.IsRegular() && e.Link == "":
		return e.Size
	}
	return 0
}

func sortFiles(files []report.File) {
	slices.SortFunc(files, func(a, b report.File) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path)) })
}

// notReached says why the analysis left something out.
func (b *build) notReached() func(tree.Entry) (string, string) {
	cuts := make(map[string]string)
	for _, c := range b.graph.Cuts() {
		cuts[c.To] = c.Cut
	}
	own := b.plan.Finders == nil || slices.Contains(b.plan.Finders, "pyimport") // else its Python comes by the base or a bundle
	return func(e tree.Entry) (string, string) {
		if !own {
			return "the variant does not put it into the image itself", ""
		}
		if why := cuts[e.Path]; why != "" {
			return "named by code that is kept, and left out by a rule", why
		}
		switch b.partOf(e) {
		case report.PartStdlib:
			return "no code that is kept imports it", ""
		case report.PartDependencies, report.PartApp:
			return "no code that is kept imports or opens it", ""
		}
		return "nothing that is kept needs it", ""
	}
}

// ownerOf says what an entry belongs to.
func (b *build) ownerOf(e tree.Entry) report.Owner {
	o := report.Owner{Name: e.From.Name, Version: e.From.Version, Part: b.partOf(e)}
	switch {
	case o.Part == report.PartApp:
		o.Name, o.Version, o.Kind = b.project.Name, b.project.Version, report.OwnerProject
	case o.Part == report.PartInterpreter:
		o.Name, o.Version, o.Kind = "Python interpreter", b.runtime.Full, report.OwnerPython
	case o.Part == report.PartStdlib:
		o.Name, o.Version, o.Kind = "Python standard library", b.runtime.Full, report.OwnerPython
	case o.Part == report.PartBundle:
		o.Kind = report.OwnerBundle
	case e.From.Kind == tree.Dist:
		o.Kind = report.OwnerDist
	case e.From.Kind == tree.Deb:
		o.Kind = report.OwnerDebian
	case e.From.Kind == tree.BaseFile:
		o.Kind = report.OwnerBase
	default:
		o.Name, o.Version, o.Kind = "made by exuvia", "", report.OwnerMade
	}
	return o
}

// ownerKey tells owners apart.
type ownerKey struct {
	part report.PartName
	name string
}

// books are the files of an image by owner.
type books map[ownerKey]*report.Owner

func (k books) of(o report.Owner) *report.Owner {
	key := ownerKey{o.Part, o.Name}
	if k[key] == nil {
		k[key] = &o
	}
	return k[key]
}

func (k books) add(o report.Owner, f report.File) {
	to := k.of(o)
	to.Size += f.Size
	to.Files = append(to.Files, f)
}

// sumUp says what is in the image and what is not.
func (b *build) sumUp() (report.Contents, error) {
	out := report.Contents{Stages: b.ledger.stages, Dropped: b.ledger.sum()}
	k := make(books)
	for e := range b.base.Tree.All() {
		if !e.IsDir() {
			f := b.file(e)
			over, ok := b.lean.Lookup(e.Path)
			f.Covered = ok && !over.IsDir()
			k.add(b.ownerOf(e), f)
		}
	}
	for e := range b.lean.All() {
		if e.IsDir() {
			continue
		}
		if members := b.ledger.members[e.Path]; members != nil {
			if err := b.unpack(k, e, members); err != nil {
				return out, err
			}
			continue
		}
		k.add(b.ownerOf(e), b.file(e))
	}
	for e := range b.full.All() {
		o := b.ownerOf(e)
		if to := k[ownerKey{o.Part, o.Name}]; to != nil {
			to.Before += weight(e)
		}
	}
	for _, o := range k {
		sortFiles(o.Files)
		out.Owners = append(out.Owners, *o)
	}
	slices.SortFunc(out.Owners, func(a, b report.Owner) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Part, b.Part))
	})
	if b.base.Tree.Len() > 0 {
		out.Stages = append(out.Stages, report.Stage{Name: "image", About: "the base comes below: " + b.base.Ref, Size: b.out.Size, Files: b.out.Files})
	}
	return out, nil
}

// unpack adds the modules in an archive, and the archive's own index.
func (b *build) unpack(k books, e tree.Entry, members map[string]member) error {
	sizes, err := reduce.Members(e)
	if err != nil {
		return err
	}
	rest := e.Size
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m := members[name]
		f := report.File{Path: name, In: e.Path, Size: sizes[name], Sum: m.sum}
		f.Module, _ = b.finders.imports.Module(name)
		f.Before = b.sizeBefore(inArchive(e.Path, name))
		k.add(m.owner, f)
		rest -= f.Size
	}
	o := b.ownerOf(e)
	o.Name, o.Version, o.Kind = "index of "+path.Base(e.Path), "", report.OwnerMade
	k.add(o, report.File{Path: e.Path, Size: rest}) // what changes is the modules
	return nil
}

func (b *build) file(e tree.Entry) report.File {
	f := report.File{Path: e.Path, Size: weight(e), Sum: e.Sum, Before: b.sizeBefore(e.Path)}
	if e.IsSymlink() {
		f.Sum = "→ " + e.Link
	}
	source := e.Path
	if strings.HasSuffix(source, ".pyc") {
		source = strings.TrimSuffix(source, "c")
	}
	f.Module, _ = b.finders.imports.Module(source)
	return f
}

// sizeBefore is the size in the unreduced app of what a file was made of; 0
// where it was not there.
func (b *build) sizeBefore(now string) int64 {
	e, _ := b.full.Lookup(b.ledger.origin(now))
	return weight(e)
}

// Describe reads all that was kept beside an image of the store.
func Describe(store *oci.Store, ref string) (*report.Image, error) {
	var out report.Image
	for name, v := range map[string]any{docReport: &out.Build, docContents: &out.Contents} {
		if err := readDocument(store, ref, name, v); err != nil {
			return nil, err
		}
	}
	return &out, nil
}
