"""Libraries that people use against the HTTP port: httpx with sseclient, and paho-mqtt over WebSocket.

Argument: host:port.
"""

import json
import sys
import threading

import httpx
import paho.mqtt.client as paho
import sseclient

address = sys.argv[1]
host, port = address.split(":")
base = f"http://{address}"

# A session over server-sent events, resumed by the identifier of the last event.
query = {"topic": ["lib/#"], "qos": 1, "clientid": "library", "clean": 0}


def events(count, last=None):
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    found = []
    with httpx.stream("GET", f"{base}/v1/subscribe", params=query, headers=headers, timeout=20) as answer:
        answer.raise_for_status()
        started.set()
        for event in sseclient.SSEClient(answer.iter_bytes()).events():
            assert event.event == "message", event.event
            found.append((event.id, json.loads(event.data)))
            if len(found) == count:
                return found


def run(count, last, numbers):
    started.clear()
    thread = threading.Thread(target=lambda: results.append(events(count, last)))
    thread.start()
    assert started.wait(20)
    for number in numbers:
        answer = httpx.post(f"{base}/v1/topics/lib/{number}", params={"qos": 1}, content=str(number))
        assert answer.status_code == 200, answer.text
    thread.join(20)
    return results[-1]


started, results = threading.Event(), []
first = run(3, None, range(3))
assert [message["payload"] for _, message in first] == ["0", "1", "2"]
second = run(3, first[1][0], range(3, 5))
assert [message["payload"] for _, message in second] == ["2", "3", "4"]
assert second[0][1]["dup"] and second[0][0] == first[2][0]
print("httpx and sseclient", flush=True)

with httpx.Client(base_url=base) as client:
    created = client.put("/v1/topics/lib/kept", content=b"\x00\xff", headers={"If-None-Match": "*"})
    assert created.status_code == 200, created.text
    read = client.get("/v1/topics/lib/kept")
    assert read.content == b"\x00\xff" and read.headers["content-type"] == "application/octet-stream"
    assert client.get("/v1/topics/lib/kept", headers={"If-None-Match": read.headers["etag"]}).status_code == 304
    assert client.delete("/v1/topics/lib/kept").status_code == 204
    problem = client.post("/publish", params={"topic": "a/#"}, content=b"x")
    assert problem.headers["content-type"] == "application/problem+json" and problem.json()["reason_code"] == 0x90
    batch = client.post("/publish", json=[{"topic": f"lib/b{n}", "payload": "x"} for n in range(50)])
    assert batch.status_code == 200 and len(batch.json()) == 50
print("httpx on one connection", flush=True)

received, done = [], threading.Event()


def on_message(client, _, message):
    received.append((message.topic, message.payload.decode(), message.qos))
    if len(received) == 20:
        done.set()


subscribed = threading.Event()
pages = paho.Client(paho.CallbackAPIVersion.VERSION2, transport="websockets", protocol=paho.MQTTv5)
pages.ws_set_options(path="/mqtt")
pages.on_message = on_message
pages.on_connect = lambda client, *_: client.subscribe("paho/#", qos=2)
pages.on_subscribe = lambda *_: subscribed.set()
pages.connect(host, int(port))
pages.loop_start()
assert subscribed.wait(20)
for number in range(20):
    pages.publish(f"paho/{number}", "x" * (number * 5_000 + 1), qos=number % 3)
assert done.wait(20)
assert sorted(len(text) for _, text, _ in received) == [number * 5_000 + 1 for number in range(20)]
pages.disconnect()
pages.loop_stop()
print("paho-mqtt over WebSocket", flush=True)
