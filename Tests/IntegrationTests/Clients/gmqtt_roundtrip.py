"""Publishes to itself with gmqtt. Prints the payloads as they come back.

usage: gmqtt_roundtrip.py PORT COUNT QOS PROTOCOL_VERSION
"""

import asyncio
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

port, count, qos, version = (int(argument) for argument in sys.argv[1:5])


async def publish(client, payload):
    """gmqtt refuses more messages in flight than our Receive Maximum."""
    while True:
        try:
            return client.publish("round/trip", payload, qos=qos)
        except OverflowError:
            await asyncio.sleep(0)


async def main():
    client = gmqtt.Client("gmqtt")
    subscribed, complete = asyncio.Event(), asyncio.Event()
    left = count

    async def on_message(_client, _topic, payload, _qos, _properties):
        nonlocal left
        print(payload.decode(), flush=True)
        left -= 1
        if left == 0:
            complete.set()
        return 0

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    await client.connect("127.0.0.1", port, version=MQTTv50 if version == 5 else MQTTv311)
    client.subscribe("round/+", qos=qos)
    await subscribed.wait()
    for number in range(count):
        await publish(client, str(number))
    await complete.wait()
    await client.disconnect()


asyncio.run(main())
