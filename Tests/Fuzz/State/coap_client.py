"""A device with a session of `/mqtt/connection`: it publishes, and observes what it may have been sent before."""

import socket
import time

import coap
from ledger import Finding
from wire import Link

CREATED, DELETED, CHANGED, CONTENT = 0x41, 0x42, 0x44, 0x45


class CoAPClient:
    # Seconds after which a request is sent again.
    PATIENCE = 2

    def __init__(self, world, name):
        self.world, self.ledger, self.name = world, world.ledger, name
        self.session = self.ledger.begin(name)
        self.session.was_stored = True
        self.filters = []
        self.link = None
        self.token = None
        self.next_id = 0
        # Requests that have no answer yet, the first of which is under way (NSTART).
        self.waiting = []
        self.sent_at = 0
        self.observed = set()

    def connect(self, random, **_):
        """POST with `clean=0`: the broker may have the session, or make it."""
        if self.link is None:
            self.link = Link(self.world.loop, self.world.broker.coap, self, socket.SOCK_DGRAM)
        if self.token is None and not any(request[2] == self.connected for request in self.waiting):
            self.ask(coap.POST, coap.target("mqtt/connection", c=self.name, clean=0, ka=0), self.connected)

    def ask(self, code, options, done, payload=b"", observe=None):
        self.next_id = self.next_id % 0xFFFF + 1
        if observe is not None:
            options = options + [(coap.OBSERVE, b"")]
        token = self.next_id.to_bytes(2) if observe is None else bytes([0, self.filters.index(observe)])
        data = coap.message(coap.CON, code, self.next_id, token, options, payload)
        self.waiting.append((data, self.next_id, done))
        if len(self.waiting) == 1:
            self.send()

    def send(self):
        self.sent_at = time.monotonic()
        self.link.send(self.waiting[0][0])

    def tick(self):
        if self.link and self.waiting and time.monotonic() - self.sent_at > self.PATIENCE:
            self.send()

    def connected(self, code, payload):
        if code not in (CREATED, CHANGED) or (code == CREATED and self.session.since is not None):
            raise Finding(f"{self.name}: the session is answered {code >> 5}.{code & 31:02} {payload}")
        self.token = payload.decode()
        self.session.since = self.session.since or self.ledger.tick()
        self.observed = set()
        for filter in self.filters:
            self.observe(filter)

    def subscribe(self, filter, qos):
        if filter not in self.filters:
            self.filters.append(filter)
            if self.token:
                self.observe(filter)

    def observe(self, filter):
        def done(code, payload):
            if code != CONTENT:
                raise Finding(f"{self.name}: observing {filter} is answered {code >> 5}.{code & 31:02} {payload}")
            self.observed.add(filter)
            if all(s.filter != filter for s in self.session.subscriptions):
                self.session.subscribed(filter, 1)

        options = coap.target("ps/" + filter, c=self.name, t=self.token, q=1)
        self.ask(coap.GET, options, done, observe=filter)

    def publish(self, topic, qos, retain=False, clears=False):
        message = self.ledger.publishing(topic, qos, self.name, retain, clears)
        query = {"c": self.name, "t": self.token, "q": qos} | ({"r": 1} if retain else {}) | ({"id": message.name} if qos == 2 else {})

        def done(code, payload):
            if code >> 5 != 2:
                raise Finding(f"{self.name}: {message.name} is answered {code >> 5}.{code & 31:02} {payload}")
            self.ledger.acked(message)

        self.ask(coap.POST, coap.target("ps/" + topic, **query), done, b"" if clears else message.name.encode())

    def drop(self, random):
        """It moves: the next request comes from another port."""
        if self.link and self.token and not self.waiting:
            self.link.close()
            self.link = Link(self.world.loop, self.world.broker.coap, self, socket.SOCK_DGRAM)

    def killed(self):
        if self.link:
            self.link.close()
        self.link, self.token, self.waiting = None, None, []
        self.observed = set()

    def settle(self):
        # Whoever has moved is heard of.
        if self.token and not self.waiting:
            options = coap.target("mqtt/connection", c=self.name, t=self.token)
            self.ask(coap.PUT, options, lambda code, payload: None)

    # What comes

    def datagram(self, data):
        kind, code, message_id, token, payload = coap.parse(data)
        if kind == coap.ACK:
            if self.waiting and self.waiting[0][1] == message_id:
                _, _, done = self.waiting.pop(0)
                if self.waiting:
                    self.send()
                done(code, payload)
        elif code >> 5 == 2:
            if kind == coap.CON:
                self.link.send(coap.message(coap.ACK, coap.EMPTY, message_id))
            name = payload.decode()
            # It says neither its topic, where that is plain, nor its QoS.
            message = self.ledger.messages.get(name)
            topic, qos = (message.topic, min(message.qos, 1)) if message else ("?", 0)
            self.ledger.received(self.session, topic, name, qos, True, False)
        elif code >= 0x80:
            raise Finding(f"{self.name} is told {code >> 5}.{code & 31:02} {payload}")

    def connection_lost(self, link):
        pass

    @property
    def may_publish(self):
        return self.token is not None

    @property
    def is_settled(self):
        return self.token is not None and not self.waiting and len(self.observed) == len(self.filters)
