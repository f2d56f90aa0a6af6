package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
)

// An image does without hooks where their tool is not to be had or fails, and
// never where something is not what it should be.
func TestUnasked(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"all is well", nil, ""},
		{"no version for this Python", fault.New(fault.Dependency, "hint", "no distribution"), "no distribution"},
		{"no network", fmt.Errorf("wrapped: %w", fault.New(fault.Network, "hint", "unreachable")), "unreachable"},
		{"it fails", fmt.Errorf("asking: %w", &engine.StepError{Step: "asking", Exit: 1}), "asking: exit code 1"},
		{"another file than the pinned one", fault.New(fault.Integrity, "hint", "bad hash"), ""},
		{"the user stopped it", fault.New(fault.Interrupted, "hint", "interrupted"), ""},
		{"a defect", errors.New("understanding the helper"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unasked(tt.err); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
