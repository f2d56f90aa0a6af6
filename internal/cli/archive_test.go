package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"exuvia/internal/fault"
	"exuvia/internal/testkit/debarchive"
)

// tiny is a suite with every package that a system with a Python is made of,
// each of them empty.
func tiny() debarchive.Suite {
	s := debarchive.Suite{Name: "bookworm"}
	for _, name := range []string{
		"base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "grep", "libc-bin", "libc6", "mawk",
		"ncurses-base", "netbase", "sed", "tzdata", "python3",
	} {
		s.Packages = append(s.Packages, debarchive.Package{Name: name, Files: []debarchive.File{{Path: "./usr/share/doc/" + name + "/copyright", Body: "free"}}})
	}
	return s
}

// flip changes a byte in the middle of a file.
func flip(data []byte) []byte {
	if len(data) > 0 {
		data[len(data)/2] ^= 1
	}
	return data
}

// Whatever is wrong with the archive that the system comes from: the build
// ends with the kind's exit code and two lines, and leaves no image.
func TestArchiveFaults(t *testing.T) {
	project := t.TempDir()
	if err := os.WriteFile(filepath.Join(project, "main.py"), []byte("print(1)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*debarchive.Archive, map[string]string)
		code   fault.Kind
		what   string // a regular expression
		hint   string // the beginning
	}{
		{
			"wrong key", func(_ *debarchive.Archive, env map[string]string) { delete(env, "EXUVIA_DEBIAN_KEYRING") },
			fault.Integrity, `^verifying http://\S+/dists/bookworm/InRelease: none of the keys at hand has signed it$`, "the mirror may be changed, or its key unknown",
		},
		{
			"no such keyring", func(_ *debarchive.Archive, env map[string]string) { env["EXUVIA_DEBIAN_KEYRING"] = "/nowhere.asc" },
			fault.Integrity, `^looking for the keys of http://\S+/debian: reading keyring /nowhere.asc: .*no such file`, "mend Signed-By of the apt source, or EXUVIA_DEBIAN_KEYRING",
		},
		{
			"changed release", func(a *debarchive.Archive, _ map[string]string) {
				a.Change("InRelease", func(d []byte) []byte { return bytes.Replace(d, []byte("Label: Debian"), []byte("Label: Debiam"), 1) })
			},
			fault.Integrity, `^verifying http://\S+/dists/bookworm/InRelease: the signature is wrong: `, "the mirror may be changed, or its key unknown",
		},
		{
			"unsigned release", func(a *debarchive.Archive, _ map[string]string) {
				a.Change("InRelease", func([]byte) []byte { return []byte("Origin: Debian\nCodename: bookworm\n") })
			},
			fault.Integrity, `^verifying http://\S+/dists/bookworm/InRelease: not a signed file$`, "the mirror may be changed, or its key unknown",
		},
		{
			"changed index", func(a *debarchive.Archive, _ map[string]string) {
				a.Change("by-hash", flip)
				a.Change("Packages", flip)
			},
			fault.Integrity, `^downloading http://\S+/main/binary-amd64/\S+: its SHA-256 is not [0-9a-f]{64}$`, "the mirror or a proxy changes files",
		},
		{
			"changed package", func(a *debarchive.Archive, _ map[string]string) { a.Change("tzdata_", flip) },
			fault.Integrity, `^downloading http://\S+/pool/t/tzdata/tzdata_1.0-1_amd64.deb: its SHA-256 is not [0-9a-f]{64}$`, "the mirror or a proxy changes files",
		},
		{
			"package is gone", func(a *debarchive.Archive, _ map[string]string) {
				a.Change("tzdata_", func([]byte) []byte { return nil })
			},
			fault.Network, `^downloading tzdata 1.0-1: http://\S+: not found$`, "the archive has moved on: resolve the suite anew with --pull",
		},
		{
			"no such suite", func(a *debarchive.Archive, _ map[string]string) {
				a.Change("dists", func([]byte) []byte { return nil })
			},
			fault.Base, `^no archive has Debian bookworm: tried http://\S+$`, "set EXUVIA_DEBIAN_MIRROR to an archive that has it",
		},
		{
			"no network", func(_ *debarchive.Archive, env map[string]string) {
				env["EXUVIA_DEBIAN_MIRROR"] = "http://u:secret@127.0.0.1:1/debian"
			},
			fault.Network, `^http://u:xxxxx@127.0.0.1:1/debian\S*/InRelease has to be downloaded: connection refused$`, "connect to the network, or see apt's proxy and sources",
		},
		{
			"no address", func(_ *debarchive.Archive, env map[string]string) { env["EXUVIA_DEBIAN_MIRROR"] = "debian" },
			fault.Usage, `^reading EXUVIA_DEBIAN_MIRROR: "debian" is not the address of an archive`, "give the address that an apt source has",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := debarchive.New(t, tiny())
			dir := t.TempDir()
			keyring := filepath.Join(dir, "key.asc")
			if err := os.WriteFile(keyring, []byte(a.Key(t)), 0o644); err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"HOME": dir, "EXUVIA_DEBIAN_MIRROR": a.URL, "EXUVIA_DEBIAN_KEYRING": keyring}
			c.change(a, env)
			run := func(args ...string) (code int, stdout, stderr string) {
				var out, err bytes.Buffer
				code = Main(t.Context(), Env{Args: append([]string{"exuvia"}, args...), Getenv: func(k string) string { return env[k] }, Stdout: &out, Stderr: &err})
				return code, out.String(), err.String()
			}
			code, stdout, stderr := run("build", "--quiet", "--python", "3.11", project)
			lines := strings.Split(stderr, "\n")
			if code != int(c.code) || stdout != "" || len(lines) != 3 {
				t.Fatalf("exit code %d, want %d, and two lines:\n%s%s", code, c.code, stderr, stdout)
			}
			what, ok1 := strings.CutPrefix(lines[0], "exuvia: error: ")
			hint, ok2 := strings.CutPrefix(lines[1], "exuvia: hint: ")
			if !ok1 || !ok2 || !regexp.MustCompile(c.what).MatchString(what) || !strings.HasPrefix(hint, c.hint) {
				t.Errorf("got\n%swant\n%s\n%s", stderr, c.what, c.hint)
			}
			if _, images, _ := run("images", "--json"); images != "[]\n" {
				t.Errorf("it leaves images: %s", images)
			}
		})
	}
}
