//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// The figures that README promises of the demo, in bytes.
const (
	maxSize     = 32_000_000
	maxDownload = 15_800_000
)

func TestDemo(t *testing.T) {
	m := newMachine(t)
	b := m.build(demo)
	t.Logf("size %d, download %d, %d files, %d checks", b.Size, b.Download, b.Files, len(b.Checks))
	if b.Variant != "lean" || !b.Verified || b.Reference != "rest-app:latest" || !strings.HasPrefix(b.Digest, "sha256:") ||
		!strings.HasPrefix(b.Python, "3.11.") || b.Platform == "" || len(b.Timings) == 0 {
		t.Errorf("report is %+v", b)
	}
	for _, name := range []string{
		"GET /", "GET /items/1", "GET /items/1?q=exuvia", "GET /openapi.json", "GET /docs", "GET /items/x",
		`PUT /items/1 {"is_offer":true,"name":"exuvia","price":1.5}`, "PUT /items/1 {}", "main --help",
	} {
		if err := checked(b, name); err != nil {
			t.Error(err)
		}
	}
	if b.Size > maxSize || b.Download > maxDownload {
		t.Errorf("size %d, download %d; want at most %d, %d", b.Size, b.Download, maxSize, maxDownload)
	}
	var size, download int64
	for _, l := range b.Layers {
		size, download = size+l.Size, download+l.Download
	}
	if size != b.Size || download != b.Download || len(b.Layers) != 3 {
		t.Errorf("%d layers with size %d and download %d do not add up", len(b.Layers), size, download)
	}
}

// A small change must not cost a large build, nor change what did not change.
func TestRebuild(t *testing.T) {
	m := newMachine(t)
	dir := copyOf(t, demo)
	first := m.build(dir)
	again := m.build(dir)
	if again.Digest != first.Digest || !again.Cached || !again.Verified {
		t.Errorf("unchanged: digest %s → %s, cached %v, verified %v", first.Digest, again.Digest, again.Cached, again.Verified)
	}
	greet(t, dir, "World", "Exuvia")
	next := m.build(dir)
	if next.Cached || !next.Verified || next.Digest == first.Digest {
		t.Errorf("changed: cached %v, verified %v, digest %s", next.Cached, next.Verified, next.Digest)
	}
	for i, l := range next.Layers {
		if same := l.Digest == first.Layers[i].Digest; same != (l.Name != "app") {
			t.Errorf("layer %s is the same: %v", l.Name, same)
		}
	}
	t.Logf("timings of one changed line: %v", next.Timings)
}

// What any Python process may lean on, and a reducer that only traces loses.
func TestRuntimeContract(t *testing.T) {
	m := newMachine(t)
	m.build(demo)
	python := func(code string) []string {
		return []string{"--entrypoint", "/usr/bin/python3", "rest-app", "-c", code}
	}
	for name, c := range map[string]struct {
		flags, args []string
		want        string
	}{
		"help":          {nil, []string{"rest-app", "--help"}, "Usage: main"},
		"python -m":     {nil, []string{"--entrypoint", "/usr/bin/python3", "rest-app", "-m", "uvicorn", "--version"}, "Running uvicorn"},
		"script":        {nil, []string{"--entrypoint", "/usr/local/bin/uvicorn", "rest-app", "--version"}, "Running uvicorn"},
		"metadata":      {nil, python("import importlib.metadata as m; print(m.version('fastapi'), 'is fastapi')"), "is fastapi"},
		"time zone":     {[]string{"-e", "TZ=America/New_York"}, python("import time; print(time.localtime(1700000000).tm_hour)"), "17"},
		"LC_ALL=C":      {[]string{"-e", "LC_ALL=C"}, python("print('ok')"), "ok"},
		"dev mode":      {[]string{"-e", "PYTHONDEVMODE=1"}, python("import asyncio; print('ok')"), "ok"},
		"another user":  {[]string{"-u", "1000"}, python("import os; print(os.getuid())"), "1000"},
		"temp files":    {nil, python("import tempfile; print(tempfile.NamedTemporaryFile().name)"), "/tmp/"},
		"no site":       {nil, []string{"--entrypoint", "/usr/bin/python3", "rest-app", "-S", "-I", "-c", "import json, email; print('ok')"}, "ok"},
		"default trust": {nil, python("import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)"), "True"},
		"idna":          {nil, python("print('ä.de'.encode('idna'))"), "xn--"},
		"zoneinfo":      {nil, python("import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Vienna').key)"), "Europe/Vienna"},
	} {
		got := m.run(append(append([]string{"run"}, c.flags...), c.args...)...)
		if got.code != 0 || !strings.Contains(got.stdout, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q\n%s", name, got.code, got.stdout, c.want, got.stderr)
		}
	}
}

func TestWhy(t *testing.T) {
	m := newMachine(t)
	m.build(demo)
	for query, want := range map[string]string{
		"json.decoder": "import", "fastapi": "root", "libssl.so.3": "needed", "/app/main": "entry point",
	} {
		if out := m.must("why", query); !strings.Contains(out, want) {
			t.Errorf("why %s does not say %q:\n%s", query, want, out)
		}
	}
	if out := m.must("why", "--json", "uvicorn.loops.auto"); !strings.Contains(out, `"chain"`) {
		t.Errorf("why --json gives no chain:\n%s", out)
	}
	if out := m.must("why", "--not", "doctest"); !strings.Contains(out, "cut by a rule") {
		t.Errorf("why --not doctest: %s", out)
	}
	if r := m.run("why", "no.such.module"); r.code != 14 {
		t.Errorf("why of nothing: exit code %d, want 14\n%s", r.code, r.stderr)
	}
}

// A build with another package index is not the one that is known; one with
// another password for the same is.
func TestAnotherIndexIsAnotherBuild(t *testing.T) {
	m := newMachine(t)
	dir := project(t, map[string]string{"main.py": "print('hello')\n"})
	for _, tt := range []struct {
		index  string
		cached bool
	}{{"https://me:one@index.invalid/simple", false}, {"https://me:two@index.invalid/simple", true}, {"https://me:two@index.invalid/other", false}} {
		t.Setenv("UV_EXTRA_INDEX_URL", tt.index)
		if b := m.build("--python", "3.11", dir); b.Cached != tt.cached {
			t.Errorf("with %s it is cached: %v", tt.index, b.Cached)
		}
	}
}
