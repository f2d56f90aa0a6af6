package publish

import (
	"context"
	"errors"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"exuvia/internal/fault"
)

// image makes the image of a number; equal numbers make equal images.
func image(t *testing.T, n int64) v1.Image {
	t.Helper()
	img, err := random.Image(4000, 3, random.WithSource(rand.NewSource(n)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// wantFault checks an error for the user: its kind, a word of it, and that
// there is a hint.
func wantFault(t *testing.T, err error, kind fault.Kind, word string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		t.Errorf("error is %v, want a fault", err)
	case f.Kind != kind || !strings.Contains(f.What, word) || f.Hint == "" || strings.ContainsRune(f.What, '\n'):
		t.Errorf("fault is %d %q (hint %q), want %d with %q", f.Kind, f.What, f.Hint, kind, word)
	}
}

func TestParse(t *testing.T) {
	for output, want := range map[string]Publisher{
		"oci:out":                 Layout{Dir: "out"},
		"oci:/tmp/a:b":            Layout{Dir: "/tmp/a:b"},
		"oci-archive:app.tar":     Archive{File: "app.tar", Form: OCI},
		"docker-archive:app.tar":  Archive{File: "app.tar", Form: Docker},
		"rootfs:app.tar":          Archive{File: "app.tar", Form: RootFS},
		"dist/app.tar":            Archive{File: "dist/app.tar", Form: Docker},
		"docker-archive:a b.data": Archive{File: "a b.data", Form: Docker},
	} {
		got, err := Parse(output)
		if err != nil {
			t.Errorf("Parse(%q): %v", output, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("Parse(%q) (-want +got)\n%s", output, d)
		}
	}
	for _, output := range []string{"", "out", "out.tar.gz", "oci:", "oci-archive:", "zip:x", "type=oci,dest=x", ":x", "oci:\x00"} {
		got, err := Parse(output)
		if got != nil {
			t.Errorf("Parse(%q) gives %v", output, got)
		}
		wantFault(t, err, fault.Usage, "")
	}
}

// Whoever stops a build wants to hear that they did, not what broke by it.
func TestStoppedIsNoFault(t *testing.T) {
	why := errors.New("stopped by the user")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	dir := t.TempDir()
	reg, err := NewRegistry("localhost:1/x", RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Publisher{
		Layout{Dir: dir + "/layout"},
		Archive{File: dir + "/a.tar", Form: OCI},
		Archive{File: dir + "/b.tar", Form: Docker},
		reg,
		Daemon{Host: "unix://" + dir + "/none.sock"},
	} {
		_, err := p.Publish(ctx, image(t, 1))
		if f, ok := errors.AsType[*fault.Error](err); ok || !errors.Is(err, why) {
			t.Errorf("%T: error is %v (fault %v), want the cause", p, err, f)
		}
	}
	if left := files(t, dir); len(left) > 0 {
		for _, f := range left {
			if !strings.HasSuffix(f, "oci-layout") {
				t.Errorf("left behind: %s", f)
			}
		}
	}
}
