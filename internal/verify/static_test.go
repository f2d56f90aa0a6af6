package verify

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"exuvia/internal/plan"
	"exuvia/internal/report"
	"exuvia/internal/tree"
)

// image is one that has nothing wrong with it.
func image() []tree.Entry {
	return []tree.Entry{
		tree.File("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n"), tree.Origin{}),
		tree.File("etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\nstaff:x:50:\n"), tree.Origin{}),
		tree.File("usr/bin/python3.11", 0o755, []byte("\x7fELF..."), tree.Origin{}),
		tree.Symlink("usr/bin/python3", "python3.11", tree.Origin{}),
		tree.Symlink("etc/mtab", "/proc/mounts", tree.Origin{}),
		tree.File("app/main", 0o755, []byte("#!/usr/bin/python3 -B\nimport main\n"), tree.Origin{}),
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
}

func config() plan.Config {
	return plan.Config{Entrypoint: []string{"/app/main"}, User: "65532:65532", WorkingDir: "/app", Env: []string{"PATH=/usr/bin"}}
}

func TestStatic(t *testing.T) {
	for _, tt := range []struct {
		name string
		with []tree.Entry
		full []tree.Entry // beside those of lean's; nil: no full tree
		conf func(*plan.Config)
		want []string
	}{
		{name: "all is well"},
		{name: "user by name", conf: func(c *plan.Config) { c.User = "nonroot:staff" }},
		{name: "root", conf: func(c *plan.Config) { c.User = "" }, with: []tree.Entry{tree.File("secret", 0o600, nil, tree.Origin{})}},
		{name: "unknown user", conf: func(c *plan.Config) { c.User = "web" }, want: []string{"user: user web is not in the image's /etc/passwd"}},
		{name: "unknown group", conf: func(c *plan.Config) { c.User = "nonroot:web" }, want: []string{"user: group of user nonroot:web is not in the image's /etc/group"}},
		{
			name: "file that the user may not read", with: []tree.Entry{tree.File("app/secret", 0o640, nil, tree.Origin{})},
			want: []string{"readable by 65532:65532: /app/secret (-rw-r-----, owner 0:0)"},
		},
		{
			name: "so in the original", with: []tree.Entry{tree.File("app/secret", 0o640, nil, tree.Origin{})},
			full: []tree.Entry{tree.File("app/secret", 0o640, nil, tree.Origin{})},
		},
		{
			name: "own file", with: []tree.Entry{{Path: "app/mine", Mode: 0o400, UID: 65532}, {Path: "app/ours", Mode: 0o040, GID: 65532}},
		},
		{
			name: "directory that shuts the user out",
			with: []tree.Entry{tree.Dir("app/d", 0o700, tree.Origin{}), tree.File("app/d/f", 0o644, nil, tree.Origin{})},
			want: []string{"readable by 65532:65532: /app/d (drwx------, owner 0:0); /app/d/f (-rw-r--r--, owner 0:0)"},
		},
		{
			name: "link that leads nowhere", with: []tree.Entry{tree.Symlink("usr/lib/libz.so.1", "libz.so.1.2", tree.Origin{})},
			full: []tree.Entry{tree.Symlink("usr/lib/libz.so.1", "libz.so.1.2", tree.Origin{}), tree.File("usr/lib/libz.so.1.2", 0o644, nil, tree.Origin{})},
			want: []string{"links: /usr/lib/libz.so.1 → libz.so.1.2"},
		},
		{
			name: "link that led nowhere before", with: []tree.Entry{tree.Symlink("usr/lib/x", "nowhere", tree.Origin{})},
			full: []tree.Entry{tree.Symlink("usr/lib/x", "nowhere", tree.Origin{})},
		},
		{
			name: "setuid", with: []tree.Entry{{Path: "usr/bin/su", Mode: 0o755 | fs.ModeSetuid}},
			want: []string{"setuid: /usr/bin/su"},
		},
		{
			name: "writable by everyone", with: []tree.Entry{{Path: "var/x", Mode: fs.ModeDir | 0o777}, tree.File("f", 0o666, nil, tree.Origin{})},
			want: []string{"writable by everyone: /f; /var/x"},
		},
		{
			name: "no entry point", conf: func(c *plan.Config) { c.Entrypoint = nil },
			want: []string{"entry point: the image has none"},
		},
		{
			name: "entry point in PATH", conf: func(c *plan.Config) { c.Entrypoint = []string{"python3"} },
		},
		{
			name: "entry point in the working directory", conf: func(c *plan.Config) { c.Entrypoint = []string{"./main"} },
		},
		{
			name: "entry point not in PATH", conf: func(c *plan.Config) { c.Entrypoint = []string{"uvicorn"} },
			want: []string{"entry point: uvicorn does not exist"},
		},
		{
			name: "entry point that is not executable", conf: func(c *plan.Config) { c.Entrypoint = []string{"/etc/passwd"} },
			want: []string{"entry point: /etc/passwd may not be executed by 65532:65532 (-rw-r--r--, owner 0:0)"},
		},
		{
			name: "entry point without interpreter", with: []tree.Entry{tree.File("app/x", 0o755, []byte("#!/bin/sh\n"), tree.Origin{})},
			conf: func(c *plan.Config) { c.Entrypoint = []string{"/app/x"} },
			want: []string{"entry point: /app/x wants an interpreter: /bin/sh does not exist"},
		},
		{
			name: "entry point by env",
			with: []tree.Entry{tree.File("app/x", 0o755, []byte("#!/usr/bin/env python4\n"), tree.Origin{}), tree.File("usr/bin/env", 0o755, []byte("\x7fELF"), tree.Origin{})},
			conf: func(c *plan.Config) { c.Entrypoint = []string{"/app/x"} },
			want: []string{"entry point: /app/x wants an interpreter: python4 does not exist"},
		},
		{
			name: "interpreter of itself", with: []tree.Entry{tree.File("app/x", 0o755, []byte("#!/app/x\n"), tree.Origin{})},
			conf: func(c *plan.Config) { c.Entrypoint = []string{"/app/x"} },
			want: []string{"entry point: " + strings.Repeat("/app/x wants an interpreter: ", 5) + "/app/x: too many interpreters"},
		},
		{
			name: "entry point that is nothing", with: []tree.Entry{tree.File("app/x", 0o755, []byte("import x\n"), tree.Origin{})},
			conf: func(c *plan.Config) { c.Entrypoint = []string{"/app/x"} },
			want: []string{"entry point: /app/x is neither an ELF file nor a script that names its interpreter"},
		},
		{
			name: "no working directory", conf: func(c *plan.Config) { c.WorkingDir = "/srv" },
			want: []string{"entry point: the working directory /srv cannot be entered"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lean := newTree(t, append(image(), tt.with...)...)
			var full *tree.Tree
			if tt.full != nil {
				full = newTree(t, append(image(), tt.full...)...)
			}
			c := config()
			if tt.conf != nil {
				tt.conf(&c)
			}
			checks := Static(lean, full, c)
			if diff := cmp.Diff(tt.want, failing(checks)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(checks) != 6 {
				t.Errorf("checks: %q", names(checks))
			}
		})
	}
}

func TestLibraries(t *testing.T) {
	got := Libraries([]string{"/a needs b", "/c needs d", "/e needs f", "/g needs h"})
	want := report.Check{Name: "shared libraries", Detail: "/a needs b; /c needs d; /e needs f; 1 more"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := Libraries(nil); !got.OK {
		t.Errorf("%+v", got)
	}
}
