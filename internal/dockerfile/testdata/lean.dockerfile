# app as exuvia's variant lean makes it. No Dockerfile can do that work, so
# exuvia does it; it also compares the result with the project:
#
#   exuvia build --output rootfs:rootfs.tar
#   docker build -t app .
FROM scratch
ADD rootfs.tar /
ENV PATH="/usr/local/bin:/usr/bin:/bin"
ENV LANG="C.UTF-8"
ENV GREETING="say \"\$HOME\""
LABEL "team"="x"
EXPOSE 80/tcp
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/main"]
