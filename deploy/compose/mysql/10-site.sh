#!/usr/bin/env bash
# Run once by MySQL's image, at the first start on an empty volume: users of the database, EMQX's tables, and who may do
# what at the broker. The rows come from 20-site.sql; what is secret in them comes from files.
set -euo pipefail

secrets="${SECRETS:-/run/secrets}"
tables="${TABLES:-/docker-entrypoint-initdb.d/site.sql.in}"

secret() {
    cat "$secrets/$1"
}
# EMQX hashes the salt before the password, or behind it: here behind (salt_position = suffix).
hashed() {
    printf '%s%s' "$1" "$2" | sha256sum | cut -d ' ' -f 1
}

salt="$(head -c 512 /dev/urandom | LC_ALL=C tr -dc 'a-z0-9' | head -c 16)"
sed \
    -e "s/@MYSQL_TWINMGR@/$(secret mysql-twinmgr)/" \
    -e "s/@MYSQL_EMQX@/$(secret mysql-emqx)/" \
    -e "s/@SALT@/$salt/" \
    -e "s/@MQTT_TWINMGR@/$(hashed "$(secret mqtt-twinmgr)" "$salt")/" \
    -e "s/@MQTT_LAMP@/$(hashed "$(secret mqtt-lamp)" "$salt")/" \
    "$tables" | mysql --defaults-extra-file=<(printf '[client]\npassword=%s\n' "$(secret mysql-root)") \
    --protocol=socket ${MYSQL_SOCKET:+--socket="$MYSQL_SOCKET"} -u root twins
