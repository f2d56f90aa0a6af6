package sandbox

import (
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// forbidden are system calls that no build and no app needs and that have
// been ways out of a container: mounting, modules, tracing the kernel, keys.
var forbidden = []string{
	"acct", "add_key", "bpf", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "create_module",
	"delete_module", "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms",
	"init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load",
	"kexec_load", "keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount", "move_pages", "name_to_handle_at",
	"nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_vm_readv",
	"process_vm_writev", "ptrace", "query_module", "quotactl", "quotactl_fd", "reboot", "request_key", "setns",
	"settimeofday", "stime", "swapoff", "swapon", "syslog", "umount", "umount2", "unshare", "userfaultfd", "vhangup",
}

// newNamespaces are the flags of clone(2) with which a process would have all
// powers again, in namespaces of its own.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// personalities are the execution domains that a process may ask for: Linux,
// with 32-bit names or ids, and the question which one it has.
var personalities = []uint64{0, 0x8, 0x20000, 0x20008, 0xffffffff}

// The two ioctls that put characters into the keyboard buffer of a terminal,
// from where the user's shell reads them once the sandbox is gone.
const (
	ioctlSTI   = unix.TIOCSTI
	ioctlLinux = 0x541C // TIOCLINUX: paste the selection
)

// Offsets in struct seccomp_data, see seccomp(2). All of our platforms are
// little-endian.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArg1 = 24 // the low half of the second argument
)

// answer is the action by which a call fails with errno.
func answer(errno syscall.Errno) seccomp.Action {
	return seccomp.ActionErrno | seccomp.Action(errno) //nolint:gosec // at most 4095
}

// tracing are those of the forbidden calls by which a process looks into
// another.
var tracing = []string{"ptrace", "process_vm_readv"}

// policy forbids by the number of the call and by whole arguments.
func policy(info *arch.Info, traces bool) seccomp.Policy {
	known := slices.DeleteFunc(slices.Clone(forbidden), func(name string) bool {
		_, ok := info.SyscallNames[name]
		return !ok || traces && slices.Contains(tracing, name)
	})
	var odd seccomp.ArgumentConditions
	for _, p := range personalities {
		odd = append(odd, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: p})
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Names: known, Action: answer(unix.EPERM), NamesWithCondtions: []seccomp.NameWithConditions{
				{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: newNamespaces}}},
				{Name: "personality", Conditions: odd},
			}},
			// Its flags are in memory, where a filter cannot look. C libraries
			// take ENOSYS for an older kernel and use clone.
			{Names: []string{"clone3"}, Action: answer(unix.ENOSYS)},
		},
	}
}

// program is the whole filter. The library's policies let every call of
// another architecture pass (32-bit ones through int 0x80), and compare
// arguments with all 64 bits where ioctl looks at 32 only; so these two come
// first and are ours.
func program(traces bool) ([]bpf.RawInstruction, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	ioctl, ok := info.SyscallNames["ioctl"]
	if !ok {
		return nil, fmt.Errorf("%s has no ioctl", info.Name)
	}
	p := policy(info, traces)
	rest, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	return bpf.Assemble(append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(answer(unix.ENOSYS))},
		bpf.LoadAbsolute{Off: offsetCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(ioctl), SkipTrue: 4}, //nolint:gosec // a system call's number
		bpf.LoadAbsolute{Off: offsetArg1, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ioctlSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: ioctlLinux, SkipTrue: 1},
		bpf.RetConstant{Val: uint32(answer(unix.EPERM))},
	}, rest...))
}

// filter forbids, for this thread and what it executes, the calls above and
// every way to new privileges. Traces allows those that tracers need.
func filter(traces bool) error {
	raw, err := program(traces)
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}                                                           //nolint:gosec // a few hundred
	_, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog))) //nolint:gosec // how prctl takes it
	if errno != 0 {
		return errno
	}
	return nil
}
