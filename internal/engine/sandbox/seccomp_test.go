package sandbox

import (
	"encoding/binary"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict runs the filter on one call as the kernel would.
func verdict(t *testing.T, traces bool, archID uint32, call int, args ...uint64) uint32 {
	t.Helper()
	raw, err := program(traces)
	if err != nil {
		t.Fatal(err)
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program cannot be read back")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	// struct seccomp_data, each word big-endian, for that is how this machine
	// loads them; the kernel's loads are native.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[0:], uint32(call))
	binary.BigEndian.PutUint32(data[4:], archID)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func TestFilter(t *testing.T) {
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	const (
		allow  = unix.SECCOMP_RET_ALLOW
		eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	thread := uint64(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD)
	for _, c := range []struct {
		call string
		args []uint64
		want uint32
	}{
		{"read", nil, allow},
		{"execve", nil, allow},
		{"mount", nil, eperm},
		{"unshare", nil, eperm},
		{"ptrace", nil, eperm},
		{"clone", []uint64{thread}, allow},
		{"clone", []uint64{uint64(unix.SIGCHLD)}, allow},
		{"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		{"clone", []uint64{thread | unix.CLONE_NEWNET}, eperm},
		{"clone3", nil, enosys},
		{"personality", []uint64{0xffffffff}, allow},
		{"personality", []uint64{0}, allow},
		{"personality", []uint64{0x0040000}, eperm}, // ADDR_NO_RANDOMIZE
		{"ioctl", []uint64{0, unix.TCGETS}, allow},
		{"ioctl", []uint64{0, unix.TIOCGWINSZ}, allow},
		{"ioctl", []uint64{0, unix.TIOCSTI}, eperm},
		{"ioctl", []uint64{0, unix.TIOCSTI | 1<<40}, eperm}, // the kernel looks at the low half only
		{"ioctl", []uint64{0, ioctlLinux}, eperm},
		{"read", []uint64{0, unix.TIOCSTI}, allow},
	} {
		if got := verdict(t, false, uint32(info.ID), info.SyscallNames[c.call], c.args...); got != c.want {
			t.Errorf("%s%x: %#x, want %#x", c.call, c.args, got, c.want)
		}
	}
	if got := verdict(t, false, uint32(arch.I386.ID), 21); got != enosys { // mount of the 32-bit interface
		t.Errorf("a call of another architecture: %#x, want %#x", got, enosys)
	}
	for _, name := range forbidden {
		if call, ok := info.SyscallNames[name]; ok && verdict(t, false, uint32(info.ID), call) == allow {
			t.Errorf("%s is allowed", name)
		}
		call, ok := info.SyscallNames[name]
		if traced := ok && verdict(t, true, uint32(info.ID), call) == allow; traced != (name == "ptrace" || name == "process_vm_readv") {
			t.Errorf("%s is allowed to those who may trace: %v", name, traced)
		}
	}
}

// Every name is of some architecture: one that is misspelt forbids nothing.
func TestForbiddenNamesExist(t *testing.T) {
	for _, name := range forbidden {
		known := false
		for _, info := range []*arch.Info{arch.X86_64, arch.AARCH64, arch.I386, arch.ARM} {
			_, ok := info.SyscallNames[name]
			known = known || ok
		}
		if !known {
			t.Errorf("%s is no system call", name)
		}
	}
}
