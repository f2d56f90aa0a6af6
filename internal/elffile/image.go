package elffile

import (
	"bytes"
	"debug/elf"
	"fmt"
)

// page is the smallest page size of any machine here: a segment's address and
// its place in the file must agree modulo it, or it cannot be mapped.
const page = 4096

// SameImage proves that to a process both files are one: they have the same
// segments with the same bytes, apart from where these lie in the file and
// where section headers are. This is what stripping must leave alone. The
// error says what differs, or what could not be read.
func SameImage(a, b *File) error {
	if a.Type != b.Type || a.Machine != b.Machine {
		return fmt.Errorf("one is %s for %s, the other %s for %s", a.Type, a.Machine, b.Type, b.Machine)
	}
	if len(a.progs) != len(b.progs) {
		return fmt.Errorf("one has %d segments, the other %d", len(a.progs), len(b.progs))
	}
	for i, p := range a.progs {
		q := b.progs[i]
		at := q.Off
		if q.Off = p.Off; p != q {
			return fmt.Errorf("segment %d is described differently", i)
		}
		if elf.ProgType(p.Type) == elf.PT_LOAD && q.Vaddr%page != at%page {
			return fmt.Errorf("segment %d cannot be mapped", i)
		}
		if err := sameBytes(a, b, p.Off, at, p.Filesz); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	return nil
}

// sameBytes compares size bytes at x in a with those at y in b.
func sameBytes(a, b *File, x, y, size uint64) error {
	for at := uint64(0); at < size; at += chunk {
		n := min(chunk, size-at)
		p, err := a.blanked(x+at, n)
		if err != nil {
			return err
		}
		q, err := b.blanked(y+at, n)
		if err != nil {
			return err
		}
		if !bytes.Equal(p, q) {
			return fmt.Errorf("contents differ within %d bytes at %#x", n, at)
		}
	}
	return nil
}

// blanked reads n bytes at off, without what says where in the file something
// lies: e_phoff, e_shoff, e_shentsize, e_shnum, e_shstrndx and the program
// headers, which are compared by themselves.
func (f *File) blanked(off, n uint64) ([]byte, error) {
	data, err := f.bytes(off, n)
	if err != nil {
		return nil, err
	}
	for _, r := range [][2]uint64{{32, 48}, {58, 64}, {f.phoff, f.phoff + 56*uint64(len(f.progs))}} {
		if from, to := max(r[0], off), min(r[1], off+n); from < to {
			clear(data[from-off : to-off])
		}
	}
	return data, nil
}
