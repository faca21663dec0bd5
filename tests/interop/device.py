"""A lamp, written as one would who has a Python, paho-mqtt and docs/protocol.md.

    device.py HOST PORT 3.1.1|5 ID

It does what comes on standard input, one JSON object for each line:

    {"update":{…}}  something changes by itself, and is reported
    {"drop":true}   the connection ends without DISCONNECT: the will goes out
    {"back":true}   it connects again, as it was; for a reboot, end this program and start it anew
    {"end":true}    LC/OFF and DISCONNECT; so does the end of the input

and says on standard output what happens, one JSON object for each line:

    {"online":true}      the broker has LC/ON and the state
    {"set":{…}}          what a STATE/SET asked for; before it {"refused":["brightness"]}, if it did not take that
    {"get":true}         the state was asked for
    {"ping":"…"}         a PING was answered
    {"updated":{…}}      the update was made, and reported; without a connection, when it is back
    {"dropped":true}     the connection ended as asked
    {"lost":true}        the connection ended by itself
    {"bad":"…"}          a message made no sense, and was passed over
    {"ended":true}       the last line
"""

import contextlib
import json
import queue

from peer import LOST, READY, Ended, Failed, Message, Peer
from peer import merged, play, read_commands, say, with_nulls

BRIGHTEST = 100
NEW = {
    "trn": 0,
    "on": False,
    "brightness": 40,
    "rgb": [255, 0, 16],
    "net": {"ip": "10.0.0.7", "up": True},
    "scene": "day",
}


def tell(**what):
    say(json.dumps(what))


class Device:
    def __init__(self, thing, connect):
        self.thing = thing
        self.connect = connect
        self.events = queue.Queue()
        self.state = dict(NEW)
        self.unsaid = {}
        self.peer = None

    def run(self):
        read_commands(self.events)
        self.come()
        while True:
            event = self.events.get()
            if isinstance(event, Failed):
                raise event
            if isinstance(event, Message):
                self.hear(event)
            elif event is READY and self.peer is not None:
                self.report_all()
            elif event is LOST:
                self.peer = None
                tell(lost=True)
            elif event is None or "end" in event:
                return self.leave()
            else:
                self.obey(event)

    # What the world does to it.

    def obey(self, command):
        if "update" in command:
            self.state = merged(self.state, command["update"])
            if self.peer is None:
                self.unsaid = with_nulls(self.unsaid, command["update"])
            self.publish("STATE/UPD", {"delta": command["update"]})
            tell(updated=command["update"])
        elif "drop" in command and self.peer is not None:
            self.peer.vanish()
            self.peer = None
            tell(dropped=True)
        elif "back" in command and self.peer is None:
            self.come()
        else:
            raise Failed(f"command {command} makes no sense now")

    def come(self):
        topics = [self.topic(levels) for levels in ("STATE/GET", "STATE/SET", "TPC/PING")]
        will = (self.topic("LC/OFF"), {"online": 0})
        self.peer = self.connect(self.thing, [*topics, "GRP/ALL/TPC/PING"], will, self.events)

    def report_all(self):
        # Before LC/ON, for that brings back what the manager knows, and it would not know of this.
        if self.unsaid:
            self.publish("STATE/UPD", {"delta": self.unsaid})
            self.unsaid = {}
        self.publish("LC/ON", {"online": 1})
        self.publish("STATE/UPD", {"state": self.state})
        tell(online=True)

    def leave(self):
        if self.peer is not None:
            self.publish("LC/OFF", {"online": 0})
            self.peer.end()
        tell(ended=True)

    # What it is asked for.

    def hear(self, message):
        if message.topic.endswith("/TPC/PING"):
            self.publish("TPC/PONG", message.payload)
            tell(ping=message.payload.decode(errors="backslashreplace"))
        elif message.topic == self.topic("STATE/GET"):
            self.publish("STATE/UPD", {"state": self.state})
            tell(get=True)
        else:
            self.be_set(message)

    def be_set(self, message):
        try:
            asked = message.json()
            is_delta = "delta" in asked
            wanted = dict(asked["delta" if is_delta else "state"])
        except (Failed, KeyError, TypeError, ValueError):
            tell(bad=str(message))
            return
        taken = {name: value for name, value in wanted.items() if self.can(name, value)}
        if is_delta:
            self.state = merged(self.state, taken)
            answer = {"delta": taken}
        else:
            kept = {name: self.state[name] for name in set(wanted) - set(taken) if name in self.state}
            self.state = {**taken, **kept}
            answer = {"state": self.state}
        self.publish("STATE/UPD", answer)
        refused = [name for name in wanted if name not in taken]
        if refused:
            tell(refused=refused)
        tell(set=wanted)

    def can(self, name, value):
        """Whether it can be so. What it refuses keeps its value, and is not in the answer."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return not (name == "brightness" and is_number and value > BRIGHTEST)

    # How it speaks.

    def topic(self, levels):
        return f"TNG/{self.thing}/{levels}"

    def publish(self, levels, payload):
        """Says something, if there is a connection; LOST follows by itself where it ends meanwhile."""
        if self.peer is not None:
            with contextlib.suppress(Ended):
                self.peer.publish(self.topic(levels), payload)


def main(host, port, version, thing):
    def connect(client_id, filters, will, events):
        return Peer(host, int(port), version, client_id, filters, will, events)

    Device(thing, connect).run()


play(main, ["HOST", "PORT", "3.1.1|5", "ID"])
