package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds one line of a control file. The longest in the archive, a
// Provides field of a Rust package, has some 30 KB.
const maxLine = 1 << 20

// line is one line of a control file (deb-control(5), deb822(5)): a field
// with what follows its colon, or a continuation with its leading blank cut.
// Both slices are only valid until the next line is read.
type line struct {
	Name  []byte // the field that the line starts or continues; nil between paragraphs
	Value []byte
	More  bool // a continuation
}

// scan calls each for every line of r and with the zero line after every
// paragraph. Comments are dropped where comments says that the format has them.
func scan(r io.Reader, comments bool, each func(line) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	var (
		name, long []byte
		open       bool // inside a paragraph
	)
	for number := 1; ; number++ {
		raw, err := readLine(br, &long)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: %w", number, err)
		}
		last := err != nil
		text := bytes.TrimRight(raw, " \t\r\n")
		switch {
		case len(text) == 0:
			if open {
				open = false
				if err := each(line{}); err != nil {
					return err
				}
			}
		case comments && text[0] == '#':
		case text[0] == ' ' || text[0] == '\t':
			if !open {
				return fmt.Errorf("line %d: continuation without a field", number)
			}
			if err := each(line{Name: name, Value: text[1:], More: true}); err != nil {
				return err
			}
		default:
			field, value, ok := bytes.Cut(text, []byte(":"))
			if !ok || len(field) == 0 || bytes.ContainsAny(field, " \t") {
				return fmt.Errorf("line %d: neither a field nor a continuation", number)
			}
			name, open = append(name[:0], field...), true
			if err := each(line{Name: name, Value: bytes.TrimLeft(value, " \t")}); err != nil {
				return err
			}
		}
		if last {
			break
		}
	}
	if !open {
		return nil
	}
	return each(line{})
}

// readLine reads to the next newline; long is the buffer for lines that do
// not fit into br.
func readLine(br *bufio.Reader, long *[]byte) ([]byte, error) {
	part, err := br.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	*long = append((*long)[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(*long) > maxLine {
			return nil, fmt.Errorf("more than %d bytes in one line", maxLine)
		}
		part, err = br.ReadSlice('\n')
		*long = append(*long, part...)
	}
	return *long, err
}

// paragraph is one stanza. Names are in lower case; a value's continuation
// lines follow its first line, each after a newline.
type paragraph map[string]string

// paragraphs reads all stanzas of a small control file.
func paragraphs(r io.Reader, comments bool) ([]paragraph, error) {
	var out []paragraph
	now := make(paragraph)
	err := scan(r, comments, func(l line) error {
		name := strings.ToLower(string(l.Name))
		switch {
		case l.Name == nil:
			out = append(out, now)
			now = make(paragraph)
		case l.More:
			now[name] += "\n" + string(l.Value)
		default:
			now[name] = string(l.Value)
		}
		return nil
	})
	return out, err
}
