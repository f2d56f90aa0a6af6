package reduce

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"exuvia/internal/cas"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// Archive puts bytecode into one compressed archive a layer.
var Archive = Pass{
	Name:  "archive",
	Short: "modules are deflated into archives",
	Doc: `Modules that are bytecode go into archives in /usr/lib/exuvia: one of the
system, one of the dependencies, one of the app, so that each changes with its
layer. Each module is deflated on its own and found by an index. A small
importer reads them; the package encodings, which every interpreter loads
first, brings it in. Directories stay, so that data beside modules, extension
modules and distribution metadata are found as ever; files that appear in them
later come before archived modules as Python's order has it. __file__ is that
of the source. The option loose lists paths, by commas, that stay as they are;
project names the distribution that is the app, where it is installed as one.`,
	Options: []string{"loose", "project"},
	Run:     runArchive,
}

//go:embed importer.py
var importer []byte

const (
	archiveDir   = "usr/lib/exuvia"
	importerName = "_exuvia"
	pycHead      = 16 // bytes: magic, flags and hash of PEP 552
)

// archives are the files, by the origin of what is in them.
var archives = []string{"system", "dependencies", "app"}

// archiveOf names the archive that modules of an origin are in, which is the
// layer that they are in.
func archiveOf(o tree.Origin) string {
	switch o.Kind {
	case tree.Dist:
		return "dependencies"
	case tree.Project:
		return "app"
	default:
		return "system"
	}
}

// ofProject gives what is installed as the distribution project to the app.
func ofProject(o tree.Origin, project string) tree.Origin {
	if o.Kind == tree.Dist && project != "" && normal(o.Name) == normal(project) {
		o.Kind = tree.Project
	}
	return o
}

// archiveOrigin makes an archive belong to the same layer as its modules.
func archiveOrigin(name string) tree.Origin {
	kind := map[string]tree.Kind{"dependencies": tree.Dist, "app": tree.Project, "system": tree.Made}[name]
	return tree.Origin{Kind: kind, Name: "exuvia-archive"}
}

func runArchive(ctx context.Context, in Input) (Output, error) {
	var out Output
	encodings, ok := in.Tree.Resolve(path.Join(in.Python.Stdlib, "encodings/__init__.pyc"))
	if !ok || slices.Contains(in.Python.Frozen, "encodings") {
		out.Tree = in.Tree
		out.Notes = []report.Note{{Where: "archive", Text: "modules stay loose: the importer comes in by the package encodings, of which this tree has no bytecode of its own"}}
		return out, nil
	}
	hook, err := hookFiles(ctx, in, encodings)
	if err != nil {
		return Output{}, err
	}
	magic, err := hex.DecodeString(in.Python.Magic)
	if err != nil || len(magic) != 4 {
		return Output{}, fmt.Errorf("bytecode magic %q is not four bytes", in.Python.Magic)
	}
	groups, err := group(in, [4]byte(magic), encodings.Path)
	if err != nil {
		return Output{}, err
	}
	made := hook
	gone := make(map[string]bool)
	for _, name := range archives {
		if len(groups[name]) == 0 {
			continue
		}
		blob, err := pack(in, [4]byte(magic), groups[name])
		if err != nil {
			return Output{}, fmt.Errorf("archiving %s: %w", name, err)
		}
		file := path.Join(archiveDir, name+".pya")
		made = append(made, in.Store.Entry(file, 0o644, blob, archiveOrigin(name)))
		for _, e := range groups[name] {
			gone[e.Path] = true
			out.Moves = append(out.Moves, Move{From: e.Path, To: file, Member: memberName(e.Path)})
		}
	}
	out.Tree, err = in.Tree.Filter(func(e tree.Entry) bool { return !gone[e.Path] }).With(made...)
	return out, err
}

// hookFiles makes the importer and the package encodings that imports it. The
// statement comes first in encodings/__init__, so that all else, codecs
// included, may be archived: nothing was imported before from a file.
func hookFiles(ctx context.Context, in Input, encodings tree.Entry) ([]tree.Entry, error) {
	original, ok := in.Systems.Python.Resolve(path.Join(in.Python.Stdlib, "encodings/__init__.py"))
	if !ok {
		return nil, errors.New("the unreduced system has no source of the package encodings")
	}
	at := path.Join(path.Dir(path.Dir(encodings.Path)), importerName)
	from := tree.Origin{Kind: tree.Made, Name: "archive"}
	sources := []source{
		{Entry: original, Filename: "/" + strings.TrimSuffix(encodings.Path, "c"), Flags: uncheckedHash, Hook: true},
		{Entry: tree.File("importer.py", 0o644, importer, from), Filename: "/" + at + ".py", Flags: uncheckedHash},
	}
	results, err := compile(ctx, in, sources)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		if r.Err != "" {
			return nil, fmt.Errorf("compiling %s: %s", sources[i].Filename, r.Err)
		}
	}
	hooked := in.Store.Entry(encodings.Path, encodings.Mode.Perm(), results[0].Blob, encodings.From)
	hooked.UID, hooked.GID = encodings.UID, encodings.GID
	return []tree.Entry{hooked, in.Store.Entry(at+".pyc", 0o644, results[1].Blob, from)}, nil
}

// group lists what goes into which archive. Two files of the standard library
// stay: encodings, and os, by which an interpreter finds its prefix.
func group(in Input, magic [4]byte, encodings string) (map[string][]tree.Entry, error) {
	stay := []string{encodings, path.Join(in.Tree.Real(in.Python.Stdlib), "os.pyc")}
	for item := range strings.SplitSeq(in.Options["loose"], ",") {
		if item = strings.Trim(strings.TrimSpace(item), "/"); item != "" {
			stay = append(stay, item)
		}
	}
	groups := make(map[string][]tree.Entry)
	for e := range in.Tree.All() {
		stem, ok := strings.CutSuffix(path.Base(e.Path), ".pyc")
		if !ok || !e.IsRegular() || stale(e.Path) || !moduleName.MatchString(stem) || !utf8.ValidString(e.Path) ||
			path.Dir(e.Path) == "." || e.Size < pycHead || e.Size > maxModule || e.Mode.Perm()&0o444 != 0o444 ||
			slices.ContainsFunc(stay, func(dir string) bool { return e.Path == dir || strings.HasPrefix(e.Path, dir+"/") }) {
			continue
		}
		ours, err := unchecked(e, magic)
		if err != nil {
			return nil, err
		}
		if ours {
			name := archiveOf(ofProject(e.From, in.Options["project"]))
			groups[name] = append(groups[name], e)
		}
	}
	return groups, nil
}

// unchecked reports whether e is bytecode for the interpreter that has no use
// for its source.
func unchecked(e tree.Entry, magic [4]byte) (bool, error) {
	data, err := e.ReadAll(maxModule)
	if err != nil {
		return false, err
	}
	return len(data) > pycHead && [4]byte(data[:4]) == magic && binary.LittleEndian.Uint32(data[4:]) == uncheckedHash, nil
}

// pack writes an archive of the files, unless the store has it.
func pack(in Input, magic [4]byte, files []tree.Entry) (cas.Blob, error) {
	a := archive{Magic: magic, Deflate: hasZlib(in)}
	var contents [][2]string
	for _, e := range files {
		contents = append(contents, [2]string{e.Path, e.Sum})
	}
	key := cas.Key(pyaVersion, in.Python.Magic, a.Deflate, contents)
	var blob cas.Blob
	if in.Store.Lookup("archive", key, &blob) && in.Store.Has(blob) {
		return blob, nil
	}
	for _, e := range files {
		data, err := e.ReadAll(maxModule)
		if err != nil {
			return blob, err
		}
		dir, name := path.Split(strings.TrimSuffix(e.Path, ".pyc"))
		a.Modules = append(a.Modules, module{Dir: "/" + path.Clean(dir), Name: name, Code: data[pycHead:]})
	}
	var file bytes.Buffer
	if err := a.write(&file); err != nil {
		return blob, err
	}
	blob, err := in.Store.Put(&file)
	if err != nil {
		return blob, err
	}
	return blob, in.Store.Record("archive", key, blob)
}

// hasZlib reports whether the image's interpreter can decompress: zlib is
// built in, or is an extension module in the tree.
func hasZlib(in Input) bool {
	if slices.Contains(in.Python.Builtin, "zlib") {
		return true
	}
	for _, suffix := range in.Python.Suffixes {
		if _, ok := in.Tree.Resolve(path.Join(in.Python.DynLoad, "zlib"+suffix)); ok {
			return true
		}
	}
	return false
}
