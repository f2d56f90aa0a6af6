package install

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// installed is what a list of wheels became.
type installed struct {
	tree  *tree.Tree
	dists []Dist
	notes []report.Note
}

// place is where wheels are unpacked to.
type place struct {
	args []string // of uv
	out  string   // absolute directory that has all of it
}

// ownPlace is the system's own place for wheels.
func (j *job) ownPlace() (place, error) {
	prefix := commonDir(j.rt.Site, j.rt.Scripts)
	if prefix == "." {
		return place{}, fault.New(fault.Base, "name another system with --system", "%s keeps modules in /%s and scripts in /%s, which have nothing in common", j.b.Ref, j.rt.Site, j.rt.Scripts)
	}
	return place{args: []string{"--system", "--break-system-packages"}, out: "/" + prefix}, nil
}

// installWheels unpacks wheels, without network. Nothing is resolved any more:
// every wheel is named by its file and hash.
func (j *job) installWheels(ctx context.Context, doing string, wheels []wheel, to place) (installed, error) {
	if len(wheels) == 0 {
		return installed{tree: &tree.Tree{}}, nil
	}
	j.say("%s", doing)
	var list strings.Builder
	for _, w := range wheels {
		fmt.Fprintf(&list, "%s @ file://%s/%s --hash=sha256:%s\n", w.Name, wheelsAt, strings.ReplaceAll(url.PathEscape(w.File), "+", "%2B"), w.Blob.Sum)
	}
	in, err := text("requirements.txt", list.String())
	if err != nil {
		return installed{}, err
	}
	dir, err := j.wheelTree(wheels)
	if err != nil {
		return installed{}, err
	}
	s := j.uvStep(doing, "pip", "install", "--python", "/"+j.rt.Exe, "--offline", "--no-index", "--no-deps",
		"--require-hashes", "--no-config", "--no-cache", "--quiet", "-r", inAt+"/requirements.txt")
	s.Args = append(s.Args, to.args...)
	s.Limit = 30 * time.Minute
	s.Outs = []string{to.out}
	s.with("in", inAt, in)
	s.with("wheels", wheelsAt, dir)
	out, err := j.run(ctx, s)
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		return installed{}, uvFault(failed, doing)
	}
	if err != nil {
		return installed{}, err
	}
	return attribute(j.o.Cache, out)
}

// commonDir is the deepest directory that both are in.
func commonDir(a, b string) string {
	for a != "." && a != b && !strings.HasPrefix(b, a+"/") {
		a = path.Dir(a)
	}
	return a
}

// uvLeaves are files of a .dist-info directory that say how and from where
// uv installed it. They name paths of the step, so they are dropped.
var uvLeaves = []string{"direct_url.json", "uv_cache.json", "uv_build.json"}

const maxRecord = 64 << 20 // bytes of a RECORD

// attribute gives every file the distribution whose RECORD names it, and
// drops what uv leaves behind, with its lines in RECORD.
func attribute(cache *cas.Store, out *tree.Tree) (installed, error) {
	var in installed
	owner := make(map[string]tree.Origin)
	replaced := make(map[string]tree.Entry)
	for e := range out.All() {
		info := path.Dir(e.Path)
		if !e.IsRegular() || path.Base(e.Path) != "RECORD" || !strings.HasSuffix(info, ".dist-info") {
			continue
		}
		name, version, _ := strings.Cut(strings.TrimSuffix(path.Base(info), ".dist-info"), "-")
		from := tree.Origin{Kind: tree.Dist, Name: project.Normalise(name), Version: version}
		files, record, err := readRecord(e)
		if err != nil {
			return in, err
		}
		dist := Dist{Name: from.Name, Version: version}
		for _, f := range files {
			owner[f] = from
			if _, ok := out.Lookup(f); ok {
				dist.Files = append(dist.Files, f)
			} else if !strings.HasSuffix(f, ".pyc") {
				in.notes = append(in.notes, report.Note{Where: "install", Path: f, Text: fmt.Sprintf("RECORD of %s names it, and it is not there", from.Name)})
			}
		}
		slices.Sort(dist.Files)
		in.dists = append(in.dists, dist)
		b, err := cache.Put(bytes.NewReader(record))
		if err != nil {
			return in, err
		}
		replaced[e.Path] = cache.Entry(e.Path, e.Mode.Perm(), b, from)
		owner[info] = from
	}
	kept := out.Filter(func(e tree.Entry) bool {
		base := path.Base(e.Path)
		inInfo := strings.HasSuffix(path.Dir(e.Path), ".dist-info")
		return !e.IsDir() && (!inInfo || !slices.Contains(uvLeaves, base)) && (base != ".lock" || e.Size > 0)
	})
	in.tree = kept.Map(func(e tree.Entry) tree.Entry {
		if r, ok := replaced[e.Path]; ok {
			e = r
		} else if from, ok := owner[e.Path]; ok {
			e.From = from
		} else if e.IsDir() {
			e.From = tree.Origin{}
		}
		e.Mode = e.Mode&fs.ModeType | normal(e.Mode)
		return e
	})
	return in, nil
}

// normal is the mode that a file of a wheel has by custom.
func normal(m fs.FileMode) fs.FileMode {
	if m.IsDir() || m&0o100 != 0 || m.Type() == fs.ModeSymlink {
		if m.Type() == fs.ModeSymlink {
			return m.Perm()
		}
		return 0o755
	}
	return 0o644
}

// readRecord reads a RECORD (recording installed projects, PEP 376 and 627):
// the paths in the tree that it names, and the same file without what is
// dropped.
func readRecord(e tree.Entry) (files []string, kept []byte, err error) {
	data, err := e.ReadAll(maxRecord)
	if err != nil {
		return nil, nil, err
	}
	site := path.Dir(path.Dir(e.Path))
	var b bytes.Buffer
	for line := range bytes.Lines(data) {
		r := csv.NewReader(bytes.NewReader(line))
		r.FieldsPerRecord = -1
		fields, err := r.Read()
		if err != nil || len(fields) == 0 || fields[0] == "" {
			continue // an empty line; uv has checked the rest
		}
		p := path.Join(site, fields[0])
		if path.IsAbs(fields[0]) {
			p = strings.TrimPrefix(path.Clean(fields[0]), "/")
		}
		if !fs.ValidPath(p) {
			return nil, nil, fault.New(fault.Dependency, "choose another version", "%s names the path %q", e.Path, project.Clip(fields[0]))
		}
		if path.Dir(p) == path.Dir(e.Path) && slices.Contains(uvLeaves, path.Base(p)) {
			continue
		}
		files = append(files, p)
		b.Write(line)
	}
	return files, b.Bytes(), nil
}
