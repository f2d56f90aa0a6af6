# app as regular image, written by exuvia dockerfile --variant regular.
#
#   docker build -t app .
#
# PYTHON builds and BASE is what the image sits on; both have to be of the same
# release of the same distribution.
ARG PYTHON=python:3.11-bookworm
ARG BASE=python:3.11-bookworm

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

# the entry point main.py
RUN mkdir -p /app && printf '%s\n' \
      '#!/opt/venv/bin/python3' \
      'print('\''it'\'''\''s'\'')' \
    > /app/main && chmod 755 /app/main

FROM $BASE
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH="/opt/venv/bin:/usr/local/bin:/usr/bin:/bin"
ENV LANG="C.UTF-8"
ENV GREETING="say \"\$HOME\""
LABEL "team"="x"
EXPOSE 80/tcp
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/main"]
