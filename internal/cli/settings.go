package cli

import (
	"strconv"

	"github.com/spf13/pflag"

	"exuvia/internal/project"
)

// settingFlags adds a flag for every setting of [tool.exuvia] that is not a
// table of its own; a test compares the two lists.
func settingFlags(f *pflag.FlagSet, s *project.Settings) {
	f.StringVar(&s.Variant, "variant", "", `way to make the image, see exuvia variants (default "lean")`)
	f.StringArrayVarP(&s.Entry, "entry", "e", nil, `entry point: "main.py", "module:func", "uvicorn app.main:app"; may be repeated, the first is the image's`)
	f.StringVar(&s.Python, "python", "", `Python version, "3.11"`)
	f.StringVar(&s.System, "system", "", `what the app is installed on: "debian:bookworm", an image with Python, a directory or tarball that holds a CPython`)
	f.StringArrayVar(&s.Packages, "packages", nil, `Debian package to add to the system, "git"; may be repeated`)
	f.StringArrayVar(&s.BuildPackages, "build-packages", nil, `Debian package that distributions are built with which have no wheel, "libpq-dev"; may be repeated`)
	f.StringVar(&s.Base, "base", "", `what the image sits on: "scratch", "debian:bookworm-slim", an image: "HOST/NAME:TAG", "oci:DIR", "docker-archive:FILE", "docker:NAME"`)
	f.StringVar(&s.Platform, "platform", "", `platform of the image, "linux/amd64"`)
	f.StringVar(&s.Name, "name", "", "name of the image")
	f.StringVarP(&s.Tag, "tag", "t", "", "tag of the image")
	f.StringArrayVar(&s.Groups, "groups", nil, "dependency group to install (PEP 735)")
	f.StringArrayVar(&s.Extras, "extras", nil, "extra of the project to install")
	f.StringArrayVar(&s.Include, "include", nil, "project file to keep though it is ignored or looks like a secret")
	f.StringArrayVar(&s.Exclude, "exclude", nil, "project files to leave out, a pattern as in .dockerignore")
	f.StringArrayVar(&s.Keep, "keep", nil, `module, "dist:NAME" or "/path" to keep in any case`)
	f.StringArrayVar(&s.KeepSource, "keep-source", nil, "distribution or path whose Python sources stay, for code that reads them")
	f.StringArrayVar(&s.KeepDocstrings, "keep-docstrings", nil, "distribution that keeps its docstrings with --optimize 2")
	f.StringArrayVar(&s.Observe, "observe", nil, "command to run in the unreduced app, to keep what it uses: \"python -m unittest\"")
	f.StringArrayVar(&s.Observations, "observations", nil, "file of the project that exuvia observe wrote, to keep what is in it")
	f.StringArrayVar(&s.Tests, "tests", nil, "command of the project's tests, which have to pass in the image: \"python -m pytest\"")
	f.StringArrayVar(&s.TestGroups, "test-groups", nil, `dependency group that only the tests need (default "dev" where there is one)`)
	f.StringArrayVar(&s.TestExtras, "test-extras", nil, "extra of the project that only the tests need")
	switchVar(f, &s.Hooks, "hooks", "keep what PyInstaller's hooks know of distributions; --hooks=false leaves it to the analysis (default true)")
	switchVar(f, &s.Heal, "heal", "add what the image turns out to lack, and make it again; with --heal=false it is refused (default true)")
	f.StringToStringVar(&s.Env, "env", nil, "environment variable of the image, KEY=value")
	f.StringToStringVar(&s.Labels, "labels", nil, "label of the image, KEY=value")
	f.StringVar(&s.User, "user", "", `user of the image (default "65532:65532")`)
	f.IntSliceVar(&s.Ports, "ports", nil, "TCP port that the image exposes")
	f.StringArrayVar(&s.Writable, "writable", nil, "directory that stays writable where the root is read-only")
	f.StringSliceVar(&s.Passes, "passes", nil, "reductions to run, in this order, in place of the variant's own")
	f.StringSliceVar(&s.Disable, "disable", nil, "reductions not to run")
	f.IntVar(&s.Optimize, "optimize", 0, "optimisation level of bytecode: 1 drops asserts, 2 also the docstrings of dependencies")
	f.StringVar(&s.Bytecode, "bytecode", "", `"legacy": bytecode in place of sources; "pycache": beside them; "none" (default: the variant's)`)
	switchVar(f, &s.Strip, "strip", "drop the symbols of ELF files, or not with --strip=false (default: the variant's)")
	f.StringVar(&s.UPX, "upx", "", `pack with UPX: "executables", or "all" for shared libraries too (default "no")`)
	f.Lookup("upx").NoOptDefVal = "executables"
	switchVar(f, &s.RPath, "rpath", "give files a search path of their own; with --rpath=false the image sets LD_LIBRARY_PATH (default true)")
	f.StringVar(&s.Nuitka, "nuitka", "", `what the variant nuitka compiles: "app" or "all" (default "app")`)
	f.StringVar(&s.Cython, "cython", "", `what the variant cython compiles: "app" or "all" (default "app")`)
}

// switchVar adds a flag that is on, off, or not said.
func switchVar(f *pflag.FlagSet, to **bool, name, usage string) {
	f.Var(onOff{to}, name, usage)
	f.Lookup(name).NoOptDefVal = "true"
}

// onOff is a [pflag.Value] of a switch.
type onOff struct{ to **bool }

func (v onOff) String() string {
	if v.to == nil || *v.to == nil {
		return ""
	}
	return strconv.FormatBool(**v.to)
}

func (v onOff) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err != nil {
		return err
	}
	*v.to = &on
	return nil
}

func (onOff) Type() string { return "bool" }

// pullFlag adds the flag that looks for what is newer than what is cached.
func (a *app) pullFlag(f *pflag.FlagSet) {
	f.BoolVar(&a.pull, "pull", false, "look for a newer state of the Debian suite, and resolve dependencies that no file locks anew")
}
