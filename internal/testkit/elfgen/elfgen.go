// Package elfgen writes tiny ELF libraries for tests, so that these need no
// compiler. What it writes has headers that a loader's rules can be tried on;
// there is no code in it.
package elfgen

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"maps"
	"slices"
)

// Library is what a library says of itself.
type Library struct {
	Soname   string
	Needed   []string
	RPath    string
	RunPath  string
	Interp   string              // makes it an executable
	Versions map[string][]string // needed versions by library
	Defines  []string            // symbol versions it offers
	Strings  []string            // constants
	Symbols  bool                // has an (empty) symbol table that strip would drop
}

// strtab is a string table under construction.
type strtab struct{ bytes.Buffer }

func (s *strtab) add(text string) uint32 {
	if s.Len() == 0 {
		s.WriteByte(0)
	}
	if text == "" {
		return 0
	}
	at := uint32(s.Len()) //nolint:gosec // tiny
	s.WriteString(text)
	s.WriteByte(0)
	return at
}

// section is one section of the file.
type section struct {
	name      string
	typ       elf.SectionType
	flags     elf.SectionFlag
	data      []byte
	link      uint32
	info      uint32
	entrySize uint64
}

// Bytes is the file.
func (l Library) Bytes() []byte {
	var str strtab
	str.add("")
	var dyn bytes.Buffer
	tag := func(t elf.DynTag, v uint64) {
		must(binary.Write(&dyn, binary.LittleEndian, elf.Dyn64{Tag: int64(t), Val: v}))
	}
	for _, n := range l.Needed {
		tag(elf.DT_NEEDED, uint64(str.add(n)))
	}
	for t, v := range map[elf.DynTag]string{elf.DT_SONAME: l.Soname, elf.DT_RPATH: l.RPath, elf.DT_RUNPATH: l.RunPath} {
		if v != "" {
			tag(t, uint64(str.add(v)))
		}
	}
	verneed, count := l.verneed(&str)
	verdef := l.verdef(&str)
	tag(elf.DT_NULL, 0)
	var rodata bytes.Buffer
	for _, s := range l.Strings {
		rodata.WriteString(s)
		rodata.WriteByte(0)
	}
	sections := []section{
		{},
		{name: ".dynstr", typ: elf.SHT_STRTAB, flags: elf.SHF_ALLOC, data: str.Bytes()},
		{name: ".dynsym", typ: elf.SHT_DYNSYM, flags: elf.SHF_ALLOC, data: make([]byte, 24), link: 1, entrySize: 24},
		{name: ".dynamic", typ: elf.SHT_DYNAMIC, flags: elf.SHF_ALLOC, data: dyn.Bytes(), link: 1, entrySize: 16},
		{name: ".rodata", typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC, data: rodata.Bytes()},
		{name: ".gnu.version", typ: elf.SHT_GNU_VERSYM, flags: elf.SHF_ALLOC, data: make([]byte, 2), link: 2, entrySize: 2},
	}
	if count > 0 {
		sections = append(sections, section{name: ".gnu.version_r", typ: elf.SHT_GNU_VERNEED, flags: elf.SHF_ALLOC, data: verneed, link: 1, info: count})
	}
	if len(l.Defines) > 0 {
		sections = append(sections, section{name: ".gnu.version_d", typ: elf.SHT_GNU_VERDEF, flags: elf.SHF_ALLOC, data: verdef, link: 1, info: uint32(len(l.Defines))}) //nolint:gosec // tiny
	}
	if l.Symbols {
		sections = append(sections, section{name: ".symtab", typ: elf.SHT_SYMTAB, data: make([]byte, 24), link: 1, entrySize: 24})
	}
	return l.file(sections)
}

// verneed writes SHT_GNU_verneed, see the Linux Standard Base.
func (l Library) verneed(str *strtab) ([]byte, uint32) {
	var out bytes.Buffer
	libs := slices.Sorted(maps.Keys(l.Versions))
	for i, lib := range libs {
		versions := l.Versions[lib]
		next := uint32(16 + 16*len(versions)) //nolint:gosec // tiny
		if i == len(libs)-1 {
			next = 0
		}
		must(binary.Write(&out, binary.LittleEndian, struct {
			Version, Count  uint16
			File, Aux, Next uint32
		}{1, uint16(len(versions)), str.add(lib), 16, next})) //nolint:gosec // tiny
		for j, v := range versions {
			next := uint32(16)
			if j == len(versions)-1 {
				next = 0
			}
			must(binary.Write(&out, binary.LittleEndian, struct {
				Hash         uint32
				Flags, Other uint16
				Name, Next   uint32
			}{0, 0, uint16(2 + j), str.add(v), next})) //nolint:gosec // tiny
		}
	}
	return out.Bytes(), uint32(len(libs)) //nolint:gosec // tiny
}

// verdef writes SHT_GNU_verdef.
func (l Library) verdef(str *strtab) []byte {
	var out bytes.Buffer
	for i, v := range l.Defines {
		next := uint32(28)
		if i == len(l.Defines)-1 {
			next = 0
		}
		must(binary.Write(&out, binary.LittleEndian, struct {
			Version, Flags, Index, Count uint16
			Hash, Aux, Next              uint32
			Name, AuxNext                uint32
		}{1, 0, uint16(i + 1), 1, 0, 20, next, str.add(v), 0})) //nolint:gosec // tiny
	}
	return out.Bytes()
}

// file lays the sections out behind the header and a program header each for
// the interpreter and the dynamic section.
func (l Library) file(sections []section) []byte {
	var names strtab
	names.add("")
	var progs []elf.Prog64
	body := make([]byte, 64+56*2)
	place := func(data []byte) uint64 {
		for len(body)%8 != 0 {
			body = append(body, 0)
		}
		at := uint64(len(body))
		body = append(body, data...)
		return at
	}
	if l.Interp != "" {
		data := append([]byte(l.Interp), 0)
		progs = append(progs, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: place(data), Filesz: uint64(len(data)), Memsz: uint64(len(data))})
	}
	headers := make([]elf.Section64, len(sections), len(sections)+1)
	for i, s := range sections[1:] {
		off := place(s.data)
		headers[i+1] = elf.Section64{
			Name: names.add(s.name), Type: uint32(s.typ), Flags: uint64(s.flags), Off: off, Size: uint64(len(s.data)),
			Link: s.link, Info: s.info, Addralign: 1, Entsize: s.entrySize,
		}
		if s.typ == elf.SHT_DYNAMIC {
			progs = append(progs, elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: off, Filesz: uint64(len(s.data)), Memsz: uint64(len(s.data))})
		}
	}
	name := names.add(".shstrtab")
	headers = append(headers, elf.Section64{Name: name, Type: uint32(elf.SHT_STRTAB), Off: place(names.Bytes()), Size: uint64(names.Len()), Addralign: 1})
	var table bytes.Buffer
	must(binary.Write(&table, binary.LittleEndian, headers))
	shoff := place(table.Bytes())
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Shoff: shoff, Ehsize: 64,
		Phentsize: 56, Phnum: uint16(len(progs)), Shentsize: 64, Shnum: uint16(len(headers)), Shstrndx: uint16(len(headers) - 1), //nolint:gosec // tiny
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var head bytes.Buffer
	must(binary.Write(&head, binary.LittleEndian, h))
	must(binary.Write(&head, binary.LittleEndian, progs))
	copy(body, head.Bytes())
	return body
}

// must is for writes into memory, which cannot fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
