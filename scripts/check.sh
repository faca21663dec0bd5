#!/usr/bin/env bash
# The gate: everything that must pass before a change goes in. `make test` installs what it needs and runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"

step() {
    echo
    echo "== $* =="
    local from=$SECONDS
    "$@"
    echo "== $((SECONDS - from)) s =="
}

scripts/rust.sh
scripts/needs.sh --list test || {
    echo "the tests need these: make test installs them" >&2
    exit 1
}
scripts/python.sh --list || {
    echo "the tests need these: make test makes them" >&2
    exit 1
}
step cargo fmt --check
step cargo clippy --locked --all-targets -- -D warnings
step cargo clippy --locked --no-default-features --lib -- -D warnings
step env RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps
step cargo test --locked
step scripts/deny.sh "$@"
