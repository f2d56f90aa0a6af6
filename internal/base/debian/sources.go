package debian

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is read of the host's configuration.
const (
	maxSources = 1 << 20
	maxKeyring = 8 << 20
)

// source is one place that apt fetches Debian from, for one suite.
type source struct {
	URI      *url.URL
	Suite    string // as the host has it
	SignedBy string // paths, fingerprints or an armoured key; "" for the host's keyrings
	// What the options of the source say of the dates in a Release file.
	NoDate, NoValidUntil bool
}

// host is where the host's configuration is read. It is the user's own, so
// its links are followed and only its size is bounded.
type host struct {
	dir string
	log *slog.Logger
}

// read gives a file below the root; what is not there is fs.ErrNotExist.
func (h host) read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(h.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return data, err
}

// list names the files in a directory that apt would read, in order: letters,
// digits, "-", "_" and "." only, with one of the extensions. A directory that
// is not there has none.
func (h host) list(dir string, extensions ...string) []string {
	entries, err := os.ReadDir(filepath.Join(h.dir, filepath.FromSlash(dir)))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		plain := strings.Trim(strings.ToLower(e.Name()), "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
		if plain && !e.IsDir() && slices.Contains(extensions, path.Ext(e.Name())) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names
}

// conf reads apt.conf.d and apt.conf.
func (h host) conf() (conf, error) {
	c := make(conf)
	for _, name := range append(h.list("etc/apt/apt.conf.d", "", ".conf"), "etc/apt/apt.conf") {
		data, err := h.read(name, maxSources)
		if err != nil {
			continue
		}
		if err := c.parse(string(data)); err != nil {
			return nil, fmt.Errorf("/%s: %w", name, err)
		}
	}
	return c, nil
}

// sources reads sources.list and sources.list.d and keeps what names a suite
// of Debian. Lines that cannot be read are logged: apt itself refuses to run
// with them, but here another source may do.
func (h host) sources() []source {
	var out []source
	for _, name := range append([]string{"etc/apt/sources.list"}, h.list("etc/apt/sources.list.d", ".list", ".sources")...) {
		data, err := h.read(name, maxSources)
		if err != nil {
			continue
		}
		parse := parseOneLine
		if path.Ext(name) == ".sources" {
			parse = parseDeb822
		}
		found, err := parse(data)
		if err != nil {
			h.log.Warn("apt source not understood", "file", "/"+name, "error", err)
		}
		for _, s := range found {
			out = append(out, h.expand(s)...)
		}
	}
	return out
}

// expand replaces a mirror list, as Debian's cloud images have it
// (apt-transport-mirror(1)), by the mirrors in it.
func (h host) expand(s source) []source {
	if s.URI.Scheme != "mirror+file" {
		return []source{s}
	}
	data, err := h.read(s.URI.Path, maxSources)
	if err != nil {
		h.log.Warn("mirror list not readable", "file", s.URI.Path, "error", err)
		return nil
	}
	var out []source
	for text := range strings.Lines(string(data)) {
		words := strings.Fields(text)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if u, ok := archiveURI(words[0]); ok && u.Scheme != "mirror+file" {
			one := s
			one.URI = u
			out = append(out, one)
		}
	}
	return out
}

// archiveURI reads the address of an archive that can be fetched from.
func archiveURI(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return nil, false
	}
	switch u.Scheme {
	case "http", "https":
		return u, u.Host != ""
	case "mirror+file":
		return u, u.Path != ""
	}
	return nil, false
}

// parseOneLine reads the one-line style of sources.list(5):
//
//	deb [ signed-by=/k.gpg check-date=no ] http://host/debian bookworm main
func parseOneLine(data []byte) ([]source, error) {
	var (
		out  []source
		errs []string
	)
	for text := range strings.Lines(string(data)) {
		text, _, _ = strings.Cut(text, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(text), "deb")
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], " \t[") {
			continue
		}
		options := make(map[string]string)
		rest = strings.TrimSpace(rest)
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			inner, after, closed := strings.Cut(inner, "]")
			if !closed {
				errs = append(errs, strings.TrimSpace(text))
				continue
			}
			for option := range strings.FieldsSeq(inner) {
				k, v, _ := strings.Cut(option, "=")
				options[strings.ToLower(strings.TrimRight(k, "+-"))] = v
			}
			rest = after
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			errs = append(errs, strings.TrimSpace(text))
			continue
		}
		options["signed-by"] = strings.ReplaceAll(options["signed-by"], ",", " ")
		out = append(out, makeSources(words[:1], words[1:2], words[2:], options)...)
	}
	if errs != nil {
		return out, fmt.Errorf("not a source: %q", errs)
	}
	return out, nil
}

// parseDeb822 reads the stanza style of sources.list(5).
func parseDeb822(data []byte) ([]source, error) {
	stanzas, err := paragraphs(bytes.NewReader(data), true)
	var out []source
	for _, p := range stanzas {
		if conf(p).no("enabled") || !slices.Contains(strings.Fields(p["types"]), "deb") {
			continue
		}
		out = append(out, makeSources(strings.Fields(p["uris"]), strings.Fields(p["suites"]), strings.Fields(p["components"]), p)...)
	}
	return out, err
}

// makeSources makes a source of every URI and suite that can be Debian's main
// archive or one of its companions.
func makeSources(uris, suites, components []string, options map[string]string) []source {
	if !slices.Contains(components, "main") {
		return nil
	}
	var out []source
	for _, uri := range uris {
		u, ok := archiveURI(uri)
		if !ok {
			continue
		}
		for _, suite := range suites {
			if _, ok := roleOf(suite); !ok {
				continue
			}
			noDate := conf(options).no("check-date")
			out = append(out, source{
				URI: u, Suite: suite, SignedBy: strings.TrimSpace(options["signed-by"]),
				NoDate: noDate, NoValidUntil: noDate || conf(options).no("check-valid-until"),
			})
		}
	}
	return out
}

// role is what a suite is beside the release that it belongs to.
type role string

const (
	mainRole     role = ""
	updatesRole  role = "-updates"
	securityRole role = "-security"
)

// roleOf tells the role of a suite as a host may have it in its sources.
// Before bullseye, security was called "buster/updates".
func roleOf(suite string) (role, bool) {
	name, r := suite, mainRole
	for _, suffix := range []role{updatesRole, securityRole, "/updates"} {
		if cut, ok := strings.CutSuffix(suite, string(suffix)); ok {
			name, r = cut, suffix
			break
		}
	}
	if r == "/updates" {
		r = securityRole
	}
	return r, slices.Contains([]string{
		"buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
		"oldoldstable", "oldstable", "stable", "testing", "unstable",
	}, name)
}

// mirrorSources makes sources of the setting that stands in for apt's: the
// address of the archive and, if it is elsewhere than beside it, that of the
// security archive.
func mirrorSources(setting, keyring string) ([]source, error) {
	words := strings.Fields(setting)
	if len(words) == 0 {
		return nil, nil
	}
	if len(words) == 1 {
		words = append(words, strings.TrimSuffix(words[0], "/")+"-security")
	}
	var out []source
	for i, word := range words {
		u, ok := archiveURI(word)
		if !ok || u.Scheme == "mirror+file" || i > 1 {
			return nil, fmt.Errorf("%q is not the address of an archive, optionally followed by that of its security archive", setting)
		}
		if i == 0 {
			out = append(out, source{URI: u, Suite: "stable", SignedBy: keyring}, source{URI: u, Suite: "stable-updates", SignedBy: keyring})
		} else {
			out = append(out, source{URI: u, Suite: "stable-security", SignedBy: keyring})
		}
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
