"""Kills the broker while CoAP devices sleep and messages wait for them, and counts what they get when they return.

usage: coap_sleepers.py EXECUTABLE DEVICES MESSAGES KILLS [LOSS]

Each device begins a persistent session, subscribes at QoS 1 and falls silent: it acknowledges nothing. Then so many
messages are published for each of them and acknowledged by the broker, which is killed. When it is there again, all devices
return from new ports: their token is refused, they begin their session again, register again and acknowledge what
comes. With a second kill the broker dies once more when half of the messages have come. LOSS is how many of a hundred datagrams
are lost each way once they have returned; the devices then say every second that they are there. When all messages have come,
nothing is lost any more, until the broker has all acknowledgements.

Prints one line of JSON; the exit status is 1 when anything is missing, out of order, or was not asked for.
"""

import collections
import json
import math
import random
import re
import selectors
import socket
import struct
import sys
import time

from coap_datagrams import CON, GET, NON, OBSERVE, POST, PUT, Message, acknowledgement, message
from killable_broker import Broker, free_port

# Seconds without any progress after which what is missing counts as lost.
PATIENCE = 20
# Seconds after which a request is sent again, with the same Message ID.
ACK_TIMEOUT = 2
# Topics that a tenth of the devices share; one message in five is for one of them.
FLEETS, FLEET_MESSAGES = 10, 5
# Publishes under way.
WINDOW = 500
# Of a hundred datagrams.
LOSS = int(sys.argv[5]) if len(sys.argv) > 5 else 0
BEAT = 1

selector = selectors.DefaultSelector()


class Request:
    """A confirmable request and who waits for its response."""

    def __init__(self, message_id, token, octets, done):
        self.message_id, self.token, self.octets, self.done = message_id, token, octets, done
        # When it is sent again.
        self.due = time.monotonic() + ACK_TIMEOUT


class Device:
    """One device: at most one request under way (NSTART), everything that comes is acknowledged."""

    def __init__(self, number, broker):
        self.name, self.broker, self.socket = f"device-{number}", broker, None
        self.topics = {b"\x01": f"inbox/{number}", b"\x02": f"fleet/{number % FLEETS}"}
        # By token: what is to come, and what has come for the first time.
        self.expected = {token: [] for token in self.topics}
        self.got = {token: [] for token in self.topics}
        self.seen = collections.Counter()
        self.session, self.message_id = None, 0
        self.waiting = None
        # What its session was answered with, each time.
        self.answers, self.is_ready = [], False
        self.unexpected = 0
        # Message IDs of the broker's at this port: what comes again under one of them is the same message.
        self.known, self.has_returned, self.is_lossy, self.beat_at = set(), False, False, 0

    def wake(self):
        """Begins at a new port."""
        self.sleep()
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", self.broker.coap))
        self.socket.setblocking(False)
        selector.register(self.socket, selectors.EVENT_READ, self)
        self.is_ready, self.known = False, set()
        self.has_returned = self.is_lossy = self.session is not None
        if self.session:
            # As a device would that knows nothing of the broker's end.
            self.beat()
        else:
            self.connect()

    def fall_silent(self):
        """Its port stays, but nobody reads."""
        selector.unregister(self.socket)

    def sleep(self):
        if self.socket:
            if self.socket in selector.get_map():
                selector.unregister(self.socket)
            self.socket.close()
        self.socket = None

    def beat(self):
        self.ask(PUT, f"/mqtt/connection?c={self.name}&t={self.session}", self.heard)

    def heard(self, answer):
        self.answers.append(answer.code_text)
        if answer.code_text == "4.01":
            self.connect()

    def connect(self):
        self.ask(POST, f"/mqtt/connection?c={self.name}&clean=0&ka=0", self.connected)

    def connected(self, answer):
        self.answers.append(answer.code_text)
        self.session = answer.payload.decode()
        self.register(list(self.topics))

    def register(self, tokens):
        if not tokens:
            self.is_ready = True
            return
        uri = f"/ps/{self.topics[tokens[0]]}?c={self.name}&t={self.session}&q=1"
        self.ask(GET, uri, lambda answer: self.registered(answer, tokens), tokens[0], [(OBSERVE, b"")])

    def registered(self, answer, tokens):
        self.unexpected += not answer.is_notification
        self.register(tokens[1:])

    def ask(self, code, uri, done, token=b"\x09", options=()):
        self.message_id = (self.message_id + 1) & 0xFFFF
        self.waiting = Request(self.message_id, token, message(CON, code, self.message_id, token, uri, options), done)
        self.send(self.waiting.octets)

    def passes(self):
        return not self.is_lossy or random.randrange(100) >= LOSS

    def send(self, octets):
        if not self.passes():
            return
        try:
            self.socket.send(octets)
        except (BlockingIOError, ConnectionRefusedError):
            pass

    def send_again(self, now):
        if self.waiting and self.waiting.due <= now:
            self.waiting.due = now + ACK_TIMEOUT
            self.send(self.waiting.octets)
        elif LOSS and self.has_returned and self.is_ready and self.beat_at <= now:
            self.beat_at = now + BEAT
            self.message_id = (self.message_id + 1) & 0xFFFF
            uri = f"/mqtt/connection?c={self.name}&t={self.session}"
            self.send(message(NON, PUT, self.message_id, b"\x08", uri))

    def read(self):
        while True:
            try:
                octets = self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if self.passes():
                self.take(Message(octets))

    def take(self, answer):
        if answer.kind == CON:
            self.send(acknowledgement(answer.message_id))
            if answer.message_id in self.known:
                return
            self.known.add(answer.message_id)
            if self.is_response(answer):
                self.answered(answer)
            else:
                self.count(answer)
        elif self.waiting and answer.message_id == self.waiting.message_id:
            if answer.code:
                self.answered(answer)
            else:
                # The response comes separately (RFC 7252 §5.2.2); where it may be lost, the request is repeated.
                self.waiting.due = time.monotonic() + 10 * ACK_TIMEOUT if LOSS else math.inf

    def is_response(self, answer):
        """Whether it is a separate response; that to a registration has no payload, as nothing is retained."""
        return self.waiting and self.waiting.token == answer.token and not (answer.is_notification and answer.payload)

    def answered(self, answer):
        waiting, self.waiting = self.waiting, None
        waiting.done(answer)

    def count(self, notification):
        token, number = notification.token, int(notification.payload or b"-1")
        if number not in self.expected.get(token, ()):
            self.unexpected += 1
            return
        self.seen[token, number] += 1
        if self.seen[token, number] == 1:
            self.got[token].append(number)

    @property
    def received(self):
        return sum(len(numbers) for numbers in self.got.values())


class MQTTClient:
    """An MQTT 3.1.1 client, connected."""

    def __init__(self, port):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the broker does not listen"
                time.sleep(0.02)
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(bytes.fromhex("100c00044d515454040200000000"))
        assert self.take(4) == bytes([0x20, 2, 0, 0])

    def take(self, count):
        octets = b""
        while len(octets) < count:
            more = self.socket.recv(count - len(octets))
            assert more, "the broker hung up"
            octets += more
        return octets

    def finish(self):
        self.socket.sendall(bytes([0xE0, 0]))
        self.socket.close()


class Publisher(MQTTClient):
    """Publishes at QoS 1 and waits for each acknowledgement."""

    def __init__(self, port):
        super().__init__(port)
        self.under_way = self.acknowledged = self.last_id = 0

    def publish(self, topic, payload):
        while self.under_way >= WINDOW:
            self.take_acknowledgement()
        self.last_id = self.last_id % 65535 + 1
        body = struct.pack("!H", len(topic)) + topic.encode() + struct.pack("!H", self.last_id) + payload
        self.socket.sendall(bytes([0x32, len(body)]) + body)
        self.under_way += 1

    def take_acknowledgement(self):
        assert self.take(4)[:2] == bytes([0x40, 2])
        self.under_way -= 1
        self.acknowledged += 1

    def finish(self):
        while self.under_way:
            self.take_acknowledgement()
        super().finish()


class QueuedBytes(MQTTClient):
    """Watches how many bytes wait in the sessions' queues, by the broker's own count."""

    TOPIC = b"$SYS/broker/limits/queued/bytes"

    def __init__(self, port):
        super().__init__(port)
        self.value = None
        self.socket.sendall(bytes([0x82, len(self.TOPIC) + 5, 0, 1, 0, len(self.TOPIC)]) + self.TOPIC + b"\0")
        selector.register(self.socket, selectors.EVENT_READ, self)

    def read(self):
        kind, length = self.take(2)
        body = self.take(length)
        # Retained or not: what waits only gets less once nobody publishes.
        if kind & 0xF0 == 0x30:
            self.value = int(body[2 + len(self.TOPIC) :])

    def finish(self):
        selector.unregister(self.socket)
        super().finish()


def wait(words, devices, condition, progress):
    """Lets the devices read and answer until something is so; whether it came to be."""
    last, deadline, look_at = progress(), time.monotonic() + PATIENCE, 0
    while True:
        for key, _ in selector.select(0.05):
            key.data.read()
        now = time.monotonic()
        if now < look_at:
            continue
        look_at = now + 0.05
        if condition():
            return True
        for device in devices:
            device.send_again(now)
        if progress() != last:
            last, deadline = progress(), now + PATIENCE
        if now > deadline:
            print(f"gave up waiting for {words}: {last}", file=sys.stderr)
            return False


def publish_all(devices, messages, port):
    """Messages for each device: most of them for it alone, one in five for its fleet."""
    publisher = Publisher(port)
    for number in range(messages):
        payload = b"%d" % number
        token = b"\x02" if number % FLEET_MESSAGES == 0 else b"\x01"
        for topic in dict.fromkeys(device.topics[token] for device in devices):
            publisher.publish(topic, payload)
        for device in devices:
            device.expected[token].append(number)
    publisher.finish()
    return publisher.acknowledged


def return_all(broker, devices, condition):
    at = time.monotonic()
    broker.start()
    # It listens when it answers.
    Publisher(broker.mqtt).finish()
    started = time.monotonic() - at
    for device in devices:
        device.wake()
    wait("the devices' messages", devices, condition, lambda: sum(d.received + d.is_ready for d in devices))
    return round(started, 2), round(time.monotonic() - at - started, 2)


def run(broker, count, messages, kills):
    devices = [Device(number, broker) for number in range(count)]
    broker.start()
    Publisher(broker.mqtt).finish()
    for device in devices:
        device.wake()
    count_ready = lambda: sum(device.is_ready for device in devices)
    assert wait("subscriptions", devices, lambda: count_ready() == count, count_ready)
    for device in devices:
        device.fall_silent()
    at = time.monotonic()
    acknowledged = publish_all(devices, messages, broker.mqtt)
    publishing = round(time.monotonic() - at, 2)
    broker.kill()
    seconds = []
    if kills > 1:
        half = count * messages // 2
        seconds.append(return_all(broker, devices, lambda: sum(d.received for d in devices) >= half))
        broker.kill()
    # Ready, too: it may be that all has come before the broker was killed again.
    seconds.append(return_all(broker, devices, lambda: all(d.is_ready and d.received >= messages for d in devices)))
    if LOSS:
        # The last acknowledgements may be lost, and a device can't know. What the broker sends again now is acknowledged.
        for device in devices:
            device.is_lossy = False
        queued = QueuedBytes(broker.mqtt)
        wait("acknowledgements", devices, lambda: queued.value == 0, lambda: queued.value)
        queued.finish()
    # What they have acknowledged has arrived with the answer to this.
    for device in devices:
        device.beat()
    count_waiting = lambda: sum(device.waiting is not None for device in devices)
    wait("answers", devices, lambda: count_waiting() == 0, count_waiting)
    status = broker.stop()
    return devices, acknowledged, publishing, seconds, status


def figures(broker, devices, messages, acknowledged, publishing, seconds, status):
    check_status, check = broker.store("check")
    inspect = broker.store("inspect")[1]
    answers = collections.Counter(answer for device in devices for answer in device.answers)
    return {
        "devices": len(devices),
        "published": acknowledged,
        "delivered": sum(device.received for device in devices),
        "missing": sum(messages - device.received for device in devices),
        "duplicates": sum(count - 1 for device in devices for count in device.seen.values()),
        "outOfOrder": sum(got != sorted(got) for device in devices for got in device.got.values()),
        "unexpected": sum(device.unexpected for device in devices),
        "answers": answers,
        "publishingSeconds": publishing,
        "startAndReturnSeconds": seconds,
        "stopped": status,
        "storeCheck": "" if check_status == 0 else check,
        "leftInStore": int(re.search(r"messages that wait +(\d+)", inspect)[1]),
    }


def main():
    executable, count, messages, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    mqtt, coap = free_port(), free_port(socket.SOCK_DGRAM)
    broker = Broker(
        executable,
        "listeners:\n"
        f"  - {{ protocol: mqtt, bind: '127.0.0.1:{mqtt}' }}\n"
        f"  - {{ protocol: coap, bind: '127.0.0.1:{coap}' }}\n"
        "limits: { receive_maximum: 1000 }\n"
        "storage: { path: data, durability: strict }\n"
        + ("coap: { ack_timeout: 1, max_retransmit: 1 }\nsys_interval: 1\n" if LOSS else ""),
    )
    broker.mqtt, broker.coap = mqtt, coap
    try:
        outcome = run(broker, count, messages, kills)
        result = figures(broker, outcome[0], messages, *outcome[1:])
    except BaseException:
        print(broker.last_words(), file=sys.stderr)
        raise
    finally:
        broker.remove()
    print(json.dumps(result))
    bad = ("missing", "outOfOrder", "unexpected", "stopped", "storeCheck", "leftInStore")
    sys.exit(1 if any(result[name] for name in bad) else 0)


main()
