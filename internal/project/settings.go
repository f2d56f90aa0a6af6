package project

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
)

// readSettings decodes [tool.exuvia] of a document. An unknown key is a
// [fault.Project] that names its place and the keys there are.
func readSettings(d document) (Settings, error) {
	var doc struct {
		Tool struct {
			Exuvia Settings `toml:"exuvia"`
		} `toml:"tool"`
	}
	dec := toml.NewDecoder(bytes.NewReader(d.data))
	dec.DisallowUnknownFields()
	err := dec.Decode(&doc)
	strict, ok := errors.AsType[*toml.StrictMissingError](err)
	if err != nil && !ok {
		return Settings{}, d.explain(err)
	}
	if ok {
		for _, e := range strict.Errors {
			key := e.Key()
			if len(key) < 3 || key[0] != "tool" || key[1] != "exuvia" {
				continue // the tables of others
			}
			row, _ := e.Position()
			known := keysAt(reflect.TypeFor[Settings](), key[2:len(key)-1])
			return Settings{}, fault.New(fault.Project, "known here are: "+strings.Join(known, ", "),
				"%s: unknown setting %q", d.place(row), strings.Join(key, "."))
		}
	}
	return doc.Tool.Exuvia, nil
}

// keysAt lists the keys of the table of t that is reached by the path.
func keysAt(t reflect.Type, keys []string) []string {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		if len(keys) > 0 && keys[0] == tag {
			return keysAt(field.Type, keys[1:])
		}
		out = append(out, tag)
	}
	slices.Sort(out)
	return out
}

// Merge puts one set of settings over another: what over sets wins. Lists are
// replaced, tables of names are united name by name.
func Merge(under, over Settings) Settings {
	out := under
	mergeStruct(reflect.ValueOf(&out).Elem(), reflect.ValueOf(over))
	return out
}

func mergeStruct(dst, over reflect.Value) {
	for i := range dst.NumField() {
		d, o := dst.Field(i), over.Field(i)
		switch {
		case o.IsZero():
		case o.Kind() == reflect.Struct:
			mergeStruct(d, o)
		case o.Kind() == reflect.Map && !d.IsNil():
			sum := reflect.MakeMap(d.Type()) // the map of under is not ours to change
			for _, m := range []reflect.Value{d, o} {
				for k, v := range m.Seq2() {
					sum.SetMapIndex(k, v)
				}
			}
			d.Set(sum)
		default:
			d.Set(o)
		}
	}
}

var (
	platform = regexp.MustCompile(`^linux/[a-z0-9]+(/v[0-9]+)?$`)
	user     = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$`)
	// debianPackage is a name as of Debian policy 5.6.1.
	debianPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	variable      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

// oneOf reports whether a setting has one of the values, or none.
func oneOf(s string, values ...string) bool { return s == "" || slices.Contains(values, s) }

// Check refuses values that no image can have. From says where they are
// from.
func (s Settings) Check() error {
	bad := func(key, want string, got any) error {
		return fault.New(fault.Usage, fmt.Sprintf("give %s, in [tool.exuvia] or as --%s", want, key), "the setting %s cannot be %q", key, Clip(fmt.Sprint(got)))
	}
	switch {
	case s.Python != "" && !minor.MatchString(s.Python):
		return bad("python", `a version such as "3.11"`, s.Python)
	case s.Platform != "" && !platform.MatchString(s.Platform):
		return bad("platform", `a platform such as "linux/amd64"`, s.Platform)
	case s.User != "" && !user.MatchString(s.User):
		return bad("user", `a user such as "65532:65532"`, s.User)
	case s.Optimize < 0 || s.Optimize > 2:
		return bad("optimize", "0, 1 or 2", s.Optimize)
	case !oneOf(s.Bytecode, "legacy", "pycache", "none"):
		return bad("bytecode", `"legacy", "pycache" or "none"`, s.Bytecode)
	case !oneOf(s.UPX, "executables", "all", "no"):
		return bad("upx", `"executables", "all" or "no"`, s.UPX)
	case !oneOf(s.Nuitka, "app", "all"):
		return bad("nuitka", `"app" or "all"`, s.Nuitka)
	case !oneOf(s.Cython, "app", "all"):
		return bad("cython", `"app" or "all"`, s.Cython)
	case s.Probe.Start != "" && s.Probe.Start != "run" && s.Probe.Start != "import":
		return bad("probe.start", `"run" or "import"`, s.Probe.Start)
	case s.Probe.Port < 0 || s.Probe.Port > 65535:
		return bad("probe.port", "a TCP port", s.Probe.Port)
	case s.Probe.Timeout < 0:
		return bad("probe.timeout", "seconds", s.Probe.Timeout)
	}
	for _, p := range s.Ports {
		if p < 1 || p > 65535 {
			return bad("ports", "TCP ports from 1 to 65535", p)
		}
	}
	for i, name := range slices.Concat(s.Packages, s.BuildPackages) {
		if !debianPackage.MatchString(name) {
			key := "packages"
			if i >= len(s.Packages) {
				key = "build-packages"
			}
			return bad(key, `names of Debian packages such as "git"`, name)
		}
	}
	for _, w := range s.Writable {
		if !path.IsAbs(w) || path.Clean(w) == "/" {
			return bad("writable", "absolute directories below /", w)
		}
	}
	for _, k := range slices.Concat(slices.Sorted(maps.Keys(s.Env)), slices.Sorted(maps.Keys(s.Probe.Env))) {
		if !variable.MatchString(k) {
			return bad("env", "names of environment variables", k)
		}
	}
	for i, line := range slices.Concat(s.Observe, s.Tests) {
		if words, err := Words(line); err != nil || len(words) == 0 {
			key := "observe"
			if i >= len(s.Observe) {
				key = "tests"
			}
			return bad(key, "command lines", line)
		}
	}
	for _, r := range s.Probe.HTTP {
		if !strings.HasPrefix(r.Path, "/") {
			return bad("probe.http", `requests whose path begins with "/"`, r.Path)
		}
	}
	return nil
}
