package install

import "strings"

// machine is one entry of a .netrc.
type machine struct {
	name            string // "" is the default
	login, password string
}

type netrc []machine

// parseNetrc reads a .netrc as ftp(1) describes it: words in any layout, and
// macros that end at an empty line. What it does not understand it skips.
func parseNetrc(text string) netrc {
	var out netrc
	var words []string
	inMacro := false
	for line := range strings.SplitSeq(text, "\n") {
		fields := strings.Fields(line)
		switch {
		case inMacro:
			inMacro = len(fields) > 0
			continue
		case len(fields) > 0 && strings.HasPrefix(fields[0], "#"):
			continue
		case len(fields) > 0 && fields[0] == "macdef":
			inMacro = true
			continue
		}
		words = append(words, fields...)
	}
	for i := 0; i < len(words); i++ {
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch words[i] {
		case "machine":
			out = append(out, machine{name: strings.ToLower(value)})
			i++
		case "default":
			out = append(out, machine{})
		case "login", "user":
			if len(out) > 0 {
				out[len(out)-1].login = unquote(value)
			}
			i++
		case "password":
			if len(out) > 0 {
				out[len(out)-1].password = unquote(value)
			}
			i++
		case "account":
			i++
		}
	}
	return out
}

// unquote drops the quotes that some tools write around words.
func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// lookup finds the first entry for a host, or the default.
func (n netrc) lookup(host string) (user, password string, ok bool) {
	for _, m := range n {
		if m.name == strings.ToLower(host) || m.name == "" {
			return m.login, m.password, true
		}
	}
	return "", "", false
}
