#!/usr/bin/env python3
"""A DTLS device's first request and its goodbye reach the broker at once.

coap_last_words.py PORT PID PATH: stands between coap-client and the broker, keeps the request back until the client says
goodbye, and hands both over while the broker is stopped. Prints how many ClientHellos the broker has sent.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time

ALERT, HANDSHAKE, DATA, CLIENT_HELLO = 21, 22, 23, 1


def main():
    port, broker = int(sys.argv[1]), int(sys.argv[2])
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.bind(("127.0.0.1", 0))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.connect(("127.0.0.1", port))
    uri = f"coaps://127.0.0.1:{device.getsockname()[1]}/{sys.argv[3]}"
    client = ["coap-client-gnutls", "-B", "2", "-u", "lamp", "-k", "sesame", "-m", "put", "-e", "words", uri]
    process = subprocess.Popen(client, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peer, held, hellos = None, [], 0
    until = None
    while until is None or time.monotonic() < until:
        for ready in select.select([device, server], [], [], 0.05)[0]:
            if ready is server:
                datagram = server.recv(2048)
                # In epoch 0, which is in the clear; later ones may have any byte there.
                hellos += datagram[0] == HANDSHAKE and datagram[3:5] == b"\0\0" and datagram[13] == CLIENT_HELLO
                device.sendto(datagram, peer)
                continue
            datagram, peer = device.recvfrom(2048)
            if datagram[0] == DATA:
                held = held or [datagram]
            elif datagram[0] == ALERT and held:
                os.kill(broker, signal.SIGSTOP)
                for last in [*held, datagram]:
                    server.send(last)
                os.kill(broker, signal.SIGCONT)
                until = time.monotonic() + 1
            else:
                server.send(datagram)
    process.wait()
    print(hellos)


main()
