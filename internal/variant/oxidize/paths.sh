# Lets PyOxidizer find its crates, and cargo as it is to be.
. /run/rust/offline.sh
mkdir -p /tmp/bin
cp /run/oxidize/cargo.sh /tmp/bin/cargo
chmod 0755 /tmp/bin/cargo
export PATH="/tmp/bin:$PATH"
