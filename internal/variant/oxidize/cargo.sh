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
    cp -rp /run/compiled/opt/compiled/. "$target"
    touch -d @0 "$PYO3_CONFIG_FILE" # the same as then, and not newer
fi
/usr/bin/cargo "$@"
if [ -n "${KEEP:-}" ]; then
    mkdir -p "$KEEP"
    cp -rp "$target/." "$KEEP"
    for dir in "$KEEP"/release "$KEEP"/*/release; do # less what is of the app
        rm -rf "$dir"/launcher* "$dir"/*/launcher* "$dir"/.fingerprint/launcher*
    done
fi
