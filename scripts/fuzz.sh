#!/usr/bin/env bash
# Runs the fuzz targets, each for FUZZ_SECONDS (600): what make fuzz does.
#
#   scripts/fuzz.sh              all of them
#   scripts/fuzz.sh payload      this one
#
# What one finds ends the run, with an exit status that is not 0 and a file in fuzz/artifacts that shows it. What is learnt
# on the way is kept under target/fuzz, where the next run goes on, and not among the seeds in fuzz/corpus. To choose new
# seeds, reduce it to what differs in coverage, and copy the few that tell a new story, under a name that says which:
#
#   RUSTC_BOOTSTRAP=1 cargo fuzz cmin --sanitizer none payload target/fuzz/payload
#
# There is no unsafe code here, so memory is not watched, which would take ten times as long. FUZZ_SANITIZER=address does.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"
seconds="${FUZZ_SECONDS:-600}"
sanitizer="${FUZZ_SANITIZER:-none}"
# Sanitizers are not stable yet: this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1

scripts/rust.sh
if ! command -v cargo-fuzz >/dev/null; then
    echo "cargo-fuzz is missing: cargo install --locked cargo-fuzz (its targets need a C++ compiler too: g++)" >&2
    exit 1
fi
if [ $# = 0 ]; then
    mapfile -t targets < <(cargo fuzz list)
    set -- "${targets[@]}"
fi
for target in "$@"; do
    echo
    echo "== $target, for $seconds s =="
    learnt="target/fuzz/$target"
    mkdir -p "$learnt"
    options=(-max_total_time="$seconds" -timeout=10 -max_len=1024 -len_control=0 -print_final_stats=1)
    words="fuzz/dictionaries/$target.dict"
    if [ -e "$words" ]; then
        options+=(-dict="$words")
    fi
    nice -n 10 cargo fuzz run --sanitizer "$sanitizer" "$target" "$learnt" "fuzz/corpus/$target" -- "${options[@]}"
done
