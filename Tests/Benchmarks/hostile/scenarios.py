"""The worst that clients are known to have sent: each prepares, yields, and attacks; others are measured from the yield on."""

import json
import random
import socket

from wire import PING, JSONClient, http, length, packet, publish, subscribe, text, unsubscribe, user_property

SCENARIOS = {}


def scenario(name):
    def note(function):
        SCENARIOS[name] = function
        return function

    return note


def scaled(number, scale):
    return max(1, int(number * scale))


def retain(broker, count, topic=lambda number: f"r/{number}", payload=b"x" * 10):
    """Publishes so many retained messages."""
    client = broker.client("retainer")
    packets = [publish(topic(number), payload, retain=True) for number in range(count)]
    for place in range(0, count, 1000):
        client.send(b"".join(packets[place : place + 1000]))
        client.ping()
    client.close()


def subscribed(broker, client_id, filters, at_once=200, **options):
    """A client with these subscriptions, made without looking for long ones in one packet."""
    client = broker.client(client_id, **options)
    for place in range(0, len(filters), at_once):
        client.send(subscribe(filters[place : place + at_once]))
        client.packet(0x90)
    return client


# What one packet names


@scenario("# 200,000 times in one SUBSCRIBE, 100 retained")
def subscribe_many(broker, scale):
    retain(broker, 100)
    client, data = broker.client("attacker"), subscribe(["#"] * scaled(200_000, scale))
    yield
    client.send(data)
    client.drain(10)


@scenario("# 60,000 times in one SUBSCRIBE, 100,000 retained")
def subscribe_retained(broker, scale):
    retain(broker, scaled(100_000, scale))
    client, data = broker.client("attacker"), subscribe(["#"] * scaled(60_000, scale))
    yield
    client.send(data)
    client.drain(10)


@scenario("# 1,000 times in one SUBSCRIBE, 100,000 retained")
def subscribe_granted(broker, scale):
    retain(broker, scaled(100_000, scale))
    client, data = broker.client("attacker"), subscribe(["#"] * 1_000)
    yield
    client.send(data)
    client.drain(20)


@scenario("$SYS/# 100,000 times in one SUBSCRIBE")
def subscribe_system(broker, scale):
    client, data = broker.client("attacker"), subscribe(["$SYS/#"] * scaled(100_000, scale))
    yield
    client.send(data)
    client.drain(10)


@scenario("1,000 new filters of 200 levels in one SUBSCRIBE, 20 times")
def subscribe_deep(broker, scale):
    chance = random.Random(1)
    clients = [broker.client(f"attacker-{number}") for number in range(20)]
    data = [
        subscribe(["/".join(chance.choice("+ab") for _ in range(200)) for _ in range(1_000)]) for _ in clients
    ]
    yield
    for client, message in zip(clients, data):
        client.send(message)
    for client in clients:
        client.packet(0x90)


@scenario("UNSUBSCRIBE of 300,000 filters, and of 1,000 that there are")
def unsubscribe_many(broker, scale):
    filters = [f"a/+/{number}" for number in range(1_000)]
    client = subscribed(broker, "attacker", filters)
    other = broker.client("other")
    data, more = unsubscribe(filters), unsubscribe(["x"] * scaled(300_000, scale))
    yield
    client.send(data)
    client.packet(0xB0)
    other.send(more)
    other.drain(5)


@scenario("topic=%23 as often as a request has room, 100,000 retained, 20 requests")
def http_topics(broker, scale):
    retain(broker, scaled(100_000, scale))
    query = "&".join(["topic=%23"] * 1_600)
    request = f"GET /v1/subscribe?{query}&wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    yield
    for _ in range(20):
        http(broker.http, request)


@scenario("sluice.json: subscribe with 60,000 topics")
def json_topics(broker, scale):
    client = JSONClient(broker.http)
    client.drain(1)
    data = client.frame(json.dumps({"op": "subscribe", "topics": [{"topic": "#"}] * scaled(60_000, scale)}).encode())
    yield
    client.socket.sendall(data)
    client.drain(10, least=50)


@scenario("sluice.json: 1 MB of nested arrays, of numbers, of keys")
def json_shapes(broker, scale):
    clients = [JSONClient(broker.http) for _ in range(3)]
    size = scaled(1_000_000, scale)
    keys = ",".join(f'"k{number}":1' for number in range(size // 12))
    texts = [
        '{"op":"ping","x":' + "[" * 400 + "]" * 400 + ',"y":[' + ",".join(["[[]]"] * (size // 6)) + "]}",
        '{"op":"ping","x":[' + "1," * (size // 2) + "1]}",
        '{"op":"ping",' + keys + "}",
    ]
    data = [client.frame(value.encode()) for client, value in zip(clients, texts)]
    for client in clients:
        client.drain(1)
    yield
    for client, frame in zip(clients, data):
        client.socket.sendall(frame)
        client.drain(10, least=10)


# Matching


@scenario("5,000 filters that fork at 200 levels, 500 PUBLISH at once")
def forking(broker, scale):
    clients = []
    for number in range(5):
        chance = random.Random(number)
        filters = ["/".join([chance.choice("+a") for _ in range(199)] + ["z"]) for _ in range(1_000)]
        clients.append(subscribed(broker, f"s{number}", filters, at_once=50))
    client = broker.client("attacker")
    data = b"".join(publish("a/" * 199 + f"x{number}") for number in range(scaled(500, scale)))
    yield
    client.send(data)
    client.ping()


@scenario("20,000 filters of 200 levels that match, 200 PUBLISH at once")
def forking_matching(broker, scale):
    clients = []
    for number in range(scaled(20, scale)):
        chance = random.Random(number)
        filters = ["/".join([chance.choice("+a") for _ in range(199)] + ["+"]) for _ in range(1_000)]
        clients.append(subscribed(broker, f"s{number}", filters, at_once=50))
    client = broker.client("attacker")
    data = b"".join(publish("a/" * 199 + f"x{number}") for number in range(200))
    yield
    client.send(data)
    client.ping()


@scenario("all 256 filters of 8 levels that fork, labels of 50 kB, 20 PUBLISH")
def forking_long(broker, scale):
    label = "l" * 50_000
    names = ["/".join("+a"[number >> bit & 1] for bit in range(7)) for number in range(128)]
    client = subscribed(broker, "s", [f"{name}/{label}" for name in names], at_once=10)
    data = b"".join(publish("a/" * 7 + label + str(number % 10)) for number in range(20))
    yield
    client.send(data)
    client.ping()


@scenario("filters come and go with wildcards while others publish")
def outdating(broker, scale):
    clients = [subscribed(broker, f"s{number}", ["t/#"]) for number in range(1_000)]
    attacker, publisher = broker.client("attacker"), broker.client("p")
    data = (subscribe(["a/+"]) + unsubscribe(["a/+"])) * 500
    yield
    for number in range(10):
        attacker.send(data)
        publisher.send(publish(f"t/{number}", b"x") * 100)
        publisher.ping()
    del clients


# Shares


@scenario("30 clients with 1,000 share names at one filter subscribe, get one message each, and leave")
def shares(broker, scale):
    clients = [broker.client(f"s{number}") for number in range(scaled(30, scale))]
    data = [
        subscribe([f"$share/{number}-{share}/t" for share in range(1_000)]) for number in range(len(clients))
    ]
    publisher = broker.client("p")
    yield
    for client, message in zip(clients, data):
        client.send(message)
        client.packet(0x90)
    publisher.send(publish("t", b"x"))
    publisher.ping()
    for client in clients:
        client.close()
    publisher.ping()


@scenario("30,000 shares at one filter, 100 PUBLISH at once")
def shares_publish(broker, scale):
    clients = [
        subscribed(broker, f"s{number}", [f"$share/{number}-{share}/t" for share in range(1_000)], at_once=500)
        for number in range(scaled(30, scale))
    ]
    publisher = broker.client("p")
    yield
    publisher.send(publish("t", b"x") * 100)
    publisher.ping()
    for client in clients:
        client.drain(0.1)


@scenario("a member with 1,000 queued messages of 1,000 shares leaves, 10 times")
def share_leaves(broker, scale):
    filters = [f"$share/{share}/t/{share}" for share in range(1_000)]
    other = broker.client("other", clean=False, expiry=1_000)
    other.send(subscribe(filters, options=1))
    other.packet(0x90)
    other.close()
    yield
    for _ in range(scaled(10, scale)):
        leaver = broker.client("leaver", clean=False, expiry=1_000)
        leaver.send(subscribe(filters, options=1))
        leaver.packet(0x90)
        for place in range(0, 1_000, 100):
            leaver.send(b"".join(publish(f"t/{n}", b"x", 1, packet_id=n + 1) for n in range(place, place + 100)))
        leaver.ping()
        leaver.send(b"\xe0\x07\x00\x05\x11\0\0\0\0")
        leaver.packet(0xF0, 1)


# Ends


@scenario("100 clients with 1,000 subscriptions each leave at once")
def leaving(broker, scale):
    clients = [
        subscribed(broker, f"s{number}", [f"{number}/+/{place}" for place in range(1_000)], at_once=1_000)
        for number in range(scaled(100, scale))
    ]
    yield
    for client in clients:
        client.close()


@scenario("one Client Identifier is taken over 2,000 times, with 1,000 subscriptions")
def takeover(broker, scale):
    filters = [f"a/+/{place}" for place in range(1_000)]
    subscribed(broker, "taken", filters, at_once=1_000, clean=False, expiry=1_000)
    yield
    for number in range(scaled(2_000, scale)):
        client = broker.client("taken", clean=number % 100 == 99, expiry=1_000)
        if number % 100 == 99:
            client.send(subscribe(filters))
            client.packet(0x90)
        client.close()


@scenario("500 clients are gone at once, each with a will to 1,000 subscribers")
def wills(broker, scale):
    watching = [subscribed(broker, f"s{number}", ["w"]) for number in range(scaled(1_000, scale))]
    clients = [broker.client(f"c{number}", will=("w", b"x" * 100)) for number in range(scaled(500, scale))]
    yield
    for client in clients:
        client.close()
    del watching


# Queues


@scenario("1,000 queued messages give way to one of 1 MB, 200 sessions")
def overflow(broker, scale):
    sessions = scaled(200, scale)
    for number in range(sessions):
        client = broker.client(f"s{number}", clean=False, expiry=1_000)
        client.send(subscribe(["t/#"], options=1))
        client.packet(0x90)
        client.close()
    publisher = broker.client("p")
    for number in range(1_000):
        publisher.send(publish("t/a", b"x" * 100, 1, packet_id=number + 1))
        publisher.packet(0x40)
    data = [publish("t/b", b"x" * 1_000_000, 1) for _ in range(12)]
    yield
    for message in data:
        publisher.send(message)
        publisher.packet(0x40)


@scenario("500,000 queued messages give way to a few of 1 MB")
def overflow_large(broker, scale):
    client = broker.client("s", clean=False, expiry=1_000)
    client.send(subscribe(["t"], options=1))
    client.packet(0x90)
    client.close()
    publisher = broker.client("p")
    count = scaled(500_000, scale)
    for place in range(0, count, 10_000):
        publisher.send(
            b"".join(publish("t", b"x", 1, packet_id=number % 60_000 + 1) for number in range(place, place + 10_000))
        )
        publisher.ping()
    broker.settle(60)
    data = publish("t", b"x" * 1_000_000, 1) * 3
    yield
    publisher.send(data)
    publisher.ping()


overflow_large.configuration = "sessions: { queue: { messages: 1000000, bytes: 150000000 } }\n"


@scenario("30,000 PUBLISH of 6 bytes in one write to 1,000 subscribers")
def fan_out(broker, scale):
    clients = [subscribed(broker, f"s{number}", ["t"]) for number in range(scaled(1_000, scale))]
    publisher = broker.client("p")
    data = publish("t", b"x") * 30_000
    yield
    publisher.send(data)
    publisher.ping()
    del clients


@scenario("100 connections with 64 kB of small packets each at once")
def packets(broker, scale):
    clients = [broker.client(f"c{number}") for number in range(scaled(100, scale))]
    data = (publish("t/a", b"x", 1) + publish("t/b", b"x", 2) + b"\x62\x02\0\x01" + PING) * 2_500
    yield
    for client in clients:
        client.socket.setblocking(False)
        try:
            client.socket.send(data)
        except BlockingIOError:
            pass
    for client in clients:
        client.drain(0.2)


@scenario("one PUBLISH of 100 kB to 1,000 subscribers, 5 times")
def fan_out_large(broker, scale):
    clients = [subscribed(broker, f"s{number}", ["t"]) for number in range(scaled(1_000, scale))]
    publisher, data = broker.client("p"), publish("t", b"x" * 100_000)
    yield
    for _ in range(5):
        publisher.send(data)
        publisher.ping()
    del clients


# Values and properties


@scenario("If-None-Match and If-Match on a value of 1 MB, 200 requests")
def entity_tags(broker, scale):
    retain(broker, 1, lambda _: "large", b"x" * 1_000_000)
    get = b'GET /v1/topics/large HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: "x"\r\n\r\n'
    put = b'PUT /v1/topics/large HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-Match: "x"\r\nContent-Length: 1\r\n\r\nx'
    tags = b", ".join(b'"%d"' % number for number in range(1_500))
    many = b"PUT /v1/topics/large HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-Match: " + tags + b"\r\nContent-Length: 1\r\n\r\nx"
    yield
    http(broker.http, put * scaled(100, scale))
    http(broker.http, many * scaled(100, scale))
    http(broker.http, get * 10)


@scenario("1 MB of User Properties, 3 PUBLISH to 20 clients of sluice.json")
def user_properties(broker, scale):
    clients = [JSONClient(broker.http) for _ in range(20)]
    for client in clients:
        client.say({"op": "subscribe", "topic": "j"})
        client.drain(1, least=60)
    properties = b"".join(user_property(f"no-order{number * 7919 % 55_000:04x}", "v") for number in range(scaled(55_000, scale)))
    publisher, data = broker.client("p"), publish("j", b"x", properties=properties) * 3
    yield
    publisher.send(data)
    for client in clients:
        client.drain(10, least=len(data))


@scenario("1 MB of User Properties in CONNECT, PUBLISH with RETAIN, SUBSCRIBE, DISCONNECT")
def properties_everywhere(broker, scale):
    users = b"".join(user_property("", "") for _ in range(scaled(200_000, scale)))
    head = text("MQTT") + bytes([5, 2, 0, 0]) + length(len(users)) + users
    first = packet(0x10, head + text("attacker"))
    asked = packet(0x82, b"\0\x01" + length(len(users)) + users + text("t") + b"\0")
    data = first + publish("t", b"x", retain=True, properties=users) + asked
    yield
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", broker.mqtt), 30) as connection:
            connection.sendall(data)
            connection.settimeout(1)
            try:
                while connection.recv(1 << 20):
                    pass
            except (TimeoutError, ConnectionError):
                pass


@scenario("a PUBLISH of 1 MB in pieces of 100 bytes, 20 connections")
def pieces(broker, scale):
    clients = [broker.client(f"c{number}") for number in range(20)]
    data = publish("t", b"x" * scaled(1_000_000, scale))
    yield
    for place in range(0, len(data), 100):
        for client in clients:
            client.socket.sendall(data[place : place + 100])


# Retained messages


@scenario("+/+/+/… over 1,000,000 retained nodes that do not match")
def retained_walk(broker, scale):
    retain(broker, scaled(300_000, scale), lambda number: f"{number % 100}/{number}/a/b", b"x")
    client, data = broker.client("attacker"), subscribe(["+/+/+/+/nothing", "+/+/+/+/+/#", "+/+/a/c"])
    yield
    client.send(data)
    client.packet(0x90)
    client.ping()


@scenario("a topic of 65,535 levels, retained and not, 100 times")
def levels(broker, scale):
    client = broker.client("attacker")
    topic = "/" * 65_000
    subscribed(broker, "s", ["/".join(["+"] * 200), "+/" * 100 + "#", "#"])
    data = b"".join(publish(topic + str(number), b"x", retain=number % 2 == 0) for number in range(scaled(100, scale)))
    yield
    client.send(data)
    client.ping()


@scenario("a subscriber of # that does not read, 100,000 retained, 20 times")
def retained_unread(broker, scale):
    retain(broker, scaled(100_000, scale))
    clients = [broker.client(f"s{number}") for number in range(20)]
    data = subscribe(["#"], options=1)
    yield
    for client in clients:
        client.socket.sendall(data)
    broker.settle(10)
    for client in clients:
        client.close()


@scenario("1,000 retained messages are replaced by 1 MB each while # is subscribed again and again")
def retained_replaced(broker, scale):
    retain(broker, scaled(20_000, scale))
    client, publisher = broker.client("attacker"), broker.client("p")
    data = [publish(f"r/{number}", b"y" * 100_000, retain=True) for number in range(scaled(300, scale))]
    yield
    for message in data:
        publisher.send(message)
        client.send(subscribe(["#"]))
    client.drain(5)
