package project

import (
	"regexp"
	"strings"

	"exuvia/internal/fault"
)

// block is a block of inline metadata, by the regular expression of PEP 723.
var block = regexp.MustCompile(`(?m)^# /// ([a-zA-Z0-9-]+)[ \t]*\n((?:^#(?:| .*)\n)+)^# ///[ \t]*$`)

// inline is the metadata of a script.
type inline struct {
	RequiresPython string   `toml:"requires-python"`
	Dependencies   []string `toml:"dependencies"`
}

// inlineMetadata finds the PEP 723 metadata of a script. It reports false
// where there is none; two blocks of metadata are an error, as the PEP says.
func inlineMetadata(name string, data []byte) (document, bool, error) {
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	var found []document
	for _, m := range block.FindAllStringSubmatchIndex(text, -1) {
		if text[m[2]:m[3]] != "script" {
			continue
		}
		var b strings.Builder
		for line := range strings.SplitSeq(strings.TrimSuffix(text[m[4]:m[5]], "\n"), "\n") {
			line = strings.TrimPrefix(line, "#")
			b.WriteString(strings.TrimPrefix(line, " "))
			b.WriteByte('\n')
		}
		found = append(found, document{name: name, data: []byte(b.String()), first: strings.Count(text[:m[4]], "\n"), block: []byte(text[m[0]:m[1]] + "\n")})
	}
	switch len(found) {
	case 0:
		return document{}, false, nil
	case 1:
		return found[0], true, nil
	}
	return document{}, false, fault.New(fault.Project, "leave one of them", "%s has %d blocks of script metadata", found[1].place(0), len(found))
}
