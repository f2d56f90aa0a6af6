package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// parseJSON reads one JSON value (RFC 8259) and nothing after it. Numbers stay
// as they are written: 1 and 1.0 are different answers.
func parseJSON(b []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, errors.Is(err, io.EOF)
}

// maxPointer is how long a pointer may get, in bytes: behind that, values are
// equal or not. The keys of a deep value would otherwise be copied once a level.
const maxPointer = 2000

// jsonDiff lists the places where two values differ, at most "most", by their
// JSON Pointers (RFC 6901); the root is "/".
func jsonDiff(x, y any) []difference {
	d := &jsonDiffer{}
	d.walk("", x, y)
	return d.out
}

type jsonDiffer struct {
	out []difference
}

func (d *jsonDiffer) add(at, x, y string) {
	if len(d.out) < most {
		if at == "" {
			at = "/"
		}
		d.out = append(d.out, difference{at, x, y})
	}
}

func (d *jsonDiffer) walk(at string, x, y any) {
	if len(d.out) >= most {
		return
	}
	if len(at) > maxPointer {
		if !reflect.DeepEqual(x, y) {
			d.add(at, showJSON(x), showJSON(y))
		}
		return
	}
	switch a := x.(type) {
	case map[string]any:
		if b, ok := y.(map[string]any); ok {
			d.objects(at, a, b)
			return
		}
	case []any:
		if b, ok := y.([]any); ok && len(a) == len(b) {
			for i := range a {
				d.walk(at+"/"+strconv.Itoa(i), a[i], b[i])
			}
			return
		}
	default:
		if isScalar(y) && x == y {
			return
		}
	}
	d.add(at, showJSON(x), showJSON(y))
}

func (d *jsonDiffer) objects(at string, a, b map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(union(a, b))) {
		p := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
		u, hasU := a[k]
		v, hasV := b[k]
		switch {
		case !hasV:
			d.add(p, showJSON(u), "nothing")
		case !hasU:
			d.add(p, "nothing", showJSON(v))
		default:
			d.walk(p, u, v)
		}
	}
}

// isScalar reports whether v can be compared with ==.
func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// showJSON gives a value for people.
func showJSON(v any) string {
	const limit = 160
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil { // cannot be: it came from a decoder
		return "unknown"
	}
	s := strings.TrimSuffix(b.String(), "\n")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
