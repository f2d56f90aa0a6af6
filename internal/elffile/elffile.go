// Package elffile reads what matters here of ELF files, from hostile input:
// how a file is loaded, which libraries and symbol versions it needs and
// offers, and whether it carries symbols. debug/elf believes the sizes that a
// file declares (half a megabyte of a file can make it allocate gigabytes), so
// headers are checked against the file before it sees them.
//
// It finds no libraries; sharedlib does.
package elffile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// Bounds. The largest libraries in wheels have some 600 MB, 60 sections and
// 300 needed libraries.
const (
	maxSections = 4096
	maxSegments = 256
	maxTable    = 64 << 20 // bytes of one section that is read whole
)

// ErrNotELF says that a file is no ELF file.
var ErrNotELF = errors.New("not an ELF file")

// Need is a library with a version of its symbols that a file needs.
type Need struct {
	Library  string   // "libc.so.6"
	Versions []string // "GLIBC_2.34", sorted
}

// File is what was read of an ELF file.
type File struct {
	Type      elf.Type
	Machine   elf.Machine
	Interp    string   // "/lib64/ld-linux-x86-64.so.2"; "" where there is none
	Soname    string   // "" where it has none
	Needed    []string // DT_NEEDED, in order
	RPath     []string // DT_RPATH, parted at colons
	RunPath   []string // DT_RUNPATH
	Needs     []Need   // by library
	Versions  []string // symbol versions it defines, sorted
	BuildID   string   // hex
	Symbols   bool     // has a symbol table or debug information that strip would drop
	Dynamic   bool     // has a dynamic section: is loaded by a dynamic loader
	constants []elf.SectionHeader
	r         io.ReaderAt
}

// IsELF reports whether a file that begins so is an ELF file.
func IsELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// Read reads the headers of the file of size bytes. A file of another kind is
// ErrNotELF; one that is no 64-bit little-endian ELF, or damaged, is another
// error. The file has to stay open for [File.Strings] only.
func Read(r io.ReaderAt, size int64) (f *File, err error) {
	if err := check(r, size); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil { // debug/elf has panicked on crafted files before
			f, err = nil, fmt.Errorf("damaged ELF file: %v", p)
		}
	}()
	e, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w", err)
	}
	defer e.Close()
	f = &File{Type: e.Type, Machine: e.Machine, r: r}
	for _, s := range e.Sections {
		f.section(s)
	}
	if err := f.segments(e); err != nil {
		return nil, err
	}
	if !f.Dynamic {
		return f, nil
	}
	return f, f.dynamic(e)
}

// check holds the declared sizes against the file.
func check(r io.ReaderAt, size int64) error {
	var h elf.Header64
	head := make([]byte, 64)
	if _, err := r.ReadAt(head, 0); err != nil || !IsELF(head) {
		return ErrNotELF
	}
	if head[elf.EI_CLASS] != byte(elf.ELFCLASS64) || head[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return errors.New("not a 64-bit little-endian ELF file")
	}
	if err := binary.Read(bytes.NewReader(head), binary.LittleEndian, &h); err != nil {
		return err
	}
	if h.Shnum == 0 && h.Shoff != 0 {
		return errors.New("damaged ELF file: the number of sections is out of bounds")
	}
	for _, t := range []struct {
		name              string
		off               uint64
		num, size, most   uint64
		wantSize          uint64
		sizeAt, offsetsAt int
	}{
		{"section", h.Shoff, uint64(h.Shnum), uint64(h.Shentsize), maxSections, 64, 32, 24},
		{"segment", h.Phoff, uint64(h.Phnum), uint64(h.Phentsize), maxSegments, 56, 32, 8},
	} {
		if t.num == 0 {
			continue
		}
		if t.num > t.most || t.size != t.wantSize || t.off > uint64(size) || t.off+t.num*t.size > uint64(size) {
			return fmt.Errorf("damaged ELF file: its %s table is out of bounds", t.name)
		}
		table := make([]byte, t.num*t.size)
		if _, err := r.ReadAt(table, int64(t.off)); err != nil { //nolint:gosec // checked against size
			return fmt.Errorf("damaged ELF file: %w", err)
		}
		for i := range t.num {
			row := table[i*t.size:]
			if t.name == "section" && elf.SectionType(binary.LittleEndian.Uint32(row[4:])) == elf.SHT_NOBITS {
				continue
			}
			off, n := binary.LittleEndian.Uint64(row[t.offsetsAt:]), binary.LittleEndian.Uint64(row[t.sizeAt:])
			if off > uint64(size) || n > uint64(size)-off {
				return fmt.Errorf("damaged ELF file: a %s is out of bounds", t.name)
			}
			if t.name == "section" && binary.LittleEndian.Uint64(row[8:])&uint64(elf.SHF_COMPRESSED) != 0 {
				// debug/elf unpacks only what is read, and nothing here reads these.
				continue
			}
		}
	}
	return nil
}

// section notes what a section says by being there.
func (f *File) section(s *elf.Section) {
	switch {
	case s.Type == elf.SHT_SYMTAB, s.Type == elf.SHT_PROGBITS && isDebug(s.Name):
		f.Symbols = true
	case s.Type == elf.SHT_DYNAMIC:
		f.Dynamic = true
	case s.Type == elf.SHT_PROGBITS && (s.Name == ".rodata" || s.Name == ".data.rel.ro" || s.Name == ".rodata.str1.1"):
		f.constants = append(f.constants, s.SectionHeader)
	}
}

func isDebug(name string) bool {
	return len(name) > 6 && (name[:6] == ".debug" || name[:7] == ".zdebug")
}

func (f *File) segments(e *elf.File) error {
	for _, p := range e.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			b, err := readAll(p.Open(), p.Filesz, 4096)
			if err != nil {
				return fmt.Errorf("damaged ELF file: interpreter: %w", err)
			}
			f.Interp = string(bytes.TrimRight(b, "\x00"))
		case elf.PT_DYNAMIC:
			f.Dynamic = true
		case elf.PT_NOTE:
			b, err := readAll(p.Open(), p.Filesz, 1<<20)
			if err == nil && f.BuildID == "" {
				f.BuildID = buildID(b)
			}
		}
	}
	return nil
}

func readAll(r io.Reader, n, most uint64) ([]byte, error) {
	if n > most {
		return nil, fmt.Errorf("%d bytes are more than %d", n, most)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// buildID finds NT_GNU_BUILD_ID in notes, see elf(5).
func buildID(b []byte) string {
	for len(b) >= 12 {
		name, desc, typ := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
		b = b[12:]
		padded := (uint64(name) + 3) &^ 3
		end := padded + (uint64(desc)+3)&^3
		if end > uint64(len(b)) {
			return ""
		}
		if typ == 3 && string(b[:name]) == "GNU\x00" {
			return fmt.Sprintf("%x", b[padded:padded+uint64(desc)])
		}
		b = b[end:]
	}
	return ""
}

// dynamic reads the dynamic section by debug/elf, which reads the tables it
// links to whole.
func (f *File) dynamic(e *elf.File) error {
	for _, s := range e.Sections {
		if s.Flags&elf.SHF_COMPRESSED != 0 && slices.Contains([]elf.SectionType{elf.SHT_DYNAMIC, elf.SHT_STRTAB, elf.SHT_GNU_VERNEED, elf.SHT_GNU_VERDEF}, s.Type) {
			return errors.New("damaged ELF file: a table for the loader is compressed")
		}
		if s.Type == elf.SHT_DYNAMIC && s.Size > maxTable || s.Type == elf.SHT_STRTAB && s.Size > maxTable && s.Flags&elf.SHF_ALLOC != 0 {
			return errors.New("damaged ELF file: a table for the loader is too large")
		}
	}
	var err error
	get := func(tag elf.DynTag) []string {
		v, e := e.DynString(tag)
		err = errors.Join(err, e)
		return v
	}
	f.Needed = get(elf.DT_NEEDED)
	f.RPath, f.RunPath = parts(get(elf.DT_RPATH)), parts(get(elf.DT_RUNPATH))
	if so := get(elf.DT_SONAME); len(so) > 0 {
		f.Soname = so[0]
	}
	var needs []elf.DynamicVersionNeed
	var defs []elf.DynamicVersion
	if e.SectionByType(elf.SHT_GNU_VERNEED) != nil {
		var bad error
		needs, bad = e.DynamicVersionNeeds()
		err = errors.Join(err, bad)
	}
	if e.SectionByType(elf.SHT_GNU_VERDEF) != nil {
		var bad error
		defs, bad = e.DynamicVersions()
		err = errors.Join(err, bad)
	}
	if err != nil {
		return fmt.Errorf("damaged ELF file: %w", err)
	}
	for _, n := range needs {
		need := Need{Library: n.Name}
		for _, d := range n.Needs {
			need.Versions = append(need.Versions, d.Dep)
		}
		slices.Sort(need.Versions)
		f.Needs = append(f.Needs, need)
	}
	for _, d := range defs {
		f.Versions = append(f.Versions, d.Name)
	}
	slices.Sort(f.Versions)
	return nil
}

func parts(lists []string) []string {
	var out []string
	for _, l := range lists {
		for _, p := range bytes.Split([]byte(l), []byte(":")) {
			if len(p) > 0 {
				out = append(out, string(p))
			}
		}
	}
	return out
}

// Strings walks the printable strings, of at least 4 bytes and ended by NUL,
// of the file's constants.
func (f *File) Strings() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, s := range f.constants {
			if s.Flags&elf.SHF_COMPRESSED != 0 || s.Size > maxTable {
				continue
			}
			b := make([]byte, s.Size)
			if _, err := f.r.ReadAt(b, int64(s.Offset)); err != nil { //nolint:gosec // checked against the file's size
				continue
			}
			if !printable(b, yield) {
				return
			}
		}
	}
}

func printable(b []byte, yield func(string) bool) bool {
	start := 0
	for i, c := range b {
		switch {
		case c == 0:
			if i-start >= 4 && !yield(string(b[start:i])) {
				return false
			}
			start = i + 1
		case c < ' ' || c > '~':
			start = i + 1
		}
	}
	return true
}
