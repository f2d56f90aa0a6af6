package reduce

import (
	"fmt"
	"math"
	"path"
	"strings"

	"exuvia/internal/tree"
)

// Members gives the bytes that each module takes in an archive, by the name
// that moves into it have.
func Members(e tree.Entry) (map[string]int64, error) {
	data, err := e.ReadAll(math.MaxInt32)
	if err != nil {
		return nil, err
	}
	_, dirs, _, err := readIndex(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.Path, err)
	}
	out := make(map[string]int64)
	for dir, modules := range dirs {
		for name, p := range modules {
			out[memberName(path.Join(dir, name)+".pyc")] = int64(p.size)
		}
	}
	return out, nil
}

// memberName is how the module of a bytecode file is called in an archive: as
// its source.
func memberName(file string) string {
	return strings.TrimSuffix(strings.TrimPrefix(file, "/"), "c")
}
