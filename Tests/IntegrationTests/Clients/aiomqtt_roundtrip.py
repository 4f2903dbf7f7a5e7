"""Publishes to itself with aiomqtt. Prints the payloads as they come back.

usage: aiomqtt_roundtrip.py PORT COUNT QOS PROTOCOL_VERSION
"""

import asyncio
import sys

import aiomqtt

port, count, qos, version = (int(argument) for argument in sys.argv[1:5])


async def main():
    protocol = aiomqtt.ProtocolVersion.V5 if version == 5 else aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client("127.0.0.1", port, protocol=protocol) as client:
        await client.subscribe("round/+", qos=qos)
        for number in range(count):
            await client.publish("round/trip", str(number), qos=qos)
        left = count
        async for message in client.messages:
            print(message.payload.decode(), flush=True)
            left -= 1
            if left == 0:
                return


asyncio.run(main())
