package verify

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// maxHelp is how much of a help text is read, in bytes.
const maxHelp = 256 << 10

var (
	escapes      = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	usageLine    = regexp.MustCompile(`(?i)^\s*usage:`)
	usageChoices = regexp.MustCompile(`\{([^{}\s]+)\}\s+\.\.\.`) // of argparse; choices of an option or argument have no dots
	usageCommand = regexp.MustCompile(`\bCOMMAND\b`)             // of click
	boxTitle     = regexp.MustCompile(`^[╭┌┏+][─━-]+ (.+?) [─━-]+[╮┐┓+]$`)
	boxRow       = regexp.MustCompile(`^[│┃|](.*)[│┃|]$`)
	commandTitle = regexp.MustCompile(`(?i)^(?:[\w-]+ )*(?:sub-?)?commands?:?$`)
	argumentBox  = regexp.MustCompile(`(?i)option|argument|parameter|usage|error`)
	appTitle     = regexp.MustCompile(`^\[[\w.-]+\]$`) // of Django
	columns      = regexp.MustCompile(` {2,}`)
	commandName  = regexp.MustCompile(`^[A-Za-z0-9][\w.:+-]{0,63}$`)
	placeholder  = regexp.MustCompile(`^[\[<{(A-Z.]`)
)

// subcommands lists those that a help text names, each once, in the order in
// which they stand there. It knows what click, typer and cyclopts (plain and
// in boxes), argparse and Django print, and sections that are called commands,
// as of cobra. It guesses: what it takes for one may be none, and one that is
// told of in prose is not seen.
//
//	usage: tool [-h] {init,i,run} ...     →  init, run
//
//	positional arguments:
//	  {init,i,run}
//	    init (i)    make one
func subcommands(help []byte) []string {
	p := helpParser{aliases: make(map[string]bool), seen: make(map[string]bool)}
	text := string(help[:min(len(help), maxHelp)])
	text = strings.ReplaceAll(escapes.ReplaceAllString(text, ""), "\t", "    ")
	lines := strings.Split(text, "\n")
	p.usage(lines)
	for _, l := range lines {
		p.line(strings.TrimRight(l, " \r"))
	}
	return slices.DeleteFunc(p.names, func(n string) bool { return p.aliases[n] })
}

// helpParser reads a help text line by line.
type helpParser struct {
	names   []string
	seen    map[string]bool
	aliases map[string]bool
	click   bool // the usage says COMMAND, so that boxes of any title may have commands

	in    section
	boxed bool
	base  int // indent of the section's first row, -1 before it
}

// section is what a part of a help text is about.
type section int

const (
	elsewhere section = iota
	commands
	arguments // argparse lists subcommands below one of them
)

// usage reads the paragraph that begins with "usage:".
func (p *helpParser) usage(lines []string) {
	from := slices.IndexFunc(lines, usageLine.MatchString)
	if from < 0 {
		return
	}
	lines = lines[from:]
	if end := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" }); end >= 0 {
		lines = lines[:end]
	}
	text := strings.Join(lines, " ")
	p.click = usageCommand.MatchString(text)
	for _, m := range usageChoices.FindAllStringSubmatch(text, -1) {
		p.add(strings.Split(m[1], ",")...)
	}
}

func (p *helpParser) add(names ...string) {
	for _, n := range names {
		if commandName.MatchString(n) && !p.seen[n] {
			p.seen[n] = true
			p.names = append(p.names, n)
		}
	}
}

func (p *helpParser) line(l string) {
	text := strings.TrimSpace(l)
	if m := boxTitle.FindStringSubmatch(text); m != nil {
		p.open(elsewhere, true)
		if commandTitle.MatchString(m[1]) || p.click && !argumentBox.MatchString(m[1]) {
			p.in = commands
		}
		return
	}
	if p.boxed {
		m := boxRow.FindStringSubmatch(text)
		if m == nil {
			p.open(elsewhere, false)
			return
		}
		l = strings.TrimRight(m[1], " ")
		text = strings.TrimSpace(l)
	}
	indent := len(l) - len(strings.TrimLeft(l, " "))
	switch {
	case text == "":
	case !p.boxed && commandTitle.MatchString(text) && (strings.HasSuffix(text, ":") || indent == 0):
		p.open(commands, false)
	case text == "positional arguments:":
		p.open(arguments, false)
	case p.in != elsewhere && indent == 0 && !p.boxed:
		if !appTitle.MatchString(text) {
			p.in = elsewhere
		}
	case p.in != elsewhere:
		p.row(indent, text)
	}
}

func (p *helpParser) open(s section, boxed bool) { p.in, p.boxed, p.base = s, boxed, -1 }

// row reads a line of a section. Those that go on with the text of the line
// before are indented by more.
func (p *helpParser) row(indent int, text string) {
	if p.base < 0 {
		p.base = indent
	}
	if indent != p.base+2 && (indent != p.base || p.in == arguments) {
		return
	}
	head := strings.Fields(columns.Split(text, 2)[0])
	name, rest := head[0], head[1:]
	if inner, ok := strings.CutPrefix(name, "{"); ok && strings.HasSuffix(inner, "}") {
		p.add(strings.Split(strings.TrimSuffix(inner, "}"), ",")...)
		return
	}
	switch {
	case strings.HasSuffix(name, ","): // "list, ls"
		name = strings.TrimSuffix(name, ",")
	case slices.ContainsFunc(rest, func(w string) bool { return !placeholder.MatchString(w) }) && !aliased(rest):
		return // a sentence
	}
	if aliased(rest) {
		for _, a := range rest {
			p.aliases[strings.Trim(a, "(),")] = true
		}
	}
	if strings.ToUpper(name) != name || strings.ToLower(name) == name { // not COMMAND
		p.add(name)
	}
}

// aliased reports whether the words are a list in parentheses: "(i, in)".
func aliased(words []string) bool {
	return len(words) > 0 && strings.HasPrefix(words[0], "(") && strings.HasSuffix(words[len(words)-1], ")")
}

// helpText is what a program prints when it is asked for help and knows it.
func helpText(a answer) []byte {
	if a.fields["exit"] != "0" {
		return nil
	}
	if out := a.texts["stdout"]; len(bytes.TrimSpace(out)) > 0 {
		return out
	}
	return a.texts["stderr"]
}
