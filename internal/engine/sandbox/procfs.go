package sandbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Listening implements [engine.Process].
func (p *process) Listening() ([]int, error) {
	var all []listener
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, name))
		if gone(err) {
			continue // ended, or no IPv6 here
		}
		if err != nil {
			return nil, err
		}
		found, err := listening(f)
		f.Close()
		if err != nil && !gone(err) {
			return nil, err
		}
		all = append(all, found...)
	}
	if p.box.Network { // the host's, where others listen too
		own, err := p.sockets()
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(all, func(l listener) bool { return !own[l.inode] })
	}
	var ports []int
	for _, l := range all {
		ports = append(ports, l.port)
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// gone reports whether a process ended while we looked at it.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL)
}

// listener is a socket that is listened on.
type listener struct {
	port  int
	inode string
}

// tcpListen is the state LISTEN in /proc/net/tcp, see proc(5).
const tcpListen = "0A"

// listening reads /proc/net/tcp or tcp6 and gives the sockets in state LISTEN.
func listening(r io.Reader) ([]listener, error) {
	var out []listener
	lines := bufio.NewScanner(io.LimitReader(r, 16<<20))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != tcpListen {
			continue
		}
		_, hexPort, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if ok && err == nil && n > 0 {
			out = append(out, listener{port: int(n), inode: f[9]})
		}
	}
	return out, lines.Err()
}

// sockets gives the inodes of the sockets that the container has open.
func (p *process) sockets() (map[string]bool, error) {
	out := make(map[string]bool)
	for _, pid := range p.pids() {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		files, err := os.ReadDir(dir)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			target, err := os.Readlink(filepath.Join(dir, f.Name()))
			if err != nil {
				continue // closed by now
			}
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				out[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return out, nil
}

// pids are the processes of the container, without init, which is ours.
func (p *process) pids() []int {
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	return pids[1:]
}

// PSS implements [engine.Process].
func (p *process) PSS() (int64, error) {
	var total int64
	for _, pid := range p.pids() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if gone(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("measuring memory: %w", err)
		}
		n, err := pss(data)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// children lists the children of a process, of all its threads.
func children(pid int) []int {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, t := range tasks {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(data)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// pss reads the line "Pss: 123 kB" of smaps_rollup.
func pss(data []byte) (int64, error) {
	for line := range bytes.Lines(data) {
		f := bytes.Fields(line)
		if len(f) == 3 && string(f[0]) == "Pss:" && string(f[2]) == "kB" {
			n, err := strconv.ParseUint(string(f[1]), 10, 48)
			return int64(n) * 1024, err
		}
	}
	return 0, errors.New("measuring memory: smaps_rollup has no Pss")
}
