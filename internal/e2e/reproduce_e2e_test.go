//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"exuvia/internal/report"
)

// The digest depends on the project and the archive's state, and on nothing
// of the machine: another user with nothing cached, in another time zone, with
// another umask, on one core, gets the same bytes.
func TestSameDigestForAnotherUser(t *testing.T) {
	m := newMachine(t)
	want := m.build(demo)

	home := open(t, t.TempDir())
	dir := filepath.Join(home, "elsewhere")
	if err := os.CopyFS(dir, os.DirFS(demo)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"tmp", "cache", "data"} {
		if err := os.Mkdir(filepath.Join(home, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	seed(t, m.cache, filepath.Join(home, "cache"))
	open(t, home)
	exe := filepath.Join(home, "exuvia")
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe, "--cache-dir", filepath.Join(home, "cache"), "--data-dir", filepath.Join(home, "data"), "build", "--json", dir)
	c.Dir = home
	c.Env = append(os.Environ(), asCommand+"=077", "HOME="+home, "TMPDIR="+filepath.Join(home, "tmp"), "TZ=Asia/Kathmandu", "GOMAXPROCS=1", "LC_ALL=C")
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v:\n%s", err, stderr.Bytes())
	}
	var got report.Build
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Cached || !got.Verified {
		t.Errorf("cached %v, verified %v; want a build from nothing", got.Cached, got.Verified)
	}
	if got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
		for i, l := range got.Layers {
			t.Logf("layer %s: %s, want %s", l.Name, l.Digest, want.Layers[i].Digest)
		}
	}
	t.Logf("as another user, cold with the suite's state: %v", got.Timings)
}

// seed gives a cache the state of the Debian suites that another has resolved,
// and nothing else: the archive may have been updated in between.
func seed(t *testing.T, from, to string) {
	t.Helper()
	for _, kind := range []string{"debian-release"} {
		src := filepath.Join(from, "records", kind)
		if err := os.CopyFS(filepath.Join(to, "records", kind), os.DirFS(src)); err != nil {
			t.Fatal(err)
		}
	}
}

// open lets every user read and write what is below dir, and reach it.
func open(t *testing.T, dir string) string {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(p, 0o777)
		}
		return os.Chmod(p, 0o666)
	})
	for d := filepath.Dir(dir); err == nil && d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		err = os.Chmod(d, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
