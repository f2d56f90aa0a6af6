package verify

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// demoDocument is FastAPI's own description of the demo, shortened.
const demoDocument = `{"openapi":"3.1.0","info":{"title":"FastAPI","version":"0.1.0"},"paths":{
"/":{"get":{"responses":{"200":{"description":"ok"}}}},
"/items/{item_id}":{
 "get":{"parameters":[{"name":"item_id","in":"path","required":true,"schema":{"type":"integer"}},
  {"name":"q","in":"query","required":false,"schema":{"anyOf":[{"type":"null"},{"type":"string"}]}}]},
 "put":{"parameters":[{"name":"item_id","in":"path","required":true,"schema":{"type":"integer"}}],
  "requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Item"}}}}},
 "delete":{}}},
"components":{"schemas":{"Item":{"type":"object","required":["name","price"],"properties":{
 "name":{"type":"string"},"price":{"type":"number"},"is_offer":{"anyOf":[{"type":"boolean"},{"type":"null"}]}}}}}}`

func TestDerive(t *testing.T) {
	var got []string
	for _, q := range derive([]byte(demoDocument)) {
		got = append(got, q.name())
	}
	want := []string{
		"GET /docs", "GET /redoc", "GET /items/1", "GET /items/1?q=exuvia", "GET /items/x",
		"PUT /items/1 {}", `PUT /items/1 {"is_offer":true,"name":"exuvia","price":1.5}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDeriveOdd(t *testing.T) {
	for _, tt := range []struct{ name, paths, want string }{
		{"other parameters", `{"/a":{"parameters":[{"name":"X-Key","in":"header","required":true,"schema":{"type":"string"}},{"name":"s","in":"cookie","required":true,"schema":{"const":"a b"}}],"get":{}}}`, "GET /a"},
		{"space and braces in a path", `{"a b/{x}/{y":{"get":{}}}`, "GET /a%20b/x/%7By"},
		{"slash in a sample", `{"/f/{p}":{"get":{"parameters":[{"name":"p","in":"path","example":"a/b","schema":{}}]}}}`, "GET /f/a%2Fb"},
		{"form body", `{"/f":{"post":{"requestBody":{"required":true,"content":{"multipart/form-data":{}}}}}}`, "POST /f {}"},
		{"no body", `{"/f":{"post":{}}}`, "POST /f"},
		{"patch", `{"/f":{"patch":{"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object"}}}}}}}`, "PATCH /f {}"},
		{"nonsense", `{"/f":{"get":[1]},"/g":7}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, q := range derive([]byte(`{"openapi":"3.0.2","paths":` + tt.paths + `}`))[2:] {
				got = append(got, q.name())
			}
			if s := strings.Join(got, "\n"); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
	for _, doc := range []string{"", "[]", "{}", `{"openapi":3}`, `{"swagger":"2.0","paths":{}}`, "<html>"} {
		if got := derive([]byte(doc)); got != nil {
			t.Errorf("%s gives %+v", doc, got)
		}
	}
}

func TestSample(t *testing.T) {
	for _, tt := range []struct{ name, schema, want string }{
		{"nothing", `{}`, `"exuvia"`},
		{"string", `{"type":"string"}`, `"exuvia"`},
		{"long string", `{"type":"string","minLength":9}`, `"exuviaxxx"`},
		{"short string", `{"type":"string","maxLength":2}`, `"ex"`},
		{"huge string", `{"type":"string","minLength":1e300,"maxLength":-4}`, `""`},
		{"date", `{"type":"string","format":"date"}`, `"2024-02-29"`},
		{"integer", `{"type":"integer","minimum":5}`, `5`},
		{"integer below", `{"type":"integer","exclusiveMaximum":-2}`, `-3`},
		{"integer step", `{"type":"integer","multipleOf":7}`, `7`},
		{"number", `{"type":"number"}`, `1.5`},
		{"open interval", `{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`, `0.5`},
		{"boolean bound", `{"type":"number","minimum":2,"exclusiveMinimum":true}`, `2`},
		{"boolean", `{"type":"boolean"}`, `true`},
		{"several types", `{"type":["null","integer"]}`, `1`},
		{"enum", `{"enum":["a","b"]}`, `"a"`},
		{"default", `{"type":"integer","default":9}`, `9`},
		{"array", `{"type":"array","items":{"type":"integer"},"minItems":2}`, `[1,1]`},
		{"empty array", `{"type":"array","maxItems":0}`, `[]`},
		{"all of", `{"allOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"b":{"type":"boolean"}}}]}`, `{"a":1,"b":true}`},
		{"one of", `{"oneOf":[{"type":"null"},{"type":"integer"}]}`, `1`},
		{"circle", `{"$ref":"#/x"}`, `"exuvia"`},
		{"elsewhere", `{"$ref":"http://example.com/x"}`, `"exuvia"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			schema, ok := parseJSON([]byte(tt.schema))
			if !ok {
				t.Fatal("no JSON")
			}
			s := &sampler{doc: map[string]any{"x": map[string]any{"$ref": "#/x"}}, budget: 100}
			got, err := json.Marshal(s.value(schema, 0))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// A schema that contains itself must end, and its sample must still have what
// it requires near the root.
func TestSampleOfTree(t *testing.T) {
	doc := `{"openapi":"3.1.0","paths":{"/n":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/n"}}}}}}},
	"n":{"type":"object","required":["v"],"properties":{"v":{"type":"integer"},"l":{"$ref":"#/n"},"r":{"$ref":"#/n"},"c":{"type":"array","items":{"$ref":"#/n"}}}}}`
	asks := derive([]byte(doc))
	body := asks[len(asks)-1].body
	if len(asks) != 3 || !strings.Contains(body, `"v":1`) || len(body) > 4000 {
		t.Errorf("%d requests, the last with %s", len(asks), body)
	}
}

// Whatever an app says of itself, what comes of it is bounded and can be asked.
func FuzzDerive(f *testing.F) {
	f.Add([]byte(demoDocument))
	f.Add([]byte(`{"openapi":"3.0.0","paths":{"/{a}":{"$ref":"#/paths/~1{a}"}},"x":{"allOf":[{"$ref":"#/x"},{"$ref":"#/x"}]}}`))
	f.Add([]byte(`{"openapi":"3.0.0","paths":{"":{"get":{"parameters":[{"name":"a","in":"query","required":true,"schema":{"type":"array","items":{"allOf":[{"minimum":1e400}]}}}]},"post":{}}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		asks := derive(doc)
		if len(asks) > maxAsks {
			t.Errorf("%d requests", len(asks))
		}
		c := &client{port: 1}
		for _, q := range asks {
			if len(q.path) > maxURL || len(q.body) > maxSample || q.method == http.MethodDelete {
				t.Errorf("%+v is too much", q)
			}
			if _, err := c.request(t.Context(), q); err != nil {
				t.Errorf("%+v cannot be asked: %v", q, err)
			}
		}
	})
}
