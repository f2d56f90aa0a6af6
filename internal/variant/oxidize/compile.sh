# Compiles the crates of an executable, by building one of no app.
set -eu
. /run/oxidize/paths.sh
export KEEP=/opt/compiled PYOXIDIZER_CACHE_DIR=/tmp/exuvia/cache
archive=/run/python/opt/python/python.tar.zst
site=lib/python3.11/site-packages
mkdir -p /tmp/exuvia/memory/$site
sum=$(sha256sum <$archive)
sed -e "s|@ARCHIVE@|$archive|; s|@SHA256@|${sum%% *}|; s|@MEMORY@|/tmp/exuvia/memory|; s|@OPTIMIZE@|0|" \
    /run/oxidize/pyoxidizer.bzl >/tmp/exuvia/pyoxidizer.bzl
/run/pyoxidizer/opt/pyoxidizer/pyoxidizer /tmp/exuvia
