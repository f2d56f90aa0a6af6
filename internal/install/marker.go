package install

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"

	"exuvia/internal/project"
	"exuvia/internal/python"
)

// environment is what markers are evaluated in (PEP 508, with the sets of
// PEP 751).
type environment struct {
	vars   map[string]string
	extras []string // normalised
	groups []string // normalised
}

// environmentOf describes the target. Variables of the machine that builds,
// such as the kernel's release, are empty: an image must not depend on them.
func environmentOf(rt *python.Runtime, extras, groups []string) environment {
	machine := strings.TrimPrefix(rt.Platform, "linux-")
	return environment{
		vars: map[string]string{
			"os_name": "posix", "sys_platform": "linux", "platform_machine": machine, "platform_python_implementation": "CPython",
			"platform_release": "", "platform_system": "Linux", "platform_version": "", "python_version": rt.Version,
			"python_full_version": rt.Full, "implementation_name": "cpython", "implementation_version": rt.Full, "extra": "",
		},
		extras: extras, groups: groups,
	}
}

// maxMarker bounds a marker, in bytes; uv writes ones of a few kilobytes.
const maxMarker = 64 << 10

// holds evaluates a marker; "" holds everywhere.
func (env environment) holds(marker string) (bool, error) {
	if strings.TrimSpace(marker) == "" {
		return true, nil
	}
	if len(marker) > maxMarker {
		return false, fmt.Errorf("marker of %d bytes is too long", len(marker))
	}
	tokens, err := markerTokens(marker)
	if err != nil {
		return false, fmt.Errorf("marker %q: %w", marker, err)
	}
	p := &markerParser{tokens: tokens, env: env}
	ok, err := p.or(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q is too much", p.tokens[0].text)
	}
	if err != nil {
		return false, fmt.Errorf("marker %q: %w", marker, err)
	}
	return ok, nil
}

// token is a word, an operator, a parenthesis or a quoted string.
type token struct {
	text   string
	quoted bool
}

func markerTokens(s string) ([]token, error) {
	var out []token
	for s = strings.TrimLeft(s, " \t\n"); s != ""; s = strings.TrimLeft(s, " \t\n") {
		switch c := s[0]; {
		case c == '"' || c == '\'':
			end := strings.IndexByte(s[1:], c)
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			out = append(out, token{s[1 : 1+end], true})
			s = s[end+2:]
		case c == '(' || c == ')':
			out = append(out, token{s[:1], false})
			s = s[1:]
		case strings.IndexByte("<>=!~", c) >= 0:
			n := len(s) - len(strings.TrimLeft(s, "<>=!~"))
			out = append(out, token{s[:n], false})
			s = s[n:]
		default:
			n := strings.IndexFunc(s, func(r rune) bool { return !wordRune(r) })
			if n < 0 {
				n = len(s)
			}
			if n == 0 {
				return nil, fmt.Errorf("%q has no meaning here", s[:1])
			}
			out = append(out, token{s[:n], false})
			s = s[n:]
		}
	}
	return out, nil
}

func wordRune(r rune) bool {
	return r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// markerParser evaluates while it parses.
type markerParser struct {
	tokens []token
	env    environment
}

// maxNesting bounds parentheses in parentheses.
const maxNesting = 100

func (p *markerParser) next() (token, bool) {
	if len(p.tokens) == 0 {
		return token{}, false
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t, true
}

func (p *markerParser) keyword(word string) bool {
	if len(p.tokens) > 0 && !p.tokens[0].quoted && p.tokens[0].text == word {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *markerParser) or(depth int) (bool, error) {
	ok, err := p.and(depth)
	for err == nil && p.keyword("or") {
		var more bool
		more, err = p.and(depth)
		ok = ok || more
	}
	return ok, err
}

func (p *markerParser) and(depth int) (bool, error) {
	ok, err := p.atom(depth)
	for err == nil && p.keyword("and") {
		var more bool
		more, err = p.atom(depth)
		ok = ok && more
	}
	return ok, err
}

func (p *markerParser) atom(depth int) (bool, error) {
	if !p.keyword("(") {
		return p.comparison()
	}
	if depth > maxNesting {
		return false, errors.New("nested too deeply")
	}
	ok, err := p.or(depth + 1)
	if err == nil && !p.keyword(")") {
		err = errors.New("a parenthesis is not closed")
	}
	return ok, err
}

// operand is one side of a comparison.
type operand struct {
	value string
	set   []string // of extras and dependency_groups
	isSet bool
	name  string // of a variable
}

func (p *markerParser) operand() (operand, error) {
	t, ok := p.next()
	switch {
	case !ok:
		return operand{}, errors.New("it ends too early")
	case t.quoted:
		return operand{value: t.text}, nil
	case t.text == "extras":
		return operand{set: p.env.extras, isSet: true, name: t.text}, nil
	case t.text == "dependency_groups":
		return operand{set: p.env.groups, isSet: true, name: t.text}, nil
	case t.text == "extra":
		return operand{set: p.env.extras, name: t.text}, nil
	}
	name := strings.ReplaceAll(t.text, ".", "_") // os.name, of long ago
	if name == "python_implementation" {
		name = "platform_python_implementation"
	}
	v, known := p.env.vars[name]
	if !known {
		return operand{}, fmt.Errorf("there is no variable %q", t.text)
	}
	return operand{value: v, name: name}, nil
}

func (p *markerParser) comparison() (bool, error) {
	left, err := p.operand()
	if err != nil {
		return false, err
	}
	op, ok := p.next()
	if !ok || op.quoted {
		return false, errors.New("a comparison has no operator")
	}
	if op.text == "not" {
		if !p.keyword("in") {
			return false, errors.New(`"not" without "in"`)
		}
		op.text = "not in"
	}
	right, err := p.operand()
	if err != nil {
		return false, err
	}
	return compare(left, op.text, right)
}

// compare compares as versions where both sides are, else as text.
func compare(left operand, op string, right operand) (bool, error) {
	if left.name == "extra" || right.name == "extra" {
		set, value := left.set, right.value
		if right.name == "extra" {
			set, value = right.set, left.value
		}
		has := slices.Contains(set, project.Normalise(value))
		switch op {
		case "==", "in":
			return has, nil
		case "!=", "not in":
			return !has, nil
		}
		return false, fmt.Errorf("extra cannot be compared by %s", op)
	}
	if left.isSet || right.isSet {
		has := right.isSet && !left.isSet && slices.Contains(right.set, project.Normalise(left.value))
		switch op {
		case "in":
			return has, nil
		case "not in":
			return !has, nil
		}
		return false, fmt.Errorf("a set cannot be compared by %s", op)
	}
	switch op {
	case "in":
		return strings.Contains(right.value, left.value), nil
	case "not in":
		return !strings.Contains(right.value, left.value), nil
	case "<", "<=", "==", "!=", ">=", ">", "~=", "===":
	default:
		return false, fmt.Errorf("there is no operator %q", op)
	}
	if v, err := pep440.Parse(left.value); err == nil && right.value != "" {
		if specs, err := pep440.NewSpecifiers(op+right.value, pep440.WithPreRelease(true)); err == nil {
			return specs.Check(v), nil
		}
	}
	return compareText(left.value, op, right.value)
}

func compareText(a, op, b string) (bool, error) {
	switch op {
	case "==", "===":
		return a == b, nil
	case "!=":
		return a != b, nil
	case "<":
		return a < b, nil
	case "<=":
		return a <= b, nil
	case ">":
		return a > b, nil
	case ">=":
		return a >= b, nil
	}
	return false, fmt.Errorf("%q and %q cannot be compared by %s", a, b, op)
}
