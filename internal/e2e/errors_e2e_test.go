//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"exuvia/internal/cli"
	"exuvia/internal/fault"
	"exuvia/internal/testkit/index"
)

// with runs the command in this process, with more variables.
func (m machine) with(env map[string]string, args ...string) result {
	m.t.Helper()
	environ := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		_, ok := env[k]
		return ok
	})
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	var stdout, stderr bytes.Buffer
	code := cli.Main(m.t.Context(), cli.Env{
		Args: append([]string{"exuvia", "--cache-dir", m.cache, "--data-dir", m.data}, args...),
		Getenv: func(k string) string {
			if v, ok := env[k]; ok {
				return v
			}
			return os.Getenv(k)
		},
		Environ: environ, Stdout: &stdout, Stderr: &stderr,
	})
	return result{code, stdout.String(), stderr.String()}
}

// command is the command as a process of its own.
func (m machine) command(args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	c := exec.CommandContext(m.t.Context(), exe, append([]string{"--cache-dir", m.cache, "--data-dir", m.data}, args...)...)
	c.Env = append(os.Environ(), asCommand+"=022")
	return c
}

// finish runs a command as a process.
func finish(t *testing.T, c *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// images are the names of those in the store.
func (m machine) images() []string {
	m.t.Helper()
	var list []struct{ Reference string }
	if err := json.Unmarshal([]byte(m.must("images", "--json")), &list); err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, i := range list {
		out = append(out, i.Reference)
	}
	return out
}

// refused checks that a command ended with the kind's exit code, said what is
// wrong and what to do in its last two lines, printed no result, and left no
// other images than these. What and hint are regular expressions.
func (m machine) refused(r result, kind fault.Kind, what, hint string, images ...string) {
	m.t.Helper()
	if r.code != int(kind) || r.stdout != "" {
		m.t.Errorf("exit code %d, want %d\n%s%s", r.code, kind, r.stdout, r.stderr)
	}
	last := regexp.MustCompile(`(?:^|\n)exuvia: error: ` + what + `\nexuvia: hint: ` + hint + `\n$`)
	if !last.MatchString(r.stderr) {
		m.t.Errorf("it says\n%swant\n%s\n%s", r.stderr, what, hint)
	}
	if got := m.images(); !slices.Equal(got, images) {
		m.t.Errorf("there are the images %q, want %q", got, images)
	}
}

// Projects that cannot become an image.
func TestBadProjects(t *testing.T) {
	hello := "print('hello')\n"
	for _, c := range []struct {
		name       string
		files      map[string]string
		args       []string
		kind       fault.Kind
		what, hint string
		said       string // by the app, above the two lines
	}{
		{
			name: "syntax error", files: map[string]string{"main.py": "import helper\n", "helper.py": "x = 1\n\ndef f(:\n    pass\n"},
			kind: fault.Project, what: `helper\.py:3: invalid syntax`, hint: `correct the file, or leave it out with \[tool\.exuvia\] exclude`,
		},
		{
			name: "does not start", files: map[string]string{"main.py": "def connect():\n    raise RuntimeError('no database')\n\nconnect()\n"},
			kind: fault.Start, what: `the unreduced project does not start: main: RuntimeError: no database`, hint: `say under \[tool\.exuvia\.probe\] what it needs to start: .*`,
			said: "File \"/app/main.py\", line 4, in <module>",
		},
		{
			name: "module is missing", files: map[string]string{"main.py": "import nowhere\n"},
			kind: fault.Start, what: `the unreduced project does not start: main: ModuleNotFoundError: No module named 'nowhere'`,
			hint: `add what brings the module to the dependencies, or the module itself to the project`, said: "import nowhere",
		},
		{
			name: "keep names nothing", files: map[string]string{"main.py": hello}, args: []string{"--keep", "no.such.module"},
			kind: fault.Project, what: `keep = \["no\.such\.module"\] names nothing`, hint: `name a module, "dist:NAME" or "/path" of the system with the app`,
		},
		{
			name: "no such user", files: map[string]string{"main.py": hello}, args: []string{"--user", "alice"},
			kind: fault.Usage, what: `user alice is not in the image's /etc/passwd`, hint: `give numbers, UID:GID, or a user that the system has`,
		},
		{
			name: "unknown base", files: map[string]string{"main.py": hello}, args: []string{"--base", "amiga"},
			kind: fault.Base, what: `no base is called "amiga"`, hint: `name scratch, debian:SUITE .*`,
		},
		{
			name: "unknown flavour", files: map[string]string{"main.py": hello}, args: []string{"--base", "debian:bookworm-tiny"},
			kind: fault.Base, what: `unknown flavour "tiny" of a Debian system`, hint: `choose none or one of .*distroless.*`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			r := m.run(append(append([]string{"build", "--python", "3.11"}, c.args...), project(t, c.files))...)
			m.refused(r, c.kind, c.what, c.hint)
			if !strings.Contains(r.stderr, c.said) {
				t.Errorf("%q is not shown of what the app said:\n%s", c.said, r.stderr)
			}
		})
	}
}

// Dependencies that cannot be had, or are not what they should be.
func TestBadDependencies(t *testing.T) {
	server := index.New(t)
	wheel := func(name, version string, requires ...string) []byte {
		file, data := index.Wheel(t, name, version, nil, requires...)
		server.Add(name, file, data)
		return data
	}
	wheel("low", "1.0")
	wheel("top", "1.0", "low>=2")
	good := wheel("changed", "1.0")
	_, other := index.Wheel(t, "changed", "1.0", index.Files{"changed.py": "import os\n"})
	if !server.Replace("changed", "changed-1.0-py3-none-any.whl", other) {
		t.Fatal("there is nothing to replace")
	}
	lock := fmt.Sprintf("lock-version = \"1.0\"\ncreated-by = \"test\"\n[[packages]]\nname = \"changed\"\nversion = \"1.0\"\n"+
		"wheels = [{name = \"changed-1.0-py3-none-any.whl\", url = %q, hashes = {sha256 = %q}}]\n",
		server.FileURL("changed", "changed-1.0-py3-none-any.whl"), index.Sum(good))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	const distrust = `do not trust the index; if the file was replaced there on purpose, make the lock anew`
	for _, c := range []struct {
		name, file, text string
		index            string
		kind             fault.Kind
		what, hint       string
	}{
		{
			"unknown", "requirements.txt", "nothing-like-this\n", server.URL(), fault.Dependency,
			`resolving requirements\.txt: Because nothing-like-this was not found in the package registry .*`, `correct the requirement, .*`,
		},
		{
			"unsatisfiable", "requirements.txt", "top\n", server.URL(), fault.Dependency,
			`resolving requirements\.txt: Because only low==1\.0 is available and all versions of top depend on low>=2, .* your requirements are unsatisfiable`, `correct the requirement, .*`,
		},
		{
			"no requirement", "requirements.txt", "low >=>= 1\n", server.URL(), fault.Dependency,
			`resolving requirements\.txt: .*no such comparison operator ">=>=".*`, `correct the requirement, .*`,
		},
		{
			"changed since the lock", "pylock.toml", lock, server.URL(), fault.Integrity,
			`changed-1\.0-py3-none-any\.whl has sha256 [0-9a-f]{64}, the lock says [0-9a-f]{64}`, distrust,
		},
		{
			"changed since the requirements", "requirements.txt", "changed==1.0 --hash=sha256:" + index.Sum(good) + "\n", server.URL(), fault.Integrity,
			`.*changed.*hash.*`, distrust + `|make the lock anew from an index that you trust`,
		},
		{
			"no network", "requirements.txt", "low\n", closed.URL + "/simple/", fault.Network,
			`resolving requirements\.txt: the package index has to be asked and cannot be reached \(127\.0\.0\.1:\d+\)`, `connect to the network, or set the proxy .*`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			dir := project(t, map[string]string{"main.py": "print('hello')\n", c.file: c.text})
			r := m.with(map[string]string{"UV_DEFAULT_INDEX": c.index, "PIP_FIND_LINKS": "", "UV_HTTP_RETRIES": "0"}, "build", "--python", "3.11", dir)
			m.refused(r, c.kind, c.what, c.hint)
		})
	}
}

// site is a server that stays.
const site = `import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")

if __name__ == "__main__":
    http.server.HTTPServer(("", 8000), Handler).serve_forever()
`

// What can go wrong with an image that was built.
func TestBadUses(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{"main.py": site})
	m.build("--python", "3.11", "--name", "site", dir)
	const image = "site:latest"

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	m.refused(m.run("run", "-p", port+":8000", "site"), fault.Busy, `port 127\.0\.0\.1:`+port+` is in use`, `stop what uses it, or choose another with --publish`, image)
	m.refused(m.run("run", "--entrypoint", "/bin/nothing", "site"), fault.NotFound,
		`the container cannot be started: starting /bin/nothing: no such file`, `name a program that the image has with --entrypoint; .*`, image)
	m.refused(m.run("run", "--user", "alice", "site"), fault.Usage, `booting: the image has no user "alice"`, `give numbers, UID:GID`, image)
	m.refused(m.run("why", "no.such.module"), fault.NotFound, `nothing in the image is called "no\.such\.module"`, `exuvia why --not no\.such\.module says why`, image)
	m.refused(m.run("rm", "other"), fault.NotFound, `no image is called "other"`, `exuvia images lists what there is`, image)

	// It is built, and known to be the one that was built before: it stays.
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }))
	defer registry.Close()
	host := strings.TrimPrefix(registry.URL, "http://")
	m.refused(m.run("build", "--python", "3.11", "--name", "site", "--push", host+"/team/site:1", dir), fault.Publish,
		`pushing to `+regexp.QuoteMeta(host)+`/team/site:1: .* does not allow it \(.*\)`, `log in as a user who may push there: docker login .*`, image)
}

// nonce makes a project that was never built before.
func nonce() string { return fmt.Sprintf("print(%d)\n", time.Now().UnixNano()) }

// Without a network everything goes that was made once, and what was not says
// what it needs.
func TestNoNetwork(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{"main.py": nonce(), "requirements.txt": "idna\n"})
	m.must("build", "--python", "3.11", "--name", "offline", dir)
	offline := func(m machine, args ...string) result {
		c := m.command(args...)
		c.SysProcAttr = alone(syscall.CLONE_NEWNET)
		return finish(t, c)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte("import idna\n"+nonce()), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := offline(m, "build", "--python", "3.11", "--name", "changed", dir); r.code != 0 {
		t.Errorf("with a warm cache: exit code %d\n%s", r.code, r.stderr)
	}
	if got, want := m.images(), []string{"changed:latest", "offline:latest"}; !slices.Equal(got, want) {
		t.Errorf("images are %q, want %q", got, want)
	}
	cold := machine{t: t, cache: t.TempDir(), data: t.TempDir()}
	cold.refused(offline(cold, "build", "--python", "3.11", dir), fault.Network,
		`https?://\S+/InRelease has to be downloaded: .*`, `connect to the network, or .*; what is in the cache needs none`)
}

// alone puts a process into namespaces of its own, in which it is who it was.
func alone(flags uintptr) *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Cloneflags: flags}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  flags | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
	}
}

// A store on a full disk.
func TestNoSpace(t *testing.T) {
	m := newMachine(t)
	m.data = t.TempDir()
	c := m.command("build", "--python", "3.11", project(t, map[string]string{"main.py": nonce()}))
	c.Args = slices.Concat([]string{"sh", "-c", `mount -t tmpfs -o size=4m none "$0" && exec "$@"`, m.data, c.Path}, c.Args[1:])
	c.Path = "/bin/sh"
	c.SysProcAttr = alone(syscall.CLONE_NEWNS)
	if os.Getuid() != 0 { // only root may mount
		c.SysProcAttr.UidMappings[0].ContainerID, c.SysProcAttr.GidMappings[0].ContainerID = 0, 0
	}
	m.refused(finish(t, c), fault.Space, `writing image to \S+: write \S+: no space left on device`, `free some space, .*`)
}

// A build that is stopped leaves nothing that the next one stumbles over.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		at     string // the line of progress at which it comes
	}{
		{syscall.SIGINT, "finding what it needs"},
		{syscall.SIGTERM, "comparing main"},
		{syscall.SIGKILL, "finding what it needs"},
		{syscall.SIGKILL, "comparing main"},
	} {
		t.Run(fmt.Sprintf("%s while %s", c.signal, c.at), func(t *testing.T) {
			m := newMachine(t)
			dir := project(t, map[string]string{"main.py": nonce()})
			before := tmpOf(t, m)
			r := m.interrupt(c.signal, c.at, "build", "--python", "3.11", dir)
			if c.signal == syscall.SIGKILL {
				if r.code != -1 || len(m.images()) != 0 {
					t.Errorf("exit code %d, images %q; want neither\n%s", r.code, m.images(), r.stderr)
				}
			} else {
				m.refused(r, fault.Interrupted, `interrupted`, `nothing was changed; run the same command again`)
				if left := without(tmpOf(t, m), before); len(left) > 0 {
					t.Errorf("it leaves %q", left)
				}
			}
			if b := m.build("--python", "3.11", dir); !b.Verified || b.Cached {
				t.Errorf("the next build: verified %v, cached %v", b.Verified, b.Cached)
			}
			if left := without(tmpOf(t, m), before); len(left) > 0 {
				t.Errorf("the next build leaves %q", left)
			}
		})
	}
}

// interrupt starts a command and sends a signal when it says that it is at
// some point.
func (m machine) interrupt(s syscall.Signal, at string, args ...string) result {
	m.t.Helper()
	c := m.command(args...)
	var stdout bytes.Buffer
	c.Stdout = &stdout
	stderr, err := c.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	var said strings.Builder
	sent := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if !sent && strings.HasPrefix(lines.Text(), "exuvia: "+at) {
			sent = true
			if err := c.Process.Signal(s); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	if _, ok := errors.AsType[*exec.ExitError](c.Wait()); !ok || !sent {
		m.t.Fatalf("it came to an end by itself:\n%s", said.String())
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), said.String()}
}

// tmpOf lists what is unfinished in the cache.
func tmpOf(t *testing.T, m machine) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(m.cache, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func without(list, known []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(known, s) })
}

// A damaged entry of the cache is noticed and made again: the image is the
// same.
func TestDamagedCache(t *testing.T) {
	m := newMachine(t)
	text := nonce()
	dir := project(t, map[string]string{"main.py": text})
	want := m.build("--python", "3.11", dir).Digest
	sum := sha256.Sum256([]byte(text))
	name := hex.EncodeToString(sum[:])
	blob := filepath.Join(m.cache, "blobs", name[:2], name)
	fi, err := os.Stat(blob)
	if err != nil {
		t.Fatalf("the file is not in the cache: %v", err)
	}
	for damage, data := range map[string]string{"shorter": text[:len(text)-2], "changed": strings.Replace(text, "print", "quits", 1)} {
		t.Run(damage, func(t *testing.T) {
			m := machine{t: t, cache: m.cache, data: t.TempDir()}
			if err := os.Remove(blob); err != nil { // it has other names too
				t.Fatal(err)
			}
			if err := os.WriteFile(blob, []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
			if damage == "changed" { // by the disk, which leaves no trace
				if err := os.Chtimes(blob, fi.ModTime(), fi.ModTime()); err != nil {
					t.Fatal(err)
				}
			}
			r := m.run("build", "--json", "--python", "3.11", dir)
			if r.code != 0 || !strings.Contains(r.stdout, want) {
				t.Errorf("exit code %d, want the image %s\n%s%s", r.code, want, r.stderr, r.stdout)
			}
			if got := strings.Contains(r.stderr, "a cache entry was damaged; doing its work again"); got != (damage == "changed") {
				t.Errorf("it says:\n%s", r.stderr)
			}
			if got, err := os.ReadFile(blob); err != nil || string(got) != text {
				t.Errorf("the entry is %q (%v), want %q", got, err, text)
			}
		})
	}
}
