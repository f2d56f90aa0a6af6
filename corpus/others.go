package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// others are the images that the lean one is held against.
type others struct {
	Key          string  `json:"key"` // of all that they were made from
	Slim         size    `json:"slim"`
	PyInstaller  size    `json:"pyinstaller"`
	Frozen       string  `json:"pyinstaller_reason,omitempty"` // why its image fails
	OtherSeconds float64 `json:"others_s"`                     // that making them took
	Kept         bool    `json:"kept"`                         // from a run before, of the same program and application
}

// otherImages makes the others of an application, unless neither exuvia nor the
// application have changed since they were made.
func otherImages(ctx context.Context, name, dir string) (others, error) {
	var o others
	key, err := keyOf(exuvia, dir)
	if err != nil {
		return o, err
	}
	file := filepath.Join(images, "others", name+".json")
	if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &o) == nil && o.Key == key {
		o.Kept = true
		return o, nil
	}
	begin := time.Now()
	o = others{Key: key}
	freeze := []string{"--variant", "pyinstaller", "--reference", name + ":pyinstaller", dir}
	frozen, err := build(ctx, freeze...)
	if err != nil {
		o.Frozen = err.Error()
		frozen, err = build(ctx, append(freeze, "--no-verify")...)
	}
	if err != nil {
		return o, fmt.Errorf("as PyInstaller's image: %w", err)
	}
	o.PyInstaller = size{frozen.Size, frozen.Download}
	slim, err := build(ctx, "--variant", "slim", "--no-verify", "--reference", name+":slim", dir)
	if err != nil {
		return o, fmt.Errorf("as slim: %w", err)
	}
	o.Slim = size{slim.Size, slim.Download}
	o.OtherSeconds = time.Since(begin).Seconds()
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return o, err
	}
	return o, errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o644))
}

// keyOf is the hash of a program and of all files of a directory.
func keyOf(program, dir string) (string, error) {
	h := sha256.New()
	add := func(name string) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "%q\n", name)
		_, err = io.Copy(h, f)
		return err
	}
	if err := add(program); err != nil {
		return "", err
	}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return add(name)
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
