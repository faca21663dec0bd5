"""What the programs beside this file share: one connection to the broker.

It is made with paho-mqtt alone, of major version 1 or 2, and speaks MQTT 3.1.1 or 5. All goes at QoS 1,
nobody publishes before the broker has granted what he listens to, and what comes waits in a queue.
"""

import collections
import json
import queue
import socket
import sys
import threading
import time
from typing import NamedTuple, Optional

import paho.mqtt
from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

IS_PAHO_2 = int(paho.mqtt.__version__.split(".")[0]) >= 2
PROTOCOLS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
PATIENCE_S = 10
REFUSED = 0x80  # this and what is above it are refusals, in CONNACK of MQTT 5 and in every SUBACK

READY = "ready"  # the broker has granted what was subscribed to
LOST = "lost"  # the connection has ended, and not by us


class Failed(Exception):
    """Something did not come out as it must; the text is one line for people."""


class Ended(Failed):
    """The connection ended in the middle of it."""


class Message(NamedTuple):
    """A message as it came."""

    topic: str
    payload: bytes
    correlation: Optional[bytes]

    def json(self):
        """The payload, which has to be JSON."""
        try:
            return json.loads(self.payload)
        except ValueError as error:
            raise Failed(f"{self} is not JSON: {error}") from None

    def __str__(self):
        return shorten(f"{self.topic} {self.payload.decode(errors='backslashreplace')}")


class Peer:
    """One connection: it subscribes when it is made, and does not come back once it has ended."""

    def __init__(self, host, port, version, client_id, filters, will=None, events=None):
        """`will` is a topic and a payload. `events` is where READY, LOST, messages and faults go."""
        self.events = queue.Queue() if events is None else events
        if version not in PROTOCOLS:
            raise Failed(f"MQTT {version} is not spoken here; {' and '.join(PROTOCOLS)} are")
        self.version = version
        self._filters = filters
        self._kept = collections.deque()
        self._is_over = threading.Event()
        self._client = new_client(client_id, version)
        self._client.on_socket_open = send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect
        if will is not None:
            self._client.will_set(will[0], encode(will[1]), qos=1)
        try:
            self._client.connect(host, port, keepalive=60)
        except OSError as error:
            raise Failed(f"no connection to the broker at {host}:{port}: {error}") from None
        self._client.loop_start()

    def ready(self):
        """Waits until the broker has granted the subscriptions; for those who do not read `events`."""
        try:
            event = self.events.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise Failed(f"no SUBACK within {PATIENCE_S} s") from None
        if event is not READY:
            raise event if isinstance(event, Failed) else Failed(f"{event} instead of a SUBACK")
        return self

    def publish(self, topic, payload, response_topic=None, correlation=None):
        """Publishes JSON, or bytes as they are, and waits until the broker has it."""
        properties = None
        if response_topic is not None:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = response_topic
            properties.CorrelationData = correlation
        sent = self._client.publish(topic, encode(payload), qos=1, properties=properties)
        deadline = time.monotonic() + PATIENCE_S
        try:
            while self._is_over.is_set() or not sent.is_published():
                if self._is_over.is_set():
                    raise Ended(f"the connection ended before the broker had {topic}")
                if time.monotonic() > deadline:
                    raise Failed(f"no PUBACK for {topic} within {PATIENCE_S} s")
                sent.wait_for_publish(0.2)
        except (ValueError, RuntimeError) as error:
            raise Failed(f"{topic} could not be published: {error}") from None

    def expect(self, topic, predicate, seconds=PATIENCE_S, what=""):
        """The next message on this topic whose JSON the predicate takes.

        Those before it on the same topic are passed over, those on others kept.
        """
        deadline = time.monotonic() + seconds
        came = []
        while True:
            message = self._next(deadline)
            if message is None:
                wanted = f"{topic} {what}".strip()
                instead = " | ".join(str(other) for other in came[-5:]) or "nothing"
                raise Failed(f"no {wanted} within {seconds} s; what came instead: {instead}")
            if message.topic == topic and predicate(message.json()):
                others = [other for other in came if other.topic != topic]
                self._kept.extendleft(reversed(others))
                return message
            came.append(message)

    def vanish(self):
        """Closes the socket without DISCONNECT, so that the broker sends the will."""
        self._is_over.set()
        self._client.socket().shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def end(self):
        """Disconnects in order."""
        self._is_over.set()
        self._client.disconnect()
        self._client.loop_stop()

    def _next(self, deadline):
        """The next message, or None when it is too late."""
        if self._kept:
            return self._kept.popleft()
        try:
            event = self.events.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if isinstance(event, Message):
            return event
        raise event if isinstance(event, Failed) else Failed(f"the connection to the broker is {event}")

    # The last parameters of the callbacks differ: paho 1 has fewer with MQTT 3.1.1 than with 5.

    def _on_connect(self, client, _userdata, _flags, reason, _properties=None):
        if code_of(reason) != 0:
            self.events.put(Failed(f"the broker refused the connection: {reason}"))
            return
        if self.version == "5":
            # So that a message which was published to be retained shows that here.
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            client.subscribe([(filter_, options) for filter_ in self._filters])
        else:
            client.subscribe([(filter_, 1) for filter_ in self._filters])

    def _on_subscribe(self, _client, _userdata, _mid, granted, _properties=None):
        if any(code_of(code) >= REFUSED for code in granted):
            self.events.put(Failed(f"the broker refused one of {', '.join(self._filters)}"))
        else:
            self.events.put(READY)

    def _on_message(self, _client, _userdata, message):
        correlation = getattr(getattr(message, "properties", None), "CorrelationData", None)
        heard = Message(message.topic, message.payload, correlation)
        if message.qos != 1 or message.retain:
            way = f"QoS {message.qos}{' and retained' if message.retain else ''}"
            self.events.put(Failed(f"{heard} came at {way}, where QoS 1 and not retained is the rule"))
        else:
            self.events.put(heard)

    def _on_disconnect(self, *_):
        if not self._is_over.is_set():
            self._is_over.set()
            self.events.put(LOST)


def new_client(client_id, version):
    """A client of paho's, by whichever version of it there is. It does not connect again by itself."""
    options = {"client_id": client_id, "protocol": PROTOCOLS[version], "reconnect_on_failure": False}
    if IS_PAHO_2:
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)
    return mqtt.Client(**options)


def send_at_once(_client, _userdata, connection):
    """Without this what is published right after an acknowledgement waits for some 40 ms."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def code_of(reason):
    """The number of a reason code, which is an object or the number itself."""
    return getattr(reason, "value", reason)


def encode(payload):
    """The payload as bytes."""
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def shorten(text, most=400):
    """The text, cut where people would stop reading."""
    return text if len(text) <= most else f"{text[:most]}…"


def merged(target, patch):
    """JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def with_nulls(target, patch):
    """Like merging, with null kept as a value: one patch of two."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        result[name] = with_nulls(result.get(name), value)
    return result


def contains(document, part):
    """Whether the document has all that is in the part; null stands for a member that is not there."""
    if not isinstance(part, dict):
        # In Python True equals 1, in JSON it does not.
        return isinstance(document, bool) == isinstance(part, bool) and document == part
    # A member that is null in the document itself is as good as not there.
    return isinstance(document, dict) and all(
        document.get(name) is None if value is None else contains(document.get(name), value)
        for name, value in part.items()
    )


def read_commands(events):
    """Puts what comes on standard input into the queue, one JSON object for each line; None at its end."""

    def read():
        for line in sys.stdin:
            try:
                command = json.loads(line)
            except ValueError:
                command = None
            is_command = isinstance(command, dict) and len(command) == 1
            events.put(command if is_command else Failed(f"{line.strip()} is no command"))
        events.put(None)

    threading.Thread(target=read, daemon=True).start()


def say(line):
    """Prints a line at once."""
    print(line, flush=True)


def play(program, names):
    """Runs a program with its arguments, of which [some] may be left out; ends with one line if it fails."""
    words = sys.argv[1:]
    fewest = sum(not name.startswith("[") for name in names)
    if not fewest <= len(words) <= len(names):
        sys.exit(f"usage: {sys.argv[0]} {' '.join(names)}")
    try:
        program(*words)
    except Failed as error:
        say(f"failed {error}")
        sys.exit(1)
