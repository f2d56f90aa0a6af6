package install

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/plan"
)

// user is a machine with files and an environment.
type user struct {
	files map[string]string // below etc/ and home/
	env   map[string]string
}

func (u user) config(t *testing.T, pyproject string) *config {
	t.Helper()
	root := t.TempDir()
	for name, text := range u.files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.ReplaceAll(text, "ROOT", root)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := make(map[string]string)
	var environ []string
	for k, v := range u.env {
		env[k] = strings.ReplaceAll(v, "ROOT", root)
		environ = append(environ, k+"="+env[k])
	}
	c, err := newConfig(host{
		getenv: func(k string) string { return env[k] }, environ: environ, home: filepath.Join(root, "home"), etc: filepath.Join(root, "etc"),
	}, []byte(pyproject), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// variable finds a variable that a step gets, secret or not.
func variable(s plan.Step, name string) string {
	for _, kv := range slices.Concat(s.Env, s.SecretEnv) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

func TestPipConfiguration(t *testing.T) {
	u := user{
		files: map[string]string{
			"etc/pip.conf":              "[global]\nindex-url = https://global/simple\ntimeout = 5\n",
			"home/.pip/pip.conf":        "[global]\nindex_url: https://legacy/simple\n",
			"home/.config/pip/pip.conf": "# c\n[install]\nextra-index-url =\n    https://one/simple\n    https://two/simple\n[list]\nformat = json\n",
			"extra.conf":                "[global]\ntrusted-host = one\n",
		},
		env: map[string]string{"PIP_CONFIG_FILE": "ROOT/extra.conf", "PIP_TIMEOUT": "9"},
	}
	c := u.config(t, "")
	want := map[string]string{"index-url": "https://legacy/simple", "timeout": "9", "extra-index-url": "https://one/simple\nhttps://two/simple", "trusted-host": "one"}
	delete(c.pip, "config-file")
	if diff := cmp.Diff(want, c.pip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var s plan.Step
	c.apply(&s)
	for name, want := range map[string]string{
		"UV_DEFAULT_INDEX": "https://legacy/simple", "UV_INDEX": "https://one/simple https://two/simple", "UV_INSECURE_HOST": "one",
		"PIP_INDEX_URL": "https://legacy/simple", "PIP_EXTRA_INDEX_URL": "https://one/simple https://two/simple", "PIP_TIMEOUT": "9", "PIP_CONFIG_FILE": "/dev/null",
	} {
		if got := variable(s, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !s.Network || c.private() {
		t.Errorf("network %v, private %v", s.Network, c.private())
	}
	u.env["PIP_CONFIG_FILE"] = "/dev/null"
	if c := u.config(t, ""); c.pip["index-url"] != "" {
		t.Errorf("pip reads files that it is told not to: %v", c.pip)
	}
}

// uv's own configuration, and the project's, keep pip's from applying to uv.
func TestUVConfigurationWins(t *testing.T) {
	pip := map[string]string{"PIP_INDEX_URL": "https://pip/simple"}
	for name, u := range map[string]struct {
		user
		pyproject string
	}{
		"environment": {user{env: map[string]string{"PIP_INDEX_URL": "https://pip/simple", "UV_INDEX_URL": "https://uv/simple"}}, ""},
		"uv.toml":     {user{env: pip, files: map[string]string{"home/.config/uv/uv.toml": "[[index]]\nurl = \"https://uv/simple\"\n"}}, ""},
		"project":     {user{env: pip}, "[[tool.uv.index]]\nname = \"x\"\nurl = \"https://uv/simple\"\n"},
	} {
		var s plan.Step
		u.config(t, u.pyproject).apply(&s)
		if got := variable(s, "UV_DEFAULT_INDEX"); got != "" {
			t.Errorf("%s: uv is told pip's index %s", name, got)
		}
		if got := variable(s, "PIP_INDEX_URL"); got != "https://pip/simple" {
			t.Errorf("%s: pip is told %q", name, got)
		}
	}
}

func TestCredentials(t *testing.T) {
	u := user{
		env: map[string]string{
			"UV_DEFAULT_INDEX": "https://url:in-url@one/simple", "UV_INDEX": "corp=https://two/a/simple corp-b=https://two/b/simple",
			"UV_INDEX_CORP_USERNAME": "named", "UV_INDEX_CORP_PASSWORD": "pw-a", "UV_INDEX_CORP_B_USERNAME": "named-b", "UV_INDEX_CORP_B_PASSWORD": "pw-b",
			"POETRY_HTTP_BASIC_PRIV_USERNAME": "poet", "POETRY_HTTP_BASIC_PRIV_PASSWORD": "verse",
		},
		files: map[string]string{"home/.netrc": "machine three login net password rc\n"},
	}
	c := u.config(t, "[[tool.poetry.source]]\nname = \"priv\"\nurl = \"https://four/simple\"\n")
	for address, want := range map[string]string{
		"https://one/files/x": "url:in-url", "https://two/a/files/x": "named:pw-a", "https://two/b/files/x": "named-b:pw-b", "https://three/x": "net:rc",
		"https://four/x": "poet:verse", "https://me:mine@five/x": "me:mine", "http://one/files/x": "", "https://one:8443/x": "", "https://other/x": "",
	} {
		at, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		user, password, ok := c.credentials(at)
		got := user + ":" + password
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	var s plan.Step
	c.apply(&s)
	key := strings.Join(s.Env, "\n")
	for _, secret := range []string{"in-url", "pw-a", "pw-b", "verse"} {
		if strings.Contains(key, secret) {
			t.Errorf("%s is in the key of the step:\n%s", secret, key)
		}
		if !strings.Contains(strings.Join(s.SecretEnv, "\n"), secret) {
			t.Errorf("the step is not told %s", secret)
		}
		if got := c.clean("error: " + secret + " https://a:b@h/x"); strings.Contains(got, secret) || strings.Contains(got, "a:b") {
			t.Errorf("not clean: %s", got)
		}
	}
	if !strings.Contains(key, "https://one/simple") {
		t.Errorf("the index is not in the key:\n%s", key)
	}
	if variable(s, "NETRC") != netrcAt || !slices.ContainsFunc(s.Secrets, func(x plan.Secret) bool { return x.At == netrcAt }) {
		t.Error(".netrc is not handed over")
	}
}

// Whoever needs no secret gives none away.
func TestNoSecretsWithoutNeed(t *testing.T) {
	u := user{
		env:   map[string]string{"UV_DEFAULT_INDEX": "https://open/simple"},
		files: map[string]string{"home/.netrc": "machine other login net password rc\n", "etc/ssl/certs/ca-certificates.crt": "ca"},
	}
	c := u.config(t, "")
	var s plan.Step
	c.apply(&s)
	if c.private() || variable(s, "NETRC") != "" {
		t.Errorf("private %v, %v", c.private(), s.SecretEnv)
	}
	if variable(s, "SSL_CERT_FILE") != caAt || variable(s, "PIP_CERT") != caAt {
		t.Errorf("the host's CA certificates are not trusted: %v", s.SecretEnv)
	}
	u.env["HTTPS_PROXY"] = "http://me:pw@proxy"
	if !u.config(t, "").private() {
		t.Error("a proxy with a password is no secret")
	}
}

// Another index is another key; other credentials for the same are not, and
// they are not in it.
func TestKeyOfConfiguration(t *testing.T) {
	const index = "https://me:secret@h/simple"
	want := user{env: map[string]string{"UV_DEFAULT_INDEX": index}}.config(t, "").key()
	for name, c := range map[string]struct {
		user user
		same bool
	}{
		"nothing":      {user{env: map[string]string{"UV_DEFAULT_INDEX": index}}, true},
		"a password":   {user{env: map[string]string{"UV_DEFAULT_INDEX": "https://you:other@h/simple"}}, true},
		"none":         {user{}, false},
		"an index":     {user{env: map[string]string{"UV_DEFAULT_INDEX": "https://me:secret@h/other"}}, false},
		"pip's index":  {user{env: map[string]string{"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": "https://h/pip"}}, false},
		"uv's file":    {user{env: map[string]string{"UV_DEFAULT_INDEX": index}, files: map[string]string{"home/.config/uv/uv.toml": "prerelease = \"allow\"\n"}}, false},
		"a date":       {user{env: map[string]string{"UV_DEFAULT_INDEX": index, "UV_EXCLUDE_NEWER": "2024-01-01"}}, false},
		"a directory":  {user{env: map[string]string{"UV_DEFAULT_INDEX": index, "UV_FIND_LINKS": "ROOT/links"}, files: map[string]string{"links/a.whl": "x"}}, false},
		"more indexes": {user{env: map[string]string{"UV_DEFAULT_INDEX": index, "UV_INDEX": "https://h/more"}}, false},
	} {
		got := c.user.config(t, "").key()
		if slices.Equal(got, want) != c.same {
			t.Errorf("%s: the key is the same: %v\n%q", name, !c.same, got)
		}
		if text := strings.Join(got, " "); strings.Contains(text, "secret") || strings.Contains(text, "other@") {
			t.Errorf("%s: a secret is in %s", name, text)
		}
	}
	links := func() []string {
		return user{env: map[string]string{"UV_FIND_LINKS": "ROOT/links"}, files: map[string]string{"links/a.whl": "x"}}.config(t, "").key()
	}
	if slices.Equal(links(), links()) { // each has a directory of its own
		t.Error("another directory of wheels is the same")
	}
}

func TestFindLinksOfTheHost(t *testing.T) {
	u := user{env: map[string]string{"PIP_FIND_LINKS": "ROOT/links https://h/links /does/not/exist"}, files: map[string]string{"links/a.whl": "x"}}
	c := u.config(t, "")
	var s plan.Step
	c.apply(&s)
	if got, want := variable(s, "UV_FIND_LINKS"), linksAt+"/0,https://h/links"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	at, ok := c.onHost(linksAt + "/0/a.whl")
	if data, err := os.ReadFile(at); !ok || err != nil || string(data) != "x" {
		t.Errorf("%s, %v, %v", at, ok, err)
	}
	for _, bad := range []string{linksAt + "/0/../../x", linksAt + "/1/a.whl", "/etc/passwd"} {
		if at, ok := c.onHost(bad); ok {
			t.Errorf("%s is %s", bad, at)
		}
	}
}

func TestNetrc(t *testing.T) {
	n := parseNetrc("# c\nmachine A.example login me password \"p w\"\nmacdef init\nmachine trap\n\nmachine b\n  login you\n  account x password q\ndefault login any password thing\n")
	for host, want := range map[string]string{"a.example": `me:"p`, "b": "you:q", "c": "any:thing"} {
		user, password, _ := n.lookup(host)
		if got := user + ":" + password; got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	if _, _, ok := parseNetrc("machine a login").lookup("b"); ok {
		t.Error("b is in a file without it")
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password c")
	f.Add("macdef x\n\nmachine")
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range parseNetrc(s) {
			for _, part := range []string{m.login, m.password} {
				if !strings.Contains(s, part) {
					t.Errorf("%q from %q", part, s)
				}
			}
		}
	})
}

func FuzzINI(f *testing.F) {
	f.Add([]byte("[global]\nindex-url = x\n  y\n# c\n[install]\nk: v\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for section, options := range parseINI(data) {
			for k := range options {
				if k == "" || strings.Contains(k, "_") || !strings.Contains(string(data), "["+section+"]") {
					t.Errorf("%q: [%s] %q", data, section, k)
				}
			}
		}
	})
}
