package verify

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
)

// sampler makes values that a JSON Schema allows, always the same ones. It
// does its best: what a pattern wants, for instance, it does not know, and the
// app then answers that the value is wrong, which is as good to compare.
type sampler struct {
	doc    map[string]any
	budget int // schemas that may still be looked at, over all
}

const (
	maxDepth   = 8   // of nested schemas
	maxRefs    = 16  // references that lead to references
	maxItems   = 4   // of a sampled array
	maxMembers = 64  // of a sampled object
	maxString  = 256 // bytes
)

// deref follows references within the document. What leads nowhere or in
// circles is nil.
func (s *sampler) deref(v any) any {
	for range maxRefs {
		m, ok := v.(map[string]any)
		if !ok {
			return v
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return v
		}
		v = s.at(ref)
	}
	return nil
}

// at gives what a JSON Pointer fragment points to.
func (s *sampler) at(ref string) any {
	p, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	var v any = s.doc
	for part := range strings.SplitSeq(p, "/") {
		v = object(v)[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return v
}

// value samples a schema.
func (s *sampler) value(schema any, depth int) any {
	if s.budget--; s.budget < 0 || depth > maxDepth {
		return nil
	}
	m := object(s.deref(schema))
	for _, k := range []string{"const", "example", "default"} {
		if v := m[k]; v != nil {
			return v
		}
	}
	for _, k := range []string{"examples", "enum"} {
		if all, ok := m[k].([]any); ok && len(all) > 0 {
			return all[0]
		}
	}
	if v, ok := s.combined(m, depth); ok {
		return v
	}
	switch kindOf(m) {
	case "object":
		return s.members(m, depth)
	case "array":
		return s.items(m, depth)
	case "integer":
		return int64(math.Ceil(number(m, 1)))
	case "number":
		return number(m, 1.5)
	case "boolean":
		return true
	case "null":
		return nil
	default:
		return str(m)
	}
}

// combined samples allOf, anyOf and oneOf.
func (s *sampler) combined(m map[string]any, depth int) (any, bool) {
	if all, ok := m["allOf"].([]any); ok && len(all) > 0 {
		whole := s.members(m, depth)
		var last any
		for _, x := range all[:min(len(all), maxMembers)] {
			last = s.value(x, depth+1)
			maps.Copy(whole, object(last))
		}
		if _, ok := last.(map[string]any); ok || len(whole) > 0 {
			return whole, true
		}
		return last, true
	}
	for _, k := range []string{"anyOf", "oneOf"} {
		some, _ := m[k].([]any)
		for _, x := range some[:min(len(some), maxMembers)] {
			if kindOf(object(s.deref(x))) != "null" {
				return s.value(x, depth+1), true
			}
		}
	}
	return nil, false
}

// kindOf is the schema's type; of several, the first that is not null.
func kindOf(m map[string]any) string {
	switch t := m["type"].(type) {
	case string:
		return t
	case []any:
		for _, x := range t {
			if k, ok := x.(string); ok && k != "null" {
				return k
			}
		}
	}
	if m["properties"] != nil {
		return "object"
	}
	if m["items"] != nil {
		return "array"
	}
	return ""
}

// members samples an object: all properties near the root, deeper down only
// those that are required, or a recursive schema would fill the budget.
func (s *sampler) members(m map[string]any, depth int) map[string]any {
	out := make(map[string]any)
	properties := object(m["properties"])
	required, _ := m["required"].([]any)
	for _, k := range slices.Sorted(maps.Keys(properties)) {
		if len(out) >= maxMembers {
			break
		}
		if depth < 3 || slices.ContainsFunc(required, func(r any) bool { return r == any(k) }) {
			out[k] = s.value(properties[k], depth+1)
		}
	}
	return out
}

func (s *sampler) items(m map[string]any, depth int) []any {
	n := int(min(max(limit(m, "minItems", 1), 1), maxItems))
	if limit(m, "maxItems", 1) < 1 {
		n = 0
	}
	out := make([]any, 0, n)
	for range n {
		out = append(out, s.value(m["items"], depth+1))
	}
	return out
}

// formats are samples by the format of a string.
var formats = map[string]string{
	"date": "2024-02-29", "date-time": "2024-02-29T12:00:00Z", "time": "12:00:00Z", "duration": "P1D",
	"uuid": "00000000-0000-4000-8000-000000000001", "email": "someone@example.com", "idn-email": "someone@example.com",
	"uri": "http://example.com/", "url": "http://example.com/", "uri-reference": "/x", "hostname": "example.com",
	"ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "ipvanyaddress": "192.0.2.1", "byte": "eA==", "binary": "x",
	"json-string": "{}", "regex": "x",
}

func str(m map[string]any) string {
	format, _ := m["format"].(string)
	v, ok := formats[format]
	if !ok {
		v = "exuvia"
	}
	if n := int(min(max(limit(m, "minLength", 0), 0), maxString)); len(v) < n {
		v += strings.Repeat("x", n-len(v))
	}
	if n := int(min(max(limit(m, "maxLength", maxString), 0), maxString)); len(v) > n {
		v = v[:n]
	}
	return v
}

// number gives one in the bounds of the schema, near to want.
func number(m map[string]any, want float64) float64 {
	lo := max(limit(m, "minimum", math.Inf(-1)), limit(m, "exclusiveMinimum", math.Inf(-1))+1)
	hi := min(limit(m, "maximum", math.Inf(1)), limit(m, "exclusiveMaximum", math.Inf(1)))
	if over := limit(m, "exclusiveMaximum", math.Inf(1)); hi == over && !math.IsInf(over, 0) {
		hi = over - 1
		if lo > hi {
			lo, hi = (lo-1+over)/2, (lo-1+over)/2 // an open interval: its middle
		}
	}
	v := max(min(want, hi), lo)
	if step := limit(m, "multipleOf", 0); step > 0 {
		v = math.Ceil(max(v, step)/step) * step
	}
	if math.IsInf(v, 0) || math.IsNaN(v) || math.Abs(v) > 1e15 {
		return want
	}
	return v
}

// limit reads a number of the schema; the boolean exclusive bounds of OpenAPI
// 3.0 count as none, which makes the bound itself the sample at worst.
func limit(m map[string]any, key string, otherwise float64) float64 {
	n, ok := m[key].(json.Number)
	if !ok {
		return otherwise
	}
	f, err := n.Float64()
	if err != nil {
		return otherwise
	}
	return f
}
