package install

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// uvVersion is the uv that installs. It is pinned with the hashes of its
// wheels, so that every machine installs with the same program.
const uvVersion = "0.13.9"

// uvWheels are the SHA-256 sums of uv's wheels for manylinux 2.17, by the
// machine they are for.
var uvWheels = map[string]string{
	"x86_64":  "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
	"aarch64": "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
}

// Where things are in a step.
const (
	uvAt     = "/run/exuvia/uv"
	inAt     = "/run/exuvia/in"
	sourceAt = "/run/exuvia/source"
	wheelsAt = "/run/exuvia/wheels"
	helperAt = "/run/exuvia/helper"
	outAt    = "/run/exuvia/out"
)

const maxUV = 200 << 20 // bytes of uv's executable

// step is a step with the trees it names.
type step struct {
	plan.Step
	trees engine.Trees
}

// with mounts a tree.
func (s *step) with(name, at string, t *tree.Tree) {
	s.Inputs = append(s.Inputs, plan.Mount{Tree: name, At: at})
	s.trees[name] = t
}

// text is a tree of one file that only a step sees.
func text(name, contents string) (*tree.Tree, error) {
	return tree.New(tree.File(name, 0o644, []byte(contents), tree.Origin{Kind: tree.Made, Name: "install"}))
}

// getUV gives a tree with uv's executable. It comes from the package index by
// Debian's own pip, so that pip's configuration counts and no address is known
// here.
func (j *job) getUV(ctx context.Context) (*tree.Tree, error) {
	machine := strings.TrimPrefix(j.rt.Platform, "linux-")
	sum, ok := uvWheels[machine]
	if !ok {
		return nil, fault.New(fault.Base, "choose linux/amd64 or linux/arm64 with --platform", "there is no uv for %s", machine)
	}
	key := cas.Key(uvVersion, sum)
	var b cas.Blob
	if !j.o.Cache.Lookup("uv", key, &b) || !j.o.Cache.Has(b) {
		var err error
		if b, err = j.downloadUV(ctx, sum); err != nil {
			return nil, err
		}
		if err := j.o.Cache.Record("uv", key, b); err != nil {
			return nil, err
		}
	}
	j.uvSum = b.Sum
	j.inputs["uv "+uvVersion] = b.Sum
	return tree.New(j.o.Cache.Entry("uv", 0o755, b, tree.Origin{Kind: tree.Made, Name: "uv"}))
}

func (j *job) downloadUV(ctx context.Context, sum string) (cas.Blob, error) {
	j.say("fetching uv %s", uvVersion)
	want, err := text("uv.txt", fmt.Sprintf("uv==%s --hash=sha256:%s\n", uvVersion, sum))
	if err != nil {
		return cas.Blob{}, err
	}
	s := step{Step: plan.Step{
		Name: "fetching uv", System: "pip",
		Args: []string{
			"/usr/bin/python3", "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "download", "--quiet",
			"--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", outAt, "-r", inAt + "/uv.txt",
		},
		Outs: []string{outAt}, Limit: 10 * time.Minute,
	}, trees: engine.Trees{"pip": j.o.Pip}}
	s.with("wanted", inAt, want)
	j.cfg.apply(&s.Step)
	out, err := j.run(ctx, s)
	if failed, ok := errors.AsType[*engine.StepError](err); ok {
		return cas.Blob{}, pipFault(failed)
	}
	if err != nil {
		return cas.Blob{}, err
	}
	for e := range out.All() {
		if e.IsRegular() && strings.HasSuffix(e.Path, ".whl") && e.Sum == sum {
			return j.unpackUV(e)
		}
	}
	return cas.Blob{}, fault.New(fault.Integrity, "do not trust the index", "the index gave no uv %s with the SHA-256 %s", uvVersion, sum)
}

// unpackUV takes the executable out of the wheel.
func (j *job) unpackUV(e tree.Entry) (cas.Blob, error) {
	z, err := openZip(e)
	if err != nil {
		return cas.Blob{}, err
	}
	for _, f := range z.File {
		if path.Base(f.Name) == "uv" && strings.HasSuffix(path.Dir(f.Name), ".data/scripts") {
			return j.keepMember(f, maxUV)
		}
	}
	return cas.Blob{}, fmt.Errorf("%s holds no uv", e.Path)
}

func (j *job) keepMember(f *zip.File, limit int64) (cas.Blob, error) {
	r, err := f.Open()
	if err != nil {
		return cas.Blob{}, err
	}
	defer r.Close()
	b, err := j.o.Cache.Put(io.LimitReader(r, limit+1))
	if err == nil && b.Size > limit {
		err = fmt.Errorf("%s is larger than %d bytes", f.Name, limit)
	}
	return b, err
}

// uvStep is a step that runs uv in the system, with the settings that all have
// in common: no cache that lasts, no Python but the system's, no colours.
func (j *job) uvStep(name string, args ...string) step {
	s := step{Step: plan.Step{
		Name: name, System: "system", Args: append([]string{uvAt + "/uv"}, args...),
		Env: []string{
			"UV_CACHE_DIR=/tmp/uv-cache", "UV_PYTHON=/" + j.rt.Exe, "UV_PYTHON_DOWNLOADS=never", "UV_NO_MANAGED_PYTHON=1", "UV_NO_PROGRESS=1",
			"UV_LINK_MODE=copy", "UV_COLOR=never", "NO_COLOR=1", "UV_KEYRING_PROVIDER=disabled", "UV_NO_ENV_FILE=1",
		},
		Outs: []string{outAt}, Limit: 15 * time.Minute,
	}, trees: engine.Trees{"system": j.b.Tree}}
	s.with("uv", uvAt, j.uv)
	return s
}
