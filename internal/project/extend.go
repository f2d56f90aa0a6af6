package project

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"exuvia/internal/fault"
)

// Extend adds values to lists of [tool.exuvia], by the names of the settings:
// {"keep": ["plistlib"]}. Path is what [Detect] takes; the file that has the
// settings is the directory's pyproject.toml, which is made where there is none,
// or the script with its inline metadata. All else in it stays byte for byte, and
// so does the file where anything is wrong. It gives the file's path. A file that
// cannot be edited so is a [fault.Project].
func Extend(path string, lists map[string][]string) (string, error) {
	f, err := openSettings(path)
	if err != nil {
		return "", err
	}
	defer f.root.Close()
	data, err := f.extended(lists)
	if err != nil {
		return "", err
	}
	return filepath.Join(f.root.Name(), f.name), replace(f.root, f.name, data)
}

// CanExtend gives the error that [Extend] would give for these settings.
func CanExtend(path string, settings ...string) error {
	f, err := openSettings(path)
	if err != nil {
		return err
	}
	defer f.root.Close()
	for _, s := range settings {
		if _, err := f.extended(map[string][]string{s: {"x"}}); err != nil {
			return err
		}
	}
	tmp, err := pending(f.root, f.name)
	if err == nil {
		err = tmp.Cleanup()
	}
	return unwritable(err, f.name)
}

// settingsFile is a file that has settings, or may have them.
type settingsFile struct {
	root *os.Root
	name string
	data []byte
}

func openSettings(path string) (*settingsFile, error) {
	f := &settingsFile{name: "pyproject.toml"}
	dir := path
	if fi, err := os.Stat(path); err == nil && !fi.IsDir() {
		dir, f.name = filepath.Split(path)
	}
	var err error
	if f.root, err = openRoot(cmp.Or(dir, ".")); err != nil {
		return nil, err
	}
	d := &detection{root: f.root}
	f.data, err = d.read(f.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.root.Close()
		return nil, err
	}
	if len(f.data) == 0 {
		f.data = []byte("[tool.exuvia]\n")
	}
	return f, nil
}

// openRoot opens the directory of a project.
func openRoot(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Project, "give a project directory", "%s does not exist", dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Project, "give a project directory", "opening the project")
	}
	return root, nil
}

// document is the part of the file that is TOML.
func (f *settingsFile) document(data []byte) (document, error) {
	if !strings.HasSuffix(f.name, ".py") {
		return document{name: f.name, data: data}, nil
	}
	doc, ok, err := inlineMetadata(f.name, data)
	if err == nil && !ok {
		err = fault.New(fault.Project, "begin its metadata with the line \"# /// script\" and end it with \"# ///\" (PEP 723)", "%s has no inline metadata that could hold settings", f.name)
	}
	return doc, err
}

// extended is the file with more values in the lists. The result is read back:
// it says what the file said before, and the new values.
func (f *settingsFile) extended(lists map[string][]string) ([]byte, error) {
	doc, err := f.document(f.data)
	if err != nil {
		return nil, err
	}
	was, err := readSettings(doc)
	if err != nil {
		return nil, err
	}
	want := make(map[string][]string)
	for name, values := range lists {
		for _, v := range values {
			if !slices.Contains(was.list(name), v) && !slices.Contains(want[name], v) {
				want[name] = append(want[name], v)
			}
		}
	}
	out := f.insert(doc, doc.additions(want))
	if err := f.check(doc, want, out); err != nil {
		return nil, fault.Wrap(err, fault.Project, "write [tool.exuvia] as a table of its own, not inline", "%s cannot take more settings", f.name)
	}
	return out, nil
}

// check compares what a file says that was edited with what it said before.
func (f *settingsFile) check(old document, added map[string][]string, data []byte) error {
	doc, err := f.document(data)
	if err != nil {
		return err
	}
	want, got := make(map[string]any), make(map[string]any)
	if err := errors.Join(old.decode(&want), doc.decode(&got)); err != nil {
		return err
	}
	for name, values := range added {
		table := want
		for _, key := range settingsTable {
			next, ok := table[key].(map[string]any)
			if !ok {
				next = make(map[string]any)
				table[key] = next
			}
			table = next
		}
		list, _ := table[name].([]any)
		for _, v := range values {
			list = append(list, v)
		}
		table[name] = list
	}
	if !reflect.DeepEqual(want, got) {
		return errors.New("they would not be read as they were written")
	}
	return nil
}

// insertion is text to be put into a document. Each line of it but the first
// begins one of the document's.
type insertion struct {
	at   int // offset
	text string
}

// insert puts text into the part of the file that is doc, with the line ends
// that the file has. In a script, the part is a comment.
func (f *settingsFile) insert(doc document, list []insertion) []byte {
	newline, comment := "\n", ""
	if bytes.Contains(f.data, []byte("\r\n")) {
		newline = "\r\n"
	}
	if doc.block != nil {
		comment = "# "
	}
	slices.SortStableFunc(list, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	var out bytes.Buffer
	done := 0
	for _, in := range list {
		at := in.at
		if doc.block != nil {
			at = f.inScript(doc, at)
		}
		out.Write(f.data[done:at])
		done = at
		for i, line := range strings.Split(in.text, "\n") {
			if i > 0 {
				out.WriteString(newline)
				line = strings.TrimSuffix(comment+line, " ")
			}
			out.WriteString(line)
		}
	}
	out.Write(f.data[done:])
	return out.Bytes()
}

// inScript is where in a script an offset of its metadata lies.
func (f *settingsFile) inScript(doc document, at int) int {
	row := bytes.Count(doc.data[:at], []byte("\n"))
	column := at - (bytes.LastIndexByte(doc.data[:at], '\n') + 1)
	uncommented := bytes.Split(doc.data, []byte("\n"))[row]
	offset := 0
	for range doc.first + row {
		offset += bytes.IndexByte(f.data[offset:], '\n') + 1
	}
	line, _, _ := bytes.Cut(f.data[offset:], []byte("\n"))
	return offset + len(bytes.TrimSuffix(line, []byte("\r"))) - len(uncommented) + column
}

// settingsTable is where settings lie in a document.
var settingsTable = []string{"tool", "exuvia"}

// list is the setting of that name, if it is a list of strings.
func (s Settings) list(name string) []string {
	v := reflect.ValueOf(s)
	for field, value := range v.Fields() {
		if tag, _, _ := strings.Cut(field.Tag.Get("toml"), ","); tag == name {
			list, _ := reflect.TypeAssert[[]string](value)
			return list
		}
	}
	return nil
}

// array is a list of strings in a document, by offsets.
type array struct {
	begin, end int // of what is in the brackets
	last       int // behind the last string, 0 for none
}

// place is where a new setting can stand: at the end of a line.
type place struct {
	at     int
	header string // of the table, with what is to be before it, where the document has none
	prefix string // of the key
}

// additions are what gives the lists in a document more values.
func (d document) additions(lists map[string][]string) []insertion {
	arrays, free := d.layout()
	var out []insertion
	var missing strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		var values []string
		for _, v := range lists[name] {
			quoted, _ := json.Marshal(v) // of a string it cannot fail; TOML has all of its escapes
			values = append(values, string(quoted))
		}
		if a, ok := arrays[name]; ok {
			out = append(out, d.append(a, values)...)
		} else {
			missing.WriteString("\n" + free.prefix + name + " = [" + strings.Join(values, ", ") + "]")
		}
	}
	if missing.Len() == 0 {
		return out
	}
	return append(out, insertion{free.at, free.header + missing.String()})
}

// layout finds the lists of [tool.exuvia], and where another setting can stand:
// behind the last one, else behind the header.
func (d document) layout() (map[string]array, place) {
	arrays := make(map[string]array)
	trimmed := bytes.TrimSuffix(bytes.TrimSuffix(d.data, []byte("\n")), []byte("\r"))
	free := place{at: len(trimmed), header: "\n\n[tool.exuvia]"}
	var header []string
	var p unstable.Parser
	p.Reset(d.data)
	for p.NextExpression() {
		e := p.Expression()
		var key []string
		end := 0
		for it := e.Key(); it.Next(); {
			key = append(key, string(it.Node().Data))
			end = behind(it.Node().Raw)
		}
		if e.Kind != unstable.KeyValue {
			if header = key; slices.Equal(header, settingsTable) {
				free = place{at: d.endOfLine(end)}
			}
			continue
		}
		depth := len(header)
		key = append(slices.Clip(header), key...)
		if depth > len(settingsTable) || len(key) <= len(settingsTable) || !slices.Equal(key[:len(settingsTable)], settingsTable) {
			continue
		}
		end = behind(e.Raw)
		free = place{at: d.endOfLine(end)}
		for _, k := range settingsTable[depth:] {
			free.prefix += k + "."
		}
		if v := e.Value(); v.Kind == unstable.Array && len(key) == len(settingsTable)+1 {
			a := array{end: end - 1}
			for it := v.Children(); it.Next(); {
				a.last = behind(it.Node().Raw)
			}
			a.begin = d.bracket(e)
			arrays[key[len(key)-1]] = a
		}
	}
	return arrays, free
}

func behind(r unstable.Range) int { return int(r.Offset) + int(r.Length) }

// bracket gives the offset behind the bracket that opens the list of a key.
func (d document) bracket(e *unstable.Node) int {
	at := 0
	for it := e.Key(); it.Next(); {
		at = behind(it.Node().Raw)
	}
	return at + bytes.IndexByte(d.data[at:], '[') + 1
}

// endOfLine is the offset of the end of the line that at is in.
func (d document) endOfLine(at int) int {
	line, _, _ := bytes.Cut(d.data[at:], []byte("\n"))
	return at + len(bytes.TrimSuffix(line, []byte("\r")))
}

// append adds values to a list as it is written: on its line, or on lines of
// their own, with or without a comma behind the last. A comment stays with the
// value that it is of.
//
//	["a"] → ["a", "b"]
//	["a",] → ["a", "b",]
//	[⏎  "a" # why⏎] → [⏎  "a", # why⏎  "b"⏎]
func (d document) append(a array, values []string) []insertion {
	from, comma := max(a.begin, a.last), false
	for i := from; i < a.end; i++ {
		switch d.data[i] {
		case '#':
			i += bytes.IndexByte(d.data[i:], '\n')
		case ',':
			from, comma = i+1, true
		}
	}
	if !bytes.Contains(d.data[from:a.end], []byte("\n")) {
		text := strings.Join(values, ", ")
		switch {
		case comma:
			text = " " + text + ","
		case a.last > 0:
			text = ", " + text
		}
		return []insertion{{from, text}}
	}
	line := bytes.LastIndexByte(d.data[:from], '\n') + 1
	indent := string(d.data[line : len(d.data)-len(bytes.TrimLeft(d.data[line:], " \t"))])
	if line < a.begin { // the line of the key
		indent += "    "
	}
	var out []insertion
	text := "\n" + indent + strings.Join(values, ",\n"+indent)
	if a.last > 0 && !comma {
		out = append(out, insertion{a.last, ","})
	} else {
		text += ","
	}
	return append(out, insertion{d.endOfLine(from), text})
}
