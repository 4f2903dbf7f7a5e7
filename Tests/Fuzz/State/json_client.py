"""A page: `sluice.json`, whose messages have names that stay the same over connections and restarts."""

import json

import websocket
from ledger import Finding
from wire import Link


class JSONClient:
    def __init__(self, world, name):
        self.world, self.ledger, self.name = world, world.ledger, name
        self.link = self.former = None
        self.session = None
        self.must_clean = False
        self.is_connected = False
        self.expiry = 0
        self.next_label = 0
        # What has not been answered, by its label.
        self.asked = {}
        self.owed, self.is_lazy = [], False

    def connect(self, random, clean=None, expiry=None):
        if self.link and not self.is_connected or self.is_leaving:
            return
        self.let_go()
        if self.session and self.session.since is None:
            self.end_session()
        clean = self.must_clean or (random.random() < 0.1 if clean is None else clean)
        if clean and self.session:
            self.end_session()
        self.is_new = self.session is None
        if self.is_new:
            self.session = self.ledger.begin(self.name)
        self.expiry = random.choice([0, 300, 300]) if expiry is None else expiry
        self.is_clean, self.is_upgraded = clean, False
        self.link = Link(self.world.loop, self.world.broker.http, self)
        self.ledger.note(self.name, f"connect clean {clean} expiry {self.expiry}")
        self.link.send(websocket.handshake())
        self.say(
            op="connect",
            clientid=self.name,
            clean_start=clean,
            session_expiry_interval=self.expiry,
            receive_maximum=random.choice([1, 3, 100]),
        )

    def say(self, **operation):
        self.link.send(websocket.frame(operation))

    def ask(self, what, **operation):
        self.next_label += 1
        self.asked[self.next_label] = what
        self.say(id=self.next_label, **operation)

    @property
    def is_leaving(self):
        return self.former is not None and self.former.is_open

    def let_go(self, is_sent=True):
        if self.link:
            self.former = self.link
            if is_sent or not self.is_connected:
                self.link.leave()
            else:
                self.link.close()
        self.link, self.is_connected, self.asked, self.owed = None, False, {}, []
        if self.session and self.expiry == 0:
            self.end_session()

    def end_session(self):
        if self.session.was_stored or self.session.since is None:
            self.must_clean = True
        self.session.end()
        self.session = None

    def drop(self, random):
        self.ledger.note(self.name, "closes")
        self.let_go(is_sent=random.random() < 0.5)

    def disconnect(self, random):
        if self.expiry > 0 and random.random() < 0.5:
            self.expiry = random.choice([0, 600])
            self.ledger.note(self.name, f"disconnect expiry {self.expiry}")
            self.say(op="disconnect", session_expiry_interval=self.expiry)
        else:
            self.say(op="disconnect")
        self.let_go()

    def subscribe(self, filter, qos):
        self.session.may_share |= filter.startswith("$share/")
        # Until the answer comes, if it comes, it is as it was or as it is asked for.
        self.session.unsubscribing(filter)
        self.ask((filter, qos), op="subscribe", topic=filter, qos=qos)

    def unsubscribe(self, random):
        asked = [request[0] for request in self.asked.values() if isinstance(request, tuple)]
        filters = [s.filter for s in self.session.subscriptions if s.until is None and s.filter not in asked]
        if filters:
            filter = random.choice(filters)
            self.session.unsubscribing(filter)
            self.ledger.note(self.name, f"unsubscribe {filter}")
            self.ask(None, op="unsubscribe", topic=filter)

    def publish(self, topic, qos, retain=False, clears=False):
        message = self.ledger.publishing(topic, qos, self.name, retain, clears)
        payload = "" if clears else message.name
        self.ask(message, op="publish", topic=topic, payload=payload, qos=qos, retain=retain)

    def settle(self):
        self.is_lazy = False
        if self.link:
            self.link.is_corked = False
            for name in self.owed:
                self.say(op="ack", id=name)
        self.owed = []

    # What comes

    def bytes_came(self, link):
        if not self.is_upgraded:
            end = link.input.find(b"\r\n\r\n")
            if end < 0:
                return
            if not link.input.startswith(b"HTTP/1.1 101"):
                raise Finding(f"{self.name}: {bytes(link.input[:end])}")
            del link.input[: end + 4]
            self.is_upgraded = True
        while link.is_open and (came := websocket.take_frame(link.input)):
            if came[0] == 1:
                self.said(json.loads(came[1]))
            elif came[0] == 9:
                link.send(b"\x8a\x80\0\0\0\0")

    def said(self, what):
        operation = what["op"]
        if operation == "message":
            return self.message(what)
        if operation in ("error", "disconnect") or what.get("reason_code", 0) >= 0x80:
            raise Finding(f"{self.name} was told {what}")
        if operation == "connected":
            return self.connected(what["session_present"])
        asked = self.asked.pop(what["id"])
        if operation == "subscribed":
            if what["reason_codes"] != [asked[1]]:
                raise Finding(f"{self.name} asked for {asked} and was told {what}")
            # One that is asked for again meanwhile may be as it is asked for last.
            if asked[0] not in [request[0] for request in self.asked.values() if isinstance(request, tuple)]:
                self.session.subscribed(*asked)
        elif operation == "published":
            self.ledger.acked(asked)

    def connected(self, is_present):
        if is_present != (not self.is_new and not self.is_clean):
            raise Finding(f"{self.name}: session present {is_present}, and it is {'new' if self.is_new else 'not'}")
        self.ledger.note(self.name, f"connected session present {is_present}")
        self.is_connected, self.must_clean = True, False
        self.session.since = self.session.since or self.ledger.tick()
        self.session.was_stored = self.session.was_stored or self.expiry > 0

    def message(self, what):
        topic, qos, name = what["topic"], what["qos"], what.get("id")
        if name is None or name not in self.session.seen:
            share = self.world.share_of(self.session, topic)
            self.ledger.received(self.session, topic, what["payload"], qos, not what["retain"], True, share)
        if name:
            self.session.seen.add(name)
            if self.is_lazy:
                self.owed.append(name)
            else:
                self.say(op="ack", id=name)

    def connection_lost(self, link):
        if link is self.link:
            self.world.unexpected_loss(self)

    def killed(self):
        if self.link:
            self.link.close()
        self.let_go(is_sent=False)

    @property
    def may_publish(self):
        return self.link is not None

    @property
    def is_settled(self):
        return self.is_connected and not self.asked and not self.owed
