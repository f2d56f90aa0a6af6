package sandbox

import (
	"os"
	"path/filepath"
	"strings"

	"exuvia/internal/fault"
)

// switches are settings of the kernel that keep an ordinary user from making
// a user namespace: where one has the value Off, Hint is what to do.
var switches = []struct{ Name, Off, Hint string }{
	{"kernel/unprivileged_userns_clone", "0", "switch on unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), or run as root"},
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "let AppArmor allow unprivileged user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0), or run as root"},
	{"user/max_user_namespaces", "0", "allow user namespaces (sysctl user.max_user_namespaces=10000)"},
	{"user/max_mnt_namespaces", "0", "allow mount namespaces (sysctl user.max_mnt_namespaces=10000)"},
	{"user/max_net_namespaces", "0", "allow network namespaces (sysctl user.max_net_namespaces=10000)"},
	{"user/max_pid_namespaces", "0", "allow process namespaces (sysctl user.max_pid_namespaces=10000)"},
}

// refused is the error where the machine does not let us isolate a process.
func refused(err error) error {
	return fault.Wrap(err, fault.Sandbox, refusal("/proc/sys"), "this machine does not let exuvia make a sandbox")
}

// refusal names what to switch on, by the settings below dir.
func refusal(dir string) string {
	for _, s := range switches {
		if v, err := os.ReadFile(filepath.Join(dir, s.Name)); err == nil && strings.TrimSpace(string(v)) == s.Off {
			return s.Hint
		}
	}
	return "in a container, let it make user namespaces and mount proc " +
		"(docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined --security-opt apparmor=unconfined); else use Linux 5.11 or newer"
}
