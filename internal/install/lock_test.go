package install

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/fault"
	"exuvia/internal/python"
)

var runtime311 = &python.Runtime{
	Exe: "usr/bin/python3.11", Version: "3.11", Full: "3.11.2", Platform: "linux-x86_64", CacheTag: "cpython-311",
	Stdlib: "usr/lib/python3.11", Site: "usr/local/lib/python3.11/dist-packages", Scripts: "usr/local/bin",
}

func testEnv(extras ...string) environment { return environmentOf(runtime311, extras, []string{"dev"}) }

// isFault checks the kind of an error and words in it.
func isFault(t *testing.T, err error, kind fault.Kind, what string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != kind || !strings.Contains(err.Error(), what) || f.Hint == "" {
		t.Errorf("error is %v (%+v), want kind %d with %q", err, f, kind, what)
	}
}

func TestMarkers(t *testing.T) {
	for marker, want := range map[string]bool{
		"":                                true,
		"python_version >= '3.11'":        true,
		"python_version < \"3.10\"":       false,
		"python_full_version >= '3.11.3'": false,
		"python_version == '3.*'":         true,
		"'3.9' <= python_version":         true,
		"sys_platform == 'win32' or (os_name == 'posix' and platform_machine == 'x86_64')": true,
		"sys_platform == 'win32' or os_name == 'posix' and platform_machine == 'arm64'":    false,
		"platform_python_implementation != 'PyPy'":                                         true,
		"implementation_name == 'cpython'":                                                 true,
		"sys_platform in 'linux darwin'":                                                   true,
		"'inux' in sys_platform":                                                           true,
		"sys_platform not in 'linux darwin'":                                               false,
		"platform_release >= '5'":                                                          false, // of the machine that builds: unknown
		"extra == 'Post_Gres'":                                                             true,
		"extra != 'post-gres'":                                                             false,
		"'post-gres' in extras":                                                            true,
		"'other' not in extras and 'dev' in dependency_groups":                             true,
		"os.name == 'posix' and python_implementation == 'CPython'":                        true,
		"python_version ~= '3.9'":                                                          true,
		"platform_system === 'Linux'":                                                      true,
	} {
		got, err := testEnv("post-gres").holds(marker)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", marker, got, err)
		}
	}
	for _, bad := range []string{
		"python_version", "python_version >=", "fish == '1'", "(os_name == 'posix'", "os_name == 'posix' or", "os_name = 'posix'", "os_name not 'x'",
		"os_name == 'posix' extra", "'a", "os_name == 'x' & 1", "extras >= 'a'", "extra < 'a'", strings.Repeat("(", 500), "sys_platform ~= 'linux'",
	} {
		if got, err := testEnv().holds(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

// A marker that can be read is true exactly where its negation by De Morgan's
// form, "not both", cannot be; here: (m) and (m) is m, (m) or (m) is m.
func FuzzMarker(f *testing.F) {
	for _, s := range []string{"python_version >= '3.11'", "extra == 'x'", "(os_name=='posix')or'a'in sys_platform", "'x' not in extras", "((", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		env := testEnv("x")
		got, err := env.holds(s)
		if err != nil || strings.TrimSpace(s) == "" {
			return
		}
		for _, op := range []string{"and", "or"} {
			again, err := env.holds("(" + s + ") " + op + " (" + s + ")")
			if err != nil || again != got {
				t.Errorf("%q is %v, twice by %s %v (%v)", s, got, op, again, err)
			}
		}
	})
}

func TestTags(t *testing.T) {
	glibc, err := tagsOf(runtime311, "glibc 2.36")
	if err != nil {
		t.Fatal(err)
	}
	// In order of preference; what comes from pip debug --verbose on bookworm.
	order := []string{
		"cp311-cp311-manylinux_2_36_x86_64", "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64", "cp311-cp311-manylinux_2_5_x86_64",
		"cp311-cp311-manylinux1_x86_64", "cp311-cp311-linux_x86_64", "cp311-abi3-manylinux_2_28_x86_64", "cp311-none-manylinux_2_17_x86_64",
		"cp310-abi3-manylinux_2_17_x86_64", "cp32-abi3-linux_x86_64", "py311-none-manylinux_2_17_x86_64", "py3-none-manylinux_2_17_x86_64",
		"py310-none-linux_x86_64", "cp311-none-any", "py311-none-any", "py3-none-any", "py310-none-any", "py30-none-any",
	}
	last := -1
	for _, tag := range order {
		rank, ok := glibc[tag]
		if !ok || rank <= last {
			t.Errorf("%s has rank %d (%v), after %d", tag, rank, ok, last)
		}
		last = rank
	}
	for _, tag := range []string{"cp311-cp311-manylinux_2_37_x86_64", "cp312-abi3-manylinux_2_17_x86_64", "cp310-cp310-linux_x86_64", "py2-none-any", "cp311-cp311-musllinux_1_1_x86_64", "cp311-cp311-manylinux_2_17_aarch64", "cp31-abi3-linux_x86_64"} {
		if _, ok := glibc[tag]; ok {
			t.Errorf("%s counts as usable", tag)
		}
	}
	arm := *runtime311
	arm.Platform = "linux-aarch64"
	for libc, want := range map[string]map[string]bool{
		"musl 1.2.5": {"cp311-cp311-musllinux_1_2_aarch64": true, "cp311-cp311-musllinux_1_1_aarch64": true, "cp311-cp311-manylinux_2_17_aarch64": false},
		"glibc 2.31": {"cp311-cp311-manylinux2014_aarch64": true, "cp311-cp311-manylinux_2_12_aarch64": false},
		"":           {"cp311-cp311-linux_aarch64": true, "cp311-cp311-manylinux_2_17_aarch64": false},
	} {
		got, err := tagsOf(&arm, libc)
		if err != nil {
			t.Fatal(err)
		}
		for tag, ok := range want {
			if _, has := got[tag]; has != ok {
				t.Errorf("on %q, %s: %v", libc, tag, has)
			}
		}
	}
	for _, bad := range []string{"glibc", "glibc x.y", "glibc 2.99999"} {
		if _, err := tagsOf(runtime311, bad); err == nil {
			t.Errorf("%q is a C library", bad)
		}
	}
}

func TestWheelNames(t *testing.T) {
	got, err := parseWheelName("My_Dist.x-1.0+local-1b-py2.py3-none-any.whl")
	want := wheelName{name: "my-dist-x", version: "1.0+local", build: "1b", tags: []string{"py2-none-any", "py3-none-any"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wheelName{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"", "x.whl", "a-1-py3-none.whl", "a-1-py3-none-any.zip", "a/b-1-py3-none-any.whl", "a--py3-none-any.whl", "a-1-b-c-py3-none-any.whl"} {
		if w, err := parseWheelName(bad); err == nil {
			t.Errorf("%q is %+v", bad, w)
		}
	}
}

func FuzzWheelName(f *testing.F) {
	for _, s := range []string{"a-1-py3-none-any.whl", "a-1-1-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "-.whl"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := parseWheelName(s)
		if err == nil && (len(w.tags) == 0 || len(w.tags) > maxTags || w.version == "") {
			t.Errorf("%q is %+v", s, w)
		}
	})
}

const sum0 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestReadPylock(t *testing.T) {
	lock := `lock-version = "1.0"
environments = ["sys_platform == 'linux'"]
extras = ["Post.Gres"]
dependency-groups = ["dev"]
requires-python = ">=3.9"
[[packages]]
name = "Leaf_Dist"
version = "1.0"
wheels = [{ url = "https://host/leaf_dist-1.0-py3-none-any.whl", size = 3, hashes = { md5 = "x", sha256 = "` + strings.ToUpper(sum0) + `" } }]
sdist = { name = "leaf.tar.gz", url = "https://host/x", hashes = { sha512 = "ab" } }
[[packages]]
name = "windows"
version = "1"
marker = "sys_platform == 'win32'"
archive = { url = "https://host/w.whl", hashes = { sha256 = "` + sum0 + `" } }
[[packages]]
name = "optional"
marker = "'post-gres' in extras"
archive = { url = "https://host/o-1.zip", subdirectory = "sub", hashes = { sha256 = "` + sum0 + `" } }
[[packages]]
name = "grouped"
marker = "'dev' in dependency_groups"
directory = { path = "libs/../libs/g", subdirectory = "s" }
[[packages]]
name = "local"
version = "1"
wheels = [{ path = "../wheels/local-1-py3-none-any.whl", hashes = { sha256 = "` + sum0 + `" } }]
`
	got, err := readPylock("pylock.toml", []byte(lock), "sub", testEnv("post-gres"))
	if err != nil {
		t.Fatal(err)
	}
	want := []locked{
		{
			name: "leaf-dist", version: "1.0", wheels: []file{{name: "leaf_dist-1.0-py3-none-any.whl", url: "https://host/leaf_dist-1.0-py3-none-any.whl", size: 3, algo: "sha256", sum: sum0}},
			sdist: &file{name: "leaf.tar.gz", url: "https://host/x", algo: "sha512", sum: "ab"},
		},
		{name: "optional", sdist: &file{name: "o-1.zip", url: "https://host/o-1.zip", algo: "sha256", sum: sum0, sub: "sub"}},
		{name: "grouped", dir: "sub/libs/g/s"},
		{name: "local", version: "1", wheels: []file{{name: "local-1-py3-none-any.whl", path: "wheels/local-1-py3-none-any.whl", algo: "sha256", sum: sum0}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(locked{}, file{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadPylocks(t *testing.T) {
	const head = "lock-version = \"1.0\"\n"
	file := func(s string) string { return head + "[[packages]]\nname = \"a\"\nversion = \"1\"\n" + s }
	for name, tt := range map[string]struct {
		lock string
		kind fault.Kind
		what string
	}{
		"no TOML":      {"lock-version", fault.Project, "p.toml"},
		"version":      {"lock-version = \"2.0\"\n", fault.Project, `lock-version "2.0"`},
		"python":       {head + "requires-python = \">=3.12\"\n", fault.Project, "is for Python >=3.12, not 3.11.2"},
		"environment":  {head + "environments = [\"sys_platform == 'win32'\"]\n", fault.Project, "not made for"},
		"marker":       {file("marker = \"fish\"\n"), fault.Project, "marker"},
		"name":         {head + "[[packages]]\nname = \"../x\"\n", fault.Project, "no name of a package"},
		"no file":      {file(""), fault.Project, "a has no file"},
		"no hash":      {file("sdist = { url = \"https://h/a.zip\", hashes = {} }\n"), fault.Integrity, "a.zip has no hash"},
		"weak hash":    {file("sdist = { url = \"https://h/a.zip\", hashes = { md5 = \"ab\" } }\n"), fault.Integrity, "a.zip has no hash"},
		"scheme":       {file("sdist = { url = \"file:///etc/passwd\", hashes = { sha256 = \"ab\" } }\n"), fault.Dependency, "has the address"},
		"password":     {file("sdist = { url = \"ftp://u:p@h/a.zip\", hashes = { sha256 = \"ab\" } }\n"), fault.Dependency, `"ftp://h/a.zip"`},
		"file name":    {file("sdist = { name = \"../a\", url = \"https://h/a.zip\", hashes = { sha256 = \"ab\" } }\n"), fault.Project, "has no name"},
		"git":          {file("vcs = { type = \"git\", url = \"https://u:p@h/a\", commit-id = \"1\" }\n"), fault.Dependency, "(https://h/a)"},
		"directory up": {file("directory = { path = \"../a\" }\n"), fault.Dependency, "outside the project"},
		"directory":    {file("directory = { path = \"/a\" }\n"), fault.Dependency, "outside the project"},
		"twice":        {file("directory = { path = \"x\" }\n[[packages]]\nname = \"A\"\ndirectory = { path = \"y\" }\n"), fault.Project, "for the same environment"},
	} {
		t.Run(name, func(t *testing.T) {
			env := testEnv()
			env.groups = nil
			_, err := readPylock("p.toml", []byte(tt.lock), ".", env)
			isFault(t, err, tt.kind, tt.what)
		})
	}
	_, err := readPylock("p.toml", []byte(head), ".", testEnv("nope"))
	isFault(t, err, fault.Project, `no extra "nope"`)
}

func FuzzPylock(f *testing.F) {
	f.Add([]byte("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nwheels = [{ url = \"https://h/a-1-py3-none-any.whl\", hashes = { sha256 = \"ab\" } }]\n"))
	f.Add([]byte("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\ndirectory = { path = \"x\" }\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		env := testEnv()
		env.groups = nil
		list, err := readPylock("p.toml", data, ".", env)
		if err != nil && list == nil {
			return
		}
		for _, l := range list {
			if err != nil {
				break
			}
			files := l.wheels
			if l.sdist != nil {
				files = append(files, *l.sdist)
			}
			if len(files) == 0 && l.dir == "" {
				t.Errorf("%s has nothing to install", l.name)
			}
			for _, file := range files {
				if file.sum == "" || file.name == "" || strings.Contains(file.name, "/") {
					t.Errorf("%s has the file %+v", l.name, file)
				}
			}
			if strings.HasPrefix(l.dir, "..") || strings.HasPrefix(l.dir, "/") {
				t.Errorf("%s is in %s", l.name, l.dir)
			}
		}
	})
}

func TestChoose(t *testing.T) {
	glibc, err := tagsOf(runtime311, "glibc 2.36")
	if err != nil {
		t.Fatal(err)
	}
	w := func(tag string) file { return file{name: "a-1-" + tag + ".whl", algo: "sha256", sum: tag} }
	sdist := &file{name: "a-1.tar.gz", algo: "sha256", sum: "sdist"}
	for _, tt := range []struct {
		name string
		l    locked
		want string
	}{
		{"most special", locked{wheels: []file{w("py3-none-any"), w("cp311-cp311-manylinux_2_17_x86_64"), w("cp311-cp311-manylinux_2_28_x86_64"), w("cp312-cp312-manylinux_2_17_x86_64")}}, "cp311-cp311-manylinux_2_28_x86_64"},
		{"the higher build", locked{wheels: []file{w("1-py3-none-any"), w("2-py3-none-any"), w("py3-none-any")}}, "2-py3-none-any"},
		{"names that are none", locked{wheels: []file{{name: "junk.whl"}, w("py3-none-any")}}, "py3-none-any"},
		{"sources", locked{wheels: []file{w("cp312-cp312-linux_x86_64")}, sdist: sdist}, "sdist"},
		{"only what is allowed", locked{wheels: []file{w("cp311-cp311-linux_x86_64"), w("py3-none-any")}, sdist: sdist, allowed: []string{"py3-none-any"}}, "py3-none-any"},
		{"sources alone allowed", locked{wheels: []file{w("py3-none-any")}, sdist: sdist, allowed: []string{"sdist"}}, "sdist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.l.name, tt.l.version = "a", "1"
			got, err := choose([]locked{tt.l}, glibc, "here")
			if err != nil {
				t.Fatal(err)
			}
			sum := "sdist"
			if got[0].wheel != nil {
				sum = got[0].wheel.sum
			}
			if sum != tt.want {
				t.Errorf("chose %s, want %s", sum, tt.want)
			}
		})
	}
	_, err = choose([]locked{{name: "a", version: "1", wheels: []file{w("cp312-cp312-linux_x86_64")}}}, glibc, "Python 3.11 here")
	isFault(t, err, fault.Dependency, "a 1 has neither a wheel for Python 3.11 here")
	_, err = choose([]locked{{name: "a", version: "1", wheels: []file{w("py3-none-any")}, allowed: []string{"x"}}}, glibc, "here")
	isFault(t, err, fault.Integrity, "no file of a 1")
}

func TestRequirementHashes(t *testing.T) {
	got := requirementHashes("# c\nLeaf_A==1.0 \\\r\n    --hash=sha256:AA \\\r\n    --hash=sha256:bb # c\nb[x]==2 ; python_version>'3' --hash=sha256:cc --hash=md5:dd\nc==1\n-r other.txt\n--index-url https://h\n")
	if diff := cmp.Diff(map[string][]string{"leaf-a": {"aa", "bb"}, "b": {"cc"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzRequirementHashes(f *testing.F) {
	f.Add("a==1 --hash=sha256:ab\n")
	f.Add("a \\\n \\\n--hash=sha256:x")
	f.Fuzz(func(t *testing.T, s string) {
		for name, sums := range requirementHashes(s) {
			if name == "" || len(sums) == 0 || !strings.Contains(strings.ToLower(s), "sha256:"+sums[0]) {
				t.Errorf("%q: %q %q", s, name, sums)
			}
		}
	})
}

func poetryNames(list []poetryPackage) string {
	var out []string
	for _, p := range list {
		out = append(out, p.Name+" "+p.Version)
	}
	return strings.Join(out, ", ")
}

func TestPoetryByGroup(t *testing.T) {
	lock := `
[[package]]
name = "Main_A"
version = "1"
groups = ["main"]
[[package]]
name = "win"
version = "1"
groups = ["main"]
markers = "sys_platform == 'win32'"
[[package]]
name = "both"
version = "1"
groups = ["main", "dev"]
markers = {main = "python_version < '3'", dev = "python_version > '3'"}
[[package]]
name = "docs"
version = "1"
groups = ["docs"]
[[package]]
name = "opt"
version = "1"
optional = true
groups = ["main"]
markers = "extra == 'x'"
[[package]]
name = "opt2"
version = "1"
optional = true
groups = ["main"]
[extras]
y = ["opt2 (>=1)"]
[metadata]
lock-version = "2.1"
`
	for _, tt := range []struct {
		extras, groups []string
		want           string
	}{
		{nil, nil, "main-a 1"},
		{nil, []string{"dev"}, "main-a 1, both 1"},
		{[]string{"x"}, []string{"docs"}, "main-a 1, docs 1, opt 1"},
		{[]string{"y"}, nil, "main-a 1, opt2 1"},
	} {
		got, err := readPoetry([]byte(lock), poetryRoots{}, environmentOf(runtime311, tt.extras, tt.groups))
		if err != nil || poetryNames(got) != tt.want {
			t.Errorf("%v %v: %s (%v), want %s", tt.extras, tt.groups, poetryNames(got), err, tt.want)
		}
	}
}

func TestPoetryByNeed(t *testing.T) {
	lock := `
[[package]]
name = "web"
version = "1"
[package.dependencies]
core = ">=1,<2"
color = {version = "*", markers = "sys_platform == 'win32'"}
fast = {version = "*", optional = true, markers = "extra == \"speed\""}
[package.extras]
speed = ["fast"]
[[package]]
name = "core"
version = "1.5"
[package.dependencies]
web = "*"
[[package]]
name = "core"
version = "2.0"
[[package]]
name = "color"
version = "1"
[[package]]
name = "fast"
version = "1"
[[package]]
name = "lint"
version = "1"
[[package]]
name = "pg"
version = "1"
[[package]]
name = "old"
version = "1"
[metadata]
lock-version = "2.0"
[metadata.files]
web = [{file = "web-1.tar.gz", hash = "sha256:ab"}]
`
	var roots poetryRoots
	p := &roots.Tool.Poetry
	p.Dependencies = map[string]any{
		"python": "^3.9", "Web": map[string]any{"version": "^1", "extras": []any{"speed"}}, "pg": map[string]any{"version": "*", "optional": true},
		"old": []any{map[string]any{"version": "1", "python": "<3.10"}, map[string]any{"version": "1", "markers": "python_version < '3'"}},
	}
	p.Extras = map[string][]string{"postgres": {"pg"}}
	p.Dev = map[string]any{"lint": "*"}
	for _, tt := range []struct {
		extras, groups []string
		want           string
	}{
		{nil, nil, "web 1, core 1.5, fast 1"},
		{[]string{"postgres"}, []string{"dev"}, "web 1, core 1.5, fast 1, lint 1, pg 1"},
	} {
		got, err := readPoetry([]byte(lock), roots, environmentOf(runtime311, tt.extras, tt.groups))
		if err != nil || poetryNames(got) != tt.want {
			t.Errorf("%v %v: %s (%v), want %s", tt.extras, tt.groups, poetryNames(got), err, tt.want)
		}
		if len(got) > 0 && len(got[0].Files) != 1 {
			t.Errorf("files of an old lock: %v", got[0].Files)
		}
	}
	p.Dependencies["gone"] = "*"
	_, err := readPoetry([]byte(lock), roots, testEnv())
	isFault(t, err, fault.Project, "it lacks gone")
	for _, bad := range []string{"x = ", "[metadata]\nlock-version = \"3.0\"\n", ""} {
		_, err := readPoetry([]byte(bad), roots, testEnv())
		isFault(t, err, fault.Project, "poetry.lock")
	}
}

func FuzzPoetry(f *testing.F) {
	f.Add([]byte("[[package]]\nname = \"a\"\nversion = \"1\"\ngroups = [\"main\"]\n[metadata]\nlock-version = \"2.1\"\n"))
	f.Add([]byte("[[package]]\nname = \"a\"\nversion = \"1\"\n[package.dependencies]\na = {version = \"*\", extras = [\"a\", \"b\"]}\n[metadata]\nlock-version = \"2.0\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var roots poetryRoots
		roots.Tool.Poetry.Dependencies = map[string]any{"a": "*"}
		list, err := readPoetry(data, roots, testEnv())
		if err != nil {
			if list != nil {
				t.Error("packages and an error")
			}
			return
		}
		for _, p := range list {
			// It becomes a line of the requirements that uv is given.
			if strings.ContainsAny(p.Name+p.Version+p.Source.URL, " \n\r\t") || strings.HasPrefix(p.Name, "-") {
				t.Errorf("%+v", p)
			}
		}
	})
}
