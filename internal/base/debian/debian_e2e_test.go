//go:build e2e

package debian_test

import (
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"exuvia/internal/base/debian"
	"exuvia/internal/cas"
)

func TestTry(t *testing.T) {
	c, err := cas.Open("/tmp/debian/cas")
	if err != nil {
		t.Fatal(err)
	}
	p := v1.Platform{OS: "linux", Architecture: "amd64"}
	for _, ref := range []string{"debian:bookworm", "debian:bullseye", "debian:trixie", "debian:sid", "debian:sid-python3.15", "debian:bookworm-slim", "debian:bookworm-distroless"} {
		a, err := debian.New(debian.Options{Cache: c, Root: "/", Now: time.Now, Progress: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		b, err := a.Base(t.Context(), ref, p)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s: %v %d entries %.1f MB %s %s %v", ref, time.Since(start), b.Tree.Len(), float64(b.Tree.Size())/1e6, b.Python, b.Libc, b.Inputs)
	}
}
