#!/usr/bin/env bash
# Counts the instructions of each case of benches/core.rs under callgrind, for one run of the case.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"
command -v valgrind >/dev/null || {
    echo "valgrind is missing: apt-get install valgrind" >&2
    exit 1
}
bench=$(cargo bench --locked --bench core --no-run 2>&1 |
    sed -n 's/.*(\(.*\)).*/\1/p' | tail -n 1)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
printf '%-32s %14s\n' case instructions
for name in $("$bench" --names); do
    valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*core::counted*' \
        --callgrind-out-file="$out/$name" "$bench" --count "$name" >"$out/log" 2>&1 || {
        cat "$out/log" >&2
        exit 1
    }
    # It counts a hundred runs.
    awk -v name="$name" '/^(summary|totals):/ {total = $2}
        END {if (total == 0) exit 1; printf "%-32s %14d\n", name, total / 100}' "$out/$name"
done
