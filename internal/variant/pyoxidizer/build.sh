# Builds PyOxidizer of the crates in /run/crates.
set -eu
. /run/rust/offline.sh
cp -r /run/rust /tmp/rust
cd /tmp/rust
cargo build --quiet --locked --offline
mkdir -p /opt/pyoxidizer
cp target/debug/pyoxidizer /opt/pyoxidizer/pyoxidizer
