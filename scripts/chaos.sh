#!/usr/bin/env bash
# The long chaos run, on both databases: see docs/chaos.md.
#
#   CHAOS_SEED     what is done to whom and when follows from it; another each time if unset
#   CHAOS_SECONDS  how long faults are made on each database; 180 if unset
#   CHAOS_FAULTS   only these kinds, with commas between; all if unset
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

export CHAOS_SEED="${CHAOS_SEED:-$((RANDOM * 32768 + RANDOM))}"
export CHAOS_SECONDS="${CHAOS_SECONDS:-180}"
echo "again with the same faults: CHAOS_SEED=$CHAOS_SEED CHAOS_SECONDS=$CHAOS_SECONDS make chaos"
exec cargo test --release --locked --test chaos nothing_acknowledged -- --nocapture --test-threads 1
