package elffile

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

const (
	chunk      = 64 << 10 // bytes read at a time
	maxSymbols = 1 << 16  // that match
	symSize    = 24
)

// Symbol is a dynamic symbol.
type Symbol struct {
	Name    string
	Defined bool // here, and not needed of a library
}

// Named lists the dynamic symbols whose names begin with one of the
// prefixes, sorted. The rest of the table is passed over without being kept.
func (f *File) Named(prefixes ...string) ([]Symbol, error) {
	addr, ok := f.dynamic[elf.DT_SYMTAB]
	if !ok {
		return nil, nil
	}
	names, err := f.findNames(prefixes)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	off, _, err := f.offset(addr)
	if err != nil {
		return nil, err
	}
	count, err := f.symbolCount()
	if err != nil {
		return nil, fmt.Errorf("counting symbols: %w", err)
	}
	found := make(map[string]bool)
	for i := uint64(0); i < count; {
		n := min(count-i, chunk/symSize)
		data, err := f.bytes(off+i*symSize, n*symSize)
		if err != nil {
			return nil, fmt.Errorf("reading symbols: %w", err)
		}
		for ; len(data) > 0; data = data[symSize:] {
			if !names[binary.LittleEndian.Uint32(data)] {
				continue
			}
			name, err := f.dynString(uint64(binary.LittleEndian.Uint32(data)))
			if err != nil {
				return nil, err
			}
			bind := elf.ST_BIND(data[4])
			if bind == elf.STB_GLOBAL || bind == elf.STB_WEAK {
				found[name] = found[name] || binary.LittleEndian.Uint16(data[6:]) != uint16(elf.SHN_UNDEF)
			}
		}
		i += n
	}
	var out []Symbol
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, Symbol{name, found[name]})
	}
	return out, nil
}

// Modules lists the Python modules that the file can be imported as: what
// follows PyInit_ in its symbols.
func (f *File) Modules() ([]string, error) {
	const prefix = "PyInit_"
	symbols, err := f.Named(prefix)
	var out []string
	for _, s := range symbols {
		if s.Defined {
			out = append(out, strings.TrimPrefix(s.Name, prefix))
		}
	}
	return out, err
}

// findNames gives the places in the string table at which a prefix stands.
// Linkers let names share their ends, so every place may begin one.
func (f *File) findNames(prefixes []string) (map[uint32]bool, error) {
	off, size, err := f.strtab()
	if err != nil {
		return nil, err
	}
	out := make(map[uint32]bool)
	overlap := uint64(len(slices.MaxFunc(prefixes, func(a, b string) int { return cmp.Compare(len(a), len(b)) })))
	for at := uint64(0); at < size; at += chunk {
		data, err := f.bytes(off+at, min(chunk+overlap, size-at))
		if err != nil {
			return nil, err
		}
		for _, p := range prefixes {
			for i := 0; ; i++ {
				k := bytes.Index(data[i:], []byte(p))
				if k < 0 {
					break
				}
				i += k
				out[uint32(at)+uint32(i)] = true //nolint:gosec // names have 32-bit places
			}
		}
		if len(out) > maxSymbols {
			return nil, fmt.Errorf("more than %d symbols match: %w", maxSymbols, ErrDamaged)
		}
	}
	return out, nil
}

// symbolCount is how many dynamic symbols there are. The dynamic segment does
// not say it, but the hash tables cover them all.
func (f *File) symbolCount() (uint64, error) {
	if addr, ok := f.dynamic[elf.DT_HASH]; ok {
		off, _, err := f.offset(addr)
		if err != nil {
			return 0, err
		}
		var head [2]uint32 // buckets, chains
		err = f.decode(&head, off)
		return uint64(head[1]), err
	}
	if addr, ok := f.dynamic[elf.DT_GNU_HASH]; ok {
		off, _, err := f.offset(addr)
		if err != nil {
			return 0, err
		}
		return f.gnuCount(off)
	}
	return 0, nil
}

// gnuCount counts by a GNU hash table: symbols from a first one on hang in
// chains, the last of which ends where bit 0 is set.
func (f *File) gnuCount(off uint64) (uint64, error) {
	var head struct{ Buckets, First, Bloom, Shift uint32 }
	if err := f.decode(&head, off); err != nil {
		return 0, err
	}
	at := off + 16 + 8*uint64(head.Bloom)
	if err := f.inside(at, 4*uint64(head.Buckets)); err != nil {
		return 0, err
	}
	last := uint32(0)
	for i := uint64(0); i < uint64(head.Buckets); {
		n := min(uint64(head.Buckets)-i, chunk/4)
		data, err := f.bytes(at+4*i, 4*n)
		if err != nil {
			return 0, err
		}
		for ; len(data) > 0; data = data[4:] {
			last = max(last, binary.LittleEndian.Uint32(data))
		}
		i += n
	}
	if last < head.First {
		return uint64(head.First), nil
	}
	at += 4 * uint64(head.Buckets)
	for {
		data, err := f.bytes(at+4*uint64(last-head.First), 4)
		if err != nil {
			return 0, err
		}
		if last++; data[0]&1 != 0 {
			return uint64(last), nil
		}
	}
}

// Strings walks the printable ASCII strings, of at least 4 bytes, of read-only
// data that is not code. Strings of more than 4096 bytes come in parts, and
// those of languages that do not end them with a zero run together. An error
// of the reader ends the walk.
func (f *File) Strings() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, r := range f.constant() {
			if !f.runs(r[0], r[1], yield) {
				return
			}
		}
	}
}

// constant gives the places and sizes of read-only data, of no more bytes
// together than the file has: sections may say that they lie over each other.
func (f *File) constant() [][2]uint64 {
	var out [][2]uint64
	left := f.size
	for _, s := range f.sections {
		flags := elf.SectionFlag(s.Flags) //nolint:gosec // the flags are in the lower half
		if elf.SectionType(s.Type) == elf.SHT_PROGBITS && flags&elf.SHF_ALLOC != 0 && flags&(elf.SHF_WRITE|elf.SHF_EXECINSTR|elf.SHF_COMPRESSED) == 0 && s.Size <= left {
			left -= s.Size
			out = append(out, [2]uint64{s.Off, s.Size})
		}
	}
	if len(f.sections) > 0 {
		return out
	}
	for _, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD && elf.ProgFlag(p.Flags)&(elf.PF_W|elf.PF_X) == 0 && p.Filesz <= left {
			left -= p.Filesz
			out = append(out, [2]uint64{p.Off, p.Filesz})
		}
	}
	return out
}

func (f *File) runs(off, size uint64, yield func(string) bool) bool {
	var run []byte
	flush := func() bool {
		s := run
		run = run[:0]
		return len(s) < 4 || yield(string(s))
	}
	for at := uint64(0); at < size; at += chunk {
		data, err := f.bytes(off+at, min(chunk, size-at))
		if err != nil {
			return false
		}
		for _, c := range data {
			if c >= 0x20 && c < 0x7f {
				if run = append(run, c); len(run) < maxString {
					continue
				}
			}
			if len(run) > 0 && !flush() {
				return false
			}
		}
	}
	return flush()
}
