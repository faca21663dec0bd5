#!/usr/bin/env bash
# Plays a thing and an application with mosquitto_pub and mosquitto_sub alone.
#
#   mosquitto.sh HOST PORT [mqttv311|mqttv5]
#
# The manager has to run; over MQTT 5 if mqttv5 is played, or it sees no response topics. Prints a line that begins with
# `ok` for each step; or one that begins with `failed`, and ends with exit status 1.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 HOST PORT [mqttv311|mqttv5]" >&2
    exit 64
fi
version="${3:-mqttv311}"
broker=(-h "$1" -p "$2" -V "$version" -q 1)
patience_s=10
thing="lamp-$$-$RANDOM"
application="app-$$-$RANDOM"
tab=$'\t'
application_process=
thing_process=

end() {
    # shellcheck disable=SC2086 # either may be empty
    kill $application_process $thing_process 2>/dev/null || true
}
trap end EXIT

fail() {
    echo "failed $step: $*"
    exit 1
}

# listen ID OPTION...: starts a subscriber, and waits for the broker's SUBACK. Leaves its output in $lines and its
# process in $process. mosquitto_sub -d says on standard output what it does, and stdbuf has it say so at once.
listen() {
    local id="$1" line
    shift
    exec {lines}< <(exec stdbuf -oL mosquitto_sub "${broker[@]}" -i "$id" -d -F "MSG$tab%t$tab%p$tab%D" "$@" 2>&1)
    process=$!
    while read -r -t "$patience_s" -u "$lines" line; do
        # Of a filter that is refused it says 128 or more.
        [[ $line =~ ^Subscribed\ \(mid:\ [0-9]+\):\ 1(,\ 1)*$ ]] && return
        [[ $line == Client* ]] || fail "$id heard this instead of a SUBACK: $line"
    done
    fail "$id heard no SUBACK within $patience_s s"
}

judge='
import json, sys
it = json.loads(sys.argv[1])
sys.exit(not eval(sys.argv[2]))
'

# expect LINES TOPIC [CONDITION]: waits for the next message on this topic, by what a subscriber prints. The condition is
# Python over `it`, the payload, and has to hold. Other topics are passed over. Leaves correlation data in $correlation.
expect() {
    local line kind topic payload came=
    while read -r -t "$patience_s" -u "$1" line; do
        IFS="$tab" read -r kind topic payload correlation <<<"$line"
        [ "$kind" = MSG ] || continue
        came+=" $topic $payload"
        [ "$topic" = "$2" ] || continue
        python3 -c "$judge" "$payload" "${3:-True}" || fail "$topic should have ${3:-JSON}, and says $payload"
        return
    done
    fail "nothing on $2 within $patience_s s; what came instead:${came:- nothing}"
}

# publish TOPIC PAYLOAD [OPTION...]: at QoS 1, so that mosquitto_pub ends when the broker has it.
publish() {
    local topic="$1" payload="$2"
    shift 2
    mosquitto_pub "${broker[@]}" -t "$topic" -m "$payload" "$@" || fail "mosquitto_pub could not publish $topic"
}

thing_says() { publish "TNG/$thing/$1" "$2" -i "$thing-says"; }
application_says() { publish "TNG/$thing/TWIN/$1" "$2" -i "$application-says" "${@:3}"; }
thing_hears() { expect "$of_thing" "TNG/$thing/$1" "${2:-True}"; }
application_hears() { expect "$of_application" "TNG/$1" "${2:-True}"; }
twin_is() { application_hears "$thing/TWIN/UPD" "$1"; }

# The thing is its subscriber: killed, it leaves its will.
thing_comes() {
    local will=(--will-topic "TNG/$thing/LC/OFF" --will-payload '{"online":0}' --will-qos 1)
    listen "$thing" "${will[@]}" -t "TNG/$thing/STATE/SET" -t "TNG/$thing/STATE/GET"
    of_thing=$lines
    thing_process=$process
}

step="both listen"
listen "$application" -t "TNG/$thing/TWIN/UPD" -t "TNG/$thing/TWIN/RES" -t "TNG/$thing/LC/OFF" \
    -t "TNG/$application/TPC/RES/+"
of_application=$lines
application_process=$process
thing_comes
echo "ok $step"

step="a report makes a twin"
thing_says STATE/UPD '{"state":{"trn":1,"on":false,"brightness":40,"rgb":[1,2]}}'
twin_is 'it["reported"] == {"trn": 1, "on": False, "brightness": 40, "rgb": [1, 2]} and it["version"] == 1'
echo "ok $step"

step="a SET is sent to the thing, and settled by its answer"
application_says SET '{"set":{"on":true,"brightness":70}}'
twin_is 'it["desired"] == {"trn": 2, "on": True, "brightness": 70} and it["version"] == 2'
thing_hears STATE/SET 'it == {"delta": {"trn": 2, "on": True, "brightness": 70}}'
thing_says STATE/UPD '{"delta":{"trn":2,"on":true,"brightness":70}}'
twin_is 'it["desired"] == {"trn": 2} and it["reported"]["brightness"] == 70 and it["declined"] == {}'
echo "ok $step"

step="what the thing does not take is declined"
application_says SET '{"set":{"brightness":200}}'
twin_is 'it["desired"] == {"trn": 3, "brightness": 200}'
thing_hears STATE/SET 'it == {"delta": {"trn": 3, "brightness": 200}}'
thing_says STATE/UPD '{"delta":{"trn":3}}'
twin_is 'it["desired"] == {"trn": 3} and it["declined"] == {"brightness": 200} and it["reported"]["brightness"] == 70'
echo "ok $step"

step="a GET is answered by the twin"
application_says GET '{"GET":1}'
twin_is 'it["reported"] == {"trn": 3, "on": True, "brightness": 70, "rgb": [1, 2]} and it["online"] is True'
echo "ok $step"

step="a query is answered by what it asks for"
application_says GET '{"select":["clientId","reported.rgb[1]"],"as":["id"],"query":"mine"}'
application_hears "$thing/TWIN/RES" \
    'it == {"query": "mine", "res": [{"id": "'"$thing"'", "reported.rgb[1]": 2}]}'
echo "ok $step"

if [ "$version" = mqttv5 ]; then
    step="a response topic gets the answer too"
    application_says GET '{}' -D publish response-topic "TNG/$application/TPC/RES/1" \
        -D publish correlation-data "mine"
    application_hears "$application/TPC/RES/1" 'it["version"] == 5'
    [ "$correlation" = mine ] || fail "the correlation data should be mine, and is $correlation"
    echo "ok $step"
fi

# There was no LC/ON, so this LC/OFF cannot be the will of a connection before it, and what is asked now is held.
step="a thing that is killed leaves its will"
kill -KILL "$thing_process"
thing_process=
application_hears "$thing/LC/OFF" 'it == {"online": 0}'
echo "ok $step"

step="a SET for a thing that is away is held"
application_says SET '{"set":{"on":false}}'
application_says SET '{"set":{"rgb":[3]}}'
twin_is 'it["online"] is False and "on" in it["desired"]'
twin_is 'it["desired"] == {"trn": 5, "on": False, "rgb": [3]} and it["online"] is False'
echo "ok $step"

step="a thing that comes back gets its state, and then what it missed"
thing_comes
thing_says LC/ON '{"online":1}'
thing_hears STATE/SET 'it == {"state": {"trn": 3, "on": True, "brightness": 70, "rgb": [1, 2]}}'
thing_hears STATE/SET 'it == {"delta": {"trn": 5, "on": False, "rgb": [3]}}'
thing_says STATE/UPD '{"delta":{"trn":5,"on":false,"rgb":[3]}}'
twin_is 'it["desired"] == {"trn": 5} and it["reported"]["rgb"] == [3] and it["online"] is True'
echo "ok $step"

step="a twin that is deleted is forgotten"
application_says DEL '{"query":7}'
application_hears "$thing/TWIN/RES" 'it == {"query": 7, "deleted": True}'
application_says GET ''
twin_is 'it["version"] == 0 and it["reported"] == {}'
echo "ok $step"
