package elffile

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
)

// page is the smallest page size of any machine here: a segment's address and
// its place in the file must agree modulo it, or it cannot be mapped.
const page = 4096

// SameImage proves that to a process both files are one: they have the same
// segments with the same bytes, apart from where these lie in the file and
// from section headers, which Go's linker puts among the mapped bytes. Zeros
// at the end of writable data may be left to the kernel. This is what stripping
// must leave alone. The error says what differs, or what could not be read.
func SameImage(a, b *File) error {
	if a.Type != b.Type || a.Machine != b.Machine {
		return fmt.Errorf("one is %s for %s, the other %s for %s", a.Type, a.Machine, b.Type, b.Machine)
	}
	if len(a.progs) != len(b.progs) {
		return fmt.Errorf("one has %d segments, the other %d", len(a.progs), len(b.progs))
	}
	c := comparison{a, b}
	for i := range a.progs {
		if err := c.segment(i); err != nil {
			return fmt.Errorf("segment %d %w", i, err)
		}
	}
	return nil
}

// comparison is of two files.
type comparison struct{ a, b *File }

func (c comparison) segment(i int) error {
	p, q := c.a.progs[i], c.b.progs[i]
	load := elf.ProgType(p.Type) == elf.PT_LOAD
	x, y, n, m := p.Off, q.Off, p.Filesz, q.Filesz
	if q.Off = p.Off; load && elf.ProgFlag(p.Flags)&elf.PF_W != 0 && max(n, m) <= p.Memsz {
		q.Filesz = p.Filesz
	}
	if p != q {
		return errors.New("is described differently")
	}
	if load && p.Vaddr%page != y%page {
		return errors.New("cannot be mapped")
	}
	if err := c.bytes(x, y, min(n, m)); err != nil {
		return err
	}
	if n < m {
		return c.b.zeros(y+n, m-n)
	}
	return c.a.zeros(x+m, n-m)
}

// bytes compares size bytes at x in one file with those at y in the other.
func (c comparison) bytes(x, y, size uint64) error {
	for at := uint64(0); at < size; at += chunk {
		n := min(chunk, size-at)
		p, err := c.a.bytes(x+at, n)
		if err != nil {
			return err
		}
		q, err := c.b.bytes(y+at, n)
		if err != nil {
			return err
		}
		for _, r := range slices.Concat(c.a.places(x), c.b.places(y)) {
			if from, to := max(r[0], at), min(r[1], at+n); r[0] < r[1] && from < to {
				clear(p[from-at : to-at])
				clear(q[from-at : to-at])
			}
		}
		if !bytes.Equal(p, q) {
			return fmt.Errorf("has other contents within %d bytes at %#x", n, at)
		}
	}
	return nil
}

// places are the ranges, from the file's offset off, of what says where in the
// file something lies: e_phoff and e_shoff, e_shentsize to e_shstrndx, the
// program headers, which are compared by themselves, and the section headers.
func (f *File) places(off uint64) [][2]uint64 {
	var out [][2]uint64
	for _, r := range [][2]uint64{{32, 48}, {58, 64}, {f.phoff, f.phoff + 56*uint64(len(f.progs))}, f.table} {
		if r[1] > off {
			out = append(out, [2]uint64{max(r[0], off) - off, r[1] - off})
		}
	}
	return out
}

// zeros checks that n bytes at off are zero.
func (f *File) zeros(off, n uint64) error {
	for at := uint64(0); at < n; at += chunk {
		data, err := f.bytes(off+at, min(chunk, n-at))
		if err != nil {
			return err
		}
		if len(bytes.Trim(data, "\x00")) > 0 {
			return errors.New("has lost its end")
		}
	}
	return nil
}
