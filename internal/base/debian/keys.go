package debian

import (
	"bytes"
	_ "embed" // the archive's keys
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// archiveKeys are Debian's own, of the package debian-archive-keyring
// 2023.3+deb12u2. They are for hosts that are no Debian or an old one.
//
//go:embed keys/debian-archive-keyring.gpg
var archiveKeys []byte

// keys gives the keys that may sign what comes from a source: those that
// Signed-By names (paths, fingerprints or the key itself), else all that the
// host's apt trusts, else Debian's own. Where the host trusts Debian's
// keyring by its path, Debian's newer keys are trusted with it.
func (h host) keys(signedBy string) (openpgp.EntityList, error) {
	if strings.Contains(signedBy, "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
		return readKeys([]byte(unfold(signedBy)))
	}
	var (
		out          openpgp.EntityList
		fingerprints []string
	)
	for word := range strings.FieldsSeq(signedBy) {
		if !path.IsAbs(word) {
			fingerprints = append(fingerprints, strings.ToLower(strings.TrimSuffix(word, "!")))
			continue
		}
		data, err := h.read(word, maxKeyring)
		if err == nil {
			var some openpgp.EntityList
			some, err = readKeys(data)
			out = append(out, some...)
		}
		if strings.HasPrefix(path.Base(word), "debian-archive-") {
			some, embedErr := readKeys(archiveKeys)
			out, err = append(out, some...), embedErr
		}
		if err != nil {
			return nil, fmt.Errorf("reading keyring %s: %w", word, err)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	all, err := h.trusted()
	if err != nil || fingerprints == nil {
		return all, err
	}
	for _, e := range all {
		for _, f := range fingerprints {
			if strings.HasSuffix(hex.EncodeToString(e.PrimaryKey.Fingerprint), f) && len(f) >= 16 {
				out = append(out, e)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no key has the fingerprint %s", strings.Join(fingerprints, " or "))
	}
	return out, nil
}

// trusted are the keys that apt trusts for a source without Signed-By, and
// Debian's own.
func (h host) trusted() (openpgp.EntityList, error) {
	out, err := readKeys(archiveKeys)
	if err != nil {
		return nil, err
	}
	for _, name := range append(h.list("etc/apt/trusted.gpg.d", ".gpg", ".asc"), "etc/apt/trusted.gpg") {
		data, err := h.read(name, maxKeyring)
		if err != nil {
			continue
		}
		some, err := readKeys(data)
		if err != nil {
			h.log.Warn("keyring not understood", "file", "/"+name, "error", err)
		}
		out = append(out, some...)
	}
	return out, nil
}

// readKeys reads a keyring, binary or armoured.
func readKeys(data []byte) (openpgp.EntityList, error) {
	read := openpgp.ReadKeyRing
	if bytes.Contains(data, []byte("-----BEGIN PGP")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(data))
	if err == nil && len(keys) == 0 {
		err = errors.New("no keys in it")
	}
	return keys, err
}

// unfold turns a multi-line field into text: "." stands for an empty line.
func unfold(field string) string {
	lines := strings.Split(field, "\n")
	for i, l := range lines {
		if l = strings.TrimSpace(l); l == "." {
			l = ""
		}
		lines[i] = l
	}
	return strings.TrimLeft(strings.Join(lines, "\n"), "\n") + "\n"
}
