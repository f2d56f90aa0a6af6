package elffile

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// offset turns an address into an offset in the file, as the mapping of the
// loadable segments has it, and says how many bytes of the segment follow.
func (f *File) offset(addr uint64) (off, left uint64, err error) {
	for _, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
			return p.Off + (addr - p.Vaddr), p.Filesz - (addr - p.Vaddr), nil
		}
	}
	return 0, 0, fmt.Errorf("address %#x is in no segment: %w", addr, ErrDamaged)
}

// listed are the tags that may come more than once or hold strings.
var listed = []elf.DynTag{elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH}

func (f *File) readDynamic() error {
	i := slices.IndexFunc(f.progs, func(p elf.Prog64) bool { return elf.ProgType(p.Type) == elf.PT_DYNAMIC })
	if i < 0 {
		return nil
	}
	p := f.progs[i]
	count := p.Filesz / 16
	if count > maxDynamic {
		return fmt.Errorf("%d entries: %w", count, ErrDamaged)
	}
	if f.isDetached(p) {
		return nil
	}
	table := make([]elf.Dyn64, count)
	if err := f.decode(table, p.Off); err != nil {
		return err
	}
	f.Dynamic = true
	var strs []elf.Dyn64
	for _, d := range table {
		tag := elf.DynTag(d.Tag)
		if tag == elf.DT_NULL {
			break
		}
		if slices.Contains(listed, tag) {
			strs = append(strs, d)
			continue
		}
		f.dynamic[tag] = d.Val
	}
	if len(strs) > maxNeeded {
		return fmt.Errorf("%d names: %w", len(strs), ErrDamaged)
	}
	for _, d := range strs {
		s, err := f.dynString(d.Val)
		if err != nil {
			return fmt.Errorf("%s: %w", elf.DynTag(d.Tag), err)
		}
		switch elf.DynTag(d.Tag) {
		case elf.DT_NEEDED:
			f.Needed = append(f.Needed, s)
		case elf.DT_SONAME:
			f.Soname = s
		case elf.DT_RPATH:
			f.RPath = splitPath(s)
		case elf.DT_RUNPATH:
			f.RunPath = splitPath(s)
		}
	}
	if err := f.readVersions(); err != nil {
		return fmt.Errorf("needed versions: %w", err)
	}
	if err := f.readDefines(); err != nil {
		return fmt.Errorf("defined versions: %w", err)
	}
	return nil
}

// isDetached reports whether the dynamic segment holds nothing, as in files
// that keep only debug information (objcopy --only-keep-debug).
func (f *File) isDetached(p elf.Prog64) bool {
	return p.Filesz == 0 || slices.ContainsFunc(f.sections, func(s section) bool {
		return s.name == ".dynamic" && elf.SectionType(s.Type) == elf.SHT_NOBITS
	})
}

// splitPath splits a search path. An empty element is the working directory
// to the loader; nobody means it, and it is left out.
func splitPath(s string) []string {
	var out []string
	for dir := range strings.SplitSeq(s, ":") {
		if dir != "" {
			out = append(out, dir)
		}
	}
	return out
}

// dynString reads a string of the dynamic string table.
func (f *File) dynString(at uint64) (string, error) {
	off, size, err := f.strtab()
	if err != nil {
		return "", err
	}
	if at >= size {
		return "", fmt.Errorf("a string at %d is outside the table: %w", at, ErrDamaged)
	}
	return f.cstring(off+at, size-at)
}

// strtab is where the dynamic string table is.
func (f *File) strtab() (off, size uint64, err error) {
	addr, ok := f.dynamic[elf.DT_STRTAB]
	if !ok {
		return 0, 0, fmt.Errorf("no string table: %w", ErrDamaged)
	}
	off, left, err := f.offset(addr)
	if err != nil {
		return 0, 0, err
	}
	return off, min(left, f.dynamic[elf.DT_STRSZ]), nil
}

// verneed is Elfxx_Verneed, vernaux is Elfxx_Vernaux.
type (
	verneed struct {
		Version, Count  uint16
		File, Aux, Next uint32
	}
	vernaux struct {
		Hash       uint32
		Flags, Ndx uint16
		Name, Next uint32
	}
	verdef struct {
		Version, Flags, Ndx, Count uint16
		Hash, Aux, Next            uint32
	}
	verdaux struct{ Name, Next uint32 }
)

// The flags of versions.
const (
	verBase = 1 // VER_FLG_BASE: the file itself
	verWeak = 2 // VER_FLG_WEAK: the loader only warns
)

// readVersions follows the chain of Verneed records. The loader follows it to
// its end and does not look at DT_VERNEEDNUM.
func (f *File) readVersions() error {
	addr, ok := f.dynamic[elf.DT_VERNEED]
	if !ok {
		return nil
	}
	off, _, err := f.offset(addr)
	if err != nil {
		return err
	}
	budget := maxVersions
	for {
		var need verneed
		if err := f.decode(&need, off); err != nil {
			return err
		}
		v := Need{}
		if v.Library, err = f.dynString(uint64(need.File)); err != nil {
			return err
		}
		at := off + uint64(need.Aux)
		for range need.Count {
			if budget--; budget < 0 {
				return fmt.Errorf("more than %d: %w", maxVersions, ErrDamaged)
			}
			var aux vernaux
			if err := f.decode(&aux, at); err != nil {
				return err
			}
			name, err := f.dynString(uint64(aux.Name))
			if err != nil {
				return err
			}
			if aux.Flags&verWeak != 0 {
				v.Weak = append(v.Weak, name)
			} else {
				v.Versions = append(v.Versions, name)
			}
			if aux.Next == 0 {
				break
			}
			at += uint64(aux.Next)
		}
		slices.Sort(v.Versions)
		f.Needs = append(f.Needs, v)
		if budget--; budget < 0 {
			return fmt.Errorf("more than %d: %w", maxVersions, ErrDamaged)
		}
		if need.Next == 0 {
			return nil
		}
		off += uint64(need.Next)
	}
}

func (f *File) readDefines() error {
	addr, ok := f.dynamic[elf.DT_VERDEF]
	if !ok {
		return nil
	}
	off, _, err := f.offset(addr)
	if err != nil {
		return err
	}
	for range maxVersions {
		var def verdef
		if err := f.decode(&def, off); err != nil {
			return err
		}
		var aux verdaux
		if err := f.decode(&aux, off+uint64(def.Aux)); err != nil {
			return err
		}
		name, err := f.dynString(uint64(aux.Name))
		if err != nil {
			return err
		}
		if def.Flags&verBase == 0 {
			f.Versions = append(f.Versions, name)
		}
		if def.Next == 0 {
			slices.Sort(f.Versions)
			return nil
		}
		off += uint64(def.Next)
	}
	return fmt.Errorf("more than %d: %w", maxVersions, ErrDamaged)
}

// Lacks lists the versions that f needs of the library called soname and lib
// does not define, sorted. A library without any versions satisfies all: the
// loader only warns.
func (f *File) Lacks(soname string, lib *File) []string {
	var out []string
	for _, n := range f.Needs {
		if n.Library != soname || len(lib.Versions) == 0 {
			continue
		}
		for _, v := range n.Versions {
			if _, ok := slices.BinarySearch(lib.Versions, v); !ok {
				out = append(out, v)
			}
		}
	}
	return out
}
