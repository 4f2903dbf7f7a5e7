"""Opens idle MQTT connections in TLS, in the clear with an empty CA_FILE, and says what each costs the broker.

usage: tls_connections.py PORT CA_FILE BROKER_PID COUNT
"""

import socket
import ssl
import sys
import time

port, authority, pid, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
context = ssl.create_default_context(cafile=authority) if authority else None


def resident():
    """Bytes of the broker's anonymous memory."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))


def connect(number):
    opened = socket.create_connection(("127.0.0.1", port))
    # Else the last flight of the handshake holds CONNECT back until it is acknowledged, which takes 40 ms.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        opened = context.wrap_socket(opened, server_hostname="localhost")
    name = f"idle-{number:06}".encode()
    opened.sendall(bytes([16, 13 + len(name), 0, 4]) + b"MQTT" + bytes([5, 2, 0, 0, 0, 0, len(name)]) + name)
    assert opened.recv(1024)[3] == 0
    return opened


warm = [connect(number) for number in range(100)]
before = resident()
idle = [connect(100 + number) for number in range(count)]
time.sleep(2)
print(f"{(resident() - before) // count} bytes a connection", flush=True)
