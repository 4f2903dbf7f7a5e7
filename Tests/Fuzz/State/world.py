"""The clients of one broker, and what they do next."""

import time
import urllib.parse

from coap_client import CoAPClient
from http_client import HTTPPublisher, PollClient, StreamClient, head
from json_client import JSONClient
from ledger import Finding, Ledger
from mqtt_client import MQTTClient
from process import Crash
from wire import Loop

TOPICS = ["p/a", "p/b", "p/c/d"]
SHARED_TOPICS = ["s/g/a", "s/g/b", "s/h/a"]
RETAINED_TOPICS = ["r/a", "r/b"]
FILTERS = ["p/a", "p/+", "p/#", "p/c/+"]
SHARES = ["$share/g/s/g/#", "$share/g/s/g/#", "$share/h/s/h/a"]


class World:
    will_topics = TOPICS

    def __init__(self, broker, random):
        self.broker, self.random = broker, random
        self.loop, self.ledger = Loop(), Ledger()
        # Of connections that were closed since the last kill or check.
        self.wills = []
        self.operations = self.kills = self.checks = 0
        self.mqtt = [MQTTClient(self, f"m{n}", 5) for n in range(5)] + [MQTTClient(self, f"o{n}", 4) for n in range(2)]
        self.pages = [JSONClient(self, f"j{n}") for n in range(2)]
        self.talkers = self.mqtt + self.pages
        self.listeners = [StreamClient(self, "e0"), PollClient(self, "l0")]
        self.device = CoAPClient(self, "c0")
        self.publishers = self.talkers + [HTTPPublisher(self, "h0"), self.device]
        self.retained = HTTPPublisher(self, "h1")
        self.clients = self.talkers + self.listeners + [self.device, self.publishers[-2], self.retained]

    def share_of(self, session, topic):
        """The ShareName a message has come by: nobody subscribes to these topics in another way."""
        return topic.split("/")[1] if topic.startswith("s/") else None

    def unexpected_loss(self, client):
        try:
            self.broker.process.wait(2)
        except Exception:
            raise Finding(f"the broker has closed the connection of {client.name}") from None
        self.broker.check()
        raise Crash("the broker is gone")

    # Operations

    def operate(self):
        """One thing that some client does, in a segment of its own or with others."""
        self.operations += 1
        draw = self.random.random()
        if draw < 0.5:
            self.publish()
        elif draw < 0.53:
            self.random.choice(self.listeners + [self.device]).subscribe(self.random.choice(FILTERS), 2)
        elif draw < 0.56:
            self.come_and_go(self.random.choice(self.listeners + [self.device]))
        elif draw < 0.58:
            self.publishers[-2].drop(self.random)
        else:
            self.talk(self.random.choice(self.talkers))
        if self.random.random() < 0.3:
            self.loop.turn()

    def come_and_go(self, client):
        if client.link is None or self.random.random() < 0.5:
            client.connect(self.random)
        else:
            client.drop(self.random)

    def publish(self):
        client = self.random.choice(self.publishers)
        if not client.may_publish:
            return
        qos = self.random.choice([0, 1, 1, 2, 2])
        draw = self.random.random()
        if draw < 0.15:
            client.publish(self.random.choice(RETAINED_TOPICS), qos, True, self.random.random() < 0.2)
            return
        topics = SHARED_TOPICS if draw < 0.55 else TOPICS
        for _ in range(self.random.choice([1, 1, 2, 5])):
            client.publish(self.random.choice(topics), qos)

    def talk(self, client):
        if client.link is None:
            return client.connect(self.random)
        client.link.is_corked = self.random.random() < 0.6
        draw = self.random.random()
        if draw < 0.25:
            if client.session.since and client.session.was_stored and self.random.random() < 0.5:
                client.subscribe(self.random.choice(SHARES), self.random.choice([1, 2]))
            else:
                client.subscribe(self.random.choice(FILTERS), self.random.choice([0, 1, 2, 2]))
        elif draw < 0.5:
            client.unsubscribe(self.random)
        elif draw < 0.65:
            client.connect(self.random)
        elif draw < 0.75:
            client.drop(self.random)
        elif draw < 0.85:
            client.disconnect(self.random)
        elif draw < 0.9:
            client.settle()
        else:
            client.is_lazy = True

    # The broker's end

    def restart(self):
        for client in self.talkers:
            if client.link and self.random.random() < 0.5:
                client.link.is_corked = False
        self.loop.turns(self.random.choice([0, 0, 0.001, 0.01, 0.05]))
        self.broker.kill()
        self.ledger.note("the broker", "is killed")
        self.kills += 1
        for link in list(self.loop.links):
            link.owner = None
        for client in self.clients:
            client.killed()
        # Whether it has noticed that they were due is unknown.
        self.wills = []
        for link in list(self.loop.links):
            link.close()
        self.broker.start()

    # Checks

    def check(self):
        """All come back and take what there is; what must have come, has."""
        self.checks += 1
        for client in self.talkers:
            if client.link and not client.is_connected:
                client.link.is_corked = False
        self.wait_for(lambda: [c.name for c in self.clients if not self.is_settled(c)], "without an answer")
        self.device.settle()
        for will in self.wills:
            self.ledger.acked(will)
        self.wills = []
        self.wait_for(self.ledger.missing, "lost")
        self.check_retained()
        self.ledger.settle()

    def is_settled(self, client):
        """Whether it is there, has all its answers, and has given all of its own."""
        if client in self.talkers:
            client.settle()
        if client in self.talkers + self.listeners + [self.device] and client.link is None:
            client.connect(self.random, expiry=300)
        return client.is_settled or (client in self.listeners and not client.filters)

    def wait_for(self, left, what):
        """Until nothing is left, or it gets no less for long."""
        least, patience = None, 0
        while found := left():
            if least is None or len(found) < least:
                least, patience = len(found), time.monotonic() + 15
            self.loop.turns(0.02)
            self.device.tick()
            self.broker.check()
            if time.monotonic() > patience:
                raise Finding(f"{len(found)} {what}: {', '.join(found[:5])}")

    def check_retained(self):
        for topic in RETAINED_TOPICS:
            answers = []
            path = "/v1/topics/" + urllib.parse.quote(topic)
            self.retained.connection.request(head("GET", path), lambda *answer: answers.append(answer))
            self.wait_for(lambda: [] if answers else [topic], "without an answer")
            status, body = answers[0]
            if status not in (200, 404):
                raise Finding(f"GET {path}: {status} {body}")
            self.ledger.check_retained(topic, body.decode() if status == 200 else None)
