#!/usr/bin/env bash
# Says in one line what is wrong with the Rust on this machine, if anything is.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it as https://rustup.rs says, and try again" >&2
    exit 1
fi
wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
found=$(cargo --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
if [ "$oldest" != "$wanted" ]; then
    echo "Rust $found is too old, $wanted is needed: run rustup update (https://rustup.rs), and try again" >&2
    exit 1
fi
