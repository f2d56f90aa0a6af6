package project

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
)

// setting documents one key of [tool.exuvia].
type setting struct {
	key, example, doc string
}

// documented has every setting, in the order in which `exuvia init` writes
// them; a test compares it with [Settings].
var documented = []setting{
	{"variant", `"lean"`, "way to make the image; exuvia variants lists them"},
	{"entry", `["main.py"]`, `ways into the project, the image starts the first: "main.py", "pkg.mod", "pkg.mod:func", "uvicorn app.main:app"`},
	{"python", `"3.11"`, "version of Python, in place of .python-version"},
	{"system", `"debian:bookworm"`, "what the app is installed on: a Debian suite, or a directory or tarball that holds a CPython"},
	{"packages", `["git", "fonts-dejavu-core", "locales-all"]`, "Debian packages to add to the system, for what the app starts or opens; libraries are found by themselves"},
	{"build-packages", `["libpq-dev"]`, "Debian packages for building distributions that have no wheel, beside a C compiler; the image gets the libraries that these need, no more"},
	{"base", `"scratch"`, "what the image sits on"},
	{"platform", `"linux/amd64"`, "platform of the image"},
	{"name", `"my-app"`, "name of the image, in place of the project's"},
	{"tag", `"latest"`, "tag of the image"},
	{"groups", `["prod"]`, "dependency groups to install (PEP 735)"},
	{"extras", `["postgres"]`, "extras of the project to install"},
	{"include", `[".env", "build/assets"]`, "files to keep though they are ignored or look like secrets; patterns as in .dockerignore"},
	{"exclude", `["docs", "**/*.psd"]`, "files to leave out; patterns as in .dockerignore"},
	{"keep", `["plugins.csv", "dist:tzdata", "/etc/mime.types"]`, "modules, distributions and paths to keep in any case"},
	{"keep-source", `["inspected"]`, "distributions and paths whose Python sources stay, for code that reads them"},
	{"keep-docstrings", `["typer"]`, "distributions that keep their docstrings with optimize = 2"},
	{"observe", `["python -m unittest"]`, "commands that a build runs in the unreduced app, to keep what they use"},
	{"observations", `["observed.json"]`, "files that exuvia observe wrote, to keep what is in them"},
	{"tests", `["python -m pytest"]`, "commands of the project's tests, run in its directory, which have to pass in the image as in the unreduced app"},
	{"test-groups", `["test"]`, "dependency groups that only the tests need; \"dev\" where there is one"},
	{"test-extras", `["test"]`, "extras of the project that only the tests need"},
	{"hooks", `true`, "whether what PyInstaller's hooks know of distributions is kept"},
	{"heal", `true`, "whether what an image turns out to lack is added, and the image made again"},
	{"env", `{ LOG_LEVEL = "info" }`, "environment variables of the image"},
	{"labels", `{ "org.opencontainers.image.source" = "https://example.com/app" }`, "labels of the image"},
	{"user", `"65532:65532"`, "user and group that the image runs as"},
	{"ports", `[80]`, "TCP ports that the image exposes"},
	{"writable", `["/data"]`, "directories that stay writable where the root is read-only; /tmp always does"},
	{"passes", `["bytecode", "strip"]`, "reductions to run, in this order, in place of the variant's own"},
	{"disable", `["archive"]`, "reductions not to run"},
	{"optimize", `0`, "optimisation of bytecode: 1 drops asserts, 2 also the docstrings of dependencies"},
	{"bytecode", `"legacy"`, `"legacy": bytecode in place of sources; "pycache": beside them; "none": sources only; the default is the variant's`},
	{"strip", `true`, "whether ELF files lose their symbols; the default is the variant's"},
	{"upx", `"executables"`, `pack with UPX: "executables", or "all" for shared libraries too; default "no"`},
	{"rpath", `true`, "whether files find their libraries by a search path of their own; else the image sets LD_LIBRARY_PATH"},
	{"nuitka", `"app"`, `what the variant nuitka compiles: "app", or "all" for the dependencies too`},
	{"cython", `"app"`, `what the variant cython compiles: "app", or "all" for the dependencies too`},
}

// documentedProbe has every key of [tool.exuvia.probe].
var documentedProbe = []setting{
	{"start", `"run"`, `"run" starts the entry points, "import" only imports every module that is kept`},
	{"args", `["--port", "8080"]`, "arguments of the first entry point"},
	{"env", `{ DATABASE_URL = "sqlite://" }`, "environment variables, beside the image's"},
	{"files", `{ "/app/config.toml" = "tests/config.toml" }`, "files of the project to put at a path of the container"},
	{"port", `8080`, "TCP port to ask; found from what listens where it is left out"},
	{"commands", `[["main", "--help"]]`, "commands whose output has to be the same"},
	{"http", `[{ method = "GET", path = "/health", headers = {}, body = "" }]`, "requests whose answers have to be the same"},
	{"variable", `["header:x-request-id", "json:/id"]`, "fields of answers that differ from run to run"},
	{"timeout", `30`, "seconds to the first answer"},
}

// InitText is a commented [tool.exuvia] with every setting there is.
func InitText() string {
	var b strings.Builder
	b.WriteString("[tool.exuvia]\n# Every setting has a flag of the same name, which wins. All are commented out:\n# what is not set has a sane default.\n")
	write := func(list []setting) {
		for _, s := range list {
			fmt.Fprintf(&b, "\n# %s\n# %s = %s\n", s.doc, s.key, s.example)
		}
	}
	write(documented)
	b.WriteString("\n# How the image is compared with the unreduced app.\n[tool.exuvia.probe]\n")
	write(documentedProbe)
	return b.String()
}

// Init adds a commented [tool.exuvia] to the pyproject.toml of a directory,
// and makes the file where there is none. All else in it stays byte for byte.
// It gives the file's path. A file that has the table already, or cannot be
// read as TOML, is a [fault.Project].
func Init(dir string) (string, error) {
	name := filepath.Join(dir, "pyproject.toml")
	root, err := openRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	d := &detection{root: root}
	var old []byte
	if _, err := root.Stat("pyproject.toml"); err == nil {
		if old, err = d.read("pyproject.toml"); err != nil {
			return "", err
		}
	}
	var has struct {
		Tool struct {
			Exuvia map[string]any `toml:"exuvia"`
		} `toml:"tool"`
	}
	doc := document{name: "pyproject.toml", data: old}
	if err := doc.decode(&has); err != nil {
		return "", err
	}
	if has.Tool.Exuvia != nil {
		return "", fault.New(fault.Project, "edit it, or remove it first", "%s has a [tool.exuvia] already", name)
	}
	text := appendText(old, InitText())
	if err := toml.Unmarshal(text, &has); err != nil {
		return "", fault.Wrap(err, fault.Project, `write [tool] as a table of its own, not inline`, "%s cannot take another table", name)
	}
	return name, replace(root, "pyproject.toml", text)
}

// appendText adds a part to a file, after a blank line and with the line ends
// that the file has.
func appendText(old []byte, part string) []byte {
	sep := ""
	if len(old) > 0 {
		sep = "\n"
		if !bytes.HasSuffix(old, []byte("\n")) {
			sep = "\n\n"
		}
	}
	part = sep + part
	if bytes.Contains(old, []byte("\r\n")) {
		part = strings.ReplaceAll(part, "\n", "\r\n")
	}
	return append(bytes.Clone(old), part...)
}

// replace writes a file in one move, with the permissions of the one that it
// replaces.
func replace(root *os.Root, name string, data []byte) error {
	f, err := pending(root, name)
	if err != nil {
		return unwritable(err, name)
	}
	defer f.Cleanup() //nolint:errcheck // the error that matters is another
	_, err = f.Write(data)
	if err == nil {
		err = f.CloseAtomicallyReplace()
	}
	return unwritable(err, name)
}

// maxLinks is how many links are followed, as Linux has it: path_resolution(7).
const maxLinks = 40

// pending begins a file that gets its name later; where that is a link, the name
// of the file that it leads to.
func pending(root *os.Root, name string) (*renameio.PendingFile, error) {
	for range maxLinks {
		target, err := root.Readlink(name)
		if err != nil {
			break
		}
		name = filepath.Join(filepath.Dir(name), target)
	}
	return renameio.NewPendingFile(name, renameio.WithRoot(root), renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
}

func unwritable(err error, name string) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Project, "make the directory writable", "writing %s", name)
}
