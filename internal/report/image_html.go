package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteImageHTML writes all that is known of an image as one page, see frame.
// The maps are links from one to the other: they work without JavaScript, which
// brings arrow keys and opens what a link leads to.
func WriteImageHTML(w io.Writer, m Image) error {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, "image.html", viewImage(presentableImage(m))); err != nil {
		return err
	}
	_, err := out.WriteTo(w)
	return err
}

// imageView is what the page shows, all of it decided: the template has no
// arithmetic.
type imageView struct {
	frame
	Build
	Tiles   []highlight
	Legend  []legendView
	Maps    []mapView // the first is that of the whole
	Owners  []ownerView
	Stages  []stageView
	Drops   []dropView
	Dropped string // bytes of all drops
	Lost    string // files of all drops
	Passed  int
	Layers  []layerView
	Seconds string
	Times   string
}

// mapView is a treemap.
type mapView struct {
	ID    string
	Name  string
	About string
	Up    []crumb // the maps that one came through, the whole first
	Cells []mapCell
}

type crumb struct{ Href, Name string }

// mapCell is one rectangle of a treemap; places are percents.
type mapCell struct {
	X, Y, W, H  string
	Href        string
	Class       string
	Title       string
	Label, Size string // "" where there is no room
	Inner       []mapCell
}

type ownerView struct {
	Number  int
	Owner   Owner
	Part    string
	Class   string
	Zoom    bool // it has a map
	Size    string
	Bytes   string
	Before  string
	Share   string
	Kept    string // percent of before; "" where it was not there
	KeptN   string // the same as a number
	Visible int
	Many    string // "3 files"
	Files   []fileView
	Rest    string // of what is not in Files
}

type fileView struct {
	ID     string
	Name   string
	Path   string
	Size   string
	Bytes  string
	Before string
	Was    string // Before as a number
}

type stageView struct {
	Name, About string
	Size        string
	Change      string
	Files       string
	Left        string // width, percent
	At, Lost    string // what the stage took away
	More        string // what it added
	First       bool
}

type dropView struct {
	Drop
	Class  string
	Bytes  string
	Many   string // "3 files"
	Owners []remark
	Files  []dropFile
	Others string
}

type dropFile struct{ Path, Size, Why string }

type layerView struct {
	Name, Digest, Size, Download string
	Files                        int
}

// Size of the drawings in pixels where there is room for all of the page; only
// labels depend on it.
const (
	mapWidth, mapHeight = 1144.0, 540.0
	letter              = 7.6 // width, on average
	leastCell           = 130 // pixels; what is smaller is drawn as one
	mostCells           = 150
	leastHidden         = 0.05 // of the bytes: with more out of sight, files are drawn by what they lie in
	leastInner          = 24
	mostInner           = 50
	mostListed          = 250 // files of an owner in its table
)

func viewImage(m Image) imageView {
	b := m.Build
	v := imageView{
		frame: newFrame(fmt.Sprintf("%s: %s", cmp.Or(b.Reference, b.Digest), exactly(b.Size)), []string{"image.css"}, []string{"image.js"}),
		Build: b, Tiles: tiles(m), Stages: stages(m.Stages),
	}
	for _, p := range m.Parts() {
		v.Legend = append(v.Legend, legendView{string(p.Name) + " " + exactly(p.Size), partClass(p.Name)})
	}
	for i, o := range m.Owners {
		v.Owners = append(v.Owners, viewOwner(i+1, o, b.Size))
	}
	v.Maps = mapsOf(v.Owners)
	var bytes int64
	files := 0
	for _, d := range m.Dropped {
		bytes, files = bytes+d.Size, files+d.Files
		v.Drops = append(v.Drops, viewDrop(d))
	}
	v.Dropped, v.Lost = exactly(bytes), count(files, "file")
	for _, c := range b.Checks {
		if c.OK {
			v.Passed++
		}
	}
	for _, l := range b.Layers {
		v.Layers = append(v.Layers, layerView{l.Name, l.Digest, exactly(l.Size), exactly(l.Download), l.Files})
	}
	var total float64
	var times []string
	for _, t := range b.Timings {
		total += t.Seconds
		times = append(times, fmt.Sprintf("%s %.1f s", t.Phase, t.Seconds))
	}
	v.Seconds, v.Times = fmt.Sprintf("%.1f s", total), strings.Join(times, ", ")
	return v
}

// tiles are what one looks for first.
func tiles(m Image) []highlight {
	b := m.Build
	out := []highlight{{What: "unpacked", Value: exactly(b.Size)}, {What: "to download", Value: exactly(b.Download), Note: count(len(b.Layers), "layer")}}
	if len(m.Stages) > 0 {
		full := m.Stages[0]
		out[0].Note = decimal(percent(b.Size, max(full.Size, 1))) + "% of the unreduced app's " + exactly(full.Size)
		out = append(out, highlight{What: "files", Value: strconv.Itoa(b.Files), Note: "of " + strconv.Itoa(full.Files)})
	} else {
		out = append(out, highlight{What: "files", Value: strconv.Itoa(b.Files)})
	}
	passed := 0
	for _, c := range b.Checks {
		if c.OK {
			passed++
		}
	}
	checks := highlight{What: "answers", Value: "not compared", Note: "built with --no-verify"}
	if b.Verified {
		checks.Value, checks.Note = "the same", fmt.Sprintf("%d of %s passed", passed, count(len(b.Checks), "check"))
	}
	return append(out, checks)
}

func viewOwner(number int, o Owner, whole int64) ownerView {
	v := ownerView{
		Number: number, Owner: o, Part: string(o.Part), Class: partClass(o.Part), Size: exactly(o.Size), Bytes: grouped(o.Size), Before: "-",
		Share: decimal(percent(o.Size, max(whole, 1))) + "%", Visible: len(o.Files), Many: count(len(o.Files), "file"),
	}
	if o.Before > 0 {
		v.Before = exactly(o.Before)
		v.Kept = decimal(percent(o.Size, o.Before)) + "%"
		v.KeptN = decimal(percent(o.Size, o.Before))
	}
	filled := 0
	for i, f := range o.Files {
		if f.Size > 0 {
			filled++
		}
		if i < mostListed {
			v.Files = append(v.Files, viewFile(number, i, f))
		}
	}
	v.Zoom = filled > 1
	if n := len(o.Files) - len(v.Files); n > 0 {
		var rest int64
		for _, f := range o.Files[len(v.Files):] {
			rest += f.Size
		}
		v.Rest = fmt.Sprintf("and %s more with %s in all; exuvia report --json has every one", count(n, "file"), exactly(rest))
	}
	return v
}

func viewFile(owner, i int, f File) fileView {
	v := fileView{
		ID: fmt.Sprintf("f-%d-%d", owner, i), Name: cmp.Or(f.Module, path.Base(f.Path)), Path: "/" + f.Path,
		Size: exactly(f.Size), Bytes: strconv.FormatInt(f.Size, 10), Before: "-",
	}
	if f.In != "" {
		v.Path += " in " + path.Base(f.In)
	}
	if f.Covered {
		v.Path += ", below another of this name"
	}
	if f.Before > 0 {
		v.Before, v.Was = exactly(f.Before), strconv.FormatInt(f.Before, 10)
	}
	return v
}

// mapsOf draws the whole by owner, and each owner by its files.
func mapsOf(owners []ownerView) []mapView {
	top := mapView{ID: "map", Name: "the image", About: "Areas are unpacked bytes. Choose one to see what is in it."}
	var items []item
	var below []mapView
	for _, o := range owners {
		name := strings.TrimSpace(o.Owner.Name + " " + o.Owner.Version)
		it := item{name: o.Owner.Name, size: o.Owner.Size, class: o.Class, href: fmt.Sprintf("#owner-%d", o.Number), title: fmt.Sprintf("%s (%s): %s bytes, %s of the image", name, o.Part, o.Bytes, o.Share)}
		if o.Zoom {
			z := zoom{class: o.Class, list: fmt.Sprintf("#files-%d", o.Number)}
			id := fmt.Sprintf("map-%d", o.Number)
			about := fmt.Sprintf("%s in %s, %s of the image.", o.Size, o.Many, o.Share)
			below = append(below, z.maps(mapView{ID: id, Name: name, About: about, Up: []crumb{{"#map", "The image"}}}, leaves(o))...)
			it.href = "#" + id
			for _, f := range o.Owner.Files {
				it.inner = append(it.inner, f.Size)
			}
		}
		items = append(items, it)
	}
	top.Cells = mapCells(items, "#owners", "smaller ones")
	return append([]mapView{top}, below...)
}

// leaf is a file on a map, and where it is in the tree of its owner's files.
type leaf struct {
	item

	module string
	in     []string // names of what it lies in, outermost first, and its own
}

// leaves are the files of an owner: modules by their names, others by their
// paths, less the directory that all of these lie in.
func leaves(o ownerView) []leaf {
	var loose []string
	for _, f := range o.Owner.Files {
		if f.Module == "" {
			loose = append(loose, f.Path)
		}
	}
	under := commonDir(loose)
	var out []leaf
	for i, f := range o.Owner.Files {
		if f.Size == 0 {
			continue
		}
		l := leaf{module: f.Module, item: item{
			name: cmp.Or(f.Module, path.Base(f.Path)), size: f.Size, class: o.Class,
			title: fmt.Sprintf("/%s: %s bytes", f.Path, grouped(f.Size)), href: fmt.Sprintf("#files-%d", o.Number),
		}}
		switch {
		case f.Module == "":
			l.in = strings.Split(strings.TrimPrefix(f.Path, under), "/")
		case strings.HasPrefix(path.Base(f.Path), "__init__."): // lies in the package that it is
			l.in = append(strings.Split(f.Module, "."), "__init__")
		default:
			l.in = strings.Split(f.Module, ".")
		}
		if i < mostListed {
			l.href = "#" + o.Files[i].ID
		}
		if f.Before > 0 && f.Before != f.Size {
			l.title += ", before " + grouped(f.Before)
		}
		out = append(out, l)
	}
	return out
}

// commonDir is the directory that all paths lie in, with a slash; "" where that
// is the root.
func commonDir(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	dir := path.Dir(paths[0])
	for _, p := range paths {
		for dir != "." && !strings.HasPrefix(p, dir+"/") {
			dir = path.Dir(dir)
		}
	}
	return strings.TrimPrefix(dir+"/", "./")
}

// commonPackage is what the names of all modules begin with, "fastapi."; a map
// of a distribution would say little else.
func commonPackage(files []leaf) string {
	common := ""
	for _, f := range files {
		top, _, _ := strings.Cut(f.module, ".")
		switch {
		case f.module == "":
		case common == "":
			common = top
		case common != top:
			return ""
		}
	}
	return common + "."
}

// zoom draws the maps of one owner.
type zoom struct {
	class string
	list  string // where all files are listed
}

// maps draws files on one map, or, where many would be too small to see, what
// they lie in, with a map of each.
func (z zoom) maps(v mapView, files []leaf) []mapView {
	items := make([]item, len(files))
	within := commonPackage(files)
	for i, f := range files {
		items[i] = f.item
		items[i].name = strings.TrimPrefix(f.name, within)
	}
	groups := grouping(files)
	if hidden(items) < leastHidden || len(groups) < 2 {
		v.Cells = mapCells(items, z.list, "smaller files")
		return []mapView{v}
	}
	items = nil
	var below []mapView
	for n, name := range slices.Sorted(maps.Keys(groups)) {
		group := groups[name]
		if len(group) == 1 {
			items = append(items, group[0].item)
			continue
		}
		it := item{name: name, class: z.class, href: fmt.Sprintf("#%s-%d", v.ID, n)}
		for _, f := range group {
			it.size += f.size
			it.inner = append(it.inner, f.size)
		}
		it.title = fmt.Sprintf("%s: %s bytes in %s", name, grouped(it.size), count(len(group), "file"))
		up := append(slices.Clone(v.Up), crumb{"#" + v.ID, v.Name})
		below = append(below, z.maps(mapView{ID: it.href[1:], Name: name, About: exactly(it.size) + " in " + count(len(group), "file") + ".", Up: up}, group)...)
		items = append(items, it)
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(b.size, a.size) })
	v.Cells = mapCells(items, z.list, "smaller ones")
	return append([]mapView{v}, below...)
}

// grouping puts files by what they lie in, below what all lie in.
func grouping(files []leaf) map[string][]leaf {
	depth := 0
	for !slices.ContainsFunc(files, func(f leaf) bool { return depth+1 >= len(f.in) || f.in[depth] != files[0].in[depth] }) {
		depth++
	}
	groups := make(map[string][]leaf)
	for _, f := range files {
		groups[f.in[depth]] = append(groups[f.in[depth]], f)
	}
	return groups
}

// hidden is the share of the bytes that would be in no cell of their own.
func hidden(items []item) float64 {
	var total, shown int64
	for _, it := range items {
		total += it.size
	}
	for _, it := range items[:largeEnough(items, total)] {
		shown += it.size
	}
	return 1 - float64(shown)/float64(max(total, 1))
}

// largeEnough is how many items, of which the sizes fall, are large enough for a
// cell of their own.
func largeEnough(items []item, total int64) int {
	n := 0
	for n < len(items) && n < mostCells && float64(items[n].size)*mapWidth*mapHeight >= leastCell*float64(max(total, 1)) {
		n++
	}
	return n
}

// item is what a cell of a map is of.
type item struct {
	name, title, href, class string
	size                     int64
	inner                    []int64 // sizes that are drawn in it, falling
}

// mapCells lays out items, of which the sizes fall. Those too small to be seen are
// one cell, which leads to where they are listed.
func mapCells(items []item, rest, called string) []mapCell {
	var total int64
	for _, it := range items {
		total += it.size
	}
	n := largeEnough(items, total)
	if left := items[n:]; len(left) > 1 {
		var sum int64
		number := 0
		for _, it := range left {
			sum += it.size
			if it.size > 0 {
				number++
			}
		}
		items = items[:n:n]
		if number > 0 {
			name := fmt.Sprintf("%d %s", number, called)
			at, _ := slices.BinarySearchFunc(items, sum, func(it item, s int64) int { return cmp.Compare(s, it.size) })
			items = slices.Insert(items, at, item{name: name, title: fmt.Sprintf("%s: %s bytes", name, grouped(sum)), href: rest, class: "rest", size: sum})
		}
	}
	sizes := make([]float64, len(items))
	for i, it := range items {
		sizes[i] = float64(it.size)
	}
	var out []mapCell
	for i, r := range squarify(sizes, rect{0, 0, mapWidth, mapHeight}) {
		it := items[i]
		if it.size == 0 {
			continue
		}
		c := mapCell{Href: it.href, Class: it.class, Title: it.title, Inner: inner(it.inner, r)}
		c.X, c.Y, c.W, c.H = share(r.x, mapWidth), share(r.y, mapHeight), share(r.w, mapWidth), share(r.h, mapHeight)
		c.Label = fit(it.name, r)
		if size := exactly(it.size); c.Label != "" && r.h > 40 && fit(size, r) == size {
			c.Size = size
		}
		out = append(out, c)
	}
	return out
}

// inner divides a cell, to show of how much it is. Places are percents of it.
func inner(sizes []int64, r rect) []mapCell {
	var total int64
	for _, s := range sizes {
		total += s
	}
	var areas []float64
	var rest int64
	for i, s := range sizes {
		if i >= mostInner || float64(s)*r.w*r.h < leastInner*float64(max(total, 1)) {
			rest += s
		} else {
			areas = append(areas, float64(s))
		}
	}
	if len(areas) == 0 {
		return nil
	}
	if rest > 0 {
		areas = append(areas, float64(rest))
		slices.SortFunc(areas, func(a, b float64) int { return cmp.Compare(b, a) })
	}
	var out []mapCell
	for _, in := range squarify(areas, rect{0, 0, r.w, r.h}) {
		out = append(out, mapCell{X: share(in.x, r.w), Y: share(in.y, r.h), W: share(in.w, r.w), H: share(in.h, r.h)})
	}
	return out
}

// fit is as much of a text as a cell has room for, "" for none.
func fit(text string, r rect) string {
	room := int((r.w - 12) / letter)
	switch {
	case r.h < 20 || room < 3:
		return ""
	case utf8.RuneCountInString(text) <= room:
		return text
	}
	return string([]rune(text)[:room-1]) + "…"
}

func stages(list []Stage) []stageView {
	var most, before int64
	for _, s := range list {
		most = max(most, s.Size)
	}
	var out []stageView
	for i, s := range list {
		v := stageView{Name: s.Name, About: s.About, Size: exactly(s.Size), Files: count(s.Files, "file"), First: i == 0}
		v.Left = share(float64(s.Size), float64(max(most, 1)))
		if i > 0 {
			v.Change = signed(s.Size - before)
			switch {
			case s.Size < before:
				v.At, v.Lost = v.Left, share(float64(before-s.Size), float64(most))
			case s.Size > before:
				v.At, v.More = share(float64(before), float64(most)), share(float64(s.Size-before), float64(most))
				v.Left = v.At
			}
		}
		before = s.Size
		out = append(out, v)
	}
	return out
}

func viewDrop(d Drop) dropView {
	v := dropView{Drop: d, Class: partClass(d.Part), Bytes: exactly(d.Size), Many: count(d.Files, "file")}
	for _, o := range d.Owners {
		v.Owners = append(v.Owners, remark{o.Name, exactly(o.Size) + " in " + count(o.Files, "file")})
	}
	for _, f := range d.Largest {
		v.Files = append(v.Files, dropFile{"/" + f.Path, exactly(f.Size), f.Why})
	}
	if n := d.Files - len(d.Largest); n > 0 {
		v.Others = fmt.Sprintf("and %s more; exuvia why --not says of each why it is out", count(n, "file"))
	}
	return v
}

// grouped is a number with commas: "5,193,818".
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// presentableImage is a copy fit for people: with nothing in it that a browser
// would not print.
func presentableImage(m Image) Image {
	b := &m.Build
	cleanAll(&b.Variant, &b.Reference, &b.Digest, &b.Base, &b.System, &b.Python, &b.Platform, &b.Engine)
	b.Layers = each(b.Layers, func(l *Layer) { cleanAll(&l.Name, &l.Digest) })
	b.Checks = each(b.Checks, func(c *Check) { c.Name, c.Detail = clean(c.Name), cleanLines(c.Detail) })
	b.Healed = each(b.Healed, func(h *Healed) { cleanAll(&h.Path, &h.Setting, &h.Value, &h.Why) })
	b.Timings = each(b.Timings, func(t *Timing) { cleanAll(&t.Phase) })
	b.Notes = each(b.Notes, func(n *Note) { cleanAll(&n.Where, &n.Path, &n.Text) })
	b.Inputs = each(b.Inputs, func(i *Input) { cleanAll(&i.Name, &i.Digest) })
	m.Owners = each(m.Owners, func(o *Owner) {
		cleanAll(&o.Name, &o.Version, (*string)(&o.Kind), (*string)(&o.Part))
		o.Files = each(o.Files, func(f *File) { cleanAll(&f.Path, &f.Module, &f.In) })
	})
	m.Stages = each(m.Stages, func(s *Stage) { cleanAll(&s.Name, &s.About) })
	m.Dropped = each(m.Dropped, func(d *Drop) {
		cleanAll(&d.Stage, &d.Reason, (*string)(&d.Part))
		d.Owners = each(d.Owners, func(s *Share) { cleanAll(&s.Name) })
		d.Largest = each(d.Largest, func(g *Gone) { cleanAll(&g.Path, &g.Why) })
	})
	return m
}

func cleanAll(texts ...*string) {
	for _, s := range texts {
		*s = clean(*s)
	}
}

// each is a copy of a list with every element changed.
func each[T any](list []T, change func(*T)) []T {
	out := slices.Clone(list)
	for i := range out {
		change(&out[i])
	}
	return out
}
