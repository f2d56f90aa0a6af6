package install

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"exuvia/internal/plan"
)

// cargoAt is where a step finds the user's configuration of cargo: files for
// its CARGO_HOME, where each of them is optional.
const cargoAt = hostFiles + "/cargo"

// cargoPrefixes begin the variables that are cargo's configuration of
// registries, their tokens among them, and of how it connects.
var cargoPrefixes = []string{"CARGO_REGISTRY_", "CARGO_REGISTRIES_", "CARGO_SOURCE_", "CARGO_HTTP_", "CARGO_NET_"}

// Network gives a step of a plan, which downloads with cargo, the network and
// the user's configuration: cargo's own, the proxies and the certificates.
// Nothing of it is in the step's key: what is downloaded is pinned by a lock.
// Such a step may build nothing, since there may be credentials among it.
func (in *Installer) Network(s plan.Step) (plan.Step, error) {
	c, err := newConfig(host{getenv: in.o.Getenv, environ: in.o.Environ, home: in.o.Home, etc: in.etc}, nil, nil)
	if err != nil {
		return s, err
	}
	s.Secrets, s.SecretEnv = slices.Clone(s.Secrets), slices.Clone(s.SecretEnv)
	c.applyCargo(&s)
	return s, nil
}

func (c *config) applyCargo(s *plan.Step) {
	s.Network = true
	s.SecretEnv = append(s.SecretEnv, c.proxies()...)
	for _, kv := range c.host.environ {
		if slices.ContainsFunc(cargoPrefixes, func(p string) bool { return strings.HasPrefix(kv, p) }) && !strings.HasPrefix(kv, "CARGO_HTTP_CAINFO=") {
			s.SecretEnv = append(s.SecretEnv, kv)
		}
	}
	home := cmp.Or(c.host.getenv("CARGO_HOME"), filepath.Join(c.host.home, ".cargo"))
	for _, name := range []string{"config", "credentials"} {
		// The name without .toml is the older one, which wins where both are.
		if file := c.firstFile(filepath.Join(home, name), filepath.Join(home, name+".toml")); file != "" {
			s.Secrets = append(s.Secrets, plan.Secret{File: file, At: cargoAt + "/" + name + ".toml"})
		}
	}
	if ca := cmp.Or(c.firstFile(c.host.getenv("CARGO_HTTP_CAINFO")), c.ca); ca != "" {
		s.Secrets = append(s.Secrets, plan.Secret{File: ca, At: caAt})
		s.SecretEnv = append(s.SecretEnv, "CARGO_HTTP_CAINFO="+caAt, "SSL_CERT_FILE="+caAt)
	}
}
