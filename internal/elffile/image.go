package elffile

import (
	"bytes"
	"debug/elf"
	"fmt"
)

// page is the smallest page size of any machine here: a segment's address and
// its place in the file must agree modulo it, or it cannot be mapped.
const page = 4096

// SameImage proves that to a process both files are one: their segments
// are described equally, and so is every byte of their loadable segments, apart
// from the fields of the ELF header that speak of section headers. This is
// what stripping must leave alone. The error says what differs.
func SameImage(a, b *File) error {
	if a.Type != b.Type || a.Machine != b.Machine {
		return fmt.Errorf("one is %s for %s, the other %s for %s", a.Type, a.Machine, b.Type, b.Machine)
	}
	if len(a.progs) != len(b.progs) {
		return fmt.Errorf("one has %d segments, the other %d", len(a.progs), len(b.progs))
	}
	for i, p := range a.progs {
		q := b.progs[i]
		if elf.ProgType(p.Type) != elf.PT_LOAD {
			if p.Type != q.Type || p.Vaddr != q.Vaddr || p.Filesz != q.Filesz || p.Memsz != q.Memsz || p.Flags != q.Flags {
				return fmt.Errorf("segment %d is described differently", i)
			}
			continue
		}
		if p != q {
			return fmt.Errorf("segment %d is placed differently", i)
		}
		if q.Vaddr%page != q.Off%page {
			return fmt.Errorf("segment %d cannot be mapped", i)
		}
		if err := sameBytes(a, b, p); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	return nil
}

// sameBytes compares a segment, which both files have at one place.
func sameBytes(a, b *File, p elf.Prog64) error {
	for at := uint64(0); at < p.Filesz; at += chunk {
		n := min(chunk, p.Filesz-at)
		x, err := a.bytes(p.Off+at, n)
		if err != nil {
			return err
		}
		y, err := b.bytes(p.Off+at, n)
		if err != nil {
			return err
		}
		if p.Off+at == 0 {
			blank(x)
			blank(y)
		}
		if !bytes.Equal(x, y) {
			return fmt.Errorf("contents differ within %d bytes at %#x", n, p.Vaddr+at)
		}
	}
	return nil
}

// blank removes e_shoff, e_shentsize, e_shnum and e_shstrndx from an ELF
// header.
func blank(head []byte) {
	if len(head) < 64 {
		return
	}
	clear(head[40:48])
	clear(head[58:64])
}
