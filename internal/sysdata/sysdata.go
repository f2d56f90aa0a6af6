// Package sysdata finds the data of the system that files read by themselves,
// so that nothing links to it: what a library opens (OpenSSL's trust, terminal
// descriptions), the data packages of Debian that a kept package depends on,
// locales and files of the system that sources name. It is a reach.Finder that
// looks at the tree only. What any process may lean on, whatever the code says,
// is the runtime contract, and not here.
package sysdata

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/reach"
	"exuvia/internal/tree"
)

// The kinds of edges.
const (
	KindRead   = "system data" // what a library reads by itself
	KindLocale = "locale"      // a locale that a source names
	KindPath   = "path"        // a file of the system that a source names
)

// Input is what a Finder is made of.
type Input struct {
	Tree *tree.Tree
	// Own reports whether a file is the project's own: only such a file's
	// strings are taken for names of locales. It may be nil.
	Own func(tree.Entry) bool
	// Locales are names of locales that the image's environment sets.
	Locales []string
}

// Finder is a [reach.Finder]. It keeps no state between calls.
type Finder struct {
	in      Input
	data    map[string][]string // Debian package → files of the data packages that it depends on
	locales map[string]string   // locale, as it is looked up → its directory
}

// New reads which packages the system has.
func New(in Input) (*Finder, error) {
	f := &Finder{in: in, locales: make(map[string]string)}
	var err error
	if f.data, err = dataPackages(in.Tree); err != nil {
		return nil, err
	}
	for _, e := range in.Tree.Children(localeDir) {
		if e.IsDir() {
			f.locales[plainLocale(path.Base(e.Path))] = e.Path
		}
	}
	return f, nil
}

// opened are files that a library opens by itself, by how its name begins.
// What the system does not have of them it does not need.
var opened = []struct {
	library []string
	paths   []string
	why     string
}{
	{
		[]string{"libssl.so", "_ssl."},
		[]string{"etc/ssl/certs/ca-certificates.crt", "usr/lib/ssl/cert.pem", "usr/lib/ssl/certs", "etc/ssl/openssl.cnf", "usr/lib/ssl/openssl.cnf"},
		"OpenSSL's default trust",
	},
	{[]string{"libtinfo.so", "libtinfow.so", "libncurses.so", "libncursesw.so"}, []string{"etc/terminfo", "lib/terminfo", "usr/lib/terminfo", "usr/share/terminfo"}, "descriptions of terminals: TERM may name any"},
	{[]string{"libfontconfig.so"}, []string{"etc/fonts", "usr/share/fontconfig", "usr/share/fonts", "usr/local/share/fonts"}, "fonts and how they are found"},
	{[]string{"_imagingft."}, []string{"usr/share/fonts", "usr/local/share/fonts"}, "fonts are found by their names"},
	{[]string{"libgdk_pixbuf-2.0.so", "libgio-2.0.so"}, []string{"usr/share/mime", "usr/share/glib-2.0/schemas"}, "types of files, and settings"},
}

// Find implements [reach.Finder].
func (f *Finder) Find(_ context.Context, e tree.Entry) ([]reach.Edge, error) {
	if e.IsDir() {
		return nil, nil
	}
	var out []reach.Edge
	base := path.Base(e.Path)
	for _, o := range opened {
		for _, begin := range o.library {
			if strings.HasPrefix(base, begin) {
				out = f.add(out, o.paths, KindRead, o.why)
			}
		}
	}
	if e.From.Kind == tree.Deb {
		out = f.add(out, f.data[e.From.Name], KindRead, e.From.Name+" depends on its package")
	}
	if path.Ext(e.Path) == ".py" && e.IsRegular() {
		named, err := f.source(e)
		if err != nil {
			return nil, err
		}
		out = append(out, named...)
	}
	return out, nil
}

// add adds edges to those of the paths that are there, and no directory that
// is empty.
func (f *Finder) add(out []reach.Edge, paths []string, kind, note string) []reach.Edge {
	for _, p := range paths {
		if e, ok := f.in.Tree.Resolve(p); ok && (!e.IsDir() || len(f.in.Tree.Children(e.Path)) > 0) {
			out = append(out, reach.Edge{To: p, Kind: kind, Note: note, Optional: true})
		}
	}
	return out
}

// maxSource bounds a Python source that is looked through, in bytes.
const maxSource = 8 << 20

// systemFile is a string that names a file of the system. Programs are not
// among them: they are many, and hardly any of those named is started.
var systemFile = regexp.MustCompile(`/(?:etc|usr/share|usr/lib|var/lib)/[\w.+/@-]+["']`)

// systemFiles lists the files of the system that a text has in quotes. That the
// expression begins with a slash, not with a quote, makes it many times faster.
func systemFiles(text []byte) []string {
	var out []string
	for _, at := range systemFile.FindAllIndex(text, -1) {
		if at[0] > 0 && (text[at[0]-1] == '"' || text[at[0]-1] == '\'') {
			out = append(out, string(text[at[0]+1:at[1]-1]))
		}
	}
	return out
}

// source adds what a source names.
func (f *Finder) source(e tree.Entry) ([]reach.Edge, error) {
	if e.Size > maxSource {
		return nil, nil
	}
	text, err := e.ReadAll(maxSource)
	if err != nil {
		return nil, err
	}
	var out []reach.Edge
	for _, p := range systemFiles(text) {
		if r, ok := f.in.Tree.Resolve(p); ok && r.IsRegular() && path.Clean(p) == p {
			out = f.add(out, []string{p}, KindPath, "named in "+e.Path)
		}
	}
	if f.in.Own != nil && f.in.Own(e) {
		names := slices.Clone(f.in.Locales)
		for _, m := range localeName.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
		for _, n := range names {
			out = f.locale(out, n, e.Path)
		}
	}
	return out, nil
}

// localeDir is where the C library has its locales, each a directory, or many
// of them in one file.
const (
	localeDir     = "usr/lib/locale"
	localeArchive = localeDir + "/locale-archive"
)

// localeName is a string that looks like a locale: "de_DE.UTF-8", "ca_ES@euro".
var localeName = regexp.MustCompile(`["']([a-z]{2,3}_[A-Z]{2}(?:\.[\w-]+)?(?:@\w+)?)["']`)

// locale adds the data of a locale, if the system has it.
func (f *Finder) locale(out []reach.Edge, name, by string) []reach.Edge {
	note := name + " in " + by
	if dir, ok := f.locales[plainLocale(name)]; ok {
		return f.add(out, []string{dir}, KindLocale, note)
	}
	return f.add(out, []string{localeArchive}, KindLocale, note)
}

// plainLocale is a locale as the C library looks it up, whatever way the
// codeset is written: "UTF-8" and "utf8" are one.
func plainLocale(name string) string {
	language, rest, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	codeset, modifier, modified := strings.Cut(rest, "@")
	out := language + "." + strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(codeset))
	if modified {
		out += "@" + modifier
	}
	return out
}
