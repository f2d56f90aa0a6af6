package elffile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/testkit/elfgen"
)

func TestRead(t *testing.T) {
	data := elfgen.Library{
		Soname: "libx.so.1", Needed: []string{"libc.so.6", "libssl.so.3"}, RunPath: "$ORIGIN/../x.libs:/opt/lib",
		Versions: map[string][]string{"libc.so.6": {"GLIBC_2.34", "GLIBC_2.2.5"}}, Strings: []string{"libfoo.so.2", "abc"}, Symbols: true,
	}.Bytes()
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"libc.so.6", "libssl.so.3"}, f.Needed); diff != "" {
		t.Errorf("needed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"$ORIGIN/../x.libs", "/opt/lib"}, f.RunPath); diff != "" {
		t.Errorf("runpath (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Need{{"libc.so.6", []string{"GLIBC_2.2.5", "GLIBC_2.34"}}}, f.Needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	if f.Soname != "libx.so.1" || f.Type != elf.ET_DYN || !f.Dynamic || !f.Symbols {
		t.Errorf("file is %+v", f)
	}
	var found []string
	for s := range f.Strings() {
		found = append(found, s)
	}
	if diff := cmp.Diff([]string{"libfoo.so.2"}, found); diff != "" {
		t.Errorf("strings (-want +got):\n%s", diff)
	}
}

func TestNoELF(t *testing.T) {
	for name, data := range map[string]string{"empty": "", "script": "#!/bin/sh\n" + string(make([]byte, 100)), "short": elf.ELFMAG} {
		if _, err := Read(bytes.NewReader([]byte(data)), int64(len(data))); !errors.Is(err, ErrNotELF) {
			t.Errorf("%s: %v, want ErrNotELF", name, err)
		}
	}
}

// A file that declares gigabytes must be refused before they are allocated.
func TestDeclaredSizesAreChecked(t *testing.T) {
	good := elfgen.Library{Soname: "x", Needed: []string{"y"}}.Bytes()
	shoff := binary.LittleEndian.Uint64(good[40:])
	bad := bytes.Clone(good)
	binary.LittleEndian.PutUint64(bad[shoff+64+32:], 1<<40) // size of the first real section
	if _, err := Read(bytes.NewReader(bad), int64(len(bad))); err == nil {
		t.Error("a section of a terabyte was read")
	}
}

// The second opinion of the machine's own libraries: whatever is there reads.
func TestReadsRealFiles(t *testing.T) {
	found, err := filepath.Glob("/usr/lib/*/lib*.so.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found[:min(len(found), 200)] {
		data, err := os.ReadFile(name)
		if err != nil || !IsELF(data) || data[elf.EI_CLASS] != byte(elf.ELFCLASS64) {
			continue
		}
		f, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Type == elf.ET_DYN && !f.Dynamic {
			t.Errorf("%s has no dynamic section", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(elfgen.Library{Soname: "libx.so.1", Needed: []string{"libc.so.6"}, RunPath: "$ORIGIN", Versions: map[string][]string{"libc.so.6": {"GLIBC_2.34"}}, Strings: []string{"hello"}}.Bytes())
	f.Add(elfgen.Library{}.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data), int64(len(data)))
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v and error %v", file, err)
		}
		if err != nil {
			return
		}
		n := 0
		for s := range file.Strings() {
			if n += len(s); n > 8*len(data) {
				t.Fatal("more strings than bytes")
			}
		}
	})
}
