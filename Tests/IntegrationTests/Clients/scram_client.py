"""Authenticates by SCRAM-SHA-256 over a raw socket (MQTT 5.0 §4.12, RFC 7677), twice, and prints what happened.

usage: scram_client.py PORT USER PASSWORD
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import sys

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
METHOD = "SCRAM-SHA-256"
CONNACK, AUTH, DISCONNECT, PINGREQ = 0x20, 0xF0, 0xE0, 0xC0
CONTINUE, REAUTHENTICATE = 0x18, 0x19


def text(value):
    return struct.pack(">H", len(value)) + value


def properties(data):
    values = b"\x15" + text(METHOD.encode()) + b"\x16" + text(data)
    return variable(len(values)) + values


def variable(number):
    encoded = b""
    while True:
        number, digit = divmod(number, 128)
        encoded += bytes([digit | (0x80 if number else 0)])
        if not number:
            return encoded


def packet(kind, body):
    return bytes([kind]) + variable(len(body)) + body


class Connection:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")

    def send(self, kind, body=b""):
        self.socket.sendall(packet(kind, body))

    def receive(self):
        """The next packet: its kind and its body."""
        kind = self.stream.read(1)
        length = shift = 0
        while kind:
            digit = self.stream.read(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return kind[0], self.stream.read(length)
        return None, b""


def authentication_data(body):
    """The Authentication Data among the properties, which these packets end with."""
    place = body.index(b"\x15" + text(METHOD.encode())) + 3 + len(METHOD)
    assert body[place] == 0x16, body
    length = struct.unpack(">H", body[place + 1 : place + 3])[0]
    return body[place + 3 : place + 3 + length]


class Exchange:
    def __init__(self):
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n={user},r={self.nonce}"
        self.first = ("n,," + self.bare).encode()

    def final(self, server_first):
        fields = dict(field.split("=", 1) for field in server_first.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salt, iterations = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={fields['r']}"
        message = ",".join([self.bare, server_first, without_proof]).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.expected = b"v=" + base64.b64encode(hmac.digest(server_key, message, "sha256"))
        return f"{without_proof},p={proof}".encode()


def answer(connection, exchange):
    """Answers the server's challenge; returns the packet that ends the exchange."""
    kind, body = connection.receive()
    if kind != AUTH:
        return kind, body
    assert body[0] == CONTINUE, body
    proof = exchange.final(authentication_data(body).decode())
    connection.send(AUTH, bytes([CONTINUE]) + properties(proof))
    return connection.receive()


connection = Connection()
exchange = Exchange()
connection.send(0x10, text(b"MQTT") + b"\x05\x02\x00\x3c" + properties(exchange.first) + text(b"scram"))
kind, body = answer(connection, exchange)
assert kind == CONNACK, (kind, body)
if body[1]:
    print(f"refused 0x{body[1]:02x}")
    sys.exit(1)
assert authentication_data(body) == exchange.expected, "the server does not know the password"
print("connected")

exchange = Exchange()
connection.send(AUTH, bytes([REAUTHENTICATE]) + properties(exchange.first))
kind, body = answer(connection, exchange)
assert kind == AUTH and body[0] == 0 and authentication_data(body) == exchange.expected, (kind, body)
print("authenticated anew")
connection.send(PINGREQ)
assert connection.receive()[0] == 0xD0

# An answer to a challenge that another password has.
password += "x"
exchange = Exchange()
connection.send(AUTH, bytes([REAUTHENTICATE]) + properties(exchange.first))
kind, body = answer(connection, exchange)
assert kind == DISCONNECT and connection.receive()[0] is None
print(f"disconnected 0x{body[0]:02x}")
