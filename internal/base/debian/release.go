package debian

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"exuvia/internal/cas"
)

// maxRelease bounds an InRelease file; sid's has 190 KB.
const maxRelease = 16 << 20

// release is what a signed InRelease file says, as far as it is needed. It is
// kept as a record, so that a suite stays what it was until it is pulled.
type release struct {
	Missing  bool   // the archive has no such suite; everything else is empty
	Sum      string // SHA-256 of the InRelease file
	Origin   string // "Debian"
	Suite    string // "stable", "stable-security"
	Codename string // "bookworm", "bookworm-security"
	Date     time.Time
	Until    time.Time // Valid-Until; zero where there is none
	ByHash   bool      // files can be had under their hash
	All      bool      // packages for all architectures have an index of their own
	// Files are the package indices in it by their path below the suite.
	Files map[string]cas.Blob
}

// verifyRelease checks the signature of an InRelease file and reads what is
// signed. Text outside the signed part counts for nothing.
func verifyRelease(data []byte, keys openpgp.EntityList, now time.Time) (*release, error) {
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, errors.New("not a signed file")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("text after the signature")
	}
	signer, err := block.VerifySignature(keys, &packet.Config{Time: func() time.Time { return now }})
	if errors.Is(err, pgperrors.ErrUnknownIssuer) {
		return nil, errors.New("none of the keys at hand has signed it")
	}
	if err != nil {
		return nil, fmt.Errorf("the signature is wrong: %s", strings.TrimPrefix(err.Error(), "openpgp: "))
	}
	if signer == nil {
		return nil, errors.New("signature: no signer")
	}
	return parseRelease(block.Plaintext)
}

// parseRelease reads a Release file.
func parseRelease(text []byte) (*release, error) {
	stanzas, err := paragraphs(bytes.NewReader(text), false)
	if err != nil {
		return nil, err
	}
	if len(stanzas) != 1 {
		return nil, fmt.Errorf("%d paragraphs, not one", len(stanzas))
	}
	p := stanzas[0]
	r := &release{
		Origin: p["origin"], Suite: p["suite"], Codename: p["codename"],
		ByHash: p["acquire-by-hash"] == "yes",
		All: slices.Contains(strings.Fields(p["architectures"]), "all") &&
			!slices.Contains(strings.Fields(p["no-support-for-architecture-all"]), "Packages"),
	}
	if r.Date, err = releaseTime(p["date"]); err != nil {
		return nil, fmt.Errorf("date: %w", err)
	}
	if until := p["valid-until"]; until != "" {
		if r.Until, err = releaseTime(until); err != nil {
			return nil, fmt.Errorf("valid-until: %w", err)
		}
	}
	r.Files, err = releaseFiles(p["sha256"])
	return r, err
}

// releaseTime reads the date form of Debian's archive, with or without a
// leading zero of the day.
func releaseTime(text string) (time.Time, error) {
	t, err := time.Parse("Mon, _2 Jan 2006 15:04:05 MST", text)
	if err == nil && t.Location().String() != "UTC" {
		err = fmt.Errorf("%q is not in UTC", text)
	}
	return t, err
}

// releaseFiles reads the SHA256 field: hash, size and path on each line. Only
// package indices are kept.
func releaseFiles(field string) (map[string]cas.Blob, error) {
	files := make(map[string]cas.Blob)
	for text := range strings.Lines(field) {
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("not a hash, a size and a path: %q", strings.TrimSpace(text))
		}
		if stem := strings.TrimSuffix(path.Base(words[2]), path.Ext(words[2])); stem != "Packages" {
			continue
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || size < 0 || !isSum(words[0]) {
			return nil, fmt.Errorf("not a hash, a size and a path: %q", strings.TrimSpace(text))
		}
		files[words[2]] = cas.Blob{Sum: words[0], Size: size}
	}
	return files, nil
}

// isSum reports whether s is a SHA-256 in lower-case hex.
func isSum(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// index chooses the form of a package index that is read fastest. It gives
// false where the suite has none for the architecture.
func (r *release) index(arch string) (name string, b cas.Blob, ok bool) {
	for _, ext := range []string{".gz", ".xz", ""} {
		name := "main/binary-" + arch + "/Packages" + ext
		if b, ok := r.Files[name]; ok {
			return name, b, true
		}
	}
	return "", cas.Blob{}, false
}

// current checks the dates of a release that was just fetched, unless the
// host's apt is told not to.
func (r *release) current(now time.Time, s source) error {
	const skew = 10 * time.Second // as apt has it: Acquire::Max-FutureTime
	if !s.NoDate && r.Date.After(now.Add(skew)) {
		return fmt.Errorf("it is of %s, which is in the future", r.Date.Format(time.RFC1123))
	}
	if !s.NoValidUntil && !r.Until.IsZero() && now.After(r.Until) {
		return fmt.Errorf("it was valid until %s", r.Until.Format(time.RFC1123))
	}
	return nil
}
