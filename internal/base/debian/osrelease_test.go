package debian

import (
	"testing"

	"exuvia/internal/tree"
)

func TestSuiteOf(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"Debian", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n", "bookworm"},
		{"distroless", "PRETTY_NAME=\"Distroless\"\nID=\"debian\"\nVERSION=\"Debian GNU/Linux 12 (bookworm)\"\n", "bookworm"},
		{"quoted", "ID='debian'\nVERSION_CODENAME='trixie'", "trixie"},
		{"too old", "ID=debian\nVERSION_CODENAME=buster\n", ""},
		{"Ubuntu", "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", ""},
		{"borrowed codename", "ID=raspbian\nVERSION_CODENAME=bookworm\n", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, err := tree.New(
				tree.Symlink("etc/os-release", "../usr/lib/os-release", tree.Origin{}),
				tree.File("usr/lib/os-release", 0o644, []byte(c.text), tree.Origin{}),
			)
			if err != nil {
				t.Fatal(err)
			}
			if got := SuiteOf(tr); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := SuiteOf(&tree.Tree{}); got != "" {
		t.Errorf("an empty system is of %q", got)
	}
}

// Whatever the file says: one of the suites, or none.
func FuzzSuiteOf(f *testing.F) {
	f.Add("ID=debian\nVERSION_CODENAME=bookworm\n")
	f.Add("ID=\"debian\"\nVERSION=\"Debian GNU/Linux 12 (bookworm)\"")
	f.Add("=\n\"=\"\nID")
	f.Fuzz(func(t *testing.T, text string) {
		if name := suiteOf(text); name != "" {
			if _, err := suiteNamed(name); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWithFlavour(t *testing.T) {
	for _, c := range []struct{ ref, flavour, want string }{
		{"debian:bookworm", "slim", "debian:bookworm-slim"},
		{"debian:bookworm-full", "", "debian:bookworm"},
		{"debian:sid-python3.15", "slim", "debian:sid-slim-python3.15"},
		{"debian:sid-slim-python3.15", "distroless", "debian:sid-distroless"},
		{"python:3.12", "slim", ""},
		{"debian:buster", "slim", ""},
	} {
		if got, ok := WithFlavour(c.ref, c.flavour); got != c.want || ok != (c.want != "") {
			t.Errorf("%s as %q is %q (%v), want %q", c.ref, c.flavour, got, ok, c.want)
		}
	}
}
