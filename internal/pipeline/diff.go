package pipeline

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// elsewhere begins references to images that are not asked of the local store
// by name.
var elsewhere = regexp.MustCompile(`^(oci|oci-archive|docker-archive|docker|store):`)

// Snapshots reads two images to compare them: of the store by name or digest,
// or such that can be a base. What the bytes of one are of counts only where it
// is known of both.
func (p *Pipeline) Snapshots(ctx context.Context, before, after string, platform v1.Platform) (a, b *report.Snapshot, err error) {
	for _, known := range []bool{true, false} {
		if a, err = p.snapshot(ctx, before, platform, known); err != nil {
			return nil, nil, err
		}
		if b, err = p.snapshot(ctx, after, platform, known); err != nil {
			return nil, nil, err
		}
		if a.Attributed == b.Attributed {
			break
		}
	}
	return a, b, nil
}

// snapshot reads an image, with what is known of one that was built here, or as
// one from elsewhere.
func (p *Pipeline) snapshot(ctx context.Context, ref string, platform v1.Platform, known bool) (*report.Snapshot, error) {
	if elsewhere.MatchString(ref) {
		b, err := p.Bases.Base(ctx, ref, platform)
		if err != nil {
			return nil, err
		}
		s, err := p.look(ctx, ref, b.Image)
		if err != nil {
			return nil, err
		}
		s.take(b.Tree)
		return &s.Snapshot, nil
	}
	img, err := p.Store.Get(ref)
	if err != nil {
		return nil, err
	}
	s, err := p.look(ctx, ref, img)
	if err != nil {
		return nil, err
	}
	if known {
		var c report.Contents
		err := readDocument(p.Store, s.Digest, docContents, &c)
		if err == nil {
			s.Owners, s.Files, s.Attributed = c.Owners, c.Files(), true
		}
		if err == nil || !isNotFound(err) {
			return &s.Snapshot, err
		}
	}
	t, _, err := oci.Flatten(ctx, p.Cache, img)
	if err != nil {
		return nil, err
	}
	s.take(t)
	return &s.Snapshot, nil
}

func isNotFound(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Kind == fault.NotFound
}

// sight is a [report.Snapshot] that is being made.
type sight struct{ report.Snapshot }

// look reads what an image says of itself.
func (p *Pipeline) look(ctx context.Context, ref string, img v1.Image) (sight, error) {
	var s sight
	digest, err := img.Digest()
	if err != nil {
		return s, err
	}
	s.Reference, s.Digest = ref, digest.String()
	var known report.Build
	if err := readDocument(p.Store, s.Digest, docReport, &known); err == nil {
		s.Layers = known.Layers
	} else if s.Layers, err = oci.Layers(ctx, p.Cache, img); err != nil {
		return s, err
	}
	for _, l := range s.Layers {
		s.Size, s.Download, s.Side.Files = s.Size+l.Size, s.Download+l.Download, s.Side.Files+l.Files
	}
	s.Config, err = settings(img)
	return s, err
}

// settings is how an image runs, a setting each.
func settings(img v1.Image) ([]report.Setting, error) {
	c, err := oci.Config(img)
	if err != nil {
		return nil, err
	}
	var out []report.Setting
	add := func(name, value string) {
		if value != "" {
			out = append(out, report.Setting{Name: name, Value: value})
		}
	}
	add("entrypoint", argv(c.Entrypoint))
	add("cmd", argv(c.Cmd))
	add("user", c.User)
	add("directory", c.WorkingDir)
	add("stop signal", c.StopSignal)
	add("ports", strings.Join(c.Ports, " "))
	add("volumes", strings.Join(c.Writable, " "))
	for _, e := range c.Env {
		k, v, _ := strings.Cut(e, "=")
		add("env "+k, v)
	}
	for k, v := range c.Labels {
		add("label "+k, v)
	}
	slices.SortFunc(out, func(a, b report.Setting) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// argv writes arguments so that one sees where each ends.
func argv(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if quoted[i] = a; a == "" || strings.ContainsAny(a, " \t\n\"") {
			quoted[i] = strconv.Quote(a)
		}
	}
	return strings.Join(quoted, " ")
}

// metadata is the file of a distribution that is installed.
var metadata = regexp.MustCompile(`(?:^|/)([^/-]+)-([^/-]+)\.dist-info/METADATA$`)

// Package records of Debian: of a system, and of distroless images, which have
// a file a package.
var dpkgRecords = regexp.MustCompile(`^var/lib/dpkg/(status|status\.d/[^/]+)$`)

// maxRecords bounds a file of package records; those of a full desktop have 10 MB.
const maxRecords = 64 << 20

// take reads the files of an image of which nothing was kept, and what
// packages they say there are.
func (s *sight) take(t *tree.Tree) {
	for e := range t.All() {
		if e.IsDir() {
			continue
		}
		f := report.File{Path: e.Path, Size: weight(e), Sum: e.Sum}
		if e.IsSymlink() {
			f.Sum = "→ " + e.Link
		}
		s.Files = append(s.Files, f)
		if m := metadata.FindStringSubmatch(e.Path); m != nil {
			s.Owners = append(s.Owners, report.Owner{Name: m[1], Version: m[2], Kind: report.OwnerDist})
		}
		if dpkgRecords.MatchString(e.Path) && e.IsRegular() {
			if data, err := e.ReadAll(maxRecords); err == nil { // what cannot be read says nothing
				s.Owners = append(s.Owners, packages(string(data))...)
			}
		}
	}
}

// packages reads the names and versions in records of Debian packages.
func packages(records string) []report.Owner {
	var out []report.Owner
	for paragraph := range strings.SplitSeq(records, "\n\n") {
		o := report.Owner{Kind: report.OwnerDebian}
		for line := range strings.SplitSeq(paragraph, "\n") {
			if v, ok := strings.CutPrefix(line, "Package: "); ok {
				o.Name = v
			}
			if v, ok := strings.CutPrefix(line, "Version: "); ok {
				o.Version = v
			}
		}
		if o.Name != "" {
			out = append(out, o)
		}
	}
	return out
}

// withinBudget checks what the image takes, before it is compared and named.
// The name's image of now is what it may have grown from.
func (b *build) withinBudget(ctx context.Context) error {
	if b.Budget == (report.Budget{}) {
		return nil
	}
	if b.out.Cached {
		if err := readDocument(b.Store, b.out.Digest, docContents, &b.contents); err != nil {
			return err
		}
	}
	after := report.Snapshot{
		Side:   report.Side{Reference: b.out.Reference, Digest: b.out.Digest, Size: b.out.Size},
		Owners: b.contents.Owners, Files: b.contents.Files(), Attributed: true,
	}
	before, err := b.snapshot(ctx, b.out.Reference, b.platform, true)
	switch {
	case err != nil && isNotFound(err):
		if b.Budget.Growth.Text != "" {
			b.out.Notes = append(b.out.Notes, report.Note{Where: "budget", Text: "nothing to have grown from: there is no image " + b.out.Reference + " yet"})
		}
	case err != nil:
		return err
	}
	if err := OverBudget(b.Budget, before, after); err != nil {
		if !b.out.Cached {
			err = errors.Join(err, b.Store.Discard(b.out.Digest))
		}
		return err
	}
	return nil
}

// OverBudget is nil, or a fault of kind Budget that names what to look at.
func OverBudget(b report.Budget, before *report.Snapshot, after report.Snapshot) error {
	what, why := b.Over(before, after)
	if what == "" {
		return nil
	}
	return fault.New(fault.Budget, why+"; leave some of it out, or allow more", "%s", what)
}
