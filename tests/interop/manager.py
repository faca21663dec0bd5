"""A manager of one thing, in memory, written with paho-mqtt alone: what a thing has to get along with.

    manager.py HOST PORT 3.1.1|5 ID [SECONDS]

It prints `ok ready` once it listens: start the thing after that. It then does what comes on standard input,
one JSON object for each line, with at most SECONDS (10 if not given) for each. For each it prints a line that
begins with `ok`; or one that begins with `failed`, and ends:

    {"online":true}     LC/ON has come, and no LC/OFF since
    {"offline":true}    LC/OFF has come, and no LC/ON since
    {"set":{…}}         asks for this by STATE/SET with a new trn, or holds it while the thing is offline
    {"answered":true}   the last trn that was sent has come back
    {"reported":{…}}    the thing has all this; null stands for a member that it has not
    {"declined":{…}}    the last trn has come back, and the thing is not as was asked here
    {"get":true}        asks for the state by STATE/GET, which is to be answered by the whole state
    {"ping":"…"}        PING to the thing, then to all: each is to be answered, byte for byte
    {"end":true}        ends; so does the end of the input

What a thing says wrongly, such as a report without state and delta, is a failure at any time.
"""

import json
import queue
import time

from peer import PATIENCE_S, Failed, Message, Peer
from peer import contains, merged, play, read_commands, say, shorten, with_nulls


class Manager:
    def __init__(self, thing, connect, patience_s):
        self.thing = thing
        self.patience_s = patience_s
        self.events = queue.Queue()
        self.commands = []
        heard = [self.topic(levels) for levels in ("LC/ON", "LC/OFF", "STATE/UPD", "TPC/PONG")]
        self.peer = connect(heard, self.events).ready()
        # What is known of the thing; online goes by LC alone.
        self.online = None
        self.reported = None
        self.desired = {}
        self.declined = {}
        # The highest trn there has been; that of what is desired, 0 while it is not sent; and the one restored,
        # until it has come back.
        self.highest = self.sent = 0
        self.restored = None
        # What came since a command began.
        self.whole_states = 0
        self.pongs = []

    def run(self):
        say("ok ready")
        read_commands(self.events)
        while True:
            self.wait_for(lambda: self.commands, None, "a command")
            command = self.commands.pop(0)
            if command is None or "end" in command:
                return self.peer.end()
            self.obey(command)

    def obey(self, command):
        [(name, argument)] = command.items()  # read_commands has seen to it that there is one
        steps = {
            "online": lambda _: self.wait("LC/ON", lambda: self.online is True),
            "offline": lambda _: self.wait("LC/OFF", lambda: self.online is False),
            "set": self.set,
            "answered": lambda _: self.wait_for_answer(),
            "reported": self.wait_for_report,
            "declined": self.see_declined,
            "get": lambda _: self.get(),
            "ping": lambda text: self.ping(text.encode()),
        }
        if name not in steps:
            raise Failed(f"command {name} is not known")
        steps[name](argument)
        say(f"ok {name} {json.dumps(argument)}")

    # What it is told to do.

    def set(self, members):
        self.desired = with_nulls(self.desired, members)
        if self.online is not False and self.reported is not None:
            self.send_delta()
        else:
            self.sent = 0

    def wait_for_answer(self):
        self.wait(f"report with trn {self.sent}", lambda: self.sent and not self.desired)

    def wait_for_report(self, part):
        self.wait(f"report after which it has {part}", lambda: contains(self.reported, part))

    def see_declined(self, part):
        self.wait_for_answer()
        if not contains(self.declined, part):
            raise Failed(f"declined should have {part}, and is {self.declined}; reported is {self.reported}")

    def get(self):
        self.whole_states = 0
        self.publish("STATE/GET", {"GET": 1})
        self.wait("whole state in answer to STATE/GET", lambda: self.whole_states)

    def ping(self, payload):
        for topic in (self.topic("TPC/PING"), "GRP/ALL/TPC/PING"):
            self.pongs = []
            self.peer.publish(topic, payload)
            self.wait(f"PONG in answer to {topic}", lambda: self.pongs)
            if self.pongs != [payload]:
                raise Failed(f"PONG to {topic} should be {payload}, and is {self.pongs}")

    def wait(self, what, holds):
        self.wait_for(holds, time.monotonic() + self.patience_s, what)

    def wait_for(self, holds, deadline, what):
        """Takes what comes until this holds; without a deadline for as long as it takes."""
        while not holds():
            left = None if deadline is None else max(0, deadline - time.monotonic())
            try:
                self.take(self.events.get(timeout=left))
            except queue.Empty:
                known = f"online is {self.online}, reported {self.reported}, declined {self.declined}"
                raise Failed(shorten(f"no {what} within {self.patience_s} s: {known}")) from None

    # What it hears.

    def take(self, event):
        if event is None or isinstance(event, dict):
            self.commands.append(event)
        elif isinstance(event, Message):
            self.hear(event)
        else:
            raise event if isinstance(event, Failed) else Failed(f"the connection to the broker is {event}")

    def hear(self, message):
        verb = message.topic.rpartition("/")[2]
        if verb == "ON":
            self.expect_payload(message, {"online": 1})
            self.come()
        elif verb == "OFF":
            self.expect_payload(message, {"online": 0})
            self.online = False
        elif verb == "UPD":
            self.be_told(message)
        else:
            self.pongs.append(message.payload)

    def expect_payload(self, message, payload):
        if message.json() != payload:
            raise Failed(f"{message} should say {payload}")

    def come(self):
        """The thing gets back what it was, and then what it missed; or is asked what it is."""
        self.online = True
        if self.reported is None:
            self.publish("STATE/GET", {"GET": 1})
            return
        self.restored = self.reported.get("trn")
        self.publish("STATE/SET", {"state": self.reported})
        if self.desired:
            self.send_delta()

    def be_told(self, message):
        report = message.json()
        kind = "delta" if "delta" in report else "state"
        if not isinstance(report.get(kind), dict):
            raise Failed(f"{message} has neither a delta nor a state")
        told = report[kind]
        trn = told.get("trn", 0)
        if isinstance(trn, bool) or not isinstance(trn, int) or trn < 0:
            raise Failed(f"{message} has a trn that is none")
        if self.is_of_a_reboot(kind, trn):
            return
        self.whole_states += kind == "state"
        if self.restored is not None:
            told = {name: value for name, value in told.items() if name != "trn"}
        if self.reported is None and kind == "delta":
            self.publish("STATE/GET", {"GET": 1})
        self.reported = self.with_report(kind, told)
        self.highest = max(self.highest, trn)
        if self.desired and not self.sent:
            self.send_delta()
        elif self.desired and trn >= self.sent:
            self.settle()

    def is_of_a_reboot(self, kind, trn):
        """Whether this is what a thing says before it has read what it is given back."""
        if self.restored is None or trn >= self.restored:
            self.restored = None
            return False
        return kind == "state"

    def with_report(self, kind, told):
        if kind == "delta":
            return merged(self.reported, told)
        if "trn" not in told and self.reported and "trn" in self.reported:
            return {**merged(None, told), "trn": self.reported["trn"]}
        return merged(None, told)

    def settle(self):
        """The answer has come: what the thing is not is declined."""
        self.declined = without(self.desired, self.reported)
        self.desired = {}

    # How it speaks.

    def send_delta(self):
        self.highest += 1
        self.sent = self.highest
        self.publish("STATE/SET", {"delta": {**self.desired, "trn": self.sent}})

    def publish(self, levels, payload):
        self.peer.publish(self.topic(levels), payload)

    def topic(self, levels):
        return f"TNG/{self.thing}/{levels}"


def without(patch, document):
    """Of a patch, what the document does not have."""
    rest = {}
    for name, value in patch.items():
        if isinstance(value, dict) and value:
            inner = document.get(name) if isinstance(document.get(name), dict) else {}
            value = without(value, inner)
            if value:
                rest[name] = value
        elif not contains(document, {name: value}):
            rest[name] = value
    return rest


def main(host, port, version, thing, seconds=PATIENCE_S):
    def connect(filters, events):
        return Peer(host, int(port), version, f"manager-of-{thing}", filters, events=events)

    Manager(thing, connect, float(seconds)).run()


play(main, ["HOST", "PORT", "3.1.1|5", "ID", "[SECONDS]"])
