#!/usr/bin/env bash
# Runs the manager until Ctrl-C, with a broker of its own if none is there: what `make run` does last.
#
# Settings are the manager's own: MQTT_HOST, MQTT_PORT, TWIN_DB_URL and so on; TWIN_DATA_DIR says where data lie.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

# A terminal's Ctrl-C goes to all that runs in front. make would end with an error, so this script takes the front for
# itself, if it is there: bash -m does that.
in_front() {
    [ -t 0 ] && [ -t 2 ] || return 1
    local group front
    read -r _ _ _ _ group _ _ front _ <"/proc/$$/stat"
    [ "$group" = "$front" ]
}
if [[ $- != *m* ]] && in_front; then
    exec bash -m "scripts/run.sh" "$@"
fi
set +m

program="${1:-target/release/twinmgr}"
host="${MQTT_HOST:-127.0.0.1}"
port="${MQTT_PORT:-1883}"
folder="${TWIN_DATA_DIR:-./data}"
export TWIN_DATA_DIR="$folder"
broker=
manager=
ending=

# Both programs are started apart from the terminal (setsid), so that Ctrl-C reaches this script alone: it ends the manager
# first, while there is a broker to say farewell to.
# shellcheck disable=SC2329 # the trap below calls it
end() {
    ending=yes
    if [ -n "$manager" ]; then
        kill -TERM "$manager" 2>/dev/null || true
    fi
}
trap end INT TERM HUP

listens() {
    (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null
}

start_broker() {
    local home="$folder/mosquitto"
    mkdir -p "$home"
    home=$(cd "$home" && pwd)
    cat >"$home/mosquitto.conf" <<CONFIG
# Written by scripts/run.sh at each start.
listener $port 127.0.0.1
allow_anonymous true
user $(id -un)
persistence true
persistence_location $home/
autosave_interval 60
set_tcp_nodelay true
max_queued_messages 1000000
max_inflight_messages 200
log_dest file $home/mosquitto.log
CONFIG
    setsid mosquitto -c "$home/mosquitto.conf" </dev/null 2>>"$home/mosquitto.log" &
    broker=$!
    for _ in $(seq 100); do
        listens && return
        kill -0 "$broker" 2>/dev/null || break
        sleep 0.05
    done
    echo "mosquitto did not start: see $home/mosquitto.log" >&2
    exit 1
}

end_broker() {
    if [ -n "$broker" ]; then
        kill -TERM "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
        broker=
    fi
}
trap end_broker EXIT

# Waits for the manager's end, through signals that come meanwhile.
wait_for_manager() {
    local status
    while true; do
        status=0
        wait "$manager" || status=$?
        kill -0 "$manager" 2>/dev/null || return "$status"
    done
}

if listens; then
    echo "broker: using the one that listens on $host:$port; it is left alone"
elif [ "$host" = 127.0.0.1 ] || [ "$host" = localhost ]; then
    start_broker
    echo "broker: none listened on $host:$port, so started a mosquitto there (open to this machine only; $folder/mosquitto)"
else
    echo "broker: $host:$port does not answer yet; the manager keeps trying"
fi

status=0
if [ -z "$ending" ]; then
    setsid "$program" </dev/null &
    manager=$!
    wait_for_manager || status=$?
fi
end_broker
if [ -n "$ending" ]; then
    echo "ended"
fi
exit "$status"
