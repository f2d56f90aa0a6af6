# Lets cargo take crates from /run/crates only.
export CARGO_HOME=/tmp/cargo
mkdir -p "$CARGO_HOME"
cat >"$CARGO_HOME/config.toml" <<'EOF'
[source.crates-io]
replace-with = "fetched"

[source.fetched]
directory = "/run/crates/opt/crates"
EOF
