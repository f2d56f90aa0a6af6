package index

import (
	"fmt"
	"strings"
)

// backend is a build backend that needs nothing: it packs every file of the
// directory pkg, and a module that says what the build could see.
const backend = `
import base64, hashlib, json, os, socket, zipfile

NAME, VERSION, REQUIRES = %q, %q, %s

def seen():
    """What a build could tell of the machine: it may tell nothing."""
    found = dict(os.environ)
    for root in ("/run/exuvia", "/tmp", os.getcwd()):
        for at, _, files in os.walk(root):
            for f in files:
                try:
                    with open(os.path.join(at, f), errors="replace") as g:
                        found[os.path.join(at, f)] = g.read(4096)
                except OSError:
                    pass
    try:
        socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", "%d"))), 1).close()
        found["network"] = "reached"
    except OSError:
        found["network"] = "none"
    return found

def build_wheel(directory, config_settings=None, metadata_directory=None):
    dist = NAME.replace("-", "_")
    info = "%%s-%%s.dist-info/" %% (dist, VERSION)
    files = {dist + "_build.py": "seen = " + repr(seen()) + "\n"}
    for at, _, names in os.walk("pkg"):
        for n in sorted(names):
            p = os.path.join(at, n)
            with open(p) as f:
                files[os.path.relpath(p, "pkg")] = f.read()
    files[info + "METADATA"] = "Metadata-Version: 2.1\nName: %%s\nVersion: %%s\n" %% (NAME, VERSION) + "".join("Requires-Dist: %%s\n" %% r for r in REQUIRES)
    files[info + "WHEEL"] = "Wheel-Version: 1.0\nGenerator: testkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join("%%s,sha256=%%s,%%d\n" %% (p, base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b"=").decode(), len(t.encode())) for p, t in files.items())
    files[info + "RECORD"] = record + info + "RECORD,,\n"
    name = "%%s-%%s-py3-none-any.whl" %% (dist, VERSION)
    with zipfile.ZipFile(os.path.join(directory, name), "w") as z:
        for p, t in files.items():
            z.writestr(p, t)
    return name
`

// Sources are the files of a project, or of a source distribution, that builds
// without any tool: its backend is in the tree and packs the directory pkg.
// The wheel has a module NAME_build, whose dict seen holds what the build could
// see of the machine: its environment, the files around it, and under
// "network" whether it reached the port on this machine.
func Sources(name, version string, port int, requires ...string) Files {
	quoted := make([]string, len(requires))
	for i, r := range requires {
		quoted[i] = fmt.Sprintf("%q", r)
	}
	list := "[" + strings.Join(quoted, ", ") + "]"
	return Files{
		"pyproject.toml": fmt.Sprintf("[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n[project]\nname = %q\nversion = %q\ndependencies = %s\n", name, version, list),
		"backend.py":     fmt.Sprintf(backend, name, version, list, port),
	}
}

// Close stops the index before the test ends.
func (s *Server) Close() { s.http.Close() }

// Port is the port that the index listens on.
func (s *Server) Port() int {
	var port int
	if _, err := fmt.Sscanf(s.http.Listener.Addr().String(), "127.0.0.1:%d", &port); err != nil {
		return 0
	}
	return port
}
