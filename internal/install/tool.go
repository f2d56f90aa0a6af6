package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"exuvia/internal/base"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/python"
	"exuvia/internal/tree"
)

// Tool installs the distributions of lock, a requirements file with hashes,
// below [plan.ToolDir], as pip install --target lays them out, for the
// interpreter rt of b. A distribution that a line --no-binary names is built
// from its sources, with the compiler. Console scripts are in bin below it and
// find their modules only with ToolDir in PYTHONPATH.
//
// The host's configuration of pip and uv counts, a project's does not. Errors
// are those of [Installer.Install].
func (in *Installer) Tool(ctx context.Context, name, lock string, b *base.Base, rt *python.Runtime) (*tree.Tree, error) {
	requirements, sources := splitNoBinary(lock)
	if len(requirementHashes(requirements)) == 0 {
		return nil, fmt.Errorf("the lock of the tool %s has no hashes", name)
	}
	file := name + ".txt"
	stated, err := tree.New(tree.File(file, 0o644, []byte(requirements), tree.Origin{Kind: tree.Made, Name: "tool"}))
	if err != nil {
		return nil, err
	}
	j, err := in.newJob(&project.Project{Form: project.Requirements, DependencyFile: file, Sources: stated, Files: &tree.Tree{}}, b, rt)
	if err != nil {
		return nil, err
	}
	j.sources = sources
	wheels, _, err := j.distributions(ctx)
	if err != nil {
		return nil, err
	}
	if len(wheels) == 0 {
		return nil, fault.New(fault.Dependency, "make its lock for this version too", "no distribution of the tool %s is for %s", name, j.target())
	}
	tool, err := j.installWheels(ctx, "installing "+name, wheels, place{args: []string{"--target", plan.ToolDir}, out: plan.ToolDir})
	if err != nil {
		return nil, err
	}
	return tool.tree, nil
}

// splitNoBinary takes the lines --no-binary NAME[,NAME…] out of a requirements
// file, and gives the normalised names. uv would build those to learn what
// they need, which the lock says already.
func splitNoBinary(lock string) (rest string, names []string) {
	var kept strings.Builder
	for line := range strings.Lines(lock) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "--no-binary")
		if !ok {
			kept.WriteString(line)
			continue
		}
		for n := range strings.SplitSeq(strings.TrimLeft(value, "= \t"), ",") {
			names = append(names, project.Normalise(strings.TrimSpace(n)))
		}
	}
	slices.Sort(names)
	return kept.String(), names
}
