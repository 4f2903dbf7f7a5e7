"""A client that keeps its own half of the Session State, as the standard asks (MQTT 5.0 §4.1)."""

import mqtt
from ledger import Finding
from wire import Link, Nobody

FOR_EVER = 0xFFFFFFFF


class MQTTClient:
    # Publishes under way; some more may come at once.
    MOST_PUBLISHES = 10

    def __init__(self, world, name, version):
        self.world, self.ledger, self.name, self.version = world, world.ledger, name, version
        self.link = self.former = None
        self.session = None
        # Whether the broker may have a session of this name that nobody knows enough of.
        self.must_clean = False
        self.is_connected = False
        self.expiry = 0
        self.next_id = 0
        # Publishes and requests without their last answer, by Packet Identifier, oldest first.
        self.publishes, self.requests = {}, {}
        # Acknowledgements that are held back for now, and whether they are.
        self.owed, self.is_lazy = [], False
        # The present connection's will, and how many there have been.
        self.will, self.wills = None, 0

    # What the world may ask for

    def connect(self, random, clean=None, expiry=None):
        """On top of whatever connection there is."""
        if self.link and not self.is_connected or self.is_leaving:
            return
        if self.link and random.random() < 0.5:
            # The former connection is left for the broker to close.
            self.link.is_corked = False
            self.link.flush()
            self.link.owner = Nobody()
            self.former, self.link = None, None
        self.let_go()
        if self.session and self.session.since is None:
            # Nobody has said whether it is there.
            self.end_session()
        clean = self.must_clean or (random.random() < 0.1 if clean is None else clean)
        if self.version == 4:
            # A session without a name to be told apart from ends with its connection.
            expiry = 0 if clean else FOR_EVER
        elif expiry is None:
            expiry = random.choice([0, 300, 300, 300, FOR_EVER])
        if clean and self.session:
            self.end_session()
        self.is_new = self.session is None
        if self.is_new:
            self.session = self.ledger.begin(self.name)
            self.publishes, self.requests = {}, {}
        self.expiry, self.is_clean = expiry, clean
        self.requests = {}
        self.to_resend = list(self.publishes)
        self.link = Link(self.world.loop, self.world.broker.mqtt, self)
        receive_maximum = random.choice([None, None, 1, 3])
        self.ledger.note(self.name, f"CONNECT clean {clean} expiry {expiry} Receive Maximum {receive_maximum}")
        self.will = self.make_will(random) if random.random() < 0.3 else None
        will = self.will and (self.will.topic, self.will.name, self.will.qos)
        self.link.send(mqtt.connect(self.version, self.name, clean, expiry, receive_maximum, will))

    def make_will(self, random):
        """A message that may come from now on, and must when the connection is closed without DISCONNECT [MQTT-3.1.2-8]."""
        self.wills += 1
        topic = random.choice(self.world.will_topics)
        return self.ledger.publishing(topic, random.choice([1, 2]), f"{self.name}-will{self.wills}")

    def let_go(self, is_sent=True):
        """Closes the network connection from this end, which ends a session without expiry."""
        if self.is_connected and self.will:
            self.world.wills.append(self.will)
            self.will.sent_at = self.ledger.tick()
        if self.link:
            self.former = self.link
            if is_sent or not self.is_connected:
                self.link.leave()
            else:
                self.link.close()
        self.link, self.is_connected, self.owed = None, False, []
        if self.session and not self.is_lasting:
            self.end_session()

    @property
    def is_leaving(self):
        return self.former is not None and self.former.is_open

    @property
    def is_lasting(self):
        return self.expiry > 0

    def end_session(self):
        """It may be gone from now on; if it was ever stored, a crash may bring it back."""
        if self.session.was_stored or self.session.since is None:
            self.must_clean = True
        self.session.end()
        self.session = None

    def drop(self, random):
        self.ledger.note(self.name, "closes")
        self.let_go(is_sent=random.random() < 0.5)

    def disconnect(self, random):
        expiry = random.choice([None, None, 0, 0, 600]) if self.version == 5 and self.is_lasting else None
        self.ledger.note(self.name, f"DISCONNECT expiry {expiry}")
        self.will = None
        self.link.send(mqtt.disconnect(self.version, expiry))
        if expiry == 0:
            self.expiry = 0
        self.let_go()

    def subscribe(self, filter, qos):
        self.session.may_share |= filter.startswith("$share/")
        # Until the answer comes, if it comes, it is as it was or as it is asked for.
        self.session.unsubscribing(filter)
        packet_id = self.take_id()
        self.requests[packet_id] = (filter, qos)
        self.link.send(mqtt.subscribe(self.version, packet_id, filter, qos))

    def unsubscribe(self, random):
        # One that is being subscribed to again is left alone: its SUBACK would look as if it came later.
        asked = [request[0] for request in self.requests.values() if request]
        filters = [s.filter for s in self.session.subscriptions if s.until is None and s.filter not in asked]
        if filters:
            filter = random.choice(filters)
            self.session.unsubscribing(filter)
            self.ledger.note(self.name, f"UNSUBSCRIBE {filter}")
            packet_id = self.take_id()
            self.requests[packet_id] = None
            self.link.send(mqtt.unsubscribe(self.version, packet_id, filter))

    def publish(self, topic, qos, retain=False, clears=False):
        message = self.ledger.publishing(topic, qos, self.name, retain, clears)
        packet_id = self.take_id() if qos else 0
        if qos:
            self.publishes[packet_id] = [message, retain, False]
        self.link.send(self.encoded(message, retain, packet_id))

    def encoded(self, message, retain, packet_id, dup=False):
        payload = "" if message.clears else message.name
        return mqtt.publish(self.version, message.topic, payload, message.qos, retain, packet_id, dup)

    def settle(self):
        """Acknowledges what was held back."""
        self.is_lazy = False
        if self.link:
            self.link.is_corked = False
            for answer in self.owed:
                self.link.send(mqtt.acknowledgement(*answer))
        self.owed = []

    def take_id(self):
        while True:
            self.next_id = self.next_id % 65535 + 1
            if self.next_id not in self.publishes and self.next_id not in self.requests:
                return self.next_id

    # What comes

    def bytes_came(self, link):
        while link.is_open and (came := mqtt.take_packet(link.input)):
            self.packet_came(*came)

    def packet_came(self, kind, flags, body):
        packet_id = int.from_bytes(body[:2]) if kind != mqtt.PUBLISH else 0
        if kind == mqtt.CONNACK:
            self.connack(body[0] & 1, body[1])
        elif kind == mqtt.PUBLISH:
            self.publish_came(*mqtt.parse_publish(self.version, flags, body))
        elif kind == mqtt.PUBACK or kind == mqtt.PUBREC:
            self.publish_answered(kind, packet_id, body[2] if len(body) > 2 else 0)
        elif kind == mqtt.PUBCOMP:
            self.publishes.pop(packet_id, None)
        elif kind == mqtt.PUBREL:
            self.session.seen.discard(packet_id)
            self.answer(mqtt.PUBCOMP, packet_id)
        elif kind == mqtt.SUBACK:
            filter, qos = self.requests.pop(packet_id)
            if body[-1] != qos:
                raise Finding(f"{self.name}: SUBSCRIBE {filter} at QoS {qos} answered {body[-1]:#x}")
            # One that is asked for again meanwhile may be as it is asked for last.
            if filter not in [request[0] for request in self.requests.values() if request]:
                self.session.subscribed(filter, qos)
        elif kind == mqtt.UNSUBACK:
            self.requests.pop(packet_id)
        elif kind == mqtt.DISCONNECT:
            raise Finding(f"{self.name}: DISCONNECT {body.hex()}")

    def connack(self, is_present, reason):
        if reason:
            raise Finding(f"{self.name}: CONNACK {reason:#x}")
        if is_present != (not self.is_new and not self.is_clean):
            raise Finding(f"{self.name}: session present {is_present}, and it is {'new' if self.is_new else 'not'}")
        self.ledger.note(self.name, f"CONNACK session present {is_present}")
        self.is_connected, self.must_clean = True, False
        session = self.session
        session.since = session.since or self.ledger.tick()
        session.was_stored = session.was_stored or self.is_lasting
        for packet_id in self.to_resend:
            # [MQTT-4.4.0-1]
            message, retain, is_released = self.publishes[packet_id]
            message.is_resent = True
            self.link.send(
                mqtt.acknowledgement(mqtt.PUBREL, packet_id)
                if is_released
                else self.encoded(message, retain, packet_id, dup=True)
            )

    def publish_answered(self, kind, packet_id, reason):
        message, _, _ = publish = self.publishes[packet_id]
        if reason >= 0x80:
            raise Finding(f"{self.name}: {message.name} at QoS {message.qos} answered {reason:#x}")
        self.ledger.acked(message)
        if kind == mqtt.PUBACK:
            del self.publishes[packet_id]
        else:
            publish[2] = True
            self.link.send(mqtt.acknowledgement(mqtt.PUBREL, packet_id))

    def publish_came(self, topic, payload, qos, is_retained, packet_id):
        if qos < 2 or packet_id not in self.session.seen:
            share = self.world.share_of(self.session, topic)
            self.ledger.received(self.session, topic, payload, qos, not is_retained, qos == 2, share)
        if qos == 2:
            self.session.seen.add(packet_id)
        if qos:
            self.answer(mqtt.PUBACK if qos == 1 else mqtt.PUBREC, packet_id)

    def answer(self, kind, packet_id):
        if self.is_lazy:
            self.owed.append((kind, packet_id))
        else:
            self.link.send(mqtt.acknowledgement(kind, packet_id))

    def connection_lost(self, link):
        if link is self.link:
            self.world.unexpected_loss(self)

    def killed(self):
        """The broker is gone."""
        if self.link:
            self.link.close()
        self.let_go(is_sent=False)

    @property
    def may_publish(self):
        """Nothing may go before what is to be sent again, nor beyond the broker's Receive Maximum."""
        return self.link and (self.is_connected or not self.publishes) and len(self.publishes) < self.MOST_PUBLISHES

    @property
    def is_settled(self):
        return self.is_connected and not self.publishes and not self.requests and not self.owed
