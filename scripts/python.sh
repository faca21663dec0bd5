#!/usr/bin/env bash
# Makes the Pythons that tests/interop runs with: one for each major version of paho-mqtt, below target/interop.
#
#   scripts/python.sh         makes what is missing or does not match its requirements; says nothing if nothing is
#   scripts/python.sh --list  says what is missing, makes nothing; exit status 1 if something is
set -euo pipefail
cd "$(dirname "$0")/.."
folder="${CARGO_TARGET_DIR:-target}/interop"

is_made() {
    cmp -s "$1" "$2/requirements.txt" && "$2/bin/python" -c 'import paho.mqtt.client' 2>/dev/null
}

# The requirements go in last: without them it counts as not made.
make_it() {
    rm -rf "$2"
    python3 -m venv "$2"
    "$2/bin/python" -m pip --quiet --disable-pip-version-check install --require-hashes -r "$1"
    cp "$1" "$2/requirements.txt"
}

status=0
for version in 1.6 2; do
    requirements="tests/interop/requirements-$version.txt"
    home="$folder/paho-$version"
    is_made "$requirements" "$home" && continue
    if [ "${1:-}" = --list ]; then
        echo "missing: $home, with paho-mqtt $version for the tests (scripts/python.sh makes it)"
        status=1
        continue
    fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo "no virtual environment can be made here: apt-get install python3-venv" >&2
        exit 1
    fi
    echo "making $home, for the tests with paho-mqtt $version"
    make_it "$requirements" "$home"
done
exit "$status"
