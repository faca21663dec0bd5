#!/usr/bin/env bash
# Starts EMQX with the site's configuration behind its own, the passwords filled in from files.
set -euo pipefail
own=/opt/emqx/etc/emqx.conf
# The container may be started again: what was shipped is what is added to.
[ -e "$own.shipped" ] || cp "$own" "$own.shipped"
{
    cat "$own.shipped"
    sed "s/@PASSWORD@/$(cat /run/secrets/mysql-emqx)/" /opt/twinthing/emqx.conf
} >"$own"
export EMQX_DASHBOARD__DEFAULT_PASSWORD
EMQX_DASHBOARD__DEFAULT_PASSWORD="$(cat /run/secrets/emqx-dashboard)"
exec /usr/bin/docker-entrypoint.sh /opt/emqx/bin/emqx foreground
