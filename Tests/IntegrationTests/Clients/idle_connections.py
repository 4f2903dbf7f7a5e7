"""Holds many idle MQTT 5.0 connections. Prints "connected N", then how each of them ended.

usage: idle_connections.py PORT COUNT
"""

import asyncio
import collections
import json
import resource
import sys

port, count = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


async def connect(number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    name = f"idle-{number}".encode()
    body = b"\x00\x04MQTT\x05\x02\x00\x00\x00" + len(name).to_bytes(2, "big") + name
    writer.write(b"\x10" + bytes([len(body)]) + body)
    header = await reader.readexactly(2)
    connack = await reader.readexactly(header[1])
    assert header[0] == 0x20 and connack[1] == 0, connack
    return reader, writer


async def ending(reader, writer):
    last = await reader.read()
    writer.close()
    return last.hex()


async def main():
    connections = []
    for start in range(0, count, 100):
        connections += await asyncio.gather(*(connect(number) for number in range(start, min(start + 100, count))))
    print("connected", len(connections), flush=True)
    endings = await asyncio.gather(*(ending(*connection) for connection in connections))
    print(json.dumps(collections.Counter(endings)), flush=True)


asyncio.run(main())
