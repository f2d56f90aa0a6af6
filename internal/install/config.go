package install

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
)

// maxConfig bounds every file of the user's configuration, in bytes.
const maxConfig = 4 << 20

// host is what is looked at of the machine: its environment and files.
type host struct {
	getenv  func(string) string
	environ []string
	home    string
	etc     string // "/etc"
}

// read reads a file of the user's configuration; one that does not exist is
// empty.
func (h host) read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.IsDir() {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("more than %d bytes", maxConfig)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "check the file", "reading %s", name)
	}
	return data, nil
}

// registry is a package index or a page of links, with its credentials.
type registry struct {
	name           string // of uv's configuration
	url            *url.URL
	user, password string
}

// config is what of the user's configuration matters to downloads.
type config struct {
	host    host
	pip     map[string]string // merged options of pip: "index-url" → value
	uv      []byte            // the user's uv.toml
	indexes []registry
	netrc   netrc
	ca      string     // file with CA certificates to trust beside the system's; "" for none
	client  string     // file with a client certificate and its key
	poetry  []registry // sources that Poetry's own table names
	links   []string   // local directories of find-links
	own     bool       // the project or uv's configuration names an index, so pip's do not apply to uv
}

// newConfig gathers pip's and uv's configuration. The project's own is in
// pyproject, the text of its pyproject.toml, and uvToml, of its uv.toml.
func newConfig(h host, pyproject, uvToml []byte) (*config, error) {
	c := &config{host: h}
	if err := c.readPip(); err != nil {
		return nil, err
	}
	name := h.getenv("UV_CONFIG_FILE")
	if name == "" {
		name = filepath.Join(c.configHome(), "uv", "uv.toml")
	}
	var err error
	if c.uv, err = h.read(name); err != nil {
		return nil, err
	}
	if err := c.readIndexes(pyproject, uvToml); err != nil {
		return nil, err
	}
	file := cmp.Or(h.getenv("NETRC"), filepath.Join(h.home, ".netrc"))
	data, err := h.read(file)
	if err != nil {
		return nil, err
	}
	c.netrc = parseNetrc(string(data))
	c.ca = c.firstFile(h.getenv("SSL_CERT_FILE"), h.getenv("UV_CERT"), c.pip["cert"], h.getenv("REQUESTS_CA_BUNDLE"), h.getenv("CURL_CA_BUNDLE"),
		h.etc+"/ssl/certs/ca-certificates.crt", h.etc+"/pki/tls/certs/ca-bundle.crt", h.etc+"/ssl/ca-bundle.pem", h.etc+"/ssl/cert.pem")
	c.client = c.firstFile(h.getenv("SSL_CLIENT_CERT"), c.pip["client-cert"])
	return c, nil
}

func (c *config) configHome() string {
	return cmp.Or(c.host.getenv("XDG_CONFIG_HOME"), filepath.Join(c.host.home, ".config"))
}

// firstFile is the first that is a file.
func (c *config) firstFile(names ...string) string {
	for _, n := range names {
		if n == "" || !filepath.IsAbs(n) {
			continue
		}
		if fi, err := os.Stat(n); err == nil && fi.Mode().IsRegular() {
			return n
		}
	}
	return ""
}

// readPip merges pip's configuration files and environment variables, in
// pip's order: what comes later wins, and the section of a command wins over
// [global].
func (c *config) readPip() error {
	h := c.host
	c.pip = make(map[string]string)
	files := []string{h.etc + "/xdg/pip/pip.conf", h.etc + "/pip.conf", filepath.Join(h.home, ".pip", "pip.conf"), filepath.Join(c.configHome(), "pip", "pip.conf")}
	extra := h.getenv("PIP_CONFIG_FILE")
	if extra == os.DevNull {
		files = nil
	} else if extra != "" {
		files = append(files, extra)
	}
	sections := map[string]map[string]string{"global": {}, "install": {}, "download": {}}
	for _, name := range files {
		data, err := h.read(name)
		if err != nil {
			return err
		}
		for section, options := range parseINI(data) {
			for k, v := range options {
				if m, ok := sections[section]; ok {
					m[k] = v
				}
			}
		}
	}
	for _, s := range []string{"global", "install", "download"} {
		maps.Copy(c.pip, sections[s])
	}
	for _, kv := range h.environ {
		k, v, _ := strings.Cut(kv, "=")
		if name, ok := strings.CutPrefix(k, "PIP_"); ok && v != "" {
			c.pip[strings.ReplaceAll(strings.ToLower(name), "_", "-")] = v
		}
	}
	return nil
}

// parseINI reads the format of Python's configparser: sections, "key = value"
// or "key: value", values that go on in indented lines, comments.
func parseINI(data []byte) map[string]map[string]string {
	out := make(map[string]map[string]string)
	var section map[string]string
	key := ""
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, maxConfig+1)
	for s.Scan() {
		line := s.Text()
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text[0] == '[' && strings.HasSuffix(text, "]"):
			name := text[1 : len(text)-1]
			if out[name] == nil {
				out[name] = make(map[string]string)
			}
			section, key = out[name], ""
		case section == nil:
		case (line[0] == ' ' || line[0] == '\t') && key != "":
			section[key] = strings.TrimSpace(section[key] + "\n" + text)
		default:
			i := strings.IndexAny(text, "=:")
			if i <= 0 {
				continue
			}
			key = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(text[:i])), "_", "-")
			section[key] = strings.TrimSpace(text[i+1:])
		}
	}
	return out
}

// uvSettings is what is read of a uv.toml or of [tool.uv].
type uvSettings struct {
	Index []struct {
		Name    string `toml:"name"`
		URL     string `toml:"url"`
		Default bool   `toml:"default"`
	} `toml:"index"`
	IndexURL      string   `toml:"index-url"`
	ExtraIndexURL []string `toml:"extra-index-url"`
	FindLinks     []string `toml:"find-links"`
	Pip           struct {
		IndexURL      string   `toml:"index-url"`
		ExtraIndexURL []string `toml:"extra-index-url"`
		FindLinks     []string `toml:"find-links"`
	} `toml:"pip"`
}

// readIndexes gathers every index that is named anywhere, with the
// credentials that are given for it.
func (c *config) readIndexes(pyproject, uvToml []byte) error {
	var inProject struct {
		Tool struct {
			UV     uvSettings `toml:"uv"`
			Poetry struct {
				Source []struct {
					Name string `toml:"name"`
					URL  string `toml:"url"`
				} `toml:"source"`
			} `toml:"poetry"`
		} `toml:"tool"`
	}
	// A broken pyproject.toml was refused when the project was detected.
	_ = toml.Unmarshal(pyproject, &inProject)
	var user, ofProject uvSettings
	if err := toml.Unmarshal(c.uv, &user); err != nil {
		return fault.New(fault.Usage, "correct it", "uv's configuration cannot be read as TOML")
	}
	if err := toml.Unmarshal(uvToml, &ofProject); err != nil {
		return fault.Wrap(err, fault.Project, "correct uv.toml", "reading uv.toml")
	}
	before := len(c.indexes)
	for _, s := range []uvSettings{inProject.Tool.UV, ofProject, user} {
		for _, i := range s.Index {
			c.addIndex(i.Name, i.URL)
		}
		for _, u := range slices.Concat([]string{s.IndexURL, s.Pip.IndexURL}, s.ExtraIndexURL, s.Pip.ExtraIndexURL, s.FindLinks, s.Pip.FindLinks) {
			c.addIndex("", u)
		}
	}
	for _, name := range []string{"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"} {
		for _, u := range strings.FieldsFunc(c.host.getenv(name), func(r rune) bool { return r == ' ' || r == ',' && name == "UV_FIND_LINKS" }) {
			label, address, ok := strings.Cut(u, "=")
			if !ok || strings.Contains(label, "/") {
				label, address = "", u
			}
			c.addIndex(label, address)
		}
	}
	c.own = len(c.indexes) > before
	for _, key := range []string{"index-url", "extra-index-url", "find-links"} {
		for u := range strings.FieldsSeq(c.pip[key]) {
			c.addIndex("", u)
		}
	}
	for _, s := range inProject.Tool.Poetry.Source {
		u, err := url.Parse(s.URL)
		if err != nil || u.Host == "" { // Poetry's names for public indexes have no address
			continue
		}
		prefix := "POETRY_HTTP_BASIC_" + notInName.ReplaceAllString(strings.ToUpper(s.Name), "_")
		i := registry{url: u, user: c.host.getenv(prefix + "_USERNAME"), password: c.host.getenv(prefix + "_PASSWORD")}
		c.indexes, c.poetry = append(c.indexes, i), append(c.poetry, i)
	}
	return nil
}

var notInName = regexp.MustCompile(`[^A-Z0-9]`)

// addIndex notes an index, or the local directory that stands for one.
func (c *config) addIndex(name, address string) {
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	if err != nil {
		return // uv or pip will say so
	}
	if u.Scheme == "" || u.Scheme == "file" {
		if fi, err := os.Stat(u.Path); err == nil && fi.IsDir() && filepath.IsAbs(u.Path) && !slices.Contains(c.links, filepath.Clean(u.Path)) {
			c.links = append(c.links, filepath.Clean(u.Path))
		}
		return
	}
	i := registry{name: name, url: u}
	if u.User != nil {
		i.user = u.User.Username()
		i.password, _ = u.User.Password()
	}
	if name != "" && i.user == "" {
		prefix := "UV_INDEX_" + notInName.ReplaceAllString(strings.ToUpper(name), "_")
		i.user, i.password = c.host.getenv(prefix+"_USERNAME"), c.host.getenv(prefix+"_PASSWORD")
	}
	c.indexes = append(c.indexes, i)
}

// credentials finds what to say to the server of u: what is written in the URL
// itself, what is given for an index on the same server, what .netrc has.
func (c *config) credentials(u *url.URL) (user, password string, ok bool) {
	if u.User != nil {
		password, _ = u.User.Password()
		return u.User.Username(), password, true
	}
	best := -1
	for _, i := range c.indexes {
		if i.user == "" && i.password == "" || i.url.Scheme != u.Scheme || !strings.EqualFold(i.url.Host, u.Host) {
			continue
		}
		if n := commonPrefix(i.url.Path, u.Path); n > best { // of several on one server the nearest
			best, user, password = n, i.user, i.password
		}
	}
	if best >= 0 {
		return user, password, true
	}
	return c.netrc.lookup(u.Hostname())
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// private reports whether downloads need a secret: then the step that has it
// may build nothing.
func (c *config) private() bool {
	for _, i := range c.indexes {
		if _, _, ok := c.credentials(i.url); ok {
			return true
		}
	}
	for _, kv := range c.proxies() {
		if project.Redact(kv) != kv {
			return true
		}
	}
	return c.client != ""
}

var proxyNames = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}

// proxies are the environment variables that name proxies.
func (c *config) proxies() []string {
	out := c.variables(proxyNames...)
	if p := c.pip["proxy"]; p != "" && c.host.getenv("HTTPS_PROXY") == "" && c.host.getenv("https_proxy") == "" {
		out = append(out, "HTTPS_PROXY="+p, "HTTP_PROXY="+p)
	}
	return out
}

// Where files of the host are in a step.
const (
	hostFiles = "/run/exuvia/private"
	caAt      = hostFiles + "/ca.pem"
	clientAt  = hostFiles + "/client.pem"
	netrcAt   = hostFiles + "/netrc"
	uvTomlAt  = hostFiles + "/config/uv/uv.toml"
	linksAt   = hostFiles + "/links"
)

// passed are settings of uv and pip that are no secrets: they change what is
// resolved, so they belong to the key of the step.
var passed = []string{
	"UV_EXCLUDE_NEWER", "UV_PRERELEASE", "UV_RESOLUTION", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES",
	"UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "UV_NO_SOURCES", "UV_CONCURRENT_DOWNLOADS",
}

// env says to uv and pip where packages are. It may have secrets.
func (c *config) env() []string { return slices.Concat(c.uvEnv(), c.pipEnv()) }

// key is what of the configuration changes what is resolved, without the
// secrets in it.
func (c *config) key() []string {
	var indexes []string
	for _, kv := range c.env() {
		indexes = append(indexes, project.Redact(kv))
	}
	indexes = append(indexes, project.Redact(string(c.uv)))
	indexes = append(indexes, c.links...) // a step has all of them at the same place
	return []string{"EXUVIA_INDEXES=" + strings.Join(indexes, " "), "EXUVIA_SETTINGS=" + strings.Join(c.variables(passed...), " ")}
}

// apply gives a step the network and the user's configuration, whose key goes
// into the step's. A step that gets secrets, because [config.private] says so,
// may build nothing.
func (c *config) apply(s *plan.Step) {
	s.Network = true
	s.Env = append(s.Env, c.key()...)
	s.SecretEnv = append(slices.Concat(s.SecretEnv, c.env(), c.proxies()), c.variables(passed...)...)
	mount := func(file, at string, names ...string) {
		s.Secrets = append(s.Secrets, plan.Secret{File: file, At: at})
		for _, n := range names {
			s.SecretEnv = append(s.SecretEnv, n+"="+at)
		}
	}
	for i, dir := range c.links {
		mount(dir, fmt.Sprintf("%s/%d", linksAt, i))
	}
	if c.ca != "" {
		mount(c.ca, caAt, "SSL_CERT_FILE", "PIP_CERT")
	}
	if file := c.firstFile(c.host.getenv("UV_CONFIG_FILE"), filepath.Join(c.configHome(), "uv", "uv.toml")); file != "" {
		mount(file, uvTomlAt)
		s.SecretEnv = append(s.SecretEnv, "XDG_CONFIG_HOME="+hostFiles+"/config")
	}
	if !c.private() {
		return
	}
	for _, i := range c.indexes {
		if i.name != "" && i.user != "" && i.url.User == nil {
			prefix := "UV_INDEX_" + notInName.ReplaceAllString(strings.ToUpper(i.name), "_")
			s.SecretEnv = append(s.SecretEnv, prefix+"_USERNAME="+i.user, prefix+"_PASSWORD="+i.password)
		}
	}
	if c.client != "" {
		mount(c.client, clientAt, "SSL_CLIENT_CERT", "PIP_CLIENT_CERT")
	}
	if file := c.firstFile(c.host.getenv("NETRC"), filepath.Join(c.host.home, ".netrc")); file != "" {
		mount(file, netrcAt, "NETRC")
	}
}

// variables gives those of the environment that are set.
func (c *config) variables(names ...string) []string {
	var out []string
	for _, n := range names {
		if v := c.host.getenv(n); v != "" {
			out = append(out, n+"="+v)
		}
	}
	return out
}

// uvEnv says to uv where packages are: as uv's own configuration has it, else
// as pip's has.
func (c *config) uvEnv() []string {
	out := c.variables("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX")
	indexes := strings.Fields(c.host.getenv("UV_INDEX"))
	for _, i := range c.poetry {
		u := *i.url
		if u.User == nil && i.user != "" {
			u.User = url.UserPassword(i.user, i.password)
		}
		indexes = append(indexes, u.String())
	}
	links := strings.Split(c.host.getenv("UV_FIND_LINKS"), ",")
	if !c.own {
		if v := c.pip["index-url"]; v != "" {
			out = append(out, "UV_DEFAULT_INDEX="+v)
		}
		indexes = append(indexes, strings.Fields(c.pip["extra-index-url"])...)
		if v := strings.Fields(c.pip["trusted-host"]); len(v) > 0 && c.host.getenv("UV_INSECURE_HOST") == "" {
			out = append(out, "UV_INSECURE_HOST="+strings.Join(v, " "))
		}
		if isTrue(c.pip["no-index"]) {
			out = append(out, "UV_NO_INDEX=1")
		}
		links = append(links, strings.Fields(c.pip["find-links"])...)
	}
	if len(indexes) > 0 {
		out = append(out, "UV_INDEX="+strings.Join(indexes, " "))
	}
	if links = c.mounted(links); len(links) > 0 {
		out = append(out, "UV_FIND_LINKS="+strings.Join(links, ","))
	}
	return out
}

// pipEnv says it to pip, which finds none of its files in a step.
func (c *config) pipEnv() []string {
	out := []string{"PIP_CONFIG_FILE=" + os.DevNull}
	for _, k := range []string{"index-url", "extra-index-url", "no-index", "trusted-host", "proxy", "timeout", "retries"} {
		if v := c.pip[k]; v != "" {
			out = append(out, "PIP_"+strings.ToUpper(strings.ReplaceAll(k, "-", "_"))+"="+strings.Join(strings.Fields(v), " "))
		}
	}
	if links := c.mounted(strings.Fields(c.pip["find-links"])); len(links) > 0 {
		out = append(out, "PIP_FIND_LINKS="+strings.Join(links, " "))
	}
	return out
}

// mounted gives find-links as a step sees them: directories of the host have
// a place of their own, and those that do not exist are dropped.
func (c *config) mounted(links []string) []string {
	var out []string
	for _, l := range links {
		if strings.Contains(l, "://") && !strings.HasPrefix(l, "file://") {
			out = append(out, l)
			continue
		}
		if i := slices.Index(c.links, filepath.Clean(strings.TrimPrefix(l, "file://"))); i >= 0 {
			out = append(out, fmt.Sprintf("%s/%d", linksAt, i))
		}
	}
	return out
}

// onHost gives the path on the host of a file in a mounted directory.
func (c *config) onHost(at string) (string, bool) {
	for i, dir := range c.links {
		if rest, ok := strings.CutPrefix(at, fmt.Sprintf("%s/%d/", linksAt, i)); ok && filepath.IsLocal(rest) {
			return filepath.Join(dir, rest), true
		}
	}
	return "", false
}

// secrets lists every secret, to take them out of what tools print.
func (c *config) secrets() []string {
	var out []string
	add := func(s string) {
		if len(s) > 3 { // a shorter one is no secret, and would blank out half the text
			out = append(out, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
	for _, i := range c.indexes {
		add(i.password)
	}
	for _, m := range c.netrc {
		add(m.password)
	}
	for _, kv := range c.proxies() {
		_, v, _ := strings.Cut(kv, "=")
		if u, err := url.Parse(v); err == nil && u.User != nil {
			p, _ := u.User.Password()
			add(p)
		}
	}
	return out
}

// clean takes secrets out of a tool's output.
func (c *config) clean(s string) string {
	for _, secret := range c.secrets() {
		s = strings.ReplaceAll(s, secret, "****")
	}
	return project.Redact(s)
}

func isTrue(s string) bool {
	return slices.Contains([]string{"1", "true", "yes", "on", "y", "t"}, strings.ToLower(s))
}
