#!/usr/bin/env bash
# Makes the passwords of compose.yaml, each in a file of its own, unless they are there.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
for name in mysql-root mysql-twinmgr mysql-emqx mqtt-twinmgr mqtt-lamp emqx-dashboard; do
    file="secrets/$name"
    if [ ! -s "$file" ]; then
        # Letters and digits only: they go through shells, SQL and configuration files.
        head -c 512 /dev/urandom | LC_ALL=C tr -dc 'A-Za-z0-9' | head -c 24 >"$file"
        # The containers' users are not ours.
        chmod 644 "$file"
        echo "made deploy/compose/$file"
    fi
done
