"""Asks the broker as devices it knows while it is flooded, and tells how many answers came and how fast.

usage: coap_flood.py PORT SECONDS requests|again|hellos [DTLS_PORT]

The broker listens on 127.0.0.1:PORT in the clear and, for `hellos`, on DTLS_PORT with DTLS. 20 known devices each send a
confirmable POST ten times a second; first for some seconds alone, then while a flood goes on. `requests`: confirmable POSTs
and registrations, each from an address of 127.0.0.0/8 chosen at random. `again`: three of them from each address, as if it were
known. `hellos`: ClientHellos from such addresses, to the DTLS port. A request that is not answered within two seconds counts as lost; it is not sent again.
"""

import multiprocessing
import os
import random
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../IntegrationTests/Clients"))
from coap_datagrams import CON, GET, OBSERVE, POST, Message, message  # noqa: E402

ECHO = 252
DEVICES, INTERVAL, PATIENCE = 20, 0.1, 2.0


def client_hello(number):
    """A ClientHello of DTLS 1.2 without a cookie, as a device that begins sends it."""
    body = b"\xfe\xfd" + struct.pack("!I", number) * 8 + b"\x00" + b"\x00" + struct.pack("!HH", 2, 0xC0A8) + b"\x01\x00"
    handshake = b"\x01" + len(body).to_bytes(3, "big") + b"\x00\x00" + b"\x00\x00\x00" + len(body).to_bytes(3, "big") + body
    return b"\x16\xfe\xfd" + b"\x00\x00" + b"\x00" * 6 + struct.pack("!H", len(handshake)) + handshake


def flood(kind, port, sent):
    """Sends from one address after the other, as fast as the machine lets it."""
    flooder = socket.socket(type=socket.SOCK_DGRAM)
    flooder.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    flooder.bind(("0.0.0.0", 0))
    number = 0
    while True:
        number += 1
        if kind != "again" or number % 3 == 1:
            address = struct.pack("!I", 0x7F020000 + random.randrange(0xFC0000))
        if kind == "hellos":
            octets = client_hello(number)
        elif number % 2:
            octets = message(CON, POST, number & 0xFFFF, b"\x01", "/ps/flood", payload=b"x")
        else:
            octets = message(CON, GET, number & 0xFFFF, b"\x01", "/ps/elsewhere", [(OBSERVE, b"")])
        info = struct.pack("=I4s4s", 0, address, b"\x00" * 4)
        try:
            flooder.sendmsg([octets], [(socket.IPPROTO_IP, 8, info)], 0, ("127.0.0.1", port))
        except OSError:
            continue
        sent.value = number


def known_device(port):
    """A device the broker has heard of; it sends back the Echo that `coap.echo` asks for."""
    device = socket.socket(type=socket.SOCK_DGRAM)
    device.connect(("127.0.0.1", port))
    device.settimeout(PATIENCE)
    options = []
    for number in range(2):
        device.send(message(CON, POST, 0xF000 + number, b"\x03", "/ps/known", options, payload=b"21.5"))
        options = [option for option in Message(device.recv(2048)).options if option[0] == ECHO]
        if not options:
            break
    return device


def ask(devices, number, seconds):
    """What the known devices see; their Message IDs begin with that number."""
    waiting, latencies, lost, refused, sent = {}, [], 0, 0, 0
    end, due = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end or waiting:
        now = time.monotonic()
        while due <= now < end:
            device = devices[sent % DEVICES]
            message_id = number + sent & 0xFFFF
            device.send(message(CON, POST, message_id, b"\x02", "/ps/known", payload=b"21.5"))
            waiting[device, message_id] = now
            sent += 1
            due += INTERVAL / DEVICES
        for device in select.select(devices, [], [], max(0, min(due - now, 0.01)))[0]:
            answer = Message(device.recv(2048))
            began = waiting.pop((device, answer.message_id), None)
            if began is not None:
                latencies.append(time.monotonic() - began)
                refused += answer.code_text != "2.04"
        for key in [key for key, began in waiting.items() if now - began > PATIENCE]:
            del waiting[key]
            lost += 1
    latencies.sort()
    at = lambda part: round(1000 * latencies[min(int(len(latencies) * part), len(latencies) - 1)], 1) if latencies else None
    return f"{sent} asked, {len(latencies)} answered, {refused} not 2.04, {lost} lost; ms: p50 {at(0.5)}, p99 {at(0.99)}, max {at(1)}"


def main():
    port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    flooded = int(sys.argv[4]) if len(sys.argv) > 4 else port
    devices = [known_device(port) for _ in range(DEVICES)]
    print(f"alone: {ask(devices, 0, min(seconds, 5))}")
    sent = multiprocessing.Value("l", 0)
    flooder = multiprocessing.Process(target=flood, args=(kind, flooded if kind == "hellos" else port, sent), daemon=True)
    flooder.start()
    print(f"flooded: {ask(devices, 0x4000, seconds)}")
    flooder.kill()
    print(f"{sent.value} {kind} in that time, {sent.value / seconds:.0f} a second")
    print(f"afterwards: {ask(devices, 0x8000, min(seconds, 5))}")


if __name__ == "__main__":
    main()
