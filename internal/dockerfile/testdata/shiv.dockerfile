# app as shiv image, written by exuvia dockerfile --variant shiv.
#
#   docker build -t app .
#
# PYTHON builds and BASE is what the image sits on; both have to be of the same
# release of the same distribution.
ARG PYTHON=python:3.11-bookworm
ARG BASE=python:3.11-slim-bookworm

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

# shiv
RUN mkdir -p /tmp && printf '%s\n' \
      'tool==1.0 ; python_version >= '\''3.9'\'' --hash=sha256:aa' \
    > /tmp/tool.txt
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --target /opt/tool -r /tmp/tool.txt

# what the archive begins with: it starts the entry point whose name was called
RUN mkdir -p /build/stage /opt/app && cp -r /app /build/stage/exuvia-app
RUN mkdir -p /build/stage && printf '%s\n' \
      'import importlib' \
      'import os' \
      'import runpy' \
      'import sys' \
      '' \
      'ENTRIES = {' \
      '    "main": {"kind":"module","argv0":"/app/main","dir":"","module":"main"},' \
      '    "leaf": {"kind":"script","argv0":"/usr/local/bin/leaf","dir":"","script":"leaf"},' \
      '}' \
      '' \
      '' \
      'def main():' \
      '    """Runs the entry point whose name was called, as it runs beside its sources."""' \
      '    here = os.path.dirname(os.path.abspath(__file__))' \
      '    entry = ENTRIES.get(os.path.basename(sys.argv[0])) or next(iter(ENTRIES.values()))' \
      '    sys.argv[0] = entry["argv0"]' \
      '    sys.path.insert(0, os.path.join(here, "exuvia-app", entry["dir"]))' \
      '    # A Python that the app starts has to find the same modules.' \
      '    own = [p for p in sys.path if os.path.isdir(p) and not p.startswith(sys.base_prefix + os.sep)]' \
      '    os.environ["PYTHONPATH"] = os.pathsep.join(own)' \
      '    if entry["kind"] == "module":' \
      '        runpy._run_module_as_main(entry["module"], alter_argv=False)' \
      '    elif entry["kind"] == "function":' \
      '        function = importlib.import_module(entry["module"])' \
      '        for name in entry["function"].split("."):' \
      '            function = getattr(function, name)' \
      '        sys.exit(function())' \
      '    else:' \
      '        runpy.run_path(os.path.join(here, "exuvia-bin", entry["script"]), run_name="__main__")' \
    > /build/stage/_exuvia_start.py
RUN mkdir -p /build/stage/exuvia-bin && cp /opt/venv/bin/leaf /build/stage/exuvia-bin/
RUN PYTHONPATH=/opt/tool python3 -m shiv --reproducible --site-packages /opt/venv/lib/python3.11/site-packages --site-packages /build/stage \
      --entry-point _exuvia_start:main --python '/usr/bin/env python3' --root /tmp/shiv --output-file /opt/app/app.pyz \
 && ln -s app.pyz /opt/app/main \
 && ln -s app.pyz /opt/app/leaf

# files that the app may open by their path
RUN find /app -name '*.py' -delete

FROM $BASE
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
