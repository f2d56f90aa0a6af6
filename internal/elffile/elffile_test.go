package elffile

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
	if diff := cmp.Diff([]Need{{Library: "libc.so.6", Versions: []string{"GLIBC_2.2.5", "GLIBC_2.34"}}}, f.Needs); diff != "" {
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

// A program that finds an archive in its own file is not one to rewrite.
func TestCarriesData(t *testing.T) {
	for _, test := range []struct {
		name string
		lib  elfgen.Library
		want bool
	}{
		{"nothing", elfgen.Library{Symbols: true, BuildID: []byte{1, 2}}, false},
		{"behind its end", elfgen.Library{Trailing: []byte("PK")}, true},
		{"in a section", elfgen.Library{Payload: []byte("MEI")}, true},
		{"empty section", elfgen.Library{Payload: []byte{}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := test.lib.Bytes()
			f, err := Read(bytes.NewReader(data), int64(len(data)))
			if err != nil || f.CarriesData() != test.want {
				t.Errorf("CarriesData() = %t, %v, want %t", f.CarriesData(), err, test.want)
			}
		})
	}
}

func TestNoELF(t *testing.T) {
	for name, data := range map[string]string{"empty": "", "script": "#!/bin/sh\n" + string(make([]byte, 100)), "short": elf.ELFMAG} {
		if _, err := Read(bytes.NewReader([]byte(data)), int64(len(data))); !errors.Is(err, ErrNotELF) {
			t.Errorf("%s: %v, want ErrNotELF", name, err)
		}
	}
}

// A file that declares gigabytes must be refused, or what it says ignored,
// before they are allocated.
func TestDeclaredSizesAreChecked(t *testing.T) {
	good := elfgen.Library{
		Soname: "x", Needed: []string{"y"}, Defines: []string{"V1"}, Exports: []string{"PyInit_x"}, GNUHash: true,
		Strings: []string{"hello"}, Versions: map[string][]string{"y": {"Y_1"}},
	}.Bytes()
	for at := 0; at+8 <= len(good); at += 4 {
		for _, huge := range []uint64{1 << 40, 1<<64 - 1, 1 << 63, 0xffffffff} {
			bad := bytes.Clone(good)
			binary.LittleEndian.PutUint64(bad[at:], huge)
			allocated := testing.AllocsPerRun(1, func() { exercise(bad) })
			if allocated > 10_000 {
				t.Errorf("%#x at %d costs %v allocations", huge, at, allocated)
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for at := 0; at+8 <= len(good); at += 8 {
		bad := bytes.Clone(good)
		binary.LittleEndian.PutUint64(bad[at:], 1<<40)
		exercise(bad)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / uint64(len(good)/8); n > 1<<20 {
		t.Errorf("a file of %d bytes costs %d on average", len(good), n)
	}
}

// Sixty-four megabytes of zeros, packed into 64 KB and named as the table
// of section names: debug/elf unpacks it.
func TestCompressedSectionsAreLeftAlone(t *testing.T) {
	data := elfgen.Library{Soname: "x", Symbols: true}.Bytes()
	const size = 64 << 20
	var packed bytes.Buffer
	packed.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1), size), 1)) // Elf64_Chdr
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	names := data[binary.LittleEndian.Uint64(data[40:])+64*uint64(binary.LittleEndian.Uint16(data[62:])):]
	binary.LittleEndian.PutUint64(names[8:], uint64(elf.SHF_COMPRESSED))
	binary.LittleEndian.PutUint64(names[24:], uint64(len(data)))
	binary.LittleEndian.PutUint64(names[32:], uint64(packed.Len()))
	data = append(data, packed.Bytes()...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	exercise(data)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("a file of %d bytes costs %d", len(data), n)
	}
}

// exercise reads all there is to read.
func exercise(data []byte) {
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return
	}
	for s := range f.Strings() {
		_ = s
	}
	_, _ = f.Modules() // errors are as good as answers here
	_ = SameImage(f, f)
}

// The loader needs no section headers, so neither may we.
func TestNoSectionTable(t *testing.T) {
	l := elfgen.Library{
		Soname: "libx.so.1", Needed: []string{"liby.so.2"}, Strings: []string{"libz.so.3"}, BuildID: []byte{0xab, 0xcd},
		Exports: []string{"PyInit_mod", "other"}, Imports: []string{"iconv_open"}, Trailing: []byte("payload"),
	}
	for _, l.NoTable = range []bool{false, true} {
		for _, l.GNUHash = range []bool{false, true} {
			data := l.Bytes()
			f, err := Read(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			modules, err := f.Modules()
			if err != nil {
				t.Fatal(err)
			}
			imports, err := f.Named("iconv_", "PyInit_other")
			if err != nil {
				t.Fatal(err)
			}
			var libs []string
			for s := range f.Strings() {
				if strings.HasSuffix(s, ".so.3") {
					libs = append(libs, s)
				}
			}
			got := []any{f.Soname, f.Needed, f.BuildID, f.Trailing, modules, imports, libs}
			want := []any{"libx.so.1", []string{"liby.so.2"}, "abcd", int64(7), []string{"mod"}, []Symbol{{"iconv_open", false}}, []string{"libz.so.3"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("no table %v, GNU hash %v (-want +got):\n%s", l.NoTable, l.GNUHash, diff)
			}
		}
	}
}

func TestLacks(t *testing.T) {
	read := func(l elfgen.Library) *File {
		data := l.Bytes()
		f, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	user := read(elfgen.Library{
		Needed: []string{"liba.so.1", "libb.so.1"}, Weak: map[string][]string{"libb.so.1": {"B_9"}},
		Versions: map[string][]string{"liba.so.1": {"A_2", "A_1", "A_3"}},
	})
	for _, tt := range []struct {
		name, soname string
		lib          elfgen.Library
		want         []string
	}{
		{"has some", "liba.so.1", elfgen.Library{Defines: []string{"A_2", "A_1"}}, []string{"A_3"}},
		{"has all", "liba.so.1", elfgen.Library{Defines: []string{"A_2", "A_1", "A_3", "A_4"}}, nil},
		{"has none at all", "liba.so.1", elfgen.Library{}, nil},
		{"weak", "libb.so.1", elfgen.Library{Defines: []string{"B_1"}}, nil},
		{"another library", "libc.so.6", elfgen.Library{Defines: []string{"C_1"}}, nil},
	} {
		if diff := cmp.Diff(tt.want, user.Lacks(tt.soname, read(tt.lib))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestSameImage(t *testing.T) {
	l := elfgen.Library{Soname: "libx.so.1", Strings: []string{"text"}, Symbols: true}
	full := l.Bytes()
	l.Symbols = false
	stripped := l.Bytes()
	l.NoTable = true
	bare := l.Bytes()
	l.Strings = []string{"tixt"}
	other := l.Bytes()
	l.Needed = []string{"liby.so"}
	longer := l.Bytes()
	for _, tt := range []struct {
		name string
		data []byte
		same bool
	}{{"stripped", stripped, true}, {"without section headers", bare, true}, {"other text", other, false}, {"longer", longer, false}} {
		a, err := Read(bytes.NewReader(full), int64(len(full)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Read(bytes.NewReader(tt.data), int64(len(tt.data)))
		if err != nil {
			t.Fatal(err)
		}
		if err := SameImage(a, b); (err == nil) != tt.same {
			t.Errorf("%s: %v, want the same: %v", tt.name, err, tt.same)
		}
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
	f.Add(elfgen.Library{Exports: []string{"PyInit_a", "b"}, GNUHash: true, NoTable: true, BuildID: []byte("id"), Interp: "/lib/ld.so"}.Bytes())
	f.Add(elfgen.Library{Imports: []string{"c"}, Defines: []string{"V1", "V2"}, Symbols: true, Trailing: []byte("x")}.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data), int64(len(data)))
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v and error %v", file, err)
		}
		if err != nil {
			return
		}
		for s := range file.Strings() {
			if len(s) > len(data) {
				t.Fatal("a string is longer than the file")
			}
		}
		if _, err := file.Modules(); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("reading memory failed: %v", err)
		}
		if err := SameImage(file, file); err != nil && !errors.Is(err, ErrDamaged) && !strings.Contains(err.Error(), "cannot be mapped") {
			t.Fatalf("a file differs from itself: %v", err)
		}
	})
}
