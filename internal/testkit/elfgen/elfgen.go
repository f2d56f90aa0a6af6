// Package elfgen writes tiny ELF files for tests: 64-bit little-endian ones
// with what a loader and a reducer look at, so that no test needs a compiler.
// They cannot be run.
package elfgen

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"maps"
	"slices"
)

// Base is the address at which every file wants to be loaded; it differs from
// file offsets, so that who mixes them up is found out.
const Base = 0x400000

// Library is what a file says of itself. Its zero value is a shared library
// for amd64 that needs nothing.
type Library struct {
	Soname   string
	Needed   []string
	RPath    string
	RunPath  string
	Interp   string              // makes it a program
	Versions map[string][]string // needed versions by library
	Weak     map[string][]string // such that it can do without
	Defines  []string            // symbol versions it offers
	Exports  []string            // defined dynamic symbols
	Imports  []string            // undefined ones
	Strings  []string            // constants
	BuildID  []byte
	Symbols  bool        // has a symbol table that strip would drop
	NoTable  bool        // has no section headers
	GNUHash  bool        // symbols are counted by DT_GNU_HASH in place of DT_HASH
	Trailing []byte      // after all that the headers speak of
	Payload  []byte      // in a section "pydata" that nothing maps
	Machine  elf.Machine // 0 is amd64
}

type writer struct {
	bytes.Buffer
	strings  map[string]uint32
	strtab   bytes.Buffer
	dyn      []elf.Dyn64
	progs    []elf.Prog64
	sections []elf.Section64
	names    []string
}

// Bytes is the file.
func (l Library) Bytes() []byte {
	w := &writer{strings: make(map[string]uint32)}
	w.strtab.WriteByte(0)
	const maxProgs = 4
	w.Write(make([]byte, 64+56*maxProgs))
	w.section("", elf.Section64{})
	w.note(l)
	w.contents(l)
	w.dynamic(l)
	w.progs = append(w.progs, elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R), Vaddr: Base, Filesz: uint64(w.Len()), Memsz: uint64(w.Len()), Align: 0x1000,
	})
	head := w.finish(l)
	out := append(w.Bytes(), l.Trailing...)
	var b bytes.Buffer
	put(&b, head)
	for _, p := range w.progs {
		put(&b, p)
	}
	copy(out, b.Bytes())
	return out
}

func put(b *bytes.Buffer, v any) {
	if err := binary.Write(b, binary.LittleEndian, v); err != nil {
		panic(err) // only for types that are not of fixed size
	}
}

// str gives the place of a string in the dynamic string table.
func (w *writer) str(s string) uint32 {
	if at, ok := w.strings[s]; ok {
		return at
	}
	at := uint32(w.strtab.Len())
	w.strings[s] = at
	w.strtab.WriteString(s + "\x00")
	return at
}

// add writes data and gives its offset.
func (w *writer) add(data []byte) uint64 {
	for w.Len()%8 != 0 {
		w.WriteByte(0)
	}
	at := uint64(w.Len())
	w.Write(data)
	return at
}

func (w *writer) section(name string, s elf.Section64) {
	w.names = append(w.names, name)
	w.sections = append(w.sections, s)
}

func (w *writer) tag(tag elf.DynTag, val uint64) {
	w.dyn = append(w.dyn, elf.Dyn64{Tag: int64(tag), Val: val})
}

func (w *writer) note(s Library) {
	if s.BuildID == nil {
		return
	}
	var b bytes.Buffer
	put(&b, []uint32{4, uint32(len(s.BuildID)), 3}) // NT_GNU_BUILD_ID
	b.WriteString("GNU\x00")
	b.Write(s.BuildID)
	at, n := w.add(b.Bytes()), uint64(b.Len())
	w.progs = append(w.progs, elf.Prog64{Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: at, Vaddr: Base + at, Filesz: n, Memsz: n, Align: 4})
	w.section(".note.gnu.build-id", elf.Section64{Type: uint32(elf.SHT_NOTE), Flags: uint64(elf.SHF_ALLOC), Addr: Base + at, Off: at, Size: n})
}

func (w *writer) contents(s Library) {
	if s.Interp != "" {
		at, n := w.add([]byte(s.Interp+"\x00")), uint64(len(s.Interp)+1)
		w.progs = append(w.progs, elf.Prog64{Type: uint32(elf.PT_INTERP), Flags: uint32(elf.PF_R), Off: at, Vaddr: Base + at, Filesz: n, Memsz: n, Align: 1})
	}
	var text []byte
	for _, c := range s.Strings {
		text = append(text, c+"\x00"...)
	}
	at := w.add(text)
	w.section(".rodata", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Addr: Base + at, Off: at, Size: uint64(len(text))})
}

func (w *writer) dynamic(s Library) {
	for _, n := range s.Needed {
		w.tag(elf.DT_NEEDED, uint64(w.str(n)))
	}
	for tag, val := range map[elf.DynTag]string{elf.DT_SONAME: s.Soname, elf.DT_RPATH: s.RPath, elf.DT_RUNPATH: s.RunPath} {
		if val != "" {
			w.tag(tag, uint64(w.str(val)))
		}
	}
	slices.SortStableFunc(w.dyn, func(a, b elf.Dyn64) int { return cmp.Compare(a.Tag, b.Tag) })
	w.versions(s)
	w.symbols(s)
	at := w.add(w.strtab.Bytes())
	w.tag(elf.DT_STRTAB, Base+at)
	w.tag(elf.DT_STRSZ, uint64(w.strtab.Len()))
	w.tag(elf.DT_NULL, 0)
	var b bytes.Buffer
	put(&b, w.dyn)
	at = w.add(b.Bytes())
	n := uint64(b.Len())
	w.progs = append(w.progs, elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R), Off: at, Vaddr: Base + at, Filesz: n, Memsz: n, Align: 8})
}

func (w *writer) versions(s Library) {
	libs := slices.Sorted(maps.Keys(s.Versions))
	for lib := range s.Weak {
		if _, ok := s.Versions[lib]; !ok {
			libs = append(libs, lib)
		}
	}
	var b bytes.Buffer
	for i, lib := range libs {
		names := slices.Concat(s.Versions[lib], s.Weak[lib])
		next := uint32(16 + 16*len(names))
		if i == len(libs)-1 {
			next = 0
		}
		put(&b, []uint16{1, uint16(len(names))})
		put(&b, []uint32{w.str(lib), 16, next})
		for j, n := range names {
			flags, more := uint16(0), uint32(16)
			if j >= len(s.Versions[lib]) {
				flags = 2 // VER_FLG_WEAK
			}
			if j == len(names)-1 {
				more = 0
			}
			put(&b, uint32(0))
			put(&b, []uint16{flags, uint16(2 + j)})
			put(&b, []uint32{w.str(n), more})
		}
	}
	if b.Len() > 0 {
		w.tag(elf.DT_VERNEED, Base+w.add(b.Bytes()))
		w.tag(elf.DT_VERNEEDNUM, uint64(len(libs)))
	}
	b.Reset()
	for i, n := range s.Defines {
		next := uint32(28)
		if i == len(s.Defines)-1 {
			next = 0
		}
		put(&b, []uint16{1, 0, uint16(i + 1), 1})
		put(&b, []uint32{0, 20, next, w.str(n), 0})
	}
	if b.Len() > 0 {
		w.tag(elf.DT_VERDEF, Base+w.add(b.Bytes()))
		w.tag(elf.DT_VERDEFNUM, uint64(len(s.Defines)))
	}
}

func (w *writer) symbols(s Library) {
	syms := []elf.Sym64{{}}
	for _, n := range s.Imports {
		syms = append(syms, elf.Sym64{Name: w.str(n), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC)})
	}
	first := uint32(len(syms))
	for _, n := range s.Exports {
		syms = append(syms, elf.Sym64{Name: w.str(n), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1, Value: Base})
	}
	if len(syms) == 1 {
		return
	}
	var b bytes.Buffer
	put(&b, syms)
	w.tag(elf.DT_SYMTAB, Base+w.add(b.Bytes()))
	b.Reset()
	if !s.GNUHash {
		put(&b, []uint32{1, uint32(len(syms)), 0})
		put(&b, make([]uint32, len(syms)))
		w.tag(elf.DT_HASH, Base+w.add(b.Bytes()))
		return
	}
	put(&b, []uint32{1, first, 1, 0, 0, 0}) // one bucket, one bloom word
	bucket := first
	if len(s.Exports) == 0 {
		bucket = 0
	}
	put(&b, bucket)
	for i := range s.Exports {
		end := uint32(0)
		if i == len(s.Exports)-1 {
			end = 1
		}
		put(&b, end)
	}
	w.tag(elf.DT_GNU_HASH, Base+w.add(b.Bytes()))
}

// finish writes what is not loaded, and gives the header.
func (w *writer) finish(s Library) elf.Header64 {
	if s.Symbols {
		at := w.add(make([]byte, 24))
		w.section(".symtab", elf.Section64{Type: uint32(elf.SHT_SYMTAB), Off: at, Size: 24, Entsize: 24})
	}
	if s.Payload != nil {
		w.section("pydata", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Off: w.add(s.Payload), Size: uint64(len(s.Payload))})
	}
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_DYN), Machine: uint16(cmp.Or(s.Machine, elf.EM_X86_64)),
		Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(w.progs)),
	}
	if s.NoTable {
		return h
	}
	var names bytes.Buffer
	w.section(".shstrtab", elf.Section64{Type: uint32(elf.SHT_STRTAB)})
	for i, n := range w.names {
		w.sections[i].Name = uint32(names.Len())
		names.WriteString(n + "\x00")
	}
	last := &w.sections[len(w.sections)-1]
	last.Off, last.Size = w.add(names.Bytes()), uint64(names.Len())
	var b bytes.Buffer
	put(&b, w.sections)
	h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = w.add(b.Bytes()), 64, uint16(len(w.sections)), uint16(len(w.sections)-1)
	return h
}
