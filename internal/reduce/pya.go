package reduce

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"unicode/utf8"
)

// An archive of modules (.pya), all numbers little-endian:
//
//	 0  8 bytes  "\x93exuvia\n"
//	 8  4 bytes  magic number of the Python that the code was compiled for
//	12  uint32   version of the format, 3
//	16  uint32   flags: 1 = index and modules are deflated (RFC 1951), each on its own,
//	             but for modules whose size is the same unpacked
//	20  uint32   size of the index in the file
//	24  uint32   size of the index unpacked
//	28           index, then the modules
//
// The index is a dict in Python's marshal format, which every version reads
// with one call: absolute directory → {module: (offset behind the index, size
// in the file, size unpacked)}. A package is the module __init__ of its
// directory. All directories above have an entry, be it empty. A module is
// marshalled code without the header of a .pyc file. Go deflates: its bytes
// depend on no library of the system. There is no checksum, as it would cost
// a tenth of the time to inflate, and loose .pyc files have none either.
const (
	pyaMagic   = "\x93exuvia\n"
	pyaVersion = 3 // enters the cache's keys: raise it with every change of the bytes
	pyaHead    = 28
	pyaDeflate = 1
	pyaWorth   = 45       // percent: a module that deflate leaves larger is not worth inflating at every start
	maxIndex   = 64 << 20 // bytes, unpacked
	maxModule  = 64 << 20 // bytes, unpacked
)

// module is a member of an archive.
type module struct {
	Dir  string // absolute: "/usr/lib/python3.11/json"
	Name string // "__init__", "decoder"
	Code []byte // marshalled code
}

func compareModules(a, b module) int {
	return cmp.Or(cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Name, b.Name))
}

// archive is the contents of an archive file.
type archive struct {
	Magic   [4]byte
	Deflate bool
	Modules []module // sorted by directory and name
}

// place is where a module is in the file.
type place struct{ at, size, unpacked int }

// write gives the archive's bytes, always the same for the same contents.
func (a archive) write(w io.Writer) error {
	index := make(map[string]map[string]place)
	var body bytes.Buffer
	for _, m := range slices.SortedFunc(slices.Values(a.Modules), compareModules) {
		if !path.IsAbs(m.Dir) || m.Dir == "/" || m.Name == "" || !utf8.ValidString(m.Dir+m.Name) {
			return fmt.Errorf("module %q in %q cannot be archived", m.Name, m.Dir)
		}
		if _, ok := index[m.Dir][m.Name]; ok {
			return fmt.Errorf("two modules %s/%s", m.Dir, m.Name)
		}
		for dir := m.Dir; dir != "/" && index[dir] == nil; dir = path.Dir(dir) {
			index[dir] = make(map[string]place)
		}
		p := place{at: body.Len(), unpacked: len(m.Code)}
		if err := a.pack(&body, m.Code); err != nil {
			return err
		}
		if a.Deflate && (body.Len()-p.at)*100 > len(m.Code)*pyaWorth {
			body.Truncate(p.at)
			body.Write(m.Code)
		}
		p.size = body.Len() - p.at
		index[m.Dir][m.Name] = p
	}
	if body.Len() > math.MaxInt32 {
		return fmt.Errorf("%d bytes of modules are more than an archive can hold", body.Len())
	}
	plain := marshalIndex(index)
	var packed bytes.Buffer
	if err := a.pack(&packed, plain); err != nil {
		return err
	}
	head := append([]byte(pyaMagic), a.Magic[:]...)
	var flags uint32
	if a.Deflate {
		flags = pyaDeflate
	}
	for _, n := range []uint32{pyaVersion, flags, uint32(packed.Len()), uint32(len(plain))} { //nolint:gosec // bounded above and below
		head = binary.LittleEndian.AppendUint32(head, n)
	}
	for _, b := range [][]byte{head, packed.Bytes(), body.Bytes()} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// pack appends data in the form that the archive's flags say.
func (a archive) pack(to *bytes.Buffer, data []byte) error {
	if !a.Deflate {
		to.Write(data)
		return nil
	}
	w, err := flate.NewWriter(to, flate.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// marshalIndex writes the index as marshal.dumps would, keys sorted, with the
// type codes that exist since Python 3.4.
func marshalIndex(index map[string]map[string]place) []byte {
	out := []byte{'{'}
	for _, dir := range slices.Sorted(maps.Keys(index)) {
		out = append(marshalString(out, dir), '{')
		for _, name := range slices.Sorted(maps.Keys(index[dir])) {
			p := index[dir][name]
			out = append(marshalString(out, name), ')', 3)
			for _, n := range []int{p.at, p.size, p.unpacked} {
				out = binary.LittleEndian.AppendUint32(append(out, 'i'), uint32(n)) //nolint:gosec // write checks the sum
			}
		}
		out = append(out, '0')
	}
	return append(out, '0')
}

func marshalString(out []byte, s string) []byte {
	out = binary.LittleEndian.AppendUint32(append(out, 'u'), uint32(len(s))) //nolint:gosec // a path
	return append(out, s...)
}

// errArchive is what every defect of an archive's bytes is.
var errArchive = errors.New("damaged archive of modules")

// readIndex reads the head of an archive, and gives what is behind it too.
func readIndex(data []byte) (a archive, dirs map[string]map[string]place, body []byte, err error) {
	if len(data) < pyaHead || string(data[:8]) != pyaMagic || binary.LittleEndian.Uint32(data[12:]) != pyaVersion {
		return a, nil, nil, fmt.Errorf("%w: no header of version %d", errArchive, pyaVersion)
	}
	copy(a.Magic[:], data[8:])
	flags := binary.LittleEndian.Uint32(data[16:])
	if flags&^pyaDeflate != 0 {
		return a, nil, nil, fmt.Errorf("%w: unknown flags %#x", errArchive, flags)
	}
	a.Deflate = flags&pyaDeflate != 0
	size, unpacked := int64(binary.LittleEndian.Uint32(data[20:])), int64(binary.LittleEndian.Uint32(data[24:]))
	if size > int64(len(data)-pyaHead) || unpacked > maxIndex {
		return a, nil, nil, fmt.Errorf("%w: index of %d bytes, %d unpacked", errArchive, size, unpacked)
	}
	index, err := a.unpack(data[pyaHead:pyaHead+size], int(unpacked))
	if err != nil {
		return a, nil, nil, fmt.Errorf("index: %w", err)
	}
	dirs, err = unmarshalIndex(index)
	return a, dirs, data[pyaHead+size:], err
}

// readArchive reads what write has written, and accepts nothing else.
func readArchive(data []byte) (archive, error) {
	a, dirs, body, err := readIndex(data)
	if err != nil {
		return a, err
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		for _, name := range slices.Sorted(maps.Keys(dirs[dir])) {
			p := dirs[dir][name]
			if p.at < 0 || p.size < 0 || p.at > len(body) || p.size > len(body)-p.at || p.unpacked < 0 || p.unpacked > maxModule {
				return a, fmt.Errorf("%w: %s/%s lies outside", errArchive, dir, name)
			}
			code := body[p.at : p.at+p.size]
			if !a.Deflate || p.size != p.unpacked {
				if code, err = a.unpack(code, p.unpacked); err != nil {
					return a, fmt.Errorf("%s/%s: %w", dir, name, err)
				}
			}
			a.Modules = append(a.Modules, module{dir, name, code})
		}
	}
	return a, nil
}

// unpack undoes pack. The size is known beforehand, so a bomb stops there.
func (a archive) unpack(data []byte, size int) ([]byte, error) {
	if a.Deflate {
		var err error
		if data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), int64(size)+1)); err != nil {
			return nil, fmt.Errorf("%w: %w", errArchive, err)
		}
	}
	if len(data) != size {
		return nil, fmt.Errorf("%w: not %d bytes", errArchive, size)
	}
	return data, nil
}

// unmarshalIndex reads what marshalIndex writes.
func unmarshalIndex(data []byte) (map[string]map[string]place, error) {
	in := unmarshaler{data: data}
	dirs := make(map[string]map[string]place)
	in.dict(func(dir string) {
		members := make(map[string]place)
		in.dict(func(name string) {
			in.expect(')', 3)
			members[name] = place{in.int(), in.int(), in.int()}
		})
		dirs[dir] = members
	})
	if in.bad || len(in.data) > 0 {
		return nil, fmt.Errorf("%w: index is not in the expected form", errArchive)
	}
	return dirs, nil
}

// unmarshaler takes values off the front of data until something is bad.
type unmarshaler struct {
	data []byte
	bad  bool
}

func (u *unmarshaler) take(n int) []byte {
	if u.bad || n < 0 || n > len(u.data) {
		u.bad, u.data = true, nil
		return nil
	}
	b := u.data[:n]
	u.data = u.data[n:]
	return b
}

func (u *unmarshaler) expect(want ...byte) {
	if !bytes.Equal(u.take(len(want)), want) {
		u.bad = true
	}
}

func (u *unmarshaler) int() int {
	u.expect('i')
	b := u.take(4)
	if b == nil {
		return 0
	}
	return int(int32(binary.LittleEndian.Uint32(b))) //nolint:gosec // two's complement, as marshal has it
}

// dict calls value for each key, in rising order, to take what belongs to it.
func (u *unmarshaler) dict(value func(key string)) {
	u.expect('{')
	for last, first := "", true; !u.bad; first = false {
		if len(u.data) > 0 && u.data[0] == '0' {
			u.take(1)
			return
		}
		u.expect('u')
		n := u.take(4)
		if n == nil {
			return
		}
		key := string(u.take(int(int32(binary.LittleEndian.Uint32(n))))) //nolint:gosec // take refuses negative ones
		if !first && key <= last || !utf8.ValidString(key) {
			u.bad = true
		}
		if !u.bad {
			value(key)
		}
		last = key
	}
}
