package cli

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// freeMemory is how many bytes can be used without swapping: what the kernel
// takes for available (proc_meminfo(5)), within the limit of the control
// group (cgroup v2) where there is one.
func freeMemory() (int64, bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	free, ok := available(f)
	if data, err := os.ReadFile("/sys/fs/cgroup/memory.max"); ok && err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil { // else "max"
			free = min(free, limit)
		}
	}
	return free, ok
}

// available reads MemAvailable of /proc/meminfo, in bytes.
func available(r io.Reader) (int64, bool) {
	lines := bufio.NewScanner(io.LimitReader(r, 1<<16))
	for lines.Scan() {
		value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		return kb * 1024, err == nil
	}
	return 0, false
}
