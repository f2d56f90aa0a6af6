package debian

import (
	"errors"
	"slices"
	"strings"
)

// conf is what apt.conf files say: lower-case names such as
// "acquire::check-date" and the last value of each.
type conf map[string]string

// parseConf adds the settings of one file in the syntax of apt.conf(5) to c.
//
//	Acquire::Check-Date "false";
//	Acquire { http { Proxy "http://proxy:3128"; }; };
//	#clear Acquire::http::Proxy;
func (c conf) parse(text string) error {
	var (
		scopes []string // the names of the open braces, "" for an anonymous one
		words  []string // since the last ; or brace
	)
	tokens := confTokens{rest: text}
	for {
		token, quoted, err := tokens.next()
		switch {
		case err != nil:
			return err
		case quoted:
			words = append(words, token)
		case token == "":
			if len(scopes) > 0 {
				return errors.New("a brace is not closed")
			}
			return nil
		case token == "{":
			scopes, words = append(scopes, strings.Join(words, "")), nil
		case token == "}" && len(scopes) == 0:
			return errors.New("a brace is closed that was not opened")
		case token == "}":
			scopes, words = scopes[:len(scopes)-1], nil
		case token == ";":
			c.set(scopes, words)
			words = nil
		default:
			words = append(words, token)
		}
	}
}

// set takes one statement. List items, which have a value but no name, are of
// no interest here.
func (c conf) set(scopes, words []string) {
	name := func(last string) string {
		return strings.ToLower(strings.Join(append(slices.Clip(scopes), last), "::"))
	}
	switch {
	case len(words) == 2 && strings.EqualFold(words[0], "#clear"):
		gone := name(words[1])
		for k := range c {
			if k == gone || strings.HasPrefix(k, gone+"::") {
				delete(c, k)
			}
		}
	case len(words) == 2 && !strings.HasSuffix(words[0], "::"):
		c[name(words[0])] = words[1]
	}
}

// no reports whether a setting is there and switched off; apt.conf(5) knows
// several words for that.
func (c conf) no(name string) bool {
	switch strings.ToLower(c[name]) {
	case "no", "false", "without", "off", "disable", "0":
		return true
	}
	return false
}

// confTokens cuts apt.conf text into words, quoted strings, braces and
// semicolons, without comments.
type confTokens struct{ rest string }

func (t *confTokens) next() (token string, quoted bool, err error) {
	if err := t.skip(); err != nil || t.rest == "" {
		return "", false, err
	}
	switch t.rest[0] {
	case '{', '}', ';':
		token, t.rest = t.rest[:1], t.rest[1:]
		return token, false, nil
	case '"':
		token, rest, ok := strings.Cut(t.rest[1:], `"`)
		if !ok {
			return "", false, errors.New("a quotation mark is not closed")
		}
		t.rest = rest
		return token, true, nil
	}
	end := strings.IndexAny(t.rest, " \t\r\n{};\"")
	if end < 0 {
		end = len(t.rest)
	}
	token, t.rest = t.rest[:end], t.rest[end:]
	return token, false, nil
}

// skip passes blanks and comments. "#clear" and "#include" look like comments
// and are none.
func (t *confTokens) skip() error {
	for {
		t.rest = strings.TrimLeft(t.rest, " \t\r\n")
		low := strings.ToLower(t.rest[:min(len(t.rest), len("#include"))])
		switch {
		case strings.HasPrefix(low, "#clear"), low == "#include":
			return nil
		case strings.HasPrefix(t.rest, "//"), strings.HasPrefix(t.rest, "#"):
			_, t.rest, _ = strings.Cut(t.rest, "\n")
		case strings.HasPrefix(t.rest, "/*"):
			_, rest, ok := strings.Cut(t.rest[2:], "*/")
			if !ok {
				return errors.New("a comment is not closed")
			}
			t.rest = rest
		default:
			return nil
		}
	}
}
