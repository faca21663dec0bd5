#!/usr/bin/env bash
# Installs what `make build` built, or takes it away again.
#
#   scripts/install.sh            into PREFIX (/usr/local), below DESTDIR if that is set
#   scripts/install.sh uninstall  removes what it installed; settings in /etc/twinmgr and data in /var/lib/twinmgr stay
set -euo pipefail
cd "$(dirname "$0")/.."

prefix="${PREFIX:-/usr/local}"
root="${DESTDIR:-}"
bin="$root$prefix/bin"
# systemd looks for units of what is not packaged here, whatever the prefix is.
units="$root/etc/systemd/system"
settings="$root/etc/twinmgr"

if [ "${1:-}" = uninstall ]; then
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now twinmgr 2>/dev/null || true
    fi
    rm -f "$bin/twinmgr" "$units/twinmgr.service"
    echo "removed $bin/twinmgr and $units/twinmgr.service; settings in $settings and data in $root/var/lib/twinmgr stay"
    exit 0
fi

program="${PROGRAM:-target/release/twinmgr}"
if [ ! -x "$program" ]; then
    echo "$program is not there: make build makes it" >&2
    exit 1
fi
install -D -m 755 "$program" "$bin/twinmgr"
install -d -m 755 "$units"
sed "s|@PREFIX@|$prefix|" deploy/systemd/twinmgr.service >"$units/twinmgr.service"
chmod 644 "$units/twinmgr.service"
# Settings that are there are somebody's own.
if [ ! -e "$settings/twinmgr.env" ]; then
    install -D -m 644 deploy/systemd/twinmgr.env "$settings/twinmgr.env"
fi
echo "installed $bin/twinmgr and $units/twinmgr.service; settings are in $settings/twinmgr.env"
if [ -z "$root" ]; then
    echo "next: systemctl daemon-reload, and systemctl enable --now twinmgr"
fi
