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
share="$root$prefix/share"
pages="$share/man/man1"
completions=(
    "$share/bash-completion/completions/twinctl"
    "$share/zsh/site-functions/_twinctl"
    "$share/fish/vendor_completions.d/twinctl.fish"
)

if [ "${1:-}" = uninstall ]; then
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now twinmgr 2>/dev/null || true
    fi
    rm -f "$bin/twinmgr" "$bin/twinctl" "$units/twinmgr.service" "${completions[@]}" \
        "$pages"/twinctl.1 "$pages"/twinctl-*.1
    echo "removed $bin/twinmgr, $bin/twinctl and $units/twinmgr.service; settings in $settings and data in $root/var/lib/twinmgr stay"
    exit 0
fi

program="${PROGRAM:-target/release/twinmgr}"
client="$(dirname "$program")/twinctl"
for built in "$program" "$client"; do
    if [ ! -x "$built" ]; then
        echo "$built is not there: make build makes it" >&2
        exit 1
    fi
done
install -D -m 755 "$program" "$bin/twinmgr"
install -D -m 755 "$client" "$bin/twinctl"
install -d -m 755 "$pages"
"$client" man "$pages"
chmod 644 "$pages"/twinctl.1 "$pages"/twinctl-*.1
for file in "${completions[@]}"; do
    shell="${file#"$share"/}"
    install -d -m 755 "$(dirname "$file")"
    "$client" completions "${shell%%[-/]*}" >"$file"
    chmod 644 "$file"
done
install -d -m 755 "$units"
sed "s|@PREFIX@|$prefix|" deploy/systemd/twinmgr.service >"$units/twinmgr.service"
chmod 644 "$units/twinmgr.service"
# Settings that are there are somebody's own.
if [ ! -e "$settings/twinmgr.env" ]; then
    install -D -m 644 deploy/systemd/twinmgr.env "$settings/twinmgr.env"
fi
echo "installed $bin/twinmgr, $bin/twinctl with its manual and completions, and $units/twinmgr.service; settings are in $settings/twinmgr.env"
if [ -z "$root" ]; then
    echo "next: systemctl daemon-reload, and systemctl enable --now twinmgr"
fi
