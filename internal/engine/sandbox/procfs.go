package sandbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Listening implements [engine.Process].
func (p *process) Listening() ([]int, error) {
	var ports []int
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
		ports = append(ports, found...)
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// gone reports whether a process ended while we looked at it.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL)
}

// tcpListen is the state LISTEN in /proc/net/tcp, see proc(5).
const tcpListen = "0A"

// listening reads /proc/net/tcp or tcp6 and gives the local ports in state
// LISTEN.
func listening(r io.Reader) ([]int, error) {
	var ports []int
	lines := bufio.NewScanner(io.LimitReader(r, 16<<20))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != tcpListen {
			continue
		}
		_, hexPort, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if ok && err == nil {
			ports = append(ports, int(n))
		}
	}
	return ports, lines.Err()
}

// PSS implements [engine.Process].
func (p *process) PSS() (int64, error) {
	var total int64
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
		if i == 0 {
			continue // init is ours, not the image's
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pids[i]))
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
			n, err := strconv.ParseInt(string(f[1]), 10, 53)
			return n * 1024, err
		}
	}
	return 0, errors.New("measuring memory: smaps_rollup has no Pss")
}
