package dockerfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
)

// freezer is what the plan tells a tool that freezes, as far as it matters
// here: its file freeze.json.
type freezer struct {
	Name     string            `json:"name"`
	Dir      string            `json:"dir"`
	Path     []string          `json:"path"`
	Modules  []string          `json:"modules"`
	Files    [][2]string       `json:"files"`
	Scripts  map[string]string `json:"scripts"`
	Links    map[string]string `json:"links"`
	Optimize int               `json:"optimize"`
	OneFile  bool              `json:"onefile"`
}

// pyinstaller freezes with the options that the plan gives, and copies the
// libraries that the result leaves to the system.
func pyinstaller(f *file, in Input) error {
	var want freezer
	launcher := ""
	for _, p := range in.Plan.Files {
		switch p.Path {
		case "freeze.json":
			if err := json.Unmarshal([]byte(p.Text), &want); err != nil {
				return fmt.Errorf("reading what the plan tells PyInstaller: %w", err)
			}
		case "exuvia_launcher.py":
			launcher = p.Text
		}
	}
	if want.Name == "" || launcher == "" {
		return fmt.Errorf("the plan of %s has no freeze.json and launcher", in.Plan.Variant)
	}
	for name := range want.Links {
		if strings.Contains(name, "/") {
			return fault.New(fault.Project, "leave one of them out", "two entry points have the same name, %s", path.Base(name))
		}
	}
	if err := f.stages(in); err != nil {
		return err
	}
	if err := f.install(in); err != nil {
		return err
	}
	f.tool(in)
	f.line("", "# the main program: it starts the entry point whose name was called")
	f.text(build+"/exuvia_launcher.py", launcher, "")
	f.line("", "# modules that are imported in ways that PyInstaller does not see")
	f.list(build+"/modules.txt", hidden(in, want.Modules))
	f.line("", "# data that modules read")
	f.list(build+"/data.txt", slices.DeleteFunc(data(in, want.Files), special))
	f.freeze(in, want)
	f.line("", "# libraries of the system that the bundle forgot, but those of the C library",
		"RUN mkdir -p /libraries && find "+quote(want.Dir)+" -type f \\( -perm /111 -o -name '*.so*' \\) -exec ldd {} + 2>/dev/null \\",
		"    | awk '$3 ~ /^\\/(usr\\/)?lib/ && $1 !~ /^(libc|libm|libdl|librt|libpthread|libutil|libresolv)\\.so/ { print $3 }' | sort -u \\",
		"    | while read -r library; do \\",
		"        directory=$(readlink -f \"$(dirname \"$library\")\"); \\",
		"        mkdir -p \"/libraries$directory\"; cp -L \"$library\" \"/libraries$directory/\"; \\",
		"      done",
		"", "# files that the app may open by their path", "RUN find /app -name '*.py' -delete")
	f.base(in)
	f.line("COPY --from=build /libraries /", copyFrom(want.Dir, want.Dir), "COPY --from=build /app /app")
	f.config(in.Plan.Config)
	return nil
}

// freeze runs PyInstaller.
func (f *file) freeze(in Input, want freezer) {
	for _, module := range slices.Sorted(maps.Keys(want.Scripts)) {
		f.line("RUN mkdir -p " + build + "/scripts && cp " + quote(inVenv(in, want.Scripts[module])) + " " + build + "/scripts/" + module + ".py")
	}
	args := []string{"--noconfirm --log-level WARN --name " + quote(want.Name) + " --optimize " + fmt.Sprint(want.Optimize), "--workpath " + build + "/work --specpath " + build + " --distpath " + build + "/dist"}
	for _, dir := range append(slices.Clone(want.Path), build+"/scripts") {
		args = append(args, "--paths "+quote(dir))
	}
	for _, module := range slices.Sorted(maps.Keys(want.Scripts)) {
		args = append(args, "--hidden-import "+module)
	}
	args = append(args, "$(sed 's/^/--hidden-import=/' "+build+"/modules.txt) $(sed 's/^/--add-data=/' "+build+"/data.txt)")
	for _, pair := range data(in, want.Files) {
		if special(pair) {
			args = append(args, "--add-data "+quote(pair))
		}
	}
	for _, name := range described(in, want.Files) {
		args = append(args, "--copy-metadata "+name)
	}
	made := build + "/dist/" + want.Name
	move := "mv " + quote(made) + " " + quote(want.Dir)
	if want.OneFile {
		args = append(args, "--onefile")
		move = "mkdir -p " + quote(want.Dir) + " && mv " + quote(made) + " " + quote(want.Dir) + "/"
	}
	f.line("RUN PYTHONPATH=" + tool + " PYTHONHASHSEED=0 " + venv + "/bin/python3 -m PyInstaller \\\n      " + strings.Join(append(args, build+"/exuvia_launcher.py"), " \\\n      ") +
		" \\\n && " + move)
	for _, name := range slices.Sorted(maps.Keys(want.Links)) {
		f.line("RUN ln -s " + quote(want.Links[name]) + " " + quote(want.Dir+"/"+name))
	}
}

// hidden leaves out modules of the standard library, which PyInstaller finds.
func hidden(in Input, modules []string) []string {
	own := make(map[string]bool)
	for e := range in.App.All() {
		rel, ok := strings.CutPrefix(e.Path, in.Python.Site+"/")
		if !ok {
			if rel, ok = strings.CutPrefix(e.Path, "app/"); !ok {
				continue
			}
		}
		for _, suffix := range append([]string{"/__init__.py", ".py"}, in.Python.Suffixes...) {
			if stem, ok := strings.CutSuffix(rel, suffix); ok {
				own[strings.ReplaceAll(stem, "/", ".")] = true
				break
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return !own[m] })
}

// data gives "SOURCE:DIRECTORY" of the files beside modules of the app.
func data(in Input, files [][2]string) []string {
	var out []string
	for _, pair := range files {
		source := inVenv(in, pair[0])
		if _, isMetadata := describes(pair[1]); isMetadata {
			continue
		}
		if strings.HasPrefix(source, venv+"/") || strings.HasPrefix(source, "/app/") {
			out = append(out, source+":"+path.Dir(pair[1]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// special tells names that a shell would not take as one word.
func special(name string) bool { return quote(name) != name }

// described are the distributions whose metadata is among the files.
func described(in Input, files [][2]string) []string {
	var out []string
	for _, pair := range files {
		if name, ok := describes(pair[1]); ok && strings.HasPrefix(inVenv(in, pair[0]), venv+"/") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// describes names the distribution whose metadata a file is of.
func describes(file string) (name string, ok bool) {
	dir, _, _ := strings.Cut(file, "/")
	stem, ok := strings.CutSuffix(dir, ".dist-info")
	name, _, _ = strings.Cut(stem, "-")
	return name, ok
}

// inVenv is where the Dockerfile has a file of the unreduced app.
func inVenv(in Input, p string) string {
	for from, to := range map[string]string{in.Python.Site: "/lib/python" + in.Python.Version + "/site-packages/", in.Python.Scripts: "/bin/"} {
		if rel, ok := strings.CutPrefix(p, "/"+from+"/"); ok {
			return venv + to + rel
		}
	}
	return p
}

// lineWidth is where lists of words are broken.
const lineWidth = 120

// list has the build write a file of one word a line, many to a line here.
func (f *file) list(name string, words []string) {
	if len(words) == 0 {
		f.line("RUN : > " + quote(name))
		return
	}
	f.WriteString("RUN printf '%s\\n'")
	width := lineWidth
	for _, w := range words {
		if width += len(quote(w)) + 1; width > lineWidth {
			f.WriteString(" \\\n     ")
			width = len(quote(w)) + 6
		}
		f.WriteString(" " + quote(w))
	}
	f.WriteString(" \\\n      > " + quote(name) + "\n")
}
