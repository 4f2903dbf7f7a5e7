"""MQTT 5.0 packets as bytes, a client that sends what it is told to, and the same for WebSocket and HTTP."""

import base64
import json
import os
import select
import socket
import struct
import time


def ready(connection, seconds, events=select.POLLIN):
    """Which of the events has come within so many seconds; select() knows no descriptors above 1,023."""
    poll = select.poll()
    poll.register(connection, events)
    found = poll.poll(max(0, seconds) * 1000)
    return found[0][1] if found else 0


def length(number):
    """A variable byte integer (MQTT 5.0 1.5.5)."""
    out = b""
    while True:
        number, low = number >> 7, number & 0x7F
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(value)) + value


def packet(first, body):
    return bytes([first]) + length(len(body)) + body


def connect(client_id, clean=True, expiry=0, keep_alive=0, will=None):
    flags = (2 if clean else 0) | (0x04 if will else 0)
    properties = b"\x11" + struct.pack(">I", expiry) if expiry else b""
    body = text("MQTT") + bytes([5, flags]) + struct.pack(">H", keep_alive) + length(len(properties)) + properties
    body += text(client_id)
    if will:
        body += b"\0" + text(will[0]) + text(will[1])
    return packet(0x10, body)


def publish(topic, payload=b"", qos=0, retain=False, packet_id=1, properties=b""):
    body = text(topic) + (struct.pack(">H", packet_id) if qos else b"")
    body += length(len(properties)) + properties + payload
    return packet(0x30 | qos << 1 | retain, body)


def user_property(name, value):
    return b"\x26" + text(name) + text(value)


def subscribe(filters, options=0, packet_id=1):
    body = struct.pack(">H", packet_id) + b"\0"
    return packet(0x82, body + b"".join(text(name) + bytes([options]) for name in filters))


def unsubscribe(filters, packet_id=1):
    return packet(0xA2, struct.pack(">H", packet_id) + b"\0" + b"".join(map(text, filters)))


PING = b"\xc0\0"
PONG = b"\xd0\0"


class Client:
    """An MQTT connection."""

    def __init__(self, port, client_id="", **options):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.send(connect(client_id, **options))
        self.packet(0x20)

    def send(self, data):
        """Sends, and throws away what comes meanwhile; a broker that closes is right to do so."""
        view = memoryview(data)
        self.socket.setblocking(False)
        try:
            while len(view):
                events = ready(self.socket, 60, select.POLLIN | select.POLLOUT)
                if events & select.POLLIN:
                    self.received = (self.received + self.socket.recv(1 << 20))[-64:]
                if events & select.POLLOUT:
                    view = view[self.socket.send(view[: 1 << 20]) :]
                if not events & (select.POLLIN | select.POLLOUT):
                    return
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            self.socket.setblocking(True)

    def packet(self, first, seconds=60):
        """Reads until a packet of that type comes, or the connection ends: None."""
        end = time.time() + seconds
        while True:
            while len(self.received) >= 2:
                size, shift, place = 0, 0, 1
                while place < len(self.received):
                    byte = self.received[place]
                    size |= (byte & 0x7F) << shift
                    shift, place = shift + 7, place + 1
                    if byte < 0x80:
                        break
                else:
                    break
                if len(self.received) < place + size:
                    break
                found, self.received = self.received[: place + size], self.received[place + size :]
                if found[0] & 0xF0 == first:
                    return found
            if time.time() > end or not ready(self.socket, end - time.time()):
                return None
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.received += data

    def ping(self):
        """Waits until everything before it has been done."""
        self.send(PING)
        return self.packet(0xD0)

    def drain(self, seconds):
        """Reads for so long, or until nothing has come for a second."""
        end = time.time() + seconds
        while time.time() < end and ready(self.socket, 1):
            try:
                if not self.socket.recv(1 << 20):
                    return
            except ConnectionResetError:
                return

    def close(self):
        self.socket.close()


def http(port, request, seconds=30):
    """Sends a request as it is, and reads what comes until the connection ends or nothing comes any more."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        try:
            connection.sendall(request)
            while ready(connection, 2):
                data = connection.recv(1 << 20)
                if not data:
                    break
                answer += data
        except ConnectionError:
            pass
    return answer


class JSONClient:
    """A WebSocket with `sluice.json`."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (
                "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sluice.json\r\n\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self.socket.recv(4096):
            pass
        self.say({"op": "connect"})

    @staticmethod
    def frame(data):
        size = len(data)
        if size < 126:
            head = bytes([0x81, 0x80 | size])
        elif size < 65536:
            head = b"\x81\xfe" + struct.pack(">H", size)
        else:
            head = b"\x81\xff" + struct.pack(">Q", size)
        return head + b"\0\0\0\0" + data

    def say(self, value):
        self.socket.sendall(self.frame(json.dumps(value, separators=(",", ":")).encode()))

    def drain(self, seconds, least=0):
        """Reads at least so many bytes, or for so long."""
        end, count = time.time() + seconds, 0
        while time.time() < end and count <= least and ready(self.socket, end - time.time()):
            data = self.socket.recv(1 << 20)
            if not data:
                return
            count += len(data)
