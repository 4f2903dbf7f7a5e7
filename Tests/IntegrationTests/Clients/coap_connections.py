#!/usr/bin/env python3
"""CoAP over TLS (RFC 8323), in records and reads that cut messages anywhere.

coap_connections.py PORT FOLDER: puts values of many sizes and gets them, and posts messages that are cut at random.
Prints how many were right, of how many.
"""

import random
import socket
import ssl
import struct
import sys

from coap_datagrams import ACK, GET, POST, PUT, message

CSM, PING, PONG = 0xE1, 0xE2, 0xE3


def frame(code, token=b"", uri="", options=(), payload=b""):
    body = message(ACK, code, 0, token, uri, options, payload)[4 + len(token) :]
    if len(body) < 13:
        head = bytes([len(body) << 4 | len(token)])
    elif len(body) < 269:
        head = bytes([13 << 4 | len(token), len(body) - 13])
    elif len(body) < 65805:
        head = bytes([14 << 4 | len(token)]) + struct.pack("!H", len(body) - 269)
    else:
        head = bytes([15 << 4 | len(token)]) + struct.pack("!I", len(body) - 65805)
    return head + bytes([code]) + token + body


class Connection:
    def __init__(self, port, folder):
        context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
        context.check_hostname = False
        context.load_cert_chain(f"{folder}/lamp.pem", f"{folder}/lamp.key")
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        self.socket.settimeout(10)
        self.octets = b""
        self.socket.sendall(frame(CSM, options=[(2, b"\x7f\xff\xff\xff"), (4, b"")]))
        self.read()

    def need(self, count):
        while len(self.octets) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.octets += more

    def read(self):
        """The next message that is no Ping: its code, token, options and payload."""
        self.need(2)
        length, token_length = self.octets[0] >> 4, self.octets[0] & 15
        extended = {13: 1, 14: 2, 15: 4}.get(length, 0)
        self.need(2 + extended)
        if extended:
            length = int.from_bytes(self.octets[1 : 1 + extended], "big") + {1: 13, 2: 269, 4: 65805}[extended]
        head, total = 2 + extended, 2 + extended + token_length + length
        self.need(total)
        whole, self.octets = self.octets[:total], self.octets[total:]
        code, token = whole[head - 1], whole[head : head + token_length]
        if code == PING:
            self.socket.sendall(frame(PONG, token))
            return self.read()
        return code, token, whole[head + token_length :]


def main():
    connection = Connection(int(sys.argv[1]), sys.argv[2])
    good = total = 0
    for size in (1, 1000, 16000, 16384, 16385, 100_000, 900_000):
        value = random.randbytes(size)
        connection.socket.sendall(frame(PUT, b"p", "/ps/devices/lamp/value", payload=value))
        connection.read()
        connection.socket.sendall(frame(GET, b"g", "/ps/devices/lamp/value"))
        good += connection.read()[2].endswith(b"\xff" + value)
        total += 1
    posts = [frame(POST, bytes([n]), "/ps/devices/lamp/x", payload=b"x" * (n * 3)) for n in range(250)]
    octets = b"".join(posts)
    while octets:
        part = random.choice([1, 2, 3, 5, 100, 1472, 1473, 5000, 16384])
        connection.socket.sendall(octets[:part])
        octets = octets[part:]
    good += len({connection.read()[1] for _ in posts})
    print(f"{good} of {total + len(posts)}")


if __name__ == "__main__":
    main()
