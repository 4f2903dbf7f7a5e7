"""Kills the broker again and again while clients publish and subscribe, and counts what became of every message.

usage: crash.py EXECUTABLE ROUNDS DURABILITY SEED

The clients are MQTT 3.1.1 on bare sockets with Clean Session 0. Like devices with flash memory they keep their own
session state while the broker dies: unacknowledged packets are sent again with DUP, Packet Identifiers of received QoS 2
messages are remembered until PUBREL. Prints one line of JSON; the exit status is 1 when anything acknowledged is lost, or
anything of QoS 2 came twice.
"""

import collections
import json
import os
import random
import selectors
import socket
import struct
import sys
import time

from killable_broker import Broker, free_port

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0

# Messages that a publisher has unacknowledged, at most; each round has a number of its own.
WINDOW = 32
# Seconds without any progress after which what is missing counts as lost.
PATIENCE = 15

selector = selectors.DefaultSelector()
port = 0


def packet(first, body):
    length, size = bytearray(), len(body)
    while True:
        size, digit = size >> 7, size & 0x7F
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([first]) + bytes(length) + body


def string(text):
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


class Client:
    """One MQTT 3.1.1 client, and the session state that it owns (MQTT 3.1.1 §4.1)."""

    def __init__(self, name, clean=False):
        self.name, self.clean = name, clean
        self.socket, self.is_connected, self.wanted = None, False, False
        self.input, self.output = bytearray(), bytearray()
        self.had_session, self.sessions_lost, self.refused = False, 0, 0
        self.last_id = 0
        # Packet Identifier -> [packet type that is to be acknowledged, bytes of it, what it is about]; in order.
        self.unacknowledged = {}
        # Packet Identifiers of QoS 2 messages that were passed on and not released.
        self.received = set()
        self.on_acknowledged = self.on_message = lambda *_: None
        self.pings = 0

    def connect(self):
        self.wanted = True
        if self.socket:
            return
        connection = socket.socket()
        try:
            connection.connect(("127.0.0.1", port))
        except OSError:
            return connection.close()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self.socket = connection
        self.input, self.output = bytearray(), bytearray()
        selector.register(connection, selectors.EVENT_READ, self)
        flags = 2 if self.clean else 0
        self.send(packet(CONNECT, string("MQTT") + bytes([4, flags, 0, 0]) + string(self.name)))

    def disconnect(self):
        """Ends the connection the good way; the session stays."""
        self.wanted = False
        if self.socket:
            self.send(bytes([DISCONNECT, 0]))
            self.flush()
            self.lost()

    def lost(self):
        if self.socket:
            selector.unregister(self.socket)
            self.socket.close()
        self.socket, self.is_connected = None, False

    def send(self, octets):
        self.output += octets

    def flush(self):
        if not self.socket or not self.output:
            return
        try:
            del self.output[: self.socket.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            # What the broker sent before it died can still be read.
            self.output.clear()

    def read(self):
        try:
            octets = self.socket.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            return self.lost()
        octets = self.input + octets
        at, end = 0, len(octets)
        while end - at >= 2:
            size, shift, start = 0, 0, at + 1
            while start < end:
                digit = octets[start]
                size |= (digit & 0x7F) << shift
                shift, start = shift + 7, start + 1
                if digit < 0x80:
                    break
            else:
                break
            if start + size > end:
                break
            self.take(octets[at], octets[start : start + size])
            at = start + size
        self.input = octets[at:]

    def take(self, first, body):
        kind = first & 0xF0
        if kind == PUBLISH:
            self.take_message(first, body)
        elif kind == CONNACK:
            assert body[1] == 0, f"{self.name}: CONNACK {body[1]}"
            self.resume(session_present=body[0] & 1)
        elif kind == PINGRESP:
            self.pings += 1
        else:
            packet_id = struct.unpack_from("!H", body)[0]
            if kind == PUBREL & 0xF0:
                self.received.discard(packet_id)
                self.send(packet(PUBCOMP, body[:2]))
            else:
                self.acknowledged(kind, packet_id, body)

    def resume(self, session_present):
        if self.had_session and not session_present:
            self.sessions_lost += 1
        self.had_session, self.is_connected = not self.clean, True
        for entry in self.unacknowledged.values():
            # [MQTT-4.4.0-1], [MQTT-3.3.1-1]
            octets = bytes([entry[1][0] | 8]) + entry[1][1:] if entry[0] == PUBLISH else entry[1]
            self.send(octets)

    def take_message(self, first, body):
        qos, length = (first >> 1) & 3, struct.unpack_from("!H", body)[0]
        topic, at = body[2 : 2 + length].decode(), 2 + length
        packet_id = 0
        if qos:
            packet_id, at = struct.unpack_from("!H", body, at)[0], at + 2
        if qos < 2 or packet_id not in self.received:
            self.on_message(topic, bytes(body[at:]), qos, first & 1)
        if qos == 1:
            self.send(packet(PUBACK, struct.pack("!H", packet_id)))
        elif qos == 2:
            self.received.add(packet_id)
            self.send(packet(PUBREC, struct.pack("!H", packet_id)))

    def acknowledged(self, kind, packet_id, body):
        entry = self.unacknowledged.get(packet_id)
        if not entry:
            # Of a request that had been repeated.
            return
        what = entry[2]
        if kind == PUBREC:
            if entry[0] == PUBLISH:
                self.on_acknowledged(what)
            # Behind what is not acknowledged: PUBREL go in the order of PUBREC [MQTT-4.6.0-4].
            del self.unacknowledged[packet_id]
            release = packet(PUBREL, struct.pack("!H", packet_id))
            self.unacknowledged[packet_id] = [PUBREL, release, what]
            return self.send(release)
        if kind == SUBACK and any(code > 2 for code in body[2:]):
            self.refused += 1
            return
        del self.unacknowledged[packet_id]
        if kind != PUBCOMP:
            self.on_acknowledged(what)

    def request(self, kind, octets, what):
        """Sends what is to be acknowledged, now or when there is a connection."""
        self.unacknowledged[self.last_id] = [kind, octets, what]
        if self.is_connected:
            self.send(octets)

    def next_id(self):
        while True:
            self.last_id = self.last_id % 65535 + 1
            if self.last_id not in self.unacknowledged:
                return struct.pack("!H", self.last_id)

    def publish(self, topic, payload, qos, retain, what):
        body = string(topic) + self.next_id() + payload
        self.request(PUBLISH, packet(PUBLISH | qos << 1 | retain, body), what)

    def subscribe(self, topic_filter, qos, what=None):
        self.request(SUBSCRIBE, packet(SUBSCRIBE, self.next_id() + string(topic_filter) + bytes([qos])), what)

    def unsubscribe(self, topic_filter, what=None):
        self.request(UNSUBSCRIBE, packet(UNSUBSCRIBE, self.next_id() + string(topic_filter)), what)

    def ping(self):
        self.pings = 0
        self.send(bytes([PINGREQ, 0]))


class Subscriber(Client):
    """A client that counts what comes of each message, and knows what should."""

    def __init__(self, name, filters):
        super().__init__(name)
        # Topic Filter -> QoS of the subscription.
        self.filters = filters
        self.counts = collections.Counter()
        self.expected, self.found = set(), 0
        self.duplicates = [0, 0, 0]
        self.out_of_order, self.unexpected, self.highest = 0, 0, {}
        self.on_message = self.count

    def count(self, topic, payload, qos, _retain):
        number = int(payload.split(b" ", 1)[0])
        self.counts[number] += 1
        if number not in self.expected:
            self.unexpected += 1
        elif self.counts[number] == 1:
            self.found += 1
        if self.counts[number] > 1:
            self.duplicates[qos] += 1
        else:
            # A topic has one publisher and one QoS: what comes for the first time comes in order [MQTT-4.6.0-6].
            self.out_of_order += number < self.highest.get(topic, -1)
            self.highest[topic] = max(number, self.highest.get(topic, -1))


class Crash:
    """The clients, and what is known of every message."""

    def __init__(self, executable, rounds, durability, seed):
        self.random, self.rounds, self.round = random.Random(seed), rounds, 0
        self.broker = Broker(
            executable,
            f"listeners: [{{ protocol: mqtt, bind: '127.0.0.1:{port}' }}]\n"
            "limits: { receive_maximum: 1000, subscriptions_per_session: 100000 }\n"
            "sessions: { queue: { messages: 10000000, bytes: 10000000000 } }\n"
            f"storage: {{ path: data, durability: {durability} }}\n",
        )
        self.publishers = [Client(f"publisher-{n}") for n in range(2)]
        self.online = [Subscriber("online-0", {"n/+/1": 2, "n/+/2": 2}), Subscriber("online-1", {"n/+/1": 1, "n/+/2": 1})]
        self.sometimes = [Subscriber("sometimes-0", {"n/+/1": 2, "n/+/2": 2}), Subscriber("sometimes-1", {"n/+/2": 2})]
        self.offline = [
            Subscriber("offline-0", {"n/+/1": 2, "n/+/2": 2}),
            Subscriber("offline-1", {"n/+/1": 1}),
            Subscriber("offline-2", {"n/+/2": 2}),
        ]
        # Makes a subscription in each round, and takes some back.
        self.changing = Subscriber("changing", {})
        self.changing.on_acknowledged = self.subscription_changed
        self.subscribed, self.unsubscribed = [], []
        self.subscribers = self.online + self.sometimes + self.offline + [self.changing]
        self.clients = self.publishers + self.subscribers
        for publisher in self.publishers:
            publisher.on_acknowledged = self.message_acknowledged
        self.next_number, self.acknowledged = 0, {1: set(), 2: set()}
        # Topic -> payload, of retained messages that are acknowledged; an empty one is a deletion.
        self.retained, self.retained_missing, self.retained_checked = {}, 0, 0
        self.kills, self.window = 0, WINDOW
        self.is_publishing = False

    # MARK: The loop

    def turn(self, timeout=0.002):
        """Lets everybody read, answer and reconnect."""
        for client in self.clients:
            if client.wanted and not client.socket:
                client.connect()
        if self.is_publishing:
            for publisher in self.publishers:
                self.fill(publisher)
        for client in self.clients:
            client.flush()
        for key, _ in selector.select(timeout):
            key.data.read()
            key.data.flush()

    def wait(self, words, condition, progress=lambda: None):
        """Goes on until something is so.

        Returns: whether it came to be before the patience was at its end.
        """
        last, deadline = progress(), time.monotonic() + PATIENCE
        while not condition():
            self.turn()
            if progress() != last:
                last, deadline = progress(), time.monotonic() + PATIENCE
            if time.monotonic() > deadline:
                print(f"gave up waiting for {words}", file=sys.stderr)
                return False
        return True

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(min(left, 0.002))

    # MARK: Messages

    def fill(self, publisher):
        if not publisher.is_connected:
            return
        while len(publisher.unacknowledged) < self.window:
            qos = self.random.choice((1, 2))
            padding = b"x" * self.random.randrange(300)
            self.publish(publisher, f"n/{publisher.name}/{qos}", qos, padding)

    def publish(self, publisher, topic, qos, padding=b""):
        number, self.next_number = self.next_number, self.next_number + 1
        level = topic.rsplit("/", 1)
        pattern = f"n/+/{level[1]}" if topic.startswith("n/") else topic
        for subscriber in self.subscribers:
            if pattern in subscriber.filters:
                subscriber.expected.add(number)
        publisher.publish(topic, b"%d %s" % (number, padding), qos, 0, ("message", qos, number))

    def publish_retained(self, topic, payload, qos):
        self.publishers[0].publish(topic, payload, qos, 1, ("retained", topic, payload))

    def message_acknowledged(self, what):
        if what[0] == "message":
            self.acknowledged[what[1]].add(what[2])
        else:
            self.retained[what[1]] = what[2]

    def subscription_changed(self, what):
        if what is None:
            return
        topic, is_there = what
        if is_there:
            self.changing.filters[topic] = 1
            self.subscribed.append(topic)
        else:
            self.unsubscribed.append(topic)

    def check_retained(self):
        """Asks for the retained messages as somebody new."""
        # What is being changed may be one or the other.
        changing = {entry[2][1] for entry in self.publishers[0].unacknowledged.values() if entry[2][0] == "retained"}
        wanted = {topic: value for topic, value in self.retained.items() if topic == "r/last" or topic not in changing}
        found = {}
        checker = Client("checker", clean=True)
        checker.on_message = lambda topic, payload, *_: found.__setitem__(topic, payload)
        self.clients.append(checker)
        checker.connect()
        checker.subscribe("r/#", 0)
        self.wait("the checker's SUBACK", lambda: not checker.unacknowledged)
        checker.ping()
        self.wait("the checker's PINGRESP", lambda: checker.pings)
        checker.disconnect()
        self.clients.remove(checker)
        for topic, payload in wanted.items():
            # Since then it may have been set anew: topics are used once, but for the last one.
            there = found.get(topic, b"")
            good = int(there or b"-1") >= int(payload) if topic == "r/last" else there == payload
            if not good and self.retained[topic] == payload:
                self.retained_missing += 1
                print(f"round {self.round}: retained {topic} is {there}, not {payload}", file=sys.stderr)
        self.retained_checked += len(wanted)

    # MARK: Rounds

    def prepare(self):
        self.broker.start()
        for client in self.clients:
            client.connect()
        for subscriber in self.subscribers:
            for topic_filter, qos in subscriber.filters.items():
                subscriber.subscribe(topic_filter, qos)
            subscriber.subscribe("fence", 1)
            subscriber.filters = {**subscriber.filters, "fence": 1}
        everybody = self.clients
        assert self.wait("everybody", lambda: all(c.is_connected and not c.unacknowledged for c in everybody))
        for subscriber in self.offline:
            subscriber.disconnect()

    def one_round(self):
        self.is_publishing, self.window = True, self.random.randint(1, WINDOW)
        for subscriber in self.sometimes:
            if self.random.random() < 0.5:
                subscriber.connect()
            else:
                subscriber.disconnect()
        delay = self.random.uniform(0.05, 0.4)
        # The round's own work begins at some moment of it, so that the kill comes at each stage of that, too.
        early = self.random.uniform(0, delay)
        self.run_for(early)
        here = self.round
        self.publish_retained(f"r/{here}", b"%d" % here, 1)
        self.publish_retained("r/last", b"%d" % here, 2)
        if here % 2 and here > 4:
            self.publish_retained(f"r/{here - 4}", b"", 1)
        self.changing.subscribe(f"s/{here}", 1, (f"s/{here}", True))
        # Not one that a message may still be under way to.
        if here % 3 == 0 and len(self.subscribed) > 3:
            topic = self.random.choice(self.subscribed[:-3])
            self.subscribed.remove(topic)
            del self.changing.filters[topic]
            self.changing.unsubscribe(topic, (topic, False))
        for topic in self.subscribed[-1:]:
            self.publish(self.publishers[1], topic, 1)
        self.run_for(delay - early)
        self.kill()
        if self.random.random() < 0.2:
            # While it starts, too.
            self.broker.start()
            self.run_for(self.random.uniform(0, 0.15))
            self.kill()
        self.broker.start()
        assert self.wait("the broker's return", lambda: all(p.is_connected for p in self.publishers))
        self.check_retained()

    def kill(self):
        self.broker.kill()
        self.kills += 1
        # What it had sent is still read: that, too, it has acknowledged.
        for client in list(self.clients):
            while client.socket:
                client.read()

    def finish(self):
        self.is_publishing = False
        for client in self.clients:
            client.connect()
        settled = self.clients
        self.wait("acknowledgements", lambda: all(c.is_connected and not c.unacknowledged for c in settled), self.seen)
        for topic in list(self.subscribed) + self.unsubscribed:
            self.publish(self.publishers[1], topic, 1)
        self.wait("acknowledgements", lambda: not self.publishers[1].unacknowledged, self.seen)
        # Behind it nothing may come any more.
        self.publish(self.publishers[0], "fence", 1)
        self.wait("the queues", lambda: all(s.found == len(s.expected) for s in self.subscribers), self.seen)
        # Their last acknowledgements have arrived with the answer to this.
        for client in self.clients:
            client.ping()
        self.wait("answers", lambda: all(c.pings and not c.output for c in settled), self.seen)
        self.run_for(0.2)
        self.check_retained()
        for client in self.clients:
            client.disconnect()

    def seen(self):
        return sum(s.counts.total() for s in self.subscribers), sum(len(c.unacknowledged) for c in self.clients)

    def figures(self):
        acknowledged = self.acknowledged[1] | self.acknowledged[2]
        status = self.broker.stop()
        check_status, check = self.broker.store("check")
        for subscriber in self.subscribers:
            lost = sorted((subscriber.expected & acknowledged) - subscriber.counts.keys())
            if lost:
                qos = {1: 0, 2: 0}
                for number in lost:
                    qos[2 if number in self.acknowledged[2] else 1] += 1
                print(f"{subscriber.name} misses {len(lost)} {qos}: {lost[:10]}…{lost[-3:]}", file=sys.stderr)
        return {
            "rounds": self.round,
            "kills": self.kills,
            "acknowledgedQoS1": len(self.acknowledged[1]),
            "acknowledgedQoS2": len(self.acknowledged[2]),
            "delivered": sum(len(s.counts) for s in self.subscribers),
            "missing": sum(len((s.expected & acknowledged) - s.counts.keys()) for s in self.subscribers),
            "duplicatesQoS1": sum(s.duplicates[1] for s in self.subscribers),
            "duplicatesQoS2": sum(s.duplicates[2] for s in self.subscribers),
            "outOfOrder": sum(s.out_of_order for s in self.subscribers),
            "unexpected": sum(s.unexpected for s in self.subscribers),
            "sessionsLost": sum(c.sessions_lost for c in self.clients),
            "subscriptionsChecked": len(self.subscribed) + len(self.unsubscribed),
            "refused": sum(c.refused for c in self.clients),
            "retainedChecked": self.retained_checked,
            "retainedMissing": self.retained_missing,
            "stopped": status,
            "storeCheck": check if check_status == 0 else f"{check_status}: {check}",
        }


def main():
    global port
    executable, rounds, durability, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    port = free_port()
    crash = Crash(executable, rounds, durability, seed)
    began = time.monotonic()
    try:
        crash.prepare()
        while crash.round < rounds:
            crash.one_round()
            crash.round += 1
        at = time.monotonic()
        crash.finish()
        figures = crash.figures()
        figures["drainSeconds"] = round(time.monotonic() - at, 1)
        figures["seconds"] = round(time.monotonic() - began, 1)
    except BaseException:
        print(crash.broker.last_words(), file=sys.stderr)
        raise
    finally:
        if os.environ.get("KEEP"):
            print(crash.broker.folder, file=sys.stderr)
        else:
            crash.broker.remove()
    print(json.dumps(figures))
    bad = ("missing", "duplicatesQoS2", "outOfOrder", "unexpected", "sessionsLost", "refused", "retainedMissing", "stopped")
    sys.exit(1 if any(figures[name] for name in bad) else 0)


main()
