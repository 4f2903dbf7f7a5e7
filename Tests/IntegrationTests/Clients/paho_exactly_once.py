"""QoS 2 from paho-mqtt to paho-mqtt. Prints one line of JSON with what arrived.

usage: paho_exactly_once.py PORT COUNT PROTOCOL_VERSION
"""

import json
import sys
import threading

import paho.mqtt.client as mqtt

port, count, version = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
received = []
subscribed, complete = threading.Event(), threading.Event()


def client(name):
    return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version)


def on_message(_client, _userdata, message):
    received.append(int(message.payload))
    if len(received) >= count:
        complete.set()


subscriber = client("subscriber")
subscriber.on_message = on_message
subscriber.on_subscribe = lambda *_: subscribed.set()
subscriber.connect("127.0.0.1", port)
subscriber.loop_start()
subscriber.subscribe("exactly/once", 2)
subscribed.wait(30)

publisher = client("publisher")
publisher.max_queued_messages_set(0)
publisher.connect("127.0.0.1", port)
publisher.loop_start()
last = None
for number in range(count):
    last = publisher.publish("exactly/once", str(number), 2)
last.wait_for_publish(120)
complete.wait(60)
# A repetition would come before the answer to a subscription made now.
subscribed.clear()
subscriber.subscribe("exactly/after", 2)
subscribed.wait(30)
print(
    json.dumps(
        {
            "received": len(received),
            "different": len(set(received)),
            "inOrder": received == sorted(received),
        }
    )
)
publisher.disconnect()
subscriber.disconnect()
