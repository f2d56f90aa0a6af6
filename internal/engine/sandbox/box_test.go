package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/tree"
)

func stubBox(t *testing.T, entries ...tree.Entry) *box {
	t.Helper()
	tr, err := tree.New(entries...)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{tree: tr, dir: t.TempDir()}
	b.Stub = filepath.Join(b.dir, "stub")
	if err := os.Mkdir(b.Stub, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// hostile is a tree with links of every bad kind.
func hostile() []tree.Entry {
	link := func(name, target string) tree.Entry { return tree.Symlink(name, target, tree.Origin{}) }
	return []tree.Entry{
		tree.File("etc/passwd", 0o644, nil, tree.Origin{}), tree.Dir("usr/lib", 0o755, tree.Origin{}),
		link("lib", "usr/lib"), link("abs", "/usr/lib"), link("up", "../../../usr/lib"), link("self", "."),
		link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"), link("dangling", "/none"),
		link("out", "nothing/../../../../etc"), link("back", "nothing/../lib/x"), link("circle", "circle"), link("a", "b"), link("b", "a"),
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		at   string
		file bool
		want string // "" is an error
		made bool   // in the stub
	}{
		{at: "/usr/lib", want: "usr/lib"},
		{at: "/lib", want: "usr/lib"},
		{at: "/abs/", want: "usr/lib"},
		{at: "/up", want: "usr/lib"},
		{at: "/lib/../lib/./x", want: "usr/lib/x", made: true},
		{at: "/new/deep/dir", want: "new/deep/dir", made: true},
		{at: "/new/file", file: true, want: "new/file", made: true},
		{at: "/etc/passwd", file: true, want: "etc/passwd"},
		{at: "/etc/resolv.conf", file: true, want: "run/systemd/resolve/stub-resolv.conf", made: true},
		{at: "/dangling/x", want: "none/x", made: true},
		{at: "/dangling", want: "none", made: true},
		{at: "/back/y", want: "usr/lib/x/y", made: true},
		{at: "/etc/passwd"},
		{at: "/etc/passwd/x"},
		{at: "/usr/lib", file: true},
		{at: "/out", want: "etc"},
		{at: "/out/x"},
		{at: "/circle"},
		{at: "/circle/x"},
		{at: "/a"},
		{at: "/self"},
		{at: "/"},
		{at: "/.."},
		{at: "relative"},
		{at: ""},
	} {
		t.Run(c.at, func(t *testing.T) {
			b := stubBox(t, hostile()...)
			got, err := b.place(c.at, !c.file)
			if (err != nil) != (c.want == "") || got != c.want {
				t.Fatalf("got %q, %v, want %q", got, err, c.want)
			}
			fi, err := os.Lstat(filepath.Join(b.Stub, got))
			if made := err == nil && got != ""; made != c.made || made && fi.IsDir() == c.file {
				t.Errorf("made %v, want %v", made, c.made)
			}
			around, err := os.ReadDir(b.dir)
			if err != nil || len(around) != 1 {
				t.Errorf("made %v outside the stub", around)
			}
		})
	}
}

// Whatever a mount point is called, nothing is made outside the stub.
func FuzzPlace(f *testing.F) {
	for _, s := range []string{"/lib/x", "/out/../../x", "/back/../y", "/self/self/up", "//a", "/none/../../.."} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, name string, dir bool) {
		b := stubBox(t, hostile()...)
		at, err := b.place(name, dir)
		if (at == "") == (err == nil) {
			t.Errorf("%q: got %q and error %v", name, at, err)
		}
		if err == nil && !filepath.IsLocal(at) {
			t.Errorf("%q: %q is outside", name, at)
		}
		if around, err := os.ReadDir(b.dir); err != nil || len(around) != 1 {
			t.Errorf("%q: made %v outside the stub", name, around)
		}
	})
}

const passwd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken:x:one:2::/:\nweb:x:33:44::/srv:/bin/sh\n"

func TestAccount(t *testing.T) {
	type want struct {
		UID, GID int
		Home     string
	}
	for user, w := range map[string]*want{
		"":                {0, 0, "/root"},
		"0":               {0, 0, "/root"},
		"web":             {33, 44, "/srv"},
		"33":              {33, 44, "/srv"},
		"web:7":           {33, 7, "/srv"},
		"web:staff":       {33, 50, "/srv"},
		"65532:65532":     {65532, 65532, "/"},
		"1000":            {1000, 0, "/"},
		"nobody":          nil,
		"broken":          nil,
		"web:none":        nil,
		"-1":              nil,
		"web:-1":          nil,
		"4294967295":      nil, // chown's "leave as is"
		"99999999999999":  nil,
		"1:9999999999999": nil,
		":44":             {0, 44, "/root"},
	} {
		t.Run(user, func(t *testing.T) {
			b := stubBox(t, tree.File("etc/passwd", 0o644, []byte(passwd), tree.Origin{}),
				tree.File("etc/group", 0o644, []byte("staff:x:50:\nodd:x:-5:\n"), tree.Origin{}))
			home, err := b.account(user)
			if (err == nil) != (w != nil) {
				t.Fatalf("error is %v, want one: %v", err, w == nil)
			}
			if w == nil {
				return
			}
			if diff := cmp.Diff(*w, want{b.UID, b.GID, home}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzAccount(f *testing.F) {
	f.Add("web:staff", passwd, "staff:x:50:\n")
	f.Add("1", "::::\n", ":")
	f.Fuzz(func(t *testing.T, user, passwd, group string) {
		b := stubBox(t, tree.File("etc/passwd", 0o644, []byte(passwd), tree.Origin{}), tree.File("etc/group", 0o644, []byte(group), tree.Origin{}))
		if _, err := b.account(user); err == nil && (b.UID < 0 || b.GID < 0 || b.UID > maxID || b.GID > maxID) {
			t.Errorf("%q is %d:%d", user, b.UID, b.GID)
		}
	})
}

func TestEnvironment(t *testing.T) {
	got := environment("/srv", []string{"A=1", "PATH=/bin", "B=x=y"}, []string{"A=2", "HOME=/h"})
	want := []string{"HOSTNAME=exuvia", "PATH=/bin", "B=x=y", "A=2", "HOME=/h"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTail(t *testing.T) {
	for limit, want := range map[int]string{0: "", 3: "hij", 10: "abcdefghij", 20: "abcdefghij"} {
		for _, size := range []int{1, 2, 5, 10} {
			tl := newTail(limit)
			for text := "abcdefghij"; text != ""; text = text[size:] {
				if n, err := tl.Write([]byte(text[:size])); n != size || err != nil {
					t.Fatalf("wrote %d, %v", n, err)
				}
			}
			if got := tl.String(); got != want {
				t.Errorf("limit %d, writes of %d: %q, want %q", limit, size, got, want)
			}
		}
	}
}

func TestRefusalNamesTheSwitch(t *testing.T) {
	for _, s := range switches {
		dir := t.TempDir()
		if got := refusal(dir); !strings.Contains(got, "Linux 5.11") {
			t.Errorf("with nothing off: %q", got)
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(s.Name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, s.Name), []byte(s.Off+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := refusal(dir); got != s.Hint {
			t.Errorf("%s is off: %q", s.Name, got)
		}
	}
}
