"""Opens more connections than the broker has descriptors, from several addresses, and says how it goes on.

Prints "idle" with the CPU seconds of two idle seconds, "served" when a client from before is, and "accepted" when one
that comes after others have left is let in, for each protocol.

usage: too_many_connections.py MQTT_PORT HTTP_PORT PID COUNT
"""

import os
import socket
import sys
import time

mqtt, http, pid, count = (int(argument) for argument in sys.argv[1:])
CONNECT = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03abc"


def open_connection(port, source="127.0.0.1"):
    connection = socket.create_connection(("127.0.0.1", port), 5, (source, 0))
    connection.settimeout(20)
    return connection


def cpu():
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


known = open_connection(mqtt)
known.sendall(CONNECT)
assert known.recv(100)[0] == 0x20
crowd = []
for number in range(count):
    try:
        crowd.append(open_connection(http if number % 2 else mqtt, f"127.0.{number // 8 + 1}.1"))
    except OSError:
        break
# What it takes to accept, and to find out that no more can be accepted, is over when a client is served again.
known.sendall(b"\xc0\x00")
assert known.recv(100) == b"\xd0\x00"
before = cpu()
time.sleep(2)
print("idle", cpu() - before, flush=True)
known.sendall(b"\xc0\x00")
assert known.recv(100) == b"\xd0\x00"
print("served", flush=True)
for connection in crowd:
    connection.close()
late = open_connection(mqtt)
late.sendall(CONNECT.replace(b"abc", b"def"))
assert late.recv(100)[0] == 0x20
print("accepted mqtt", flush=True)
web = open_connection(http)
web.sendall(b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
assert web.recv(100).startswith(b"HTTP/1.1 200")
print("accepted http", flush=True)
