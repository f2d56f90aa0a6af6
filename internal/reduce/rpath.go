package reduce

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/fault"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
)

// RPath makes files find their libraries without the loader's cache.
var RPath = Pass{
	Name:  "rpath",
	Short: "ELF files get search paths of their own",
	Doc: `The image has no cache of the dynamic loader. A file whose libraries lie where
only /etc/ld.so.conf says gets a search path of its own, relative to itself;
no other file is touched. It must load as before; else it stays as it was, and
the report says so. A program that carries an archive in its own file stays too.
With the option mode=ld-library-path no file changes: the image's environment
has LD_LIBRARY_PATH with these directories, which every process inherits.`,
	Options: []string{"mode"},
	Run:     runRPath,
}

func runRPath(ctx context.Context, in Input) (Output, error) {
	switch mode := in.Options["mode"]; mode {
	case "":
		return setRPaths(ctx, in)
	case "ld-library-path":
		env, err := sharedlib.CacheEnv(in.Tree, in.Systems.Python)
		out := Output{Tree: in.Tree}
		if env != "" {
			out.Env = []string{env}
		}
		return out, err
	default:
		return Output{}, fault.New(fault.Usage, "leave it out, or use ld-library-path", "rpath has no mode %q", mode)
	}
}

func setRPaths(ctx context.Context, in Input) (Output, error) {
	cached, err := sharedlib.NeedCache(in.Tree, in.Systems.Python)
	if err != nil {
		return Output{}, fmt.Errorf("looking for libraries: %w", err)
	}
	var files []rewriting
	var notes []report.Note
	for _, c := range cached {
		f, _, err := readELF(c.File)
		if err != nil {
			return Output{}, err
		}
		if f == nil {
			notes = append(notes, report.Note{Where: "rpath", Path: c.File.Path, Text: "left as it was: it is too large"})
			continue
		}
		if program(f) && f.CarriesData() {
			notes = append(notes, report.Note{Where: "rpath", Path: c.File.Path, Text: "left as it was: it carries an archive, which it would not find any more"})
			continue
		}
		dirs, force := searchPath(c, f)
		files = append(files, rewriting{entry: c.File, tool: func(from, to string) []string {
			cmd := []string{"patchelf"}
			if force {
				cmd = append(cmd, "--force-rpath")
			}
			return append(cmd, "--set-rpath", strings.Join(dirs, ":"), "--output", to, from)
		}})
	}
	out, err := rewriter{pass: "rpath", step: "setting search paths", tools: in.Systems.Tools, accept: acceptPatched}.run(ctx, in, files)
	out.Notes = append(notes, out.Notes...)
	return out, err
}

// searchPath is what a file has and what it lacks. An old DT_RPATH stays one:
// it also holds for the libraries of its libraries.
func searchPath(c sharedlib.Cached, f *elffile.File) (dirs []string, force bool) {
	dirs, force = slices.Clone(ownPath(f)), len(f.RunPath) == 0 && len(f.RPath) > 0
	for _, d := range c.Dirs {
		dirs = append(dirs, fromOrigin(path.Dir(c.File.Path), d))
	}
	return dirs, force
}

// acceptPatched sees to it that the loader reads of the file what it read
// before, and a search path more.
func acceptPatched(old, patched []byte) (why string, useless bool) {
	a, err := elffile.Read(bytes.NewReader(old), int64(len(old)))
	if err != nil {
		return err.Error(), false
	}
	b, err := elffile.Read(bytes.NewReader(patched), int64(len(patched)))
	switch {
	case err != nil:
		return err.Error(), false
	case a.Type != b.Type || a.Machine != b.Machine || a.Interp != b.Interp || a.Soname != b.Soname || a.BuildID != b.BuildID ||
		!slices.Equal(a.Needed, b.Needed) || !slices.Equal(a.Versions, b.Versions):
		return "it is another library", false
	case len(ownPath(b)) <= len(ownPath(a)):
		return "it has no other search path", false
	}
	return "", false
}

// fromOrigin writes the directory to as the loader finds it from a file in
// from: "usr/bin", "usr/lib" → "$ORIGIN/../lib".
func fromOrigin(from, to string) string {
	a, b := strings.Split(from, "/"), strings.Split(to, "/")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	parts := append([]string{"$ORIGIN"}, slices.Repeat([]string{".."}, len(a))...)
	return strings.Join(append(parts, b...), "/")
}

// ownPath is the search path of a file's own that counts: see ld.so(8).
func ownPath(f *elffile.File) []string {
	if len(f.RunPath) > 0 {
		return f.RunPath
	}
	return f.RPath
}
