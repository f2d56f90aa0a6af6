package reduce

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/elffile"
	"exuvia/internal/fault"
	"exuvia/internal/report"
	"exuvia/internal/sharedlib"
	"exuvia/internal/tree"
)

// UPX packs executables.
var UPX = Pass{
	Name:  "upx",
	Short: "programs are packed with UPX",
	Doc: `Packs programs with UPX: each is a small one that unpacks itself in memory when it
starts. The image takes less room and hardly less to download, a start takes
longer, and processes share no memory of what was packed. With the option
libraries=true it packs shared libraries too. Each packed file is loaded in the
unreduced system. What UPX refuses or does not make smaller, what does not load
or cannot be tried stays as it was, and one note names all of that with the
reason. The C library and its loader stay in any case, as do programs that read
an archive in their own file and those that run with another's rights.`,
	Options: []string{"libraries"},
	Run:     runUPX,
}

func runUPX(ctx context.Context, in Input) (Output, error) {
	libraries, err := onOff("upx", "libraries", in.Options)
	if err != nil {
		return Output{}, err
	}
	if in.Systems.UPX == nil {
		return Output{}, fmt.Errorf("packing: there is no system with upx")
	}
	var files []rewriting
	var left []leftover
	notes, err := objects(in, "upx", func(e tree.Entry, f *elffile.File) {
		if !program(f) && !libraries {
			return
		}
		if why := unpackable(e, f); why != "" {
			left = append(left, leftover{e.Path, why})
			return
		}
		// A static program cannot be tried without starting it in earnest.
		files = append(files, rewriting{entry: e, tool: packing, unpack: program(f) && f.Interp != ""})
	})
	if err != nil {
		return Output{}, err
	}
	out, more, err := rewriter{pass: "upx", step: "packing", tools: in.Systems.UPX, accept: acceptPacked, strict: true}.work(ctx, in, files)
	out.Notes = slices.Concat(notes, packingNotes(slices.Concat(left, more)))
	return out, err
}

// onOff reads an option that is "true", or "false" as without it.
func onOff(pass, name string, options map[string]string) (bool, error) {
	switch v := options[name]; v {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	default:
		return false, fault.New(fault.Usage, "use true or false", "the option %s of the pass %s cannot be %q", name, pass, v)
	}
}

// unpackable says why a file must not be packed; "" if it may.
func unpackable(e tree.Entry, f *elffile.File) string {
	switch {
	case sharedlib.OfLibc(f.Soname):
		return "it is a part of the C library"
	case f.CarriesData():
		return "it carries an archive, which it would not find any more"
	case e.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 || len(e.Xattrs) > 0:
		return "it may run with other rights than its user's"
	case strings.Contains(f.Interp, "musl"):
		return "its loader cannot try it without starting it"
	}
	return ""
}

// packing is the command line. LZMA would pack better; but libraries so packed
// die when they are loaded, without a word.
func packing(from, to string) []string {
	return []string{"/bin/sh", "-c", `upx -9 -qq -o "$2" "$1" && upx -t -qq "$2"`, "upx", from, to}
}

// acceptPacked sees to it that a loader reads of a packed library what it read
// before. Of a packed program no loader reads anything.
func acceptPacked(old, packed []byte) (why string, useless bool) {
	a, err := elffile.Read(bytes.NewReader(old), int64(len(old)))
	if err != nil {
		return err.Error(), false
	}
	b, err := elffile.Read(bytes.NewReader(packed), int64(len(packed)))
	switch {
	case err != nil:
		return err.Error(), false
	case len(packed) >= len(old):
		return "it is not smaller", false
	case a.Machine != b.Machine:
		return "it is for another machine", false
	case program(a):
		return "", false
	case a.Type != b.Type || a.Soname != b.Soname || !slices.Equal(a.Needed, b.Needed) || !reflect.DeepEqual(a.Needs, b.Needs) ||
		!slices.Equal(a.Versions, b.Versions) || !slices.Equal(ownPath(a), ownPath(b)):
		return "it is another library", false
	}
	return "", false
}

// refusal is how upx says that it does not pack a file.
var refusal = regexp.MustCompile(`\b(\w+)Exception(?:: (.*))?$`)

// packingNotes say of all files at once why they stay, by reason: there are
// as many as a system has libraries.
func packingNotes(left []leftover) []report.Note {
	if len(left) == 0 {
		return nil
	}
	var reasons []string // in the order in which they come up
	paths := make(map[string][]string)
	for _, l := range left {
		why := l.why
		if m := refusal.FindStringSubmatch(why); m != nil {
			why = "UPX refuses it"
			switch {
			case m[1] == "NotCompressible":
				why = "too small to gain"
			case m[2] != "":
				why += ": " + m[2]
			}
		}
		if paths[why] == nil {
			reasons = append(reasons, why)
		}
		paths[why] = append(paths[why], l.path)
	}
	var parts []string
	for _, why := range reasons {
		slices.Sort(paths[why])
		parts = append(parts, strings.Join(paths[why], ", ")+" ("+why+")")
	}
	return []report.Note{{Where: "upx", Text: fmt.Sprintf("%d files stay as they were: %s", len(left), strings.Join(parts, "; "))}}
}
