package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"exuvia/internal/base/debian"
	"exuvia/internal/base/image"
	"exuvia/internal/cas"
	"exuvia/internal/engine"
	"exuvia/internal/engine/sandbox"
	"exuvia/internal/fault"
	"exuvia/internal/install"
	"exuvia/internal/oci"
	"exuvia/internal/pipeline"
	"exuvia/internal/tree"
)

// app is what the commands share. Everything in it is made when first asked
// for, so that `exuvia --help` touches no disk.
type app struct {
	env      Env
	cacheDir string
	dataDir  string
	debug    bool
	quiet    bool
	pull     bool
	shown    *progress
}

func (a *app) progress() *progress {
	if a.shown == nil {
		a.shown = newProgress(a.env.Stderr, a.quiet)
	}
	return a.shown
}

func (a *app) log() *slog.Logger {
	if !a.debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.env.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// dir is a directory of exuvia's: the flag, the variable, or the place that
// the XDG base directory specification gives.
func (a *app) dir(flag, variable, xdg, home string) (string, error) {
	for _, d := range []string{flag, a.env.Getenv(variable)} {
		if d != "" {
			return filepath.Abs(d)
		}
	}
	if d := a.env.Getenv(xdg); filepath.IsAbs(d) {
		return filepath.Join(d, "exuvia"), nil
	}
	if d := a.env.Getenv("HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, home, "exuvia"), nil
	}
	return "", fault.New(fault.Usage, "set "+variable+" to a directory of yours", "HOME is not set, so there is no place for %s", variable)
}

func (a *app) cache() (*cas.Store, error) {
	dir, err := a.dir(a.cacheDir, "EXUVIA_CACHE", "XDG_CACHE_HOME", ".cache")
	if err != nil {
		return nil, err
	}
	return cas.Open(dir)
}

func (a *app) store() (*oci.Store, error) {
	dir, err := a.dir(a.dataDir, "EXUVIA_DATA", "XDG_DATA_HOME", ".local/share")
	if err != nil {
		return nil, err
	}
	return oci.OpenStore(filepath.Join(dir, "images"), time.Now)
}

func (a *app) engine() (*sandbox.Engine, error) {
	cache, err := a.cache()
	if err != nil {
		return nil, err
	}
	return sandbox.New(sandbox.Options{Cache: cache, Log: a.log()})
}

// cachedEngine remembers steps and boots afresh.
type cachedEngine struct {
	engine.Engine
	engine.Booter
	mode string
}

func (e cachedEngine) Mode() string { return e.mode }

// work does something with the pipeline. As long as that takes, the cache is in
// use and progress is shown.
func work[T any](a *app, do func(*pipeline.Pipeline) (T, error)) (T, error) {
	var none T
	cache, err := a.cache()
	if err != nil {
		return none, err
	}
	done, err := cache.Use()
	if err != nil {
		return none, err
	}
	defer done()
	p, err := a.pipeline(cache)
	if err != nil {
		return none, err
	}
	defer a.progress().Done()
	return do(p)
}

// pipeline puts everything together.
func (a *app) pipeline(cache *cas.Store) (*pipeline.Pipeline, error) {
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	eng, err := a.engine()
	if err != nil {
		return nil, err
	}
	bases, err := a.systems(cache, store)
	if err != nil {
		return nil, err
	}
	self, err := fingerprint()
	if err != nil {
		return nil, err
	}
	say := a.progress().Printf
	cached := cachedEngine{Engine: engine.Cached{Engine: eng, Store: cache, Pull: a.pull}, Booter: eng, mode: eng.Mode()}
	return &pipeline.Pipeline{
		Bases: bases, Engine: cached, Cache: cache, Store: store,
		Install: func(pip *tree.Tree, compiler func(context.Context) (*tree.Tree, error)) pipeline.Installer {
			return install.New(install.Options{
				Engine: cached, Cache: cache, Pip: pip, Compiler: compiler, Getenv: a.env.Getenv, Environ: a.env.Environ,
				Home: a.env.Getenv("HOME"), Log: a.log(), Progress: say,
			})
		},
		Clock: time.Now, Progress: say, Log: a.log(), Version: self, Overlook: a.env.Overlook,
	}, nil
}

// fingerprint identifies the program: a build that another exuvia finished is
// none of ours.
func fingerprint() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("reading the program itself: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading the program itself: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// systems finds bases of every kind.
func (a *app) systems(cache *cas.Store, store *oci.Store) (*systems, error) {
	keyring := a.env.Getenv("EXUVIA_DEBIAN_KEYRING")
	if keyring != "" {
		var err error
		if keyring, err = filepath.Abs(keyring); err != nil {
			return nil, err
		}
	}
	archive, err := debian.New(debian.Options{
		Cache: cache, Root: "/", Mirror: a.env.Getenv("EXUVIA_DEBIAN_MIRROR"), Keyring: keyring, Client: http.DefaultClient, Pull: a.pull,
		Now: time.Now, Progress: a.progress().Printf, Log: a.log(),
	})
	if err != nil {
		return nil, err
	}
	docker := a.docker()
	images := image.New(image.Options{
		Cache: cache, Store: store, DockerHost: docker.Host, DockerCerts: docker.CertPath, Progress: a.progress().Printf, Log: a.log(),
	})
	return &systems{archive: archive, images: images, cache: cache}, nil
}

// version is what `exuvia version` prints: the module's version where it was
// installed as one, else the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	if v == "" {
		v = "(devel)"
	}
	return v
}

func newVersion(*app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "exuvia", version())
			return err
		},
	}
}
