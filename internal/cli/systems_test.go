package cli

import (
	"testing"

	"exuvia/internal/base"
	"exuvia/internal/tree"
)

func TestFlavour(t *testing.T) {
	image, err := tree.New(tree.File("etc/os-release", 0o644, []byte("ID=debian\nVERSION_CODENAME=trixie\n"), tree.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	s := &systems{}
	for _, c := range []struct {
		ref, flavour, want string
		tree               *tree.Tree
	}{
		{"debian:bullseye", "slim", "debian:bullseye-slim", &tree.Tree{}},
		{"debian:sid-python3.15", "full", "debian:sid-full-python3.15", &tree.Tree{}},
		{"debian:sid-python3.15", "distroless", "debian:sid-distroless", &tree.Tree{}},
		{"python:3.13", "slim", "debian:trixie-slim", image},
		{"./python", "distroless", "debian:bookworm-distroless", &tree.Tree{}},
	} {
		if got := s.Flavour(&base.Base{Ref: c.ref, Tree: c.tree}, c.flavour); got != c.want {
			t.Errorf("%s as %s: got %s, want %s", c.ref, c.flavour, got, c.want)
		}
	}
}
