package debian

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pault.ag/go/debian/dependency"
	"pault.ag/go/debian/version"

	"exuvia/internal/fault"
)

// maxSteps bounds the search for a set of packages. A system of 500 packages
// takes some 5,000.
const maxSteps = 1_000_000

// resolver chooses packages: those asked for and what they depend on, without
// Recommends. It is deterministic: alternatives are tried in the order that
// they are written in, a real package before those that provide its name,
// these by priority, then by name, and of each the newest version.
type resolver struct {
	u      *universe
	arch   string
	waived []string

	parsed    map[string]*candidate
	byName    map[string][]*candidate
	relations map[string][]dependency.Relation
	chosen    map[string]*candidate   // by name
	provided  map[string][]*candidate // by the names that chosen packages provide
	barred    map[string][]bar        // what chosen packages conflict with, by name
	steps     int
	deepest   int   // how far the search came
	failure   error // why it went no further
}

// candidate is a package with its fields parsed.
type candidate struct {
	*pkg
	version   version.Version
	depends   []dependency.Relation
	provides  []dependency.Possibility
	conflicts []dependency.Possibility
	err       error // why it can never be chosen
}

// bar is a conflict that a chosen package declares.
type bar struct {
	by *candidate
	p  dependency.Possibility
}

// goal is a dependency to be met and whose it is.
type goal struct {
	rel dependency.Relation
	by  *candidate // nil for what was asked for
}

func (g goal) String() string {
	var parts []string
	for _, p := range g.rel.Possibilities {
		parts = append(parts, showPossibility(p))
	}
	who := "asked for"
	if g.by != nil {
		who = "needed by " + g.by.Name + " " + g.by.Version
	}
	return strings.Join(parts, " | ") + ", " + who
}

func showPossibility(p dependency.Possibility) string {
	if p.Version == nil {
		return p.Name
	}
	return fmt.Sprintf("%s (%s %s)", p.Name, p.Version.Operator, p.Version.Number)
}

// resolve gives the packages, sorted by name, that meet the wishes; these are
// written as in a Depends field, each with an optional "?" at its end.
func resolve(u *universe, arch string, wishes []string, essential bool, waived []string) ([]*pkg, error) {
	r := &resolver{
		u: u, arch: arch, waived: waived,
		parsed: make(map[string]*candidate), byName: make(map[string][]*candidate), relations: make(map[string][]dependency.Relation),
		chosen: make(map[string]*candidate), provided: make(map[string][]*candidate), barred: make(map[string][]bar),
	}
	goals, err := r.goals(wishes, essential)
	if err != nil {
		return nil, err
	}
	if !r.search(goals) {
		if r.failure == nil {
			r.failure = fmt.Errorf("no choice found in %d steps", maxSteps)
		}
		return nil, fault.Wrap(r.failure, fault.Base, "name other packages or another suite, or resolve the suite anew with --pull", "choosing Debian packages")
	}
	var out []*pkg
	for _, name := range sortedKeys(r.chosen) {
		out = append(out, r.chosen[name].pkg)
	}
	return out, nil
}

// goals are the wishes, and the essential packages where they are wanted.
func (r *resolver) goals(wishes []string, essential bool) ([]goal, error) {
	var out []goal
	if essential {
		names := make(map[string]bool)
		for _, row := range r.u.essential {
			name, _, _ := strings.Cut(row.text, "\t")
			names[name] = true
		}
		for _, name := range sortedKeys(names) {
			out = append(out, goal{rel: dependency.Relation{Possibilities: []dependency.Possibility{{Name: name}}}})
		}
	}
	for _, wish := range wishes {
		name, optional := strings.CutSuffix(wish, "?")
		if optional && len(r.u.rows[name]) == 0 {
			continue
		}
		d, err := dependency.Parse(name)
		if err != nil || len(d.Relations) != 1 || len(d.Relations[0].Possibilities) == 0 {
			return nil, fault.New(fault.Base, "name packages as in a Depends field", "%q is not a package", wish)
		}
		out = append(out, goal{rel: d.Relations[0]})
	}
	return out, nil
}

// search meets the goals one after the other and goes back on a choice when
// what follows from it cannot be met.
func (r *resolver) search(goals []goal) bool {
	for len(goals) > 0 && r.met(goals[0]) {
		goals = goals[1:]
	}
	if len(goals) == 0 {
		return true
	}
	g := goals[0]
	r.steps++
	if r.steps > maxSteps {
		return false
	}
	options := r.options(g)
	var why error
	for _, c := range options {
		if err := r.conflict(c); err != nil {
			why = cmp.Or(why, err)
			continue
		}
		undo := r.choose(c)
		next := goals[1:len(goals):len(goals)]
		for _, rel := range c.depends {
			next = append(next, goal{rel, c})
		}
		if r.search(next) {
			return true
		}
		undo()
	}
	if why == nil && len(options) == 0 {
		why = r.absent(g)
	}
	if why != nil && (r.failure == nil || len(r.chosen) >= r.deepest) {
		r.deepest, r.failure = len(r.chosen), fmt.Errorf("%s: %w", g, why)
	}
	return false
}

// absent says why nothing can meet a goal.
func (r *resolver) absent(g goal) error {
	var have []string
	for _, p := range g.rel.Possibilities {
		for _, c := range r.candidates(p.Name) {
			if c.err != nil {
				return c.err
			}
			have = append(have, c.Name+" "+c.Version)
		}
	}
	if have == nil {
		return errors.New("no such package in the suite")
	}
	return fmt.Errorf("the suite has only %s", strings.Join(have, ", "))
}

// met reports whether what is chosen meets the goal, or a waiver does.
func (r *resolver) met(g goal) bool {
	for _, p := range g.rel.Possibilities {
		if g.by != nil && slices.Contains(r.waived, p.Name) {
			return true
		}
		if c, ok := r.chosen[p.Name]; ok && r.fits(c, p) {
			return true
		}
		for _, c := range r.provided[p.Name] {
			if r.fits(c, p) {
				return true
			}
		}
	}
	return false
}

// options are the candidates that meet the goal, best first.
func (r *resolver) options(g goal) []*candidate {
	var out []*candidate
	for _, p := range g.rel.Possibilities {
		for _, c := range r.candidates(p.Name) {
			if r.fits(c, p) {
				out = append(out, c)
			}
		}
		var virtual []*candidate
		for _, row := range r.u.providers[p.Name] {
			if c := r.candidate(row); c.Name != p.Name && r.fits(c, p) && !slices.Contains(virtual, c) {
				virtual = append(virtual, c)
			}
		}
		slices.SortStableFunc(virtual, func(a, b *candidate) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name), version.Compare(b.version, a.version))
		})
		out = append(out, virtual...)
	}
	return out
}

// candidates are the versions of a package, newest first.
func (r *resolver) candidates(name string) []*candidate {
	if out, ok := r.byName[name]; ok {
		return out
	}
	var out []*candidate
	for _, row := range r.u.rows[name] {
		out = append(out, r.candidate(row))
	}
	slices.SortStableFunc(out, func(a, b *candidate) int { return version.Compare(b.version, a.version) })
	r.byName[name] = out
	return out
}

// candidate parses a row once.
func (r *resolver) candidate(row row) *candidate {
	if c, ok := r.parsed[row.text]; ok {
		return c
	}
	c := &candidate{}
	r.parsed[row.text] = c
	if c.pkg, c.err = parseRow(row.text, row.from); c.err != nil {
		name, _, _ := strings.Cut(row.text, "\t")
		c.pkg = &pkg{Name: name}
		return c
	}
	c.version, c.err = version.Parse(c.Version)
	depends, err := r.parse(c.Depends)
	c.depends, c.err = depends, cmp.Or(c.err, err)
	provides, err := r.parse(c.Provides)
	c.provides, c.err = flat(provides), cmp.Or(c.err, err)
	conflicts, err := r.parse(c.Conflicts)
	c.conflicts, c.err = flat(conflicts), cmp.Or(c.err, err)
	return c
}

func flat(rels []dependency.Relation) []dependency.Possibility {
	var out []dependency.Possibility
	for _, rel := range rels {
		out = append(out, rel.Possibilities...)
	}
	return out
}

// parse reads a relation field.
func (r *resolver) parse(field string) ([]dependency.Relation, error) {
	if rels, ok := r.relations[field]; ok || field == "" {
		return rels, nil
	}
	d, err := dependency.Parse(field)
	if err != nil {
		return nil, fmt.Errorf("relation %q: %w", field, err)
	}
	rels := slices.DeleteFunc(d.Relations, func(rel dependency.Relation) bool { return len(rel.Possibilities) == 0 })
	r.relations[field] = rels
	return rels, nil
}

// fits reports whether c, by its own name or one that it provides, is what p
// asks for. Every package is of one architecture or of all, so ":any" and the
// architecture itself are met.
func (r *resolver) fits(c *candidate, p dependency.Possibility) bool {
	if c.err != nil || p.Substvar || !r.archFits(p) {
		return false
	}
	if c.Name == p.Name && satisfies(c.version, p.Version) {
		return true
	}
	for _, v := range c.provides {
		if v.Name != p.Name {
			continue
		}
		if p.Version == nil {
			return true
		}
		if v.Version == nil || v.Version.Operator != "=" {
			continue
		}
		if have, err := version.Parse(v.Version.Number); err == nil && satisfies(have, p.Version) {
			return true
		}
	}
	return false
}

func (r *resolver) archFits(p dependency.Possibility) bool {
	if p.Arch == nil {
		return true
	}
	switch name := p.Arch.CPU; name {
	case "any", "all", "native", r.arch:
		return true
	}
	return false
}

// satisfies compares a version as dpkg does; want is nil for any.
func satisfies(have version.Version, want *dependency.VersionRelation) bool {
	if want == nil {
		return true
	}
	v, err := version.Parse(strings.TrimSpace(want.Number))
	if err != nil {
		return false
	}
	c := version.Compare(have, v)
	switch want.Operator {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// conflict says why c cannot be added to what is chosen.
func (r *resolver) conflict(c *candidate) error {
	if old, ok := r.chosen[c.Name]; ok {
		return fmt.Errorf("version %s of %s is chosen already, not %s", old.Version, c.Name, c.Version)
	}
	names := []string{c.Name}
	for _, v := range c.provides {
		names = append(names, v.Name)
	}
	for _, name := range names {
		for _, b := range r.barred[name] {
			if b.by != c && r.fits(c, b.p) {
				return fmt.Errorf("%s conflicts with %s", b.by.Name, c.Name)
			}
		}
	}
	for _, p := range c.conflicts {
		others := slices.Clone(r.provided[p.Name])
		if o, ok := r.chosen[p.Name]; ok {
			others = append(others, o)
		}
		for _, o := range others {
			if r.fits(o, p) {
				return fmt.Errorf("%s conflicts with %s", c.Name, o.Name)
			}
		}
	}
	return nil
}

// choose adds c and gives the way back.
func (r *resolver) choose(c *candidate) (undo func()) {
	r.chosen[c.Name] = c
	for _, v := range c.provides {
		r.provided[v.Name] = append(r.provided[v.Name], c)
	}
	for _, p := range c.conflicts {
		r.barred[p.Name] = append(r.barred[p.Name], bar{c, p})
	}
	return func() {
		delete(r.chosen, c.Name)
		for _, v := range slices.Backward(c.provides) {
			r.provided[v.Name] = r.provided[v.Name][:len(r.provided[v.Name])-1]
		}
		for _, p := range slices.Backward(c.conflicts) {
			r.barred[p.Name] = r.barred[p.Name][:len(r.barred[p.Name])-1]
		}
	}
}
