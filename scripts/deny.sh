#!/usr/bin/env bash
# Checks licences, sources and bans of all dependencies with cargo-deny, and known faults where their list is reachable.
#
#   scripts/deny.sh            with the cargo-deny that is there; says so if there is none
#   scripts/deny.sh --install  installs it under target/tools first if there is none, if that goes in good time
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20
patience_s=600
tools="${CARGO_TARGET_DIR:-target}/tools"
PATH="$tools/bin:$PATH"

if [ "${1:-}" = --install ] && ! command -v cargo-deny >/dev/null; then
    echo "cargo-deny is missing: installing it under $tools, for at most $patience_s s"
    CARGO_TARGET_DIR="$tools/build" timeout "$patience_s" \
        cargo install --quiet --locked --root "$tools" "cargo-deny@~$version" || true
    rm -rf "$tools/build"
fi
if ! command -v cargo-deny >/dev/null; then
    echo "skipped: licences and sources of dependencies, for want of cargo-deny $version (cargo install --locked cargo-deny)"
    exit 0
fi

cargo deny check bans licenses sources
if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny check --disable-fetch advisories
else
    echo "skipped: known faults of dependencies, for their list cannot be fetched now"
fi
