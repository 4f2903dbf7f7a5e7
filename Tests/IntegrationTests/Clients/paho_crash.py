"""paho-mqtt's clients publish and subscribe while the broker is killed again and again.

usage: paho_crash.py EXECUTABLE ROUNDS PROTOCOL_VERSION

One publisher at QoS 1 and one at QoS 2, one subscriber with a session that outlives its connections. The library itself
connects anew and sends again. Prints one line of JSON; the exit status is 1 when anything acknowledged is missing, or
anything of QoS 2 came twice.
"""

import collections
import json
import random
import socket
import sys
import threading
import time

import paho.mqtt.client as mqtt
from killable_broker import Broker, free_port
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 60
port = free_port()


class Paho(mqtt.Client):
    """Tries to come back only when somebody listens.

    At a second try in a row the library forgets that a QoS 2 message is released (`_messages_reconnect_reset_out` makes a
    resend_pubrel a publish) and publishes it again.
    """

    def reconnect(self):
        wait_for_start()
        return super().reconnect()


class Client:
    """A client whose session stays, and that comes back by itself."""

    def __init__(self, name, version):
        arguments = {} if version == mqtt.MQTTv5 else {"clean_session": False}
        self.paho = Paho(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version, **arguments)
        self.paho.reconnect_delay_set(1, 1)
        self.paho.max_queued_messages_set(0)
        self.paho.on_connect = lambda *_: self.connected.set()
        self.connected = threading.Event()
        self.version = version

    def start(self):
        arguments = {}
        if self.version == mqtt.MQTTv5:
            arguments["clean_start"] = False
            arguments["properties"] = Properties(PacketTypes.CONNECT)
            arguments["properties"].SessionExpiryInterval = 3600
        self.paho.connect("127.0.0.1", port, **arguments)
        self.paho.loop_start()
        assert self.connected.wait(PATIENCE)


class Publisher(Client):
    """A client that publishes as long as it may, numbers in ascending order."""

    def __init__(self, qos, version):
        super().__init__(f"publisher-{qos}", version)
        self.qos, self.number, self.acknowledged, self.under_way = qos, 0, set(), {}
        # Filled by the library's thread, which must not wait for ours.
        self.answered = collections.deque()
        self.paho.on_publish = lambda _client, _userdata, packet_id, *_: self.answered.append(packet_id)

    def publish(self):
        """Publishes the next message unless too many are under way."""
        if self.settle() < 20:
            self.number += 1
            self.under_way[self.paho.publish(f"crash/{self.qos}", str(self.number), self.qos).mid] = self.number

    def settle(self):
        """How many are under way."""
        while self.answered and self.answered[0] in self.under_way:
            self.acknowledged.add(self.under_way.pop(self.answered.popleft()))
        return len(self.under_way)


def wait(words, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, words
        time.sleep(0.01)


def run(broker, rounds, version):
    subscriber = Client("subscriber", version)
    counts, order, subscribed = collections.Counter(), collections.defaultdict(list), threading.Event()

    def on_message(_client, _userdata, message):
        key = (message.topic, int(message.payload))
        counts[key] += 1
        if counts[key] == 1:
            order[message.topic].append(key[1])

    subscriber.paho.on_message = on_message
    subscriber.paho.on_subscribe = lambda *_: subscribed.set()
    broker.start()
    wait_for_start()
    subscriber.start()
    subscriber.paho.subscribe("crash/#", 2)
    assert subscribed.wait(PATIENCE)
    publishers = [Publisher(qos, version) for qos in (1, 2)]
    for publisher in publishers:
        publisher.start()
    kills = 0
    while kills < rounds:
        for client in (subscriber, *publishers):
            client.connected.clear()
        until = time.monotonic() + random.uniform(0.05, 0.5)
        while time.monotonic() < until:
            for publisher in publishers:
                publisher.publish()
            time.sleep(0.0005)
        broker.kill()
        kills += 1
        broker.start()
        wait("the clients' return", lambda: all(p.connected.is_set() for p in (subscriber, *publishers)))
    wait("acknowledgements", lambda: not sum(publisher.settle() for publisher in publishers))
    acknowledged = [(f"crash/{p.qos}", number) for p in publishers for number in p.acknowledged]
    wait("the messages", lambda: all(counts[key] for key in acknowledged))
    # A repetition would come before the answer to a subscription made now.
    subscribed.clear()
    subscriber.paho.subscribe("crash/after", 2)
    assert subscribed.wait(PATIENCE)
    for client in (subscriber, *publishers):
        client.paho.disconnect()
        client.paho.loop_stop()
    return {
        "kills": kills,
        "acknowledged": len(acknowledged),
        "delivered": len(counts),
        "missing": sum(not counts[key] for key in acknowledged),
        "duplicatesQoS1": sum(n - 1 for (topic, _), n in counts.items() if topic == "crash/1"),
        "duplicatesQoS2": sum(n - 1 for (topic, _), n in counts.items() if topic == "crash/2"),
        "inOrder": all(numbers == sorted(numbers) for numbers in order.values()),
    }


def wait_for_start():
    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait("the broker's start", listens)


def main():
    executable, rounds, version = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    broker = Broker(
        executable,
        f"listeners: [{{ protocol: mqtt, bind: '127.0.0.1:{port}' }}]\n"
        "sessions: { queue: { messages: 1000000 } }\n"
        "storage: { path: data, durability: strict }\n",
    )
    try:
        figures = run(broker, rounds, version)
    except BaseException:
        print(broker.last_words(), file=sys.stderr)
        raise
    finally:
        broker.remove()
    print(json.dumps(figures))
    sys.exit(1 if figures["missing"] or figures["duplicatesQoS2"] or not figures["inOrder"] else 0)


main()
