package reduce

import (
	"strings"

	"exuvia/internal/fault"
)

// All lists the passes in the order in which they make sense.
func All() []Pass {
	return []Pass{Docs, DPKG, Bytecode, Strip, RPath, UPX, Archive, Dedupe}
}

// Named finds a pass. An unknown name is a fault of kind Usage.
func Named(name string) (Pass, error) {
	var names []string
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Pass{}, fault.New(fault.Usage, "choose among: "+strings.Join(names, ", "), "no pass is called %q", name)
}
