// Package elffile reads of an ELF file what its loader and a reducer look at:
// needed libraries, search paths, symbol versions, symbols by name, strings,
// and whether there is something to strip.
//
// Files come from outside. debug/elf believes the sizes in them: a file of
// 510 KB can cost it 2.6 GB, as syft's maintainers found. Nothing here is
// read before its place and size are checked against the file's, nothing is
// decompressed, and counts have limits. What the loader uses is read as the
// loader does, through program headers and the dynamic segment, so section
// headers may be missing or broken.
//
// Only 64-bit little-endian files are read. The formats are those of the
// System V gABI and of the GNU extensions in LSB 5.0, "Symbol Versioning".
package elffile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrNotELF says that a file does not begin as an ELF file.
var ErrNotELF = errors.New("not an ELF file")

// ErrClass says that a file is an ELF file for a 32-bit or a big-endian
// machine.
var ErrClass = errors.New("not a 64-bit little-endian ELF file")

// ErrDamaged says that headers contradict the file's size or each other.
var ErrDamaged = errors.New("damaged ELF file")

// Limits, far above what linkers make: the largest wheels' libraries have 60
// sections, 20 segments and 100 needed libraries.
const (
	maxProgs    = 1024
	maxSections = 1 << 16
	maxDynamic  = 1 << 16 // entries
	maxNeeded   = 4096
	maxString   = 4096 // bytes, as PATH_MAX
	maxNames    = 1 << 20
	maxNotes    = 64 << 10
	maxVersions = 1 << 16
)

// Need is a library with the versions of its symbols that a file needs.
type Need struct {
	Library  string   `json:"library"`            // "libc.so.6"
	Versions []string `json:"versions,omitempty"` // "GLIBC_2.34", sorted
	Weak     []string `json:"weak,omitempty"`     // those it can do without
}

// File is what was read of an ELF file. Its methods read more, so the reader
// it came from must stay open for them; its exported fields survive JSON.
type File struct {
	Type     elf.Type    `json:"type"`
	Machine  elf.Machine `json:"machine"`
	Interp   string      `json:"interp,omitempty"` // "/lib64/ld-linux-x86-64.so.2"; "" where there is none
	Soname   string      `json:"soname,omitempty"` // "" where it has none
	Needed   []string    `json:"needed,omitempty"` // DT_NEEDED, in order
	RPath    []string    `json:"rpath,omitempty"`  // DT_RPATH, parted at colons
	RunPath  []string    `json:"runpath,omitempty"`
	Needs    []Need      `json:"needs,omitempty"`    // by library
	Versions []string    `json:"versions,omitempty"` // symbol versions it defines, sorted
	BuildID  string      `json:"buildID,omitempty"`  // hex
	Symbols  bool        `json:"symbols"`            // has symbols or debug information that strip would drop
	Dynamic  bool        `json:"dynamic"`            // is loaded by a dynamic loader
	Trailing int64       `json:"trailing"`           // bytes after all that headers speak of: a payload
	Payload  bool        `json:"payload"`            // has a section that nothing maps and no compiler or linker makes

	r        io.ReaderAt
	size     uint64
	progs    []elf.Prog64
	phoff    uint64
	table    [2]uint64 // where the section headers begin and end
	sections []section // none where the table is missing or unusable
	dynamic  map[elf.DynTag]uint64
}

// section is a section header with its name.
type section struct {
	elf.Section64
	name string
}

// IsELF reports whether a file that begins so is an ELF file.
func IsELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// Read reads the headers of a file of size bytes. A file of another kind is
// [ErrNotELF], one that cannot be read here [ErrClass], a broken one
// [ErrDamaged].
func Read(r io.ReaderAt, size int64) (*File, error) {
	var ident [elf.EI_NIDENT]byte
	if size < int64(len(ident)) {
		return nil, ErrNotELF
	}
	if _, err := r.ReadAt(ident[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !IsELF(ident[:]) {
		return nil, ErrNotELF
	}
	if elf.Class(ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil, ErrClass
	}
	f := &File{r: r, size: uint64(size), dynamic: make(map[elf.DynTag]uint64)}
	var h elf.Header64
	if err := f.decode(&h, 0); err != nil {
		return nil, fmt.Errorf("reading header: %w", err)
	}
	f.Type, f.Machine = elf.Type(h.Type), elf.Machine(h.Machine)
	if err := f.readProgs(h); err != nil {
		return nil, fmt.Errorf("reading program headers: %w", err)
	}
	if err := f.readSections(h); err != nil {
		return nil, fmt.Errorf("reading section headers: %w", err)
	}
	if err := f.readDynamic(); err != nil {
		return nil, fmt.Errorf("reading dynamic segment: %w", err)
	}
	if err := f.readNotes(); err != nil {
		return nil, fmt.Errorf("reading notes: %w", err)
	}
	return f, nil
}

// Forget lets go of the reader. From then on the methods find nothing.
func (f *File) Forget() { f.r, f.size, f.progs, f.sections, f.dynamic = nil, 0, nil, nil, nil }

// inside checks that n bytes at off are in the file.
func (f *File) inside(off, n uint64) error {
	if n > f.size || off > f.size-n {
		return fmt.Errorf("%d bytes at %d are beyond the end, %d: %w", n, off, f.size, ErrDamaged)
	}
	return nil
}

// decode reads v, a pointer to a value of fixed size or a slice of such, from
// off.
func (f *File) decode(v any, off uint64) error {
	data, err := f.bytes(off, uint64(binary.Size(v))) //nolint:gosec // a length
	if err != nil {
		return err
	}
	_, err = binary.Decode(data, binary.LittleEndian, v)
	return err
}

// bytes reads n bytes at off. Callers bound n.
func (f *File) bytes(off, n uint64) ([]byte, error) {
	if err := f.inside(off, n); err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if k, err := f.r.ReadAt(data, int64(off)); k < len(data) { //nolint:gosec // it is inside the file
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it is shorter than was said", ErrDamaged)
		}
		return nil, err
	}
	return data, nil
}

func (f *File) readProgs(h elf.Header64) error {
	if h.Phnum == 0 {
		return nil
	}
	if h.Phentsize != 56 || h.Phnum > maxProgs {
		return fmt.Errorf("%d of %d bytes: %w", h.Phnum, h.Phentsize, ErrDamaged)
	}
	data, err := f.bytes(h.Phoff, uint64(h.Phnum)*56)
	if err != nil {
		return err
	}
	f.progs, f.phoff = make([]elf.Prog64, h.Phnum), h.Phoff
	if _, err := binary.Decode(data, binary.LittleEndian, f.progs); err != nil {
		return err
	}
	for _, p := range f.progs {
		switch elf.ProgType(p.Type) {
		case elf.PT_LOAD, elf.PT_DYNAMIC, elf.PT_INTERP:
			if err := f.inside(p.Off, p.Filesz); err != nil {
				return err
			}
		}
		if elf.ProgType(p.Type) == elf.PT_INTERP {
			if f.Interp, err = f.cstring(p.Off, p.Filesz); err != nil {
				return err
			}
		}
	}
	return nil
}

// cstring reads the string at off that ends with a zero, at most limit bytes
// later.
func (f *File) cstring(off, limit uint64) (string, error) {
	if off >= f.size {
		return "", fmt.Errorf("a string at %d is beyond the end: %w", off, ErrDamaged)
	}
	n := min(limit, f.size-off, maxString+1)
	for step := min(n, 128); ; step = min(n, step*4) { // most are short
		data, err := f.bytes(off, step)
		if err != nil {
			return "", err
		}
		if text, _, ok := bytes.Cut(data, []byte{0}); ok {
			return string(text), nil
		}
		if step == n {
			return "", fmt.Errorf("a string at %d does not end: %w", off, ErrDamaged)
		}
	}
}

// readSections reads what no loader needs; where the table is unusable, there
// is none.
func (f *File) readSections(h elf.Header64) error {
	end := uint64(64)
	if len(f.progs) > 0 {
		end = max(end, h.Phoff+uint64(h.Phnum)*56)
	}
	for _, p := range f.progs {
		if f.inside(p.Off, p.Filesz) == nil {
			end = max(end, p.Off+p.Filesz)
		}
	}
	count, names := uint64(h.Shnum), uint64(h.Shstrndx)
	if h.Shoff != 0 && h.Shentsize == 64 && (count == 0 || names == uint64(elf.SHN_XINDEX)) {
		var first elf.Section64 // holds what does not fit into the header
		if f.inside(h.Shoff, 64) == nil {
			if err := f.decode(&first, h.Shoff); err != nil {
				return err
			}
			if count == 0 {
				count = first.Size
			}
			if names == uint64(elf.SHN_XINDEX) {
				names = uint64(first.Link)
			}
		}
	}
	if h.Shoff != 0 && h.Shentsize == 64 && count > 0 && count <= maxSections && f.inside(h.Shoff, count*64) == nil {
		table := make([]elf.Section64, count)
		if err := f.decode(table, h.Shoff); err != nil {
			return err
		}
		if err := f.nameSections(table, names); err != nil {
			return err
		}
		f.table = [2]uint64{h.Shoff, h.Shoff + count*64}
		end = max(end, f.table[1])
	}
	for _, s := range f.sections {
		if elf.SectionType(s.Type) != elf.SHT_NOBITS {
			end = max(end, s.Off+s.Size)
		}
		f.Symbols = f.Symbols || elf.SectionType(s.Type) == elf.SHT_SYMTAB ||
			strings.HasPrefix(s.name, ".debug_") || strings.HasPrefix(s.name, ".zdebug_") || s.name == ".gnu_debugdata"
		f.Payload = f.Payload || s.payload()
	}
	f.Trailing = int64(f.size - min(end, f.size)) //nolint:gosec // at most the size
	return nil
}

// toolchain are the beginnings of names of sections that compilers, linkers
// and debuggers make and nothing maps.
var toolchain = []string{
	".ARM", ".SUNW", ".annobin", ".comment", ".ctf", ".debug", ".gdb", ".gnu", ".go", ".ident", ".line", ".llvm", ".note", ".riscv",
	".rustc", ".shstrtab", ".stab", ".strtab", ".symtab", ".zdebug",
}

// payload reports whether s is what a program brings along to read it from its
// own file, as PyInstaller's pydata.
func (s section) payload() bool {
	return elf.SectionType(s.Type) == elf.SHT_PROGBITS && s.Flags&uint64(elf.SHF_ALLOC) == 0 && s.Size > 0 &&
		!slices.ContainsFunc(toolchain, func(name string) bool { return strings.HasPrefix(s.name, name) })
}

// CarriesData reports whether the file is also an archive: whoever rewrites it
// would lose or move what it looks for in itself.
func (f *File) CarriesData() bool { return f.Trailing > 0 || f.Payload }

func (f *File) nameSections(table []elf.Section64, names uint64) error {
	var text []byte
	if names < uint64(len(table)) && table[names].Size <= maxNames && f.inside(table[names].Off, table[names].Size) == nil {
		var err error
		if text, err = f.bytes(table[names].Off, table[names].Size); err != nil {
			return err
		}
	}
	for _, s := range table {
		switch elf.SectionType(s.Type) {
		case elf.SHT_NULL, elf.SHT_NOBITS:
		default:
			if f.inside(s.Off, s.Size) != nil {
				f.sections = nil
				return nil //nolint:nilerr // there is no usable table then
			}
		}
		name := ""
		if uint64(s.Name) < uint64(len(text)) {
			raw, _, _ := bytes.Cut(text[s.Name:], []byte{0})
			name = string(raw[:min(len(raw), maxString)])
		}
		f.sections = append(f.sections, section{s, name})
	}
	return nil
}

// readNotes finds the build-id.
func (f *File) readNotes() error {
	for _, p := range f.progs {
		if elf.ProgType(p.Type) != elf.PT_NOTE || p.Filesz > maxNotes || f.inside(p.Off, p.Filesz) != nil {
			continue
		}
		data, err := f.bytes(p.Off, p.Filesz)
		if err != nil {
			return err
		}
		align := 4
		if p.Align == 8 {
			align = 8
		}
		for len(data) >= 12 {
			nameSize, descSize := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
			kind := binary.LittleEndian.Uint32(data[8:])
			if nameSize > maxNotes || descSize > maxNotes {
				break
			}
			at := round(12+int(nameSize), align)
			next := round(at+int(descSize), align)
			if at+int(descSize) > len(data) {
				break
			}
			if kind == 3 && string(data[12:12+nameSize]) == "GNU\x00" { // NT_GNU_BUILD_ID
				f.BuildID = fmt.Sprintf("%x", data[at:at+int(descSize)])
				return nil
			}
			data = data[min(next, len(data)):]
		}
	}
	return nil
}

func round(n, align int) int { return (n + align - 1) / align * align }
