"""Reads a persistent session's event stream that is cut off again and again, at random, while messages are published.

Arguments: host:port, messages, cuts. Each time it comes back with the last event it has; it must get every message once,
in order.
"""

import http.client
import json
import random
import socket
import struct
import sys
import threading
import time

address, messages, cuts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
batch = 500
generator = random.Random(20261124)
target = "/v1/subscribe?topic=resume&qos=1&clientid=resume&clean=0&se=600"


def connect(last):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", target, headers={"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})})
    # The response takes it over.
    network = connection.sock
    answer = connection.getresponse()
    assert answer.status == 200, (answer.status, answer.read())
    return network, answer


def publish():
    connection = http.client.HTTPConnection(address, timeout=60)
    for first in range(0, messages, batch):
        many = [{"topic": "resume", "payload": str(n), "qos": 1} for n in range(first, min(first + batch, messages))]
        connection.request("POST", "/publish", json.dumps(many), {"Content-Type": "application/json", "Prefer": "return=minimal"})
        answer = connection.getresponse()
        assert answer.status == 204, (answer.status, answer.read())
        answer.read()


def cut(network, answer):
    """As a phone that loses its network: with a reset."""
    network.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    network.close()
    answer.close()


# The session is there before the first message.
network, answer = connect(None)
answer.readline()
publisher = threading.Thread(target=publish)
began = time.time()
publisher.start()
last, expected, done, again = None, 0, 0, 0
cut_after = sorted(generator.sample(range(1, messages), cuts))
while expected < messages:
    event, seen = {}, 0
    while expected < messages:
        line = answer.readline().decode().rstrip("\n")
        assert not line.startswith("event:"), line
        if line.startswith("id: "):
            event["id"] = line[4:]
        elif line.startswith("data: "):
            event["data"] = json.loads(line[6:])
        elif not line and "data" in event:
            number = int(event["data"]["payload"])
            assert number == expected, f"{number} came, where {expected} was due"
            again += event["data"].get("dup", False)
            last, expected, event = event["id"], expected + 1, {}
            if done < cuts and expected >= cut_after[done]:
                done += 1
                break
    else:
        break
    # What was read ahead, and what is under way, is lost with the connection.
    cut(network, answer)
    network, answer = connect(last)
publisher.join()
print(f"{expected} messages, {done} cuts, {again} sent again, missing 0, repeated 0, in order, {time.time() - began:.1f} s")
