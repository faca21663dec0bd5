#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing need, and says what and why before.
#
#   scripts/needs.sh run          what `make run` needs
#   scripts/needs.sh test         what `make test` needs on top
#   scripts/needs.sh --list test  says what is missing, installs nothing; exit status 1 if something is
#
# What is there already, however it came, is left alone. Package lists are fetched only when something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

# need PURPOSE PACKAGES REASON CHECK...: the packages are missing when the check fails.
missing=()
reasons=()
need() {
    local packages="$1" reason="$2"
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        # shellcheck disable=SC2206 # several packages in one word are meant to be split
        missing+=($packages)
        reasons+=("$(printf '  %-22s %s' "$packages" "$reason")")
    fi
}

has() { command -v "$1"; }
compiles() {
    has cc && echo '#include <stdio.h>' | cc -E -
}
# 3.3.19, of MariaDB 10.11.18, loses rows with text in them; 3.3.20 does not.
mysql_client() {
    pkg-config --exists libmariadb && ! pkg-config --exists 'libmariadb = 3.3.19' || pkg-config --exists mysqlclient
}

has_faketime() {
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1'
}

needs_to_run() {
    need "gcc libc6-dev" "a C compiler, for the MQTT and SQLite libraries that are built in" compiles
    need "cmake" "builds the MQTT library" has cmake
    need "make" "what cmake builds with" has make
    need "pkg-config" "finds the libraries below" has pkg-config
    need "libssl-dev" "TLS to the broker" pkg-config --exists openssl
    need "libmariadb-dev" "the client of MySQL and MariaDB" mysql_client
    need "mosquitto" "the MQTT broker" has mosquitto
}

needs_to_test() {
    needs_to_run
    need "mosquitto-clients" "mosquitto_pub and mosquitto_sub, as the README uses them" has mosquitto_sub
    need "openssl" "makes the certificates with which TLS is tested" has openssl
    need "sqlite3" "backs up SQLite, as docs/operations.md says" has sqlite3
    need "mariadb-server" "the second database that everything is tested on" has mariadbd
    need "python3 python3-venv" "the devices and applications that others wrote, in tests/interop" \
        python3 -c 'import ensurepip, venv'
    need "libfaketime" "sets the clock of the program back in tests" has_faketime
}

# Runs a command as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# While packages are installed, their services are not started: the broker and the database that we use are our own,
# and a machine does not get a server that nobody asked for. A policy that is there already stays.
policy=/usr/sbin/policy-rc.d
hold_services() {
    [ -e "$policy" ] && return
    trap release_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\n# twinthing: while packages are installed\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}
release_services() {
    if grep -qs '^# twinthing: while packages are installed$' "$policy"; then
        as_root rm -f "$policy"
    fi
}

list=false
if [ "${1:-}" = --list ]; then
    list=true
    shift
fi
case "${1:-}" in
run) needs_to_run ;;
test) needs_to_test ;;
*)
    echo "usage: scripts/needs.sh [--list] run|test" >&2
    exit 64
    ;;
esac

if [ ${#missing[@]} = 0 ]; then
    exit 0
fi
echo "missing on this machine:"
printf '%s\n' "${reasons[@]}"
if $list; then
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "no apt-get here: install these, under the names that your system has for them, and try again" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "installing them takes root: run this once as root, or install sudo" >&2
    exit 1
fi
echo "installing them with apt-get; no service of theirs is started"
hold_services
as_root apt-get -qq update
as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}"
if ! mysql_client; then
    echo "libmariadb-dev is still at a version that loses rows (3.3.19): SQLite works, MariaDB does not." >&2
    echo "Add Debian's security updates to apt's sources, and: apt-get install libmariadb-dev libmariadb3" >&2
fi
