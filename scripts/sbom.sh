#!/usr/bin/env bash
# Writes what the programs are made of, each crate with version, licence and checksum, to target/sbom.cdx.json (CycloneDX).
# The C libraries of Debian that are linked in stand in the list of the system: dpkg -S on what ldd shows.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5
tools="${CARGO_TARGET_DIR:-target}/tools"
PATH="$tools/bin:$PATH:$HOME/.cargo/bin"

if ! cargo cyclonedx --version >/dev/null 2>&1; then
    echo "cargo-cyclonedx is missing: installing it under $tools" >&2
    CARGO_TARGET_DIR="$tools/build" cargo install --quiet --locked --root "$tools" "cargo-cyclonedx@~$version"
    rm -rf "$tools/build"
fi
# It writes beside Cargo.toml, under the name that it is given.
cargo cyclonedx --format json --all-features --target all --override-filename sbom.cdx
mkdir -p target
mv sbom.cdx.json target/sbom.cdx.json
echo "target/sbom.cdx.json: $(grep -c '"bom-ref"' target/sbom.cdx.json) components"
