package debian

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// arReader reads the members of an ar archive in their order. (pault.ag's
// needs random access, and takes negative sizes.)
type arReader struct {
	r    io.Reader
	left int64 // of the current member
	pad  int64
}

func newArReader(r io.Reader) (*arReader, error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return nil, errors.New("not an ar archive")
	}
	return &arReader{r: r}, nil
}

// next goes to the next member: its name. io.EOF is the
// end of the archive.
func (a *arReader) next() (string, error) {
	if _, err := io.CopyN(io.Discard, a.r, a.left+a.pad); err != nil && (!errors.Is(err, io.EOF) || a.left != 0) {
		return "", fmt.Errorf("ar member cut off: %w", err)
	}
	a.left, a.pad = 0, 0
	head := make([]byte, 60)
	if n, err := io.ReadFull(a.r, head); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return "", io.EOF
		}
		return "", fmt.Errorf("ar header cut off: %w", err)
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(head[48:58]), " "), 10, 64)
	if err != nil || size < 0 || head[58] != '`' || head[59] != '\n' {
		return "", errors.New("not an ar header")
	}
	a.left, a.pad = size, size%2
	return strings.TrimSuffix(strings.TrimRight(string(head[:16]), " "), "/"), nil
}

// Read reads the current member.
func (a *arReader) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.r.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if errors.Is(err, io.EOF) && a.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
