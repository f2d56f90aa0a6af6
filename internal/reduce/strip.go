package reduce

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"exuvia/internal/elffile"
	"exuvia/internal/tree"
)

// Strip drops symbol tables and debug information.
var Strip = Pass{
	Name: "strip",
	Doc: `Drops the symbol tables and debug information of ELF files, which no loader
reads; build ids stay. What a file has in memory must be the same as before, and
it must load as before, in the unreduced system: stripping a library that
patchelf has rewritten can damage it. One that fails stays as it was, and the
report says so.`,
	Run: runStrip,
}

func runStrip(ctx context.Context, in Input) (Output, error) {
	var files []rewriting
	notes, err := objects(in, "strip", func(e tree.Entry, f *elffile.File, data []byte) error {
		if !f.Symbols {
			return nil
		}
		// A program with data behind its end would lose them.
		if n, err := tail(data); err != nil || n > 0 {
			return nil //nolint:nilerr // what debug/elf does not read in full is left alone
		}
		how := "--strip-unneeded"
		if program(f) {
			how = "--strip-all"
		}
		files = append(files, rewriting{e, func(from, to string) []string { return []string{"strip", how, "-o", to, from} }})
		return nil
	})
	if err != nil {
		return Output{}, err
	}
	out, err := rewriter{pass: "strip", step: "stripping", accept: acceptStripped}.run(ctx, in, files)
	out.Notes = append(notes, out.Notes...)
	return out, err
}

func acceptStripped(old, stripped []byte) (why string, useless bool) {
	if err := sameMemory(old, stripped); err != nil {
		return err.Error(), false
	}
	return "", len(stripped) >= len(old)
}

// sameMemory compares what two ELF files have in memory when they are mapped,
// and what their program headers say, apart from where in the file it lies.
func sameMemory(a, b []byte) error {
	if _, err := elffile.Read(bytes.NewReader(b), int64(len(b))); err != nil {
		return err
	}
	ra, err := segments(a)
	if err != nil {
		return err
	}
	rb, err := segments(b)
	if err != nil {
		return err
	}
	if len(ra) != len(rb) {
		return fmt.Errorf("it has %d segments in place of %d", len(rb), len(ra))
	}
	for i, p := range ra {
		q := rb[i]
		if p.head != q.head {
			return fmt.Errorf("segment %d is another", i)
		}
		if !bytes.Equal(p.data, q.data) {
			return fmt.Errorf("segment %d has other contents", i)
		}
		if p.head.Align > 1 && p.head.Type == elf.PT_LOAD && q.off%p.head.Align != q.head.Vaddr%p.head.Align {
			return fmt.Errorf("segment %d cannot be mapped from where it lies", i)
		}
	}
	return nil
}

// segment is a program header without its place in the file, and its bytes.
type segment struct {
	head elf.ProgHeader
	off  uint64
	data []byte
}

// segments gives what data's program headers name. The ELF header and the
// table of program headers are blanked: they say where sections and segments
// lie in the file.
func segments(data []byte) ([]segment, error) {
	var h elf.Header64
	if err := readHeader(data, &h); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	places := [][2]uint64{{0, uint64(binary.Size(h))}, {h.Phoff, h.Phoff + uint64(h.Phnum)*uint64(h.Phentsize)}}
	var out []segment
	for _, p := range f.Progs {
		s := segment{head: p.ProgHeader, off: p.Off}
		s.head.Off = 0
		if p.Filesz > 0 {
			if p.Off > uint64(len(data)) || p.Filesz > uint64(len(data))-p.Off {
				return nil, errors.New("a segment is out of bounds")
			}
			s.data = blanked(data, p.Off, p.Off+p.Filesz, places)
		}
		out = append(out, s)
	}
	return out, nil
}

// blanked is data[from:to] with zeros at the places, which are ranges of data
// too. Only what has to be changed is copied: files are large.
func blanked(data []byte, from, to uint64, places [][2]uint64) []byte {
	out, copied := data[from:to], false
	for _, p := range places {
		start, end := max(p[0], from), min(p[1], to)
		if start >= end {
			continue
		}
		if !copied {
			out, copied = bytes.Clone(out), true
		}
		clear(out[start-from : end-from])
	}
	return out
}

func readHeader(data []byte, h *elf.Header64) error {
	return binary.Read(bytes.NewReader(data), binary.LittleEndian, h)
}
