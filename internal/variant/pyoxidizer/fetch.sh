# Downloads the crates that the lock names, with the user's configuration of
# cargo, into /opt/crates. Builds nothing.
set -eu
export CARGO_HOME=/tmp/cargo
mkdir -p "$CARGO_HOME"
for f in /run/exuvia/private/cargo/*.toml; do
    if [ -e "$f" ]; then cp "$f" "$CARGO_HOME/"; fi
done
cp -r /run/rust /tmp/rust
cd /tmp/rust
cargo vendor --quiet --locked --versioned-dirs --respect-source-config /opt/crates >/dev/null

# A crate that is changed after the lock's sum of it was compared has none.
forget() { sed -i 's/"files":{[^}]*}/"files":{}/' "$1/.cargo-checksum.json"; }

cd /opt/crates
for crate in winapi-*-pc-windows-gnu-* windows_*; do # import libraries of Windows, half of all that there is
    find "$crate" \( -name '*.a' -o -name '*.lib' \) -delete
    forget "$crate"
done
for crate in spdx-*; do # it builds with an older Rust than it says
    sed -i '/^rust-version/d' "$crate/Cargo.toml"
    forget "$crate"
done
for crate in python-oxidized-importer-*; do
    patch -s -p1 -d "$crate" </run/rust/importer.patch
    forget "$crate"
done
