# app as pyinstaller image, written by exuvia dockerfile --variant pyinstaller.
#
#   docker build -t app .
#
# PYTHON builds and BASE is what the image sits on; both have to be of the same
# release of the same distribution.
ARG PYTHON=python:3.11-bookworm
ARG BASE=debian:bookworm-slim

FROM $PYTHON AS build

# the dependencies, by the hashes of their files for x86_64
RUN python3 -m venv --without-pip /opt/venv
RUN mkdir -p /tmp && printf '%s\n' \
      'leaf==1.0 --hash=sha256:abc' \
    > /tmp/requirements.txt
RUN python3 -m pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt

# the project
COPY ["it's data", "/app/it's data"]
COPY ["main.py", "/app/"]

# PyInstaller
RUN mkdir -p /tmp && printf '%s\n' \
      'tool==1.0 ; python_version >= '\''3.9'\'' --hash=sha256:aa' \
    > /tmp/tool.txt
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --target /opt/tool -r /tmp/tool.txt

# the main program: it starts the entry point whose name was called
RUN mkdir -p /build && printf '%s\n' \
      'ONE_FILE = False' \
      'ENTRIES = [' \
      '    {' \
      '        "executable": "/opt/app/main",' \
      '        "argv0": "/app/main",' \
      '        "path": [' \
      '            "/app"' \
      '        ],' \
      '        "kind": "module",' \
      '        "module": "main",' \
      '        "function": ""' \
      '    },' \
      '    {' \
      '        "executable": "/opt/app/leaf",' \
      '        "argv0": "/usr/local/bin/leaf",' \
      '        "path": [' \
      '            "/usr/local/bin"' \
      '        ],' \
      '        "kind": "script",' \
      '        "module": "exuvia_script_0",' \
      '        "function": ""' \
      '    }' \
      ']' \
      '' \
      'import builtins' \
      'import os' \
      'import sys' \
      '' \
      '# multiprocessing calls the executable for processes of its own.' \
      'if "--multiprocessing-fork" in sys.argv or "-c" in sys.argv:' \
      '    import multiprocessing.spawn' \
      '' \
      '    multiprocessing.freeze_support()' \
      '' \
      '' \
      'def chosen():' \
      '    """The entry point whose executable was called, by its path or its name."""' \
      '    for same in (lambda path: path, os.path.basename):' \
      '        for entry in ENTRIES:' \
      '            if same(entry["executable"]) == same(sys.argv[0]):' \
      '                return entry' \
      '    return ENTRIES[0]' \
      '' \
      '' \
      'def as_python():' \
      '    """Does what python does at its start and a frozen program does not."""' \
      '    if not hasattr(builtins, "exit"):' \
      '        import site' \
      '' \
      '        site.setquit()' \
      '        site.setcopyright()' \
      '        site.sethelper()' \
      '    # PyInstaller takes it away; what has "" in sys.path gives its children this.' \
      '    process = sys.modules.get("multiprocessing.process")' \
      '    if process and process.ORIGINAL_DIR is None:' \
      '        process.ORIGINAL_DIR = os.getcwd()' \
      '    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(":"))' \
      '    if os.environ.get("PYTHONUNBUFFERED"):' \
      '        import io' \
      '' \
      '        for name in ("stdout", "stderr"):' \
      '            old = getattr(sys, name)' \
      '            if old is not None:' \
      '                raw = open(old.fileno(), "wb", 0, closefd=False)' \
      '                setattr(sys, name, io.TextIOWrapper(raw, old.encoding, old.errors, write_through=True))' \
      '' \
      '' \
      'def as_first_process():' \
      '    """Has the signals ignored that the first process of a container ignores.' \
      '' \
      '    That is the parent here: the one that unpacked the executable, and waits. A' \
      '    handler, unlike SIG_IGN, is not passed on to programs.' \
      '    """' \
      '    import signal' \
      '' \
      '    def ignore(number, frame):' \
      '        pass' \
      '' \
      '    # A signal to a child that has not yet forgotten waits until it has.' \
      '    def hold():' \
      '        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ignored))' \
      '' \
      '    def release():' \
      '        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())' \
      '' \
      '    def forget():' \
      '        for number in ignored:' \
      '            if signal.getsignal(number) is ignore:' \
      '                signal.signal(number, signal.SIG_DFL)' \
      '        release()' \
      '' \
      '    masks = []' \
      '    ignored = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]' \
      '    for number in ignored:' \
      '        signal.signal(number, ignore)' \
      '    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=forget)' \
      '' \
      '' \
      'def run(entry):' \
      '    """Runs it in __main__, and exits as it does."""' \
      '    sys.argv[0] = entry["argv0"]' \
      '    sys.path[:0] = entry["path"]' \
      '    names = sys.modules["__main__"].__dict__' \
      '    if entry["kind"] == "module":' \
      '        import runpy' \
      '' \
      '        runpy._run_module_as_main(entry["module"], alter_argv=False)' \
      '        return' \
      '    names["__spec__"] = None' \
      '    if entry["kind"] == "function":' \
      '        first, *more = entry["function"].split(".")' \
      '        function = getattr(__import__(entry["module"], fromlist=[first]), first)' \
      '        for name in more:' \
      '            function = getattr(function, name)' \
      '        sys.exit(function())' \
      '    from importlib.util import find_spec' \
      '' \
      '    exec(find_spec(entry["module"]).loader.get_code(entry["module"]), names)' \
      '' \
      '' \
      'as_python()' \
      'if ONE_FILE and os.getppid() == 1:' \
      '    as_first_process()' \
      'run(chosen())' \
    > /build/exuvia_launcher.py

# modules that are imported in ways that PyInstaller does not see
RUN printf '%s\n' \
      leaf main \
      > /build/modules.txt

# data that modules read
RUN printf '%s\n' \
      /opt/venv/lib/python3.11/site-packages/leaf.dat:. \
      > /build/data.txt
RUN mkdir -p /build/scripts && cp /opt/venv/bin/leaf /build/scripts/exuvia_script_0.py
RUN PYTHONPATH=/opt/tool PYTHONHASHSEED=0 /opt/venv/bin/python3 -m PyInstaller \
      --noconfirm --log-level WARN --name main --optimize 0 \
      --workpath /build/work --specpath /build --distpath /build/dist \
      --paths /app \
      --paths /build/scripts \
      --hidden-import exuvia_script_0 \
      $(sed 's/^/--hidden-import=/' /build/modules.txt) $(sed 's/^/--add-data=/' /build/data.txt) \
      --copy-metadata leaf \
      /build/exuvia_launcher.py \
 && mv /build/dist/main /opt/app
RUN ln -s main /opt/app/leaf

# libraries of the system that the bundle forgot, but those of the C library
RUN mkdir -p /libraries && find /opt/app -type f \( -perm /111 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null \
    | awk '$3 ~ /^\/(usr\/)?lib/ && $1 !~ /^(libc|libm|libdl|librt|libpthread|libutil|libresolv)\.so/ { print $3 }' | sort -u \
    | while read -r library; do \
        directory=$(readlink -f "$(dirname "$library")"); \
        mkdir -p "/libraries$directory"; cp -L "$library" "/libraries$directory/"; \
      done

# files that the app may open by their path
RUN find /app -name '*.py' -delete

FROM $BASE
COPY --from=build /libraries /
COPY --from=build ["/opt/app", "/opt/app"]
COPY --from=build /app /app
ENV PATH="/usr/local/bin:/usr/bin:/bin"
ENV LANG="C.UTF-8"
ENV GREETING="say \"\$HOME\""
LABEL "team"="x"
EXPOSE 80/tcp
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/app/main"]
