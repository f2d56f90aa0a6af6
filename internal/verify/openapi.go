package verify

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what a description may make exuvia do. It comes from the app, so
// it can be wrong, huge or in circles.
const (
	maxAsks   = 200
	maxURL    = 2000   // bytes of path and query
	maxSample = 64_000 // bytes of a body
)

// derive makes requests of an OpenAPI 3 document (https://spec.openapis.org):
//
//   - the pages that show the document, which are made of it,
//   - each GET with its required parameters, with all of them, and with a word
//     where a number belongs,
//   - each POST, PUT and PATCH with the empty object as body, and the first two
//     with a body that the schema allows.
//
// Nothing is deleted. What is no such document gives no requests.
func derive(doc []byte) []ask {
	v, ok := parseJSON(doc)
	root, isObject := v.(map[string]any)
	if version, _ := root["openapi"].(string); !ok || !isObject || !strings.HasPrefix(version, "3.") {
		return nil
	}
	s := &sampler{doc: root, budget: 20_000}
	d := &deriver{sampler: s, seen: make(map[string]bool)}
	for _, q := range fixed() {
		d.seen[q.name()] = true
	}
	d.add(ask{method: http.MethodGet, path: "/docs"})
	d.add(ask{method: http.MethodGet, path: "/redoc"})
	paths := object(root["paths"])
	names := slices.Sorted(maps.Keys(paths))
	for _, p := range names {
		d.gets(p, object(s.deref(paths[p])))
	}
	for _, p := range names {
		d.writes(p, object(s.deref(paths[p])))
	}
	return d.out
}

type deriver struct {
	*sampler
	out  []ask
	seen map[string]bool
}

func (d *deriver) add(q ask) {
	if len(d.out) < maxAsks && len(q.path) <= maxURL && len(q.body) <= maxSample && !d.seen[q.name()] {
		d.seen[q.name()] = true
		d.out = append(d.out, q)
	}
}

func (d *deriver) gets(p string, item map[string]any) {
	op, ok := item["get"].(map[string]any)
	if !ok {
		return
	}
	params := d.params(item, op)
	d.add(fill(http.MethodGet, p, params, false))
	d.add(fill(http.MethodGet, p, params, true))
	for i, x := range params {
		if x.number {
			params[i].value, params[i].required = "x", true
			d.add(fill(http.MethodGet, p, params, false))
			return
		}
	}
}

func (d *deriver) writes(p string, item map[string]any) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
		op, ok := item[strings.ToLower(method)].(map[string]any)
		if !ok {
			continue
		}
		q := fill(method, p, d.params(item, op), false)
		q.header["Content-Type"] = "application/json"
		body := object(d.deref(op["requestBody"]))
		if required, _ := body["required"].(bool); required {
			q.body = "{}"
			d.add(q)
		}
		media, ok := object(body["content"])["application/json"].(map[string]any)
		if method == http.MethodPatch || !ok && len(body) > 0 {
			continue
		}
		q.body = ""
		if ok {
			sample := media["example"]
			if sample == nil {
				sample = d.value(media["schema"], 0)
			}
			b, err := json.Marshal(sample)
			if err != nil {
				continue // a number that is none: not valid JSON after all
			}
			q.body = string(b)
		}
		d.add(q)
	}
}

// param is a parameter of an operation with a value for it.
type param struct {
	name, in, value  string
	required, number bool
}

// params are those of the path item, and of the operation, which win.
func (d *deriver) params(item, op map[string]any) []param {
	byName := make(map[string]param)
	for _, owner := range []map[string]any{item, op} {
		all, _ := owner["parameters"].([]any)
		for _, p := range all[:min(len(all), 64)] {
			m := object(d.deref(p))
			x := param{}
			x.name, _ = m["name"].(string)
			x.in, _ = m["in"].(string)
			x.required, _ = m["required"].(bool)
			v := m["example"]
			if v == nil {
				v = d.value(m["schema"], 0)
			}
			x.value = text(v)
			kind := kindOf(object(d.deref(m["schema"])))
			x.number = (kind == "integer" || kind == "number") && (x.in == "path" || x.in == "query")
			if x.name != "" {
				byName[x.in+" "+x.name] = x
			}
		}
	}
	var out []param
	for _, k := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[k])
	}
	return out
}

// fill makes a request of a path template.
func fill(method, p string, params []param, all bool) ask {
	q := ask{method: method, header: map[string]string{}}
	query := url.Values{}
	for _, x := range params {
		switch {
		case x.in == "path":
			p = strings.ReplaceAll(p, "{"+x.name+"}", url.PathEscape(cmp.Or(x.value, "x")))
		case !x.required && !all:
		case x.in == "query":
			query.Add(x.name, x.value)
		case x.in == "header" && x.required && isToken(x.name):
			q.header[x.name] = strings.Map(printableOnly, x.value)
		case x.in == "cookie" && x.required && isToken(x.name):
			q.header["Cookie"] = x.name + "=" + url.QueryEscape(x.value)
		}
	}
	q.path = escapePath(p)
	if len(query) > 0 {
		q.path += "?" + query.Encode()
	}
	return q
}

// escapePath makes of a template what can be asked for: what is not filled in
// becomes "x", what is not allowed in a path is escaped.
func escapePath(p string) string {
	for {
		before, rest, ok := strings.Cut(p, "{")
		_, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			break
		}
		p = before + "x" + after
	}
	var b strings.Builder
	for _, c := range []byte(p) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>?\\^`{|}", c) >= 0 {
			b.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[c>>4])+string("0123456789abcdef"[c&15])))
			continue
		}
		b.WriteByte(c)
	}
	return "/" + strings.TrimLeft(b.String(), "/")
}

func isToken(s string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return s != "" && len(s) < 200 && strings.Trim(s, chars) == ""
}

func printableOnly(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// text gives a sample as it stands in a URL.
func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case []any:
		if len(x) > 0 {
			return text(x[0])
		}
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
