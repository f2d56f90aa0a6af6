// Package dockerfile writes, as text, a Dockerfile that makes the image of a
// plan without exuvia: for those who must have one. It runs nothing. What it
// writes needs nothing newer than Docker 20.10's classic builder.
package dockerfile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/project"
	"exuvia/internal/report"
	"exuvia/internal/tree"
	"exuvia/internal/variant"
)

// Input is what a Dockerfile is made of.
type Input struct {
	variant.Input
	Plan *plan.Plan
	// Files are the distribution files that were installed, by name, with
	// their SHA-256. There may be others among them.
	Files []report.Input
}

// Places in the stage that builds.
const (
	venv  = "/opt/venv"
	tool  = "/opt/tool"
	build = "/build"
)

// Write gives the Dockerfile of a plan. A variant whose work Docker cannot do
// is a [fault.Usage]; a dependency that no index has is a [fault.Dependency].
func Write(in Input) (string, error) {
	write, ok := map[string]func(*file, Input) error{
		"regular": plain, "slim": plain, "shiv": zipapp, "pex": zipapp,
		"pyinstaller": pyinstaller, "pyinstaller-onefile": pyinstaller, "lean": rootfs,
	}[in.Plan.Variant]
	if !ok {
		return "", fault.New(fault.Usage, "choose lean, pex, pyinstaller, pyinstaller-onefile, regular, shiv or slim, or exuvia build --variant "+in.Plan.Variant,
			"what makes the variant %s is not done by a Dockerfile", in.Plan.Variant)
	}
	for _, kv := range append(slices.Collect(maps.Values(in.Plan.Config.Labels)), in.Plan.Config.Env...) {
		if strings.Contains(kv, "\n") {
			return "", fault.New(fault.Usage, "set it when the container is started", "no Dockerfile can set the value %q, which has several lines", project.Clip(kv))
		}
	}
	f := &file{}
	if err := write(f, in); err != nil {
		return "", err
	}
	return f.String(), nil
}

// rootfs puts what exuvia has made into an image: nothing else reduces so.
func rootfs(f *file, in Input) error {
	f.comment(in.Project.Name+" as exuvia's variant lean makes it. No Dockerfile can do that work, so", "exuvia does it; it also compares the result with the project:",
		"", "  exuvia build --output rootfs:rootfs.tar", "  docker build -t "+in.Project.Name+" .")
	if in.Base.Ref == "scratch" {
		f.line("FROM scratch")
	} else {
		f.comment("rootfs.tar has the files of " + in.Base.Ref + " too.")
		f.line("FROM scratch")
	}
	f.line("ADD rootfs.tar /")
	f.config(in.Plan.Config)
	return nil
}

// plain installs the project in a virtual environment and copies that.
func plain(f *file, in Input) error {
	if err := f.stages(in); err != nil {
		return err
	}
	if err := f.install(in); err != nil {
		return err
	}
	for _, e := range in.Project.Entries {
		if err := f.start(in, e); err != nil {
			return err
		}
	}
	c := in.Plan.Config
	c.Env = slices.Clone(c.Env)
	for i, kv := range c.Env {
		if search, ok := strings.CutPrefix(kv, "PATH="); ok {
			c.Env[i] = "PATH=" + venv + "/bin:" + search
		}
	}
	if in.Project.Entries[0].Kind == project.EntryScript {
		c.Entrypoint = append([]string{venv + "/bin/" + in.Project.Entries[0].Name}, c.Entrypoint[1:]...)
	}
	f.base(in)
	f.line("COPY --from=build "+venv+" "+venv, "COPY --from=build /app /app")
	f.config(c)
	return nil
}

// start writes the executable of an entry point, as exuvia does.
func (f *file) start(in Input, e project.Entry) error {
	if e.Kind == project.EntryScript {
		return nil
	}
	entry, ok := in.App.Lookup("app/" + e.Name)
	if !ok {
		return fmt.Errorf("entry point %q: there is no app/%s", e.Spec, e.Name)
	}
	text, err := entry.ReadAll(1 << 20)
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	f.line("", "# the entry point "+oneLine(e.Spec))
	f.text("/app/"+e.Name, "#!"+venv+"/bin/python3\n"+rest, " && chmod 755 "+quote("/app/"+e.Name))
	return nil
}

// zipapp packs the project and its dependencies by shiv or pex.
func zipapp(f *file, in Input) error {
	if err := f.stages(in); err != nil {
		return err
	}
	if err := f.install(in); err != nil {
		return err
	}
	f.tool(in)
	stage, dir := build+"/stage", "/opt/"+in.Project.Name
	archive := dir + "/" + in.Project.Name + ".pyz"
	f.line("", "# what the archive begins with: it starts the entry point whose name was called", "RUN mkdir -p "+stage+" "+quote(dir)+" && cp -r /app "+stage+"/exuvia-app")
	f.text(stage+"/"+in.Plan.Files[0].Path, in.Plan.Files[0].Text, "")
	var links []string
	for _, e := range in.Project.Entries {
		if e.Kind == project.EntryScript {
			f.line("RUN mkdir -p " + stage + "/exuvia-bin && cp " + quote(venv+"/bin/"+e.Name) + " " + stage + "/exuvia-bin/")
		}
		links = append(links, "ln -s "+quote(path.Base(archive))+" "+quote(dir+"/"+e.Name))
	}
	module := strings.TrimSuffix(in.Plan.Files[0].Path, ".py") + ":main"
	pack := "PYTHONPATH=" + tool + " python3 -m pex --venv-repository " + venv + " --sources-directory " + stage + " --entry-point " + module +
		" \\\n      --python-shebang '/usr/bin/env python3' --no-pypi --output-file " + quote(archive)
	if in.Plan.Variant == "shiv" {
		pack = "PYTHONPATH=" + tool + " python3 -m shiv --reproducible --site-packages " + venv + "/lib/python" + in.Python.Version + "/site-packages --site-packages " + stage +
			" \\\n      --entry-point " + module + " --python '/usr/bin/env python3' --root /tmp/shiv --output-file " + quote(archive)
	}
	f.line("RUN " + pack + " \\\n && " + strings.Join(links, " \\\n && "))
	f.line("", "# files that the app may open by their path", "RUN find /app -name '*.py' -delete")
	f.base(in)
	f.line(copyFrom(dir, dir), "COPY --from=build /app /app")
	f.config(in.Plan.Config)
	return nil
}

// stages begins the first of two stages.
func (f *file) stages(in Input) error {
	python, base, err := images(in)
	if err != nil {
		return err
	}
	f.comment(in.Project.Name+" as "+in.Plan.Variant+" image, written by exuvia dockerfile --variant "+in.Plan.Variant+".",
		"", "  docker build -t "+in.Project.Name+" .",
		"", "PYTHON builds and BASE is what the image sits on; both have to be of the same",
		"release of the same distribution.")
	f.line("ARG PYTHON="+python, "ARG BASE="+base, "", "FROM $PYTHON AS build")
	f.packages(slices.Concat(in.Project.Settings.Packages, in.Project.Settings.BuildPackages))
	return nil
}

// base begins the second stage.
func (f *file) base(in Input) {
	f.line("", "FROM $BASE")
	f.packages(in.Project.Settings.Packages)
}

// packages adds packages of Debian to the stage.
func (f *file) packages(names []string) {
	if len(names) > 0 {
		f.line("RUN apt-get update \\\n && apt-get install -y --no-install-recommends " + strings.Join(names, " ") + " \\\n && rm -rf /var/lib/apt/lists/*")
	}
}

// images are the defaults for what builds and for what the image sits on.
func images(in Input) (python, base string, err error) {
	suite := ""
	if name, ok := strings.CutPrefix(in.System.Ref, "debian:"); ok {
		suite, _, _ = strings.Cut(name, "-")
		suite = "-" + suite
	}
	python = "python:" + in.Python.Version + suite
	flavour, isDebian := strings.CutPrefix(in.Base.Ref, "debian:"+strings.TrimPrefix(suite, "-"))
	switch {
	case in.Base.Ref == "scratch":
		return "", "", fault.New(fault.Usage, "leave --base out, or take the variant lean", "the Dockerfile of %s copies no C library, so it cannot begin from scratch", in.Plan.Variant)
	case !isDebian:
		return python, in.Base.Ref, nil
	case flavour == "-full":
		return python, python, nil
	case flavour == "-slim":
		return python, "python:" + in.Python.Version + "-slim" + suite, nil
	}
	return python, "debian:" + strings.TrimPrefix(suite, "-") + "-slim", nil
}

// install puts the dependencies into a virtual environment, by the hashes of
// the very files that exuvia installed, and the project beside them.
func (f *file) install(in Input) error {
	list, err := requirements(in)
	if err != nil {
		return err
	}
	f.line("", "# the dependencies, by the hashes of their files for "+strings.TrimPrefix(in.Python.Platform, "linux-"), "RUN python3 -m venv --without-pip "+venv)
	if len(list) > 0 {
		f.text("/tmp/requirements.txt", strings.Join(list, "\n")+"\n", "")
		f.line("RUN python3 -m pip --python " + venv + "/bin/python3 install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt")
	}
	f.line("", "# the project")
	to := "/app"
	if in.Project.BuildSystem {
		to = build + "/project"
	}
	f.copyProject(in.Project.Files, to)
	if in.Project.BuildSystem {
		f.line("RUN python3 -m pip --python " + venv + "/bin/python3 install --no-cache-dir --no-deps " + to + " && mkdir -p /app")
	}
	return nil
}

// requirements lists the dependencies with their hashes.
func requirements(in Input) ([]string, error) {
	sums := make(map[string]string) // "name version" → SHA-256
	for _, i := range in.Files {
		if name, version, ok := distOf(i.Name); ok {
			sums[name+" "+version] = i.Digest
		}
	}
	dists := make(map[string]string)
	for e := range in.App.All() {
		if e.From.Kind == tree.Dist {
			dists[e.From.Name] = e.From.Version
		}
	}
	if in.Project.BuildSystem {
		delete(dists, in.Project.Name)
	}
	var out []string
	for name, version := range dists {
		sum, ok := sums[name+" "+version]
		if !ok {
			return nil, fault.New(fault.Dependency, "publish it to an index, or use exuvia build", "%s %s was built from a directory of the project, which the Dockerfile cannot install by its hash", name, version)
		}
		out = append(out, name+"=="+version+" --hash=sha256:"+sum)
	}
	slices.Sort(out)
	return out, nil
}

// distOf reads the name of a wheel or of a source distribution.
func distOf(file string) (name, version string, ok bool) {
	if stem, isWheel := strings.CutSuffix(file, ".whl"); isWheel {
		parts := strings.Split(stem, "-")
		if len(parts) < 5 {
			return "", "", false
		}
		return project.Normalise(parts[0]), parts[1], true
	}
	for _, ext := range []string{".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz"} {
		if stem, is := strings.CutSuffix(file, ext); is {
			i := strings.LastIndex(stem, "-")
			if i <= 0 {
				return "", "", false
			}
			return project.Normalise(stem[:i]), stem[i+1:], true
		}
	}
	return "", "", false
}

// tool installs what packs or freezes, with the lock that exuvia has.
func (f *file) tool(in Input) {
	lock := strings.ReplaceAll(in.Plan.Systems[0].Lock, "\\\n", " ")
	var lines []string
	for line := range strings.Lines(lock) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	f.line("", "# "+in.Plan.Systems[0].Name)
	f.text("/tmp/tool.txt", strings.Join(lines, "\n")+"\n", "")
	f.line("RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --target " + tool + " -r /tmp/tool.txt")
}

// file is a Dockerfile that is being written.
type file struct{ strings.Builder }

func (f *file) line(lines ...string) {
	for _, l := range lines {
		f.WriteString(l + "\n")
	}
}

func (f *file) comment(lines ...string) {
	for _, l := range lines {
		f.line(strings.TrimRight("# "+l, " "))
	}
}

// text has the build write a file: the classic builder knows no heredocs.
func (f *file) text(name, text, then string) {
	f.WriteString("RUN mkdir -p " + quote(path.Dir(name)) + " && printf '%s\\n' \\\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		f.WriteString("      " + always(line) + " \\\n")
	}
	f.WriteString("    > " + quote(name) + then + "\n")
}

// copyProject copies the project's files by the names at its top.
func (f *file) copyProject(t *tree.Tree, to string) {
	var files []string
	for _, e := range t.Children(".") {
		if e.IsDir() {
			f.line("COPY " + words(e.Path, to+"/"+e.Path))
			continue
		}
		files = append(files, e.Path)
	}
	if len(files) > 0 {
		f.line("COPY " + words(append(files, to+"/")...))
	}
}

func copyFrom(from, to string) string { return "COPY --from=build " + words(from, to) }

// config says how the image runs.
func (f *file) config(c plan.Config) {
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		f.line("ENV " + k + "=" + value(v))
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		f.line("LABEL " + value(k) + "=" + value(c.Labels[k]))
	}
	for _, p := range c.Ports {
		f.line("EXPOSE " + p)
	}
	f.line("WORKDIR "+cmp.Or(c.WorkingDir, "/"), "USER "+c.User)
	if c.StopSignal != "" {
		f.line("STOPSIGNAL " + c.StopSignal)
	}
	f.line("ENTRYPOINT " + words(c.Entrypoint...))
	if len(c.Cmd) > 0 {
		f.line("CMD " + words(c.Cmd...))
	}
}

// words is the exec form of an instruction.
func words(list ...string) string {
	var out []string
	for _, s := range list {
		out = append(out, word(s))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// word is one quoted word.
func word(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings are always written
	}
	return string(text)
}

// value is a quoted word of ENV and LABEL, where $ begins a variable.
func value(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(s) + `"`
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:=,@"

// quote makes one word of a shell's command line.
func quote(s string) string {
	if s != "" && strings.Trim(s, plainRunes) == "" {
		return s
	}
	return always(s)
}

func always(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
