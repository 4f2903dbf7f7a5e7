"""HTTP: a publisher, a stream of events and a long-poll, both with sessions that outlast their connections."""

import json
import urllib.parse

from ledger import Finding
from wire import Link


def head(method, path, fields="", body=b""):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


def take_head(data):
    """Takes the head of a response out: status and fields; None when it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(data[:end]).decode().split("\r\n")
    del data[: end + 4]
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields


class HTTPConnection:
    """Requests one after the other, each with what is to be done with its answer."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.link = None
        self.waiting = []
        self.head = None

    def request(self, data, done):
        if self.link is None:
            self.link = Link(self.world.loop, self.world.broker.http, self)
            self.head = None
        self.waiting.append(done)
        self.link.send(data)

    def bytes_came(self, link):
        while self.waiting:
            self.head = self.head or take_head(link.input)
            if self.head is None:
                return
            status, fields = self.head
            length = int(fields.get("content-length", 0)) if status != 304 else 0
            if len(link.input) < length:
                return
            body = bytes(link.input[:length])
            del link.input[:length]
            self.head = None
            self.waiting.pop(0)(status, body)

    def connection_lost(self, link):
        # A server may close a connection that waits for the next request.
        if link is self.link:
            if self.waiting:
                self.world.unexpected_loss(self)
            self.link = None

    def close(self):
        if self.link:
            self.link.close()
        self.link, self.waiting = None, []

    killed = close


class HTTPPublisher:
    def __init__(self, world, name):
        self.world, self.ledger, self.name = world, world.ledger, name
        self.connection = HTTPConnection(world, name)
        self.connections = 0

    def publish(self, topic, qos, retain=False, clears=False):
        if self.connection.link is None:
            self.connections += 1
        message = self.ledger.publishing(topic, qos, f"{self.name}.{self.connections}", retain, clears)
        query = f"/publish?topic={urllib.parse.quote(topic, safe='')}&qos={qos}&retain={int(retain)}&clientid={self.name}"
        body = b"" if clears else message.name.encode()

        def done(status, answer):
            if status != 200:
                raise Finding(f"{self.name}: {message.name} answered {status} {answer[:200]}")
            self.ledger.acked(message)

        self.connection.request(head("POST", query, "Content-Type: text/plain\r\n", body), done)

    def drop(self, random):
        self.connection.close()

    def killed(self):
        self.connection.killed()

    def settle(self):
        pass

    may_publish = True

    @property
    def is_settled(self):
        return not self.connection.waiting


class Listener:
    """What the stream and the poll have in common: a session that lasts, and filters that only ever get more."""

    QOS = 2

    def __init__(self, world, name):
        self.world, self.ledger, self.name = world, world.ledger, name
        self.session = self.ledger.begin(name)
        self.session.was_stored = True
        self.filters = []
        self.link = self.former = None
        self.is_connected = False

    def path(self, **query):
        topics = [("topic", filter) for filter in self.filters]
        fixed = [("clientid", self.name), ("clean", 0), ("se", 86400), ("qos", self.QOS)]
        return "/v1/subscribe?" + urllib.parse.urlencode(topics + fixed + list(query.items()))

    def subscribe(self, filter, qos):
        if filter not in self.filters and (self.is_connected or not self.filters):
            self.filters.append(filter)
            self.drop(None)

    def opened(self, filters):
        """The response says that everything is stored."""
        self.is_connected = True
        self.session.since = self.session.since or self.ledger.tick()
        known = {s.filter for s in self.session.subscriptions}
        for filter in filters:
            if filter not in known:
                self.session.subscribed(filter, self.QOS)

    def message(self, what, name):
        self.ledger.note(self.name, f"{what['payload']} is {name}{' dup' if what.get('dup') else ''}")
        if name in self.session.seen:
            return
        self.session.seen.add(name)
        share = self.world.share_of(self.session, what["topic"])
        self.ledger.received(
            self.session, what["topic"], what["payload"], what["qos"], not what["retain"], what["qos"] > 0, share
        )

    @property
    def may_connect(self):
        return self.link is None and self.filters and not (self.former and self.former.is_open)

    def drop(self, random):
        if self.link:
            self.link.leave()
            self.former = self.link
        self.link, self.is_connected = None, False

    def killed(self):
        if self.link:
            self.link.close()
        self.link, self.is_connected = None, False

    def settle(self):
        pass

    def connection_lost(self, link):
        if link is self.link:
            self.world.unexpected_loss(self)

    @property
    def is_settled(self):
        return self.is_connected


class StreamClient(Listener):
    """`text/event-stream`; it says how far it got when it comes back."""

    last = ""

    def drop(self, random):
        """Whoever has only ended what it says is served on; so it goes when its request has surely been read."""
        if self.is_connected:
            self.link.close()
            self.link, self.is_connected = None, False

    def connect(self, random, **_):
        if not self.may_connect:
            return
        self.link = Link(self.world.loop, self.world.broker.http, self)
        self.head, self.text = None, b""
        self.asked = list(self.filters)
        self.ledger.note(self.name, f"GET {self.filters} Last-Event-ID {self.last}")
        fields = "Accept: text/event-stream\r\n" + (f"Last-Event-ID: {self.last}\r\n" if self.last else "")
        self.link.send(head("GET", self.path(), fields))

    def bytes_came(self, link):
        if self.head is None:
            self.head = take_head(link.input)
            if self.head is None:
                return
            if self.head[0] != 200:
                raise Finding(f"{self.name}: {self.head} {bytes(link.input)}")
            self.opened(self.asked)
        while (end := link.input.find(b"\r\n")) >= 0:
            size = int(bytes(link.input[:end]), 16)
            if len(link.input) < end + 2 + size + 2:
                break
            self.text += bytes(link.input[end + 2 : end + 2 + size])
            del link.input[: end + 2 + size + 2]
        while (end := self.text.find(b"\n\n")) >= 0:
            event, self.text = self.text[:end].decode(), self.text[end + 2 :]
            self.event(dict(line.split(": ", 1) for line in event.split("\n") if ": " in line))

    def event(self, event):
        if "event" in event:
            raise Finding(f"{self.name}: {event}")
        if "id" in event:
            self.last = event["id"]
            self.message(json.loads(event["data"]), self.last)


class PollClient(Listener):
    """Long-polls; the cursor acknowledges."""

    cursor = ""

    def connect(self, random, **_):
        if not self.may_connect:
            return
        self.link = Link(self.world.loop, self.world.broker.http, self)
        self.head = None
        self.poll()

    def poll(self):
        self.asked = list(self.filters)
        self.ledger.note(self.name, f"GET {self.filters} cursor {self.cursor}")
        query = {"wait": 1} | ({"cursor": self.cursor} if self.cursor else {})
        self.link.send(head("GET", self.path(**query), "Accept: application/json\r\n"))

    def bytes_came(self, link):
        self.head = self.head or take_head(link.input)
        if self.head is None or len(link.input) < int(self.head[1]["content-length"]):
            return
        answer, status = bytes(link.input), self.head[0]
        link.input.clear()
        self.head = None
        if status != 200:
            raise Finding(f"{self.name}: {status} {answer}")
        self.opened(self.asked)
        answer = json.loads(answer)
        if answer.get("reset"):
            raise Finding(f"{self.name}: reset")
        for message in answer["messages"]:
            self.message(message, message["id"])
        self.cursor = answer["next"]
        self.poll()
