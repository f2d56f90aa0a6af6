#!/bin/sh
# Is cargo to PyOxidizer. The crates of an executable are the same for all
# apps: where they are compiled already, in /run/compiled, they are brought
# along, and where KEEP names a directory, they are put there.
set -eu
if [ "$1" != build ]; then exec /usr/bin/cargo "$@"; fi
target='' last=''
for arg; do
    if [ "$last" = --target-dir ]; then target=$arg; fi
    last=$arg
done
if [ -d /run/compiled ]; then
    mkdir -p "$target"
    cp -r /run/compiled/opt/compiled/. "$target"
    touch "$target/now" # all of one time, which is later than that of what they were compiled of
    find "$target" -exec touch -h -r "$target/now" {} +
fi
/usr/bin/cargo "$@"
if [ -n "${KEEP:-}" ]; then
    find "$target" -name 'launcher*' -prune -exec rm -rf {} + # which is of the app
    mkdir -p "$KEEP"
    cp -r "$target/." "$KEEP"
fi
