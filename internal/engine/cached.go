package engine

import (
	"context"
	"slices"

	"exuvia/internal/cas"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// cacheVersion enters the key of every step; raise it when what a sandbox
// offers to a step changes.
const cacheVersion = 1

// Cached runs a step once: the same step on the same trees gives what it gave
// before. Errors are not kept.
type Cached struct {
	Engine Engine
	Store  *cas.Store
	Pull   bool // steps with network run in any case, for what they ask may have another answer now
}

var _ Engine = Cached{}

// Run implements [Engine].
func (c Cached) Run(ctx context.Context, s plan.Step, trees Trees) (*tree.Tree, error) {
	key := stepKey(s, trees)
	if !c.Pull || !s.Network {
		if t, ok := c.Store.Tree("step", key); ok {
			return t, nil
		}
	}
	t, err := c.Engine.Run(ctx, s, trees)
	if err != nil {
		return nil, err
	}
	return c.Store.PutTree(ctx, "step", key, t)
}

// stepKey is what can change a step's result: the step without its secrets,
// the environment all have, and the trees it names.
func stepKey(s plan.Step, trees Trees) string {
	names := []string{s.System}
	for _, in := range s.Inputs {
		names = append(names, in.Tree)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	digests := make([]string, len(names))
	for i, n := range names {
		digests[i] = trees[n].Digest()
	}
	return cas.Key(cacheVersion, s, Env(), names, digests)
}
