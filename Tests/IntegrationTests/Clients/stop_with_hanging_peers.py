#!/usr/bin/env python3
"""A broker with some of the protocols is stopped by SIGTERM while peers hang in the middle of exchanges.

stop_with_hanging_peers.py EXECUTABLE PROTOCOLS: PROTOCOLS are some of `mqtt`, `http`, `coap`, with a comma between them.

First a subscriber with a lasting session is made. Then a broker with these protocols alone has clients with wills, with
lasting sessions and without, and peers that leave half done what they have begun. It is stopped. At last the subscriber
takes what has come for it. Prints, as JSON: the exit status, the seconds of the stop, the wills that were to come, and how
often each has come.
"""

import base64
import collections
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from coap_connections import CSM, frame
from coap_datagrams import CON, POST, Message, message
from killable_broker import Broker, free_port

SUBPROTOCOLS = {"mqtt": "mqtt", "json": "sluice.json"}
FLOOD = b"x" * 60_000
peers = []


def connect(port, is_small=False):
    peer = socket.socket()
    if is_small:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(20)
    peer.connect(("127.0.0.1", port))
    peers.append(peer)
    return peer


def text(words):
    return struct.pack("!H", len(words)) + words.encode()


def packet(kind, body):
    length, size = b"", len(body)
    while True:
        length += bytes([size % 128 | (128 if size > 127 else 0)])
        size //= 128
        if not size:
            return bytes([kind]) + length + body


def connect_packet(client_id, expiry=0, clean=True, will=None):
    flags = (2 if clean else 0) | (0x0C if will else 0)
    body = text("MQTT") + bytes([5, flags, 0, 0]) + b"\x05\x11" + struct.pack("!I", expiry) + text(client_id)
    return packet(0x10, body + (b"\x00" + text(will) + text("gone") if will else b""))


def publish_packet(topic, payload):
    return packet(0x30, text(topic) + b"\x00" + payload)


def subscribe_packet(topic, qos):
    return packet(0x82, b"\x00\x01\x00" + text(topic) + bytes([qos]))


def exactly(peer, count):
    octets = b""
    while len(octets) < count:
        more = peer.recv(count - len(octets))
        if not more:
            raise EOFError
        octets += more
    return octets


def read_packet(peer):
    kind, length, shift = exactly(peer, 1)[0], 0, 0
    while True:
        octet = exactly(peer, 1)[0]
        length |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            return kind, exactly(peer, length)


def opened_socket(port, kind):
    peer = connect(port)
    fields = ["GET /mqtt HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
    fields += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {SUBPROTOCOLS[kind]}"]
    fields += [f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
    peer.sendall("\r\n".join(fields + ["", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += exactly(peer, 1)
    assert b" 101 " in answer, answer
    return peer


def send_frame(peer, opcode, payload):
    assert len(payload) < 65_536
    length = bytes([128 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    peer.sendall(bytes([128 | opcode]) + length + bytes(4) + payload)


def read_frame(peer):
    length = exactly(peer, 2)[1] & 127
    if length == 126:
        length = struct.unpack("!H", exactly(peer, 2))[0]
    return exactly(peer, length)


def request(port, head, body=b""):
    peer = connect(port)
    peer.sendall(f"{head}\r\nHost: localhost\r\n".encode() + body)
    return peer


class EndlessAnswer:
    """A webhook's endpoint that begins an answer and does not end it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.asked = self.listener.getsockname()[1], threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            peer, _ = self.listener.accept()
            peers.append(peer)
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
            self.asked.set()


def wills_of_mqtt(port):
    for name, expiry in (("mqtt-lasting", 300), ("mqtt-passing", 0)):
        peer = connect(port)
        peer.sendall(connect_packet(name, expiry, will=f"will/{name}"))
        assert read_packet(peer)[1][1] == 0
        yield f"will/{name}"


def hanging_mqtt(port, tls):
    reader, writer = connect(port, is_small=True), connect(port)
    reader.sendall(connect_packet("reads-nothing") + subscribe_packet("flood", 0))
    assert read_packet(reader)[0] == 0x20 and read_packet(reader)[0] == 0x90
    writer.sendall(connect_packet("writer"))
    for _ in range(200):
        writer.sendall(publish_packet("flood", FLOOD))
    writer.sendall(publish_packet("hook", b"1") + b"\xc0\x00")
    while read_packet(writer)[0] != 0xD0:
        pass
    connect(port).sendall(connect_packet("half")[:9])
    connect(port).sendall(connect_packet("half a PUBLISH") + publish_packet("a", FLOOD)[:2000])
    connect(tls).sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    connect(tls)


def wills_of_http(port):
    for name, expiry in (("socket-lasting", 300), ("socket-passing", 0)):
        peer = opened_socket(port, "mqtt")
        send_frame(peer, 2, connect_packet(name, expiry, will=f"will/{name}"))
        assert read_frame(peer)[0] == 0x20
        yield f"will/{name}"
    for name, expiry in (("json-lasting", 300), ("json-passing", 0)):
        peer = opened_socket(port, "json")
        will = {"topic": f"will/{name}", "payload": "gone", "qos": 1}
        fields = {"op": "connect", "clientid": name, "session_expiry_interval": expiry, "will": will}
        send_frame(peer, 1, json.dumps(fields).encode())
        assert json.loads(read_frame(peer))["op"] == "connected"
        yield f"will/{name}"


def hanging_http(port, tls):
    stream = connect(port, is_small=True)
    stream.sendall(b"GET /v1/subscribe?topic=flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stream.recv(10)
    silent = opened_socket(port, "json")
    send_frame(silent, 1, b'{"op":"connect"}')
    send_frame(silent, 1, b'{"op":"subscribe","topic":"flood"}')
    for _ in range(40):
        head = f"POST /v1/publish?topic=flood HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(FLOOD)}"
        request(port, head, b"\r\n" + FLOOD).recv(100)
    request(port, "POST /v1/publish?topic=hook HTTP/1.1\r\nContent-Length: 1", b"\r\n1").recv(100)
    request(port, "POST /v1/publish?topic=a HTTP/1.1\r\nContent-Length: 1000", b"\r\nhalf")
    request(port, "POST /v1/publish?topic=a HTTP/1.1\r\nTransfer-Encoding: chunked", b"\r\n4\r\nhalf\r\n0\r\nTrailer: x\r\n")
    request(port, "GET /v1/subscribe?topic=a&wait=60 HTTP/1.1\r\nAccept: application/json", b"\r\n")
    connect(port).sendall(b"GET / HT")
    opened_socket(port, "mqtt").sendall(b"\x02\xfe")
    connect(tls).sendall(b"\x16\x03\x01\x02\x00\x01\x00")


def connection_uri(name, expiry):
    return f"/mqtt/connection?clientid={name}&se={expiry}&ka=0&will-topic=will/{name}&will-payload=gone&will-qos=1"


def wills_of_coap(port, tcp):
    for name, expiry in (("coap-lasting", 300), ("coap-passing", 0)):
        peer = socket.socket(type=socket.SOCK_DGRAM)
        peers.append(peer)
        peer.settimeout(20)
        peer.connect(("127.0.0.1", port))
        peer.send(message(CON, POST, 1, b"t", connection_uri(name, expiry)))
        assert Message(peer.recv(2000)).code_text == "2.01"
        yield f"will/{name}"
    for name, expiry in (("coaptcp-lasting", 300), ("coaptcp-passing", 0)):
        peer = connect(tcp)
        peer.sendall(frame(CSM) + frame(POST, b"t", connection_uri(name, expiry)))
        answer = b""
        while b"\x41t" not in answer:  # 2.01
            answer += exactly(peer, 1)
        yield f"will/{name}"


def hanging_coap(port, tcp):
    peer = socket.socket(type=socket.SOCK_DGRAM)
    peers.append(peer)
    peer.connect(("127.0.0.1", port))
    # The first block of two, and an observation whose notifications are not acknowledged.
    peer.send(message(CON, POST, 1, b"u", "/ps/a", [(27, b"\x08")], b"x" * 16))
    peer.send(message(CON, 1, 2, b"o", "/ps/flood?qos=1", [(6, b"")]))
    connect(tcp).sendall(frame(CSM) + frame(POST, b"t", "/ps/a", payload=FLOOD)[:5000])
    connect(tcp).sendall(frame(CSM)[:1])
    connect(tcp)
    teller = connect(tcp)
    teller.sendall(frame(CSM) + frame(POST, b"h", "/ps/hook", payload=b"1"))
    answer = b""
    while b"\x44h" not in answer:  # 2.04
        answer += exactly(teller, 1)


def make_certificate(folder):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout broker.key -out broker.pem "
    subprocess.run((command + "-subj /CN=localhost -days 2").split(), cwd=folder, check=True, capture_output=True)


def configuration(protocols, ports, webhook):
    lines = ["listeners:"]
    tls = "tls: { certificate: broker.pem, private_key: broker.key }"
    for name in protocols:
        lines.append(f'  - {{ protocol: {name}, bind: "127.0.0.1:{ports[name]}" }}')
        second = f'  - {{ protocol: {name}, bind: "127.0.0.1:{ports[name + "2"]}", '
        lines.append(second + ("transport: tcp }" if name == "coap" else tls + " }"))
    lines += ["threads: 2", "storage: { backend: rocksdb, path: data }"]
    if webhook:
        lines += ["webhooks:", f'  - {{ name: hook, url: "http://127.0.0.1:{webhook}/", topics: [hook] }}']
    return "\n".join(lines) + "\n"


def start(broker, yaml, ports):
    with open(f"{broker.folder}/sluice.yaml", "w") as file:
        file.write(yaml)
    broker.start()
    for port in ports:
        for _ in range(2000):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert broker.process.poll() is None, broker.last_words()
                time.sleep(0.01)


def collect(port):
    peer = connect(port)
    peer.sendall(connect_packet("collector", 300, clean=False) + b"\xc0\x00")
    came = collections.Counter()
    assert read_packet(peer)[1][0] == 1, "the session is not there any more"
    peer.settimeout(2)
    try:
        while True:
            kind, body = read_packet(peer)
            if kind & 0xF0 == 0x30:
                length = struct.unpack_from("!H", body)[0]
                came[body[2 : 2 + length].decode()] += 1
                peer.sendall(b"\x40\x02" + body[2 + length : 4 + length])
    except TimeoutError:
        return dict(came)


def run(broker, protocols, ports, receiver):
    mqtt_only = configuration(["mqtt"], ports, None)
    start(broker, mqtt_only, [ports["mqtt"]])
    collector = connect(ports["mqtt"])
    collector.sendall(connect_packet("collector", 300) + subscribe_packet("will/#", 1))
    assert read_packet(collector)[0] == 0x20 and read_packet(collector)[0] == 0x90
    assert broker.stop() == 0

    tcp = [ports[name + "2"] for name in protocols] + [ports[name] for name in protocols if name != "coap"]
    start(broker, configuration(protocols, ports, receiver.port), tcp)
    makers = {"mqtt": wills_of_mqtt, "http": wills_of_http}
    wills = []
    for name in protocols:
        wills += wills_of_coap(ports["coap"], ports["coap2"]) if name == "coap" else makers[name](ports[name])
    hangers = {"mqtt": hanging_mqtt, "http": hanging_http, "coap": hanging_coap}
    for name in protocols:
        hangers[name](ports[name], ports[name + "2"])
    assert receiver.asked.wait(20), "the webhook has not posted"
    began = time.monotonic()
    status = broker.stop()
    seconds = time.monotonic() - began

    start(broker, mqtt_only, [ports["mqtt"]])
    came = collect(ports["mqtt"])
    assert broker.stop() == 0
    return {"status": status, "seconds": round(seconds, 2), "wills": wills, "came": came}


def main():
    executable, protocols = sys.argv[1], sys.argv[2].split(",")
    ports = {name: free_port() for name in ("mqtt", "mqtt2", "http", "http2", "coap2")}
    ports["coap"] = free_port(socket.SOCK_DGRAM)
    broker = Broker(executable, "")
    make_certificate(broker.folder)
    try:
        print(json.dumps(run(broker, protocols, ports, EndlessAnswer())))
    except BaseException:
        print(broker.last_words(), file=sys.stderr)
        raise
    finally:
        broker.remove()


if __name__ == "__main__":
    main()
