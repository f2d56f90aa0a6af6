package install

import (
	"path/filepath"
	"testing"

	"exuvia/internal/plan"
)

// A step that downloads crates sees what the user's own cargo sees, and none
// of it is in its key.
func TestCargoConfiguration(t *testing.T) {
	u := user{
		files: map[string]string{
			"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"near\"\n", "home/.cargo/credentials": "[registry]\ntoken = \"t0ken\"\n",
			"ca.pem": "certificate", "cargo.pem": "certificate",
		},
		env: map[string]string{
			"HTTPS_PROXY": "http://u:pw@proxy:1", "CARGO_REGISTRIES_NEAR_TOKEN": "other", "CARGO_TARGET_DIR": "/nowhere", "SSL_CERT_FILE": "ROOT/ca.pem",
			"CARGO_HTTP_CAINFO": "ROOT/cargo.pem",
		},
	}
	var s plan.Step
	u.config(t, "").applyCargo(&s)
	for name, want := range map[string]string{
		"HTTPS_PROXY": "http://u:pw@proxy:1", "CARGO_REGISTRIES_NEAR_TOKEN": "other", "CARGO_TARGET_DIR": "", "CARGO_HTTP_CAINFO": caAt, "SSL_CERT_FILE": caAt,
	} {
		if got := variable(s, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	files := make(map[string]string)
	for _, f := range s.Secrets {
		files[f.At] = filepath.Base(f.File)
	}
	for at, want := range map[string]string{cargoAt + "/config.toml": "config.toml", cargoAt + "/credentials.toml": "credentials", caAt: "cargo.pem"} {
		if files[at] != want {
			t.Errorf("%s is %q, want %q", at, files[at], want)
		}
	}
	if !s.Network || len(s.Env) > 0 || len(s.Secrets) != 3 {
		t.Errorf("the step is %+v", s)
	}
}
