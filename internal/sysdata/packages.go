package sysdata

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"exuvia/internal/tree"
)

// maxStatus bounds dpkg's list of packages, in bytes. A desktop's has 6 MB.
const maxStatus = 64 << 20

// common are data packages with rules of their own, or that packages depend on
// for their scripts.
var common = map[string]bool{
	"base-files": true, "base-passwd": true, "ca-certificates": true, "debconf": true, "libc-bin": true, "media-types": true,
	"netbase": true, "perl-base": true, "tzdata": true, "ucf": true,
}

// interpreter are Debian's packages of Python, of which every module and file
// has finders that know better.
var interpreter = regexp.MustCompile(`^(lib)?python3(\.\d+)?(-|$)`)

// dataPackages gives, for each Debian package that depends on packages which
// have nothing but data, the files of these. Such data, as libmagic1's or
// tesseract's, is what a library reads that is split from it because all
// machines share it.
func dataPackages(t *tree.Tree) (map[string][]string, error) {
	e, ok := t.Resolve("var/lib/dpkg/status")
	if !ok || !e.IsRegular() {
		return nil, nil
	}
	status, err := e.ReadAll(maxStatus)
	if err != nil {
		return nil, fmt.Errorf("reading which packages the system has: %w", err)
	}
	files := dataOnly(t)
	out := make(map[string][]string)
	for name, depends := range dependencies(string(status)) {
		if interpreter.MatchString(name) {
			continue
		}
		for _, d := range depends {
			if !common[d] && !interpreter.MatchString(d) {
				out[name] = append(out[name], files[d]...)
			}
		}
	}
	return out, nil
}

// code are directories of programs and of modules that something imports.
var code = regexp.MustCompile(`^(usr/)?(bin|sbin|games|lib/python3[^/]*|share/perl5?|share/python3)/|\.(so(\.[\d.]+)?|py|pl|pm|a|h)$`)

// unread are parts of packages that people read.
var unread = regexp.MustCompile(`^usr/share/(doc|man|info|lintian|bug|locale|bash-completion|doc-base|menu|icons)/`)

// dataOnly lists the files of packages that have neither code nor libraries.
func dataOnly(t *tree.Tree) map[string][]string {
	out := make(map[string][]string)
	has := make(map[string]bool) // code
	for e := range t.All() {
		if e.From.Kind != tree.Deb || e.IsDir() {
			continue
		}
		name := e.From.Name
		has[name] = has[name] || code.MatchString(e.Path)
		if !unread.MatchString(e.Path) {
			out[name] = append(out[name], e.Path)
		}
	}
	for name := range has {
		if has[name] {
			delete(out, name)
		}
	}
	return out
}

// dependencies reads of dpkg's status what each package depends on, all
// alternatives, without versions. Lines that it does not understand it skips:
// what follows from them the comparison sees.
func dependencies(status string) map[string][]string {
	out := make(map[string][]string)
	var name, field string
	for line := range strings.Lines(status) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			name, field = "", ""
			continue
		}
		value := line
		if line[0] != ' ' && line[0] != '\t' {
			field, value, _ = strings.Cut(line, ":")
		}
		switch field {
		case "Package":
			name = strings.TrimSpace(value)
		case "Depends", "Pre-Depends":
			for _, alternative := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '|' }) {
				d, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
				d, _, _ = strings.Cut(d, ":")
				if d, _, _ = strings.Cut(d, "("); d != "" && d == path.Base(d) && name != "" {
					out[name] = append(out[name], d)
				}
			}
		}
	}
	return out
}
