package install

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"exuvia/internal/engine"
	"exuvia/internal/fault"
	"exuvia/internal/project"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

const networkHint = "connect to the network, or set the proxy and CA variables that pip uses"

// What tools print when the network is not there, and when a server turns
// them away.
var (
	noNetwork = regexp.MustCompile(`(?i)dns error|error sending request|failed to lookup address|connection refused|network is unreachable|temporary failure in name resolution|failed to establish a new connection|operation timed out|client error \(connect\)|network connectivity is disabled|timed out|max retries exceeded|name or service not known`)
	noEntry   = regexp.MustCompile(`\b(401|403)\b (Unauthorized|Forbidden|Client Error)|\b(401|403) Client Error`)
	badHash   = regexp.MustCompile(`(?i)hash mismatch|do not match the hashes|THESE PACKAGES DO NOT MATCH`)
	wantsURL  = regexp.MustCompile(`https?://([^/\s]+)`)
)

// uvFault makes an error for the user of what uv printed. Doing says what it
// was for: "resolving requirements.txt".
func uvFault(failed *engine.StepError, doing string) error {
	reason := uvReason(failed.Output)
	switch {
	case badHash.MatchString(failed.Output):
		return fault.New(fault.Integrity, "do not trust the index; if the file was replaced there on purpose, make the lock anew", "%s: %s", doing, reason)
	case noEntry.MatchString(failed.Output):
		return fault.New(fault.Network, "give credentials in .netrc, pip.conf or UV_INDEX_…", "%s: %s%s", doing, reason, host1(failed.Output))
	case noNetwork.MatchString(failed.Output):
		return fault.New(fault.Network, networkHint, "%s: the package index has to be asked and cannot be reached%s", doing, host1(failed.Output))
	case strings.Contains(failed.Output, "--no-build"):
		return fault.New(fault.Dependency, "lock the project (uv lock), so that nothing has to be built while credentials are at hand", "%s: %s", doing, reason)
	case failed.Reason != "":
		return fault.Wrap(failed, fault.Dependency, "see the output with --debug", "%s", doing)
	}
	return fault.New(fault.Dependency, "correct the requirement, or choose another Python with --python", "%s: %s", doing, reason)
}

// host1 is the first host that a text names.
func host1(s string) string {
	if m := wantsURL.FindStringSubmatch(s); m != nil {
		return " (" + m[1] + ")"
	}
	return ""
}

var spaces = regexp.MustCompile(`[\s│╰├─▶×]+`)

// uvReason is what uv says went wrong, in one line: the text from the last
// "error:" to the hints, its causes joined.
func uvReason(output string) string {
	if i := strings.LastIndex(output, "error: "); i >= 0 {
		output = output[i+len("error: "):]
	}
	output, _, _ = strings.Cut(output, "\nhint:")
	output = strings.ReplaceAll(output, "cause: ", "")
	output = strings.TrimSpace(spaces.ReplaceAllString(output, " "))
	for _, noise := range []string{"No solution found when resolving dependencies ", "No solution found when resolving dependencies: "} {
		output = strings.TrimPrefix(output, noise)
	}
	const most = 400
	if len(output) > most {
		output = strings.ToValidUTF8(output[:most], "") + "…"
	}
	return strings.TrimSuffix(output, ".")
}

// pipFault does the same for pip, which only ever fetches uv.
func pipFault(failed *engine.StepError) error {
	switch {
	case badHash.MatchString(failed.Output):
		return fault.New(fault.Integrity, "do not trust the index", "uv %s from the package index is not the one that is known", uvVersion)
	case noEntry.MatchString(failed.Output):
		return fault.New(fault.Network, "give credentials in .netrc or pip.conf", "fetching uv %s: the package index wants other credentials%s", uvVersion, host1(failed.Output))
	case strings.Contains(failed.Output, "No matching distribution") && !noNetwork.MatchString(failed.Output):
		return fault.New(fault.Dependency, "see that pip's index has uv "+uvVersion, "the package index has no uv %s for this system", uvVersion)
	}
	return fault.New(fault.Network, networkHint, "uv %s has to be fetched from the package index, and cannot be: %s", uvVersion, project.Clip(engine.LastLines(failed.Output, 1)))
}
