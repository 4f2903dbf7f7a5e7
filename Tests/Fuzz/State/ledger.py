"""What was published, subscribed to and received, and what must hold of it.

Time is a count of events: what a client has been told of happened before what it sends next. A message counts as due only
where the order of events leaves no doubt, so whatever is missing then is a finding.
"""

import math
from collections import defaultdict, deque


def matches(topic_filter, topic):
    """Whether a topic matches a filter, level by level [MQTT-4.7.1-2]."""
    levels, names = topic_filter.split("/"), topic.split("/")
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place >= len(names) or level not in ("+", names[place]):
            return False
    return len(levels) == len(names)


class Finding(Exception):
    """Something does not hold."""


class Message:
    def __init__(self, name, topic, qos, clears, stream, number, sent_at):
        self.name, self.topic, self.qos = name, topic, qos
        # Whether it has no payload, and takes away what is retained.
        self.clears = clears
        self.stream, self.number = stream, number
        self.sent_at = sent_at
        # Whether it was sent again, and so has no place in an order.
        self.is_resent = False
        # When its publisher was told that the broker has it.
        self.acked_at = None


class Subscription:
    def __init__(self, filter, qos, since):
        self.filter, self.qos, self.since = filter, qos, since
        # When its UNSUBSCRIBE was sent.
        self.until = None


class Session:
    """The Session State of one Client Identifier, from its beginning to where it may have ended."""

    def __init__(self, ledger, client):
        self.ledger, self.client = ledger, client
        # Since when it is known to be there; None until then.
        self.since = None
        # Whether the store has had it, so that a crash may bring it back.
        self.was_stored = False
        # Whether it may have shared subscriptions, told so or not.
        self.may_share = False
        self.is_over = False
        self.subscriptions = []
        # Packet Identifiers of QoS 2 messages that are not released, or event identifiers seen.
        self.seen = set()
        self.got = {}
        self.last = {}

    def subscribed(self, filter, qos):
        self.unsubscribing(filter)
        self.ledger.note(self.client, f"is subscribed to {filter} QoS {qos}")
        self.subscriptions.append(Subscription(filter, qos, self.ledger.tick()))

    def unsubscribing(self, filter):
        for subscription in self.subscriptions:
            if subscription.filter == filter and subscription.until is None:
                subscription.until = self.ledger.tick()

    def end(self):
        """From now on it may not be there any more."""
        if not self.is_over:
            self.ledger.note(self.client, "has no session any more, for all that is known")
            self.is_over = True
            self.ledger.ended(self)


class Ledger:
    def __init__(self):
        self.clock = 0
        self.messages = {}
        # Those that have not been seen to by a check.
        self.unsettled = []
        self.sessions = []
        self.numbers = defaultdict(int)
        # Publishes to each topic that is retained, oldest first.
        self.retained = defaultdict(list)
        # Deliveries of messages that went to shared subscriptions, by their ShareName.
        self.shared = defaultdict(lambda: defaultdict(list))
        # When sessions with shared subscriptions may have ended last.
        self.shares_left_at = 0
        self.acknowledged = self.delivered = self.duplicates = 0

        # What happened last, for whoever has to find out why something does not hold.
        self.story = deque(maxlen=20_000)

    def tick(self):
        self.clock += 1
        return self.clock

    def note(self, who, what):
        self.story.append(f"{self.clock} {who} {what}")

    # Publishing

    def publishing(self, topic, qos, stream, retain=False, clears=False):
        """A message is about to be sent; `stream` is whoever's order counts."""
        self.numbers[stream] += 1
        name = f"{stream}:{self.numbers[stream]}"
        message = Message(name, topic, qos, clears, stream, self.numbers[stream], self.tick())
        self.messages[name] = message
        self.note(stream, f"PUBLISH {name} {topic} QoS {qos}{' RETAIN' if retain else ''}{' empty' if clears else ''}")
        self.unsettled.append(message)
        if retain:
            self.retained[topic].append(message)
        return message

    def acked(self, message):
        if message.acked_at is None:
            message.acked_at = self.tick()
            self.note(message.stream, f"has the answer to {message.name}")
            self.acknowledged += message.qos > 0

    # Sessions

    def begin(self, client):
        session = Session(self, client)
        self.sessions.append(session)
        return session

    def ended(self, session):
        self.sessions.remove(session)
        if session.may_share:
            # The broker may come to know of it later, until the next check.
            self.shares_left_at = math.inf

    # Receiving

    def received(self, session, topic, payload, qos, is_live, is_exact, share=None):
        """A delivery has come that the client has not seen before.

        `is_live`: not for being retained when it was subscribed to. `is_exact`: the protocol tells repetitions.
        """
        self.note(session.client, f"gets {payload or 'nothing'} on {topic} QoS {qos}{'' if is_live else ' retained'}")
        if not payload:
            return
        message = self.messages.get(payload)
        if message is None:
            raise Finding(f"{session.client} got {payload!r} on {topic}, which nobody published")
        if message.topic != topic or qos > message.qos:
            raise Finding(f"{session.client} got {payload} on {topic} at QoS {qos}: {message.topic}, QoS {message.qos}")
        if not is_live:
            return
        self.delivered += 1
        if share:
            deliveries = self.shared[share][payload]
            deliveries.append((session.client, qos))
            if is_exact and [taken[1] for taken in deliveries].count(2) > 1:
                raise Finding(f"{payload} went to {deliveries}, each at QoS 2, by {share}")
            return
        former = session.got.get(payload)
        if former is not None:
            self.duplicates += 1
            # At QoS 0 and 1 it may have come before the store had it, and come again with its publisher's repetition.
            if qos == 2 and former == 2 and is_exact:
                raise Finding(f"{session.client} got {payload} twice at QoS 2")
            return
        session.got[payload] = qos
        stream = (message.stream, topic, message.qos, qos)
        if message.is_resent:
            return
        if session.last.get(stream, 0) > message.number:
            raise Finding(f"{session.client} got {payload} after number {session.last[stream]}, at QoS {qos}")
        session.last[stream] = message.number

    # Checking

    def missing(self):
        """What must have come, and has not, in words."""
        missing = []
        acked = [m for m in self.unsettled if m.acked_at is not None and m.qos > 0 and not m.clears]
        for session in self.sessions:
            if session.since is None:
                continue
            for message in acked:
                if message.name not in session.got and self.is_due(message, session):
                    missing.append(f"{message.name} on {message.topic} at QoS {message.qos} to {session.client}")
        return missing + self.missing_of_shares(acked)

    @staticmethod
    def is_due(message, session):
        if session.since > message.sent_at:
            return False
        return any(
            subscription.qos > 0
            and subscription.since <= message.sent_at
            and (subscription.until is None or subscription.until > message.acked_at)
            and matches(subscription.filter, message.topic)
            for subscription in session.subscriptions
            if not subscription.filter.startswith("$share/")
        )

    def missing_of_shares(self, acked):
        """Each message of a share goes to one member at least, as long as there is one that stays.

        What was sent at QoS 2 to one whose session has ended goes to nobody else [MQTT-4.8.2-5].
        """
        staying = [
            (session, subscription)
            for session in self.sessions
            for subscription in session.subscriptions
            if session.since is not None and subscription.filter.startswith("$share/") and subscription.until is None
        ]
        missing = []
        for session, subscription in staying:
            share, filter = subscription.filter.split("/", 2)[1:]
            for message in acked:
                if message.name in self.shared[share] or not matches(filter, message.topic):
                    continue
                if subscription.since > message.sent_at or session.since > message.sent_at:
                    continue
                if message.qos == 2 and self.shares_left_at > message.sent_at:
                    continue
                missing.append(f"{message.name} on {message.topic} at QoS {message.qos} by {subscription.filter}")
        return missing

    def values(self, topic):
        """What may be retained: each publish but those that another one has surely followed."""
        history = self.retained[topic]
        acked = [m.sent_at for m in history if m.acked_at is not None and m.qos > 0]
        last = max(acked, default=0)
        return [m for m in history if m.acked_at is None or m.acked_at >= last]

    def check_retained(self, topic, value):
        kept = self.values(topic)
        allowed = {None if m.clears else m.name for m in kept}
        if not any(m.acked_at is not None and m.qos > 0 for m in kept):
            allowed.add(None)
        if value not in allowed:
            raise Finding(f"{topic} has {value!r}, and not one of {sorted(map(str, allowed))}")
        self.retained[topic] = kept

    def settle(self):
        """A check has found all there: only what is not acknowledged yet can still become due."""
        self.shares_left_at = min(self.shares_left_at, self.tick())
        self.unsettled = [m for m in self.unsettled if m.acked_at is None and m.qos > 0]
