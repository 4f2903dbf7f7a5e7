"""Measures Sluice and Nchan side by side: fan-out to event streams and WebSockets, and publishing by POST.

usage: nchan.py [--subscribers 1000] [--messages 300] [--seconds 5] [EXECUTABLE]

Needs Debian's nginx, libnginx-mod-nchan and wrk, and a release build (`make build`). Everything runs here, on loopback,
one server at a time: nginx with one worker, Sluice with `threads: 1`; both keep messages in memory only. What counts is the
CPU time of the server's processes (utime and stime in /proc), since requests a second say as much about what else the
machine does; its load is printed first. Each message is published when all subscribers have the one before. Sluice's
streams carry JSON with topic, QoS and payload, Nchan's the payload alone.
"""

import argparse
import base64
import os
import re
import selectors
import shutil
import socket
import struct
import subprocess
import tempfile
import time

# Bytes of a message's payload; it begins with the mark that subscribers count.
PAYLOAD = 64
MARK = b"@@"
# Seconds without progress after which a run has failed.
PATIENCE = 20
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/log error;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    nchan_shared_memory_size 512M;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /pub {{ nchan_publisher; nchan_channel_id $arg_topic; nchan_store_messages off; }}
        location = /sub {{
            nchan_subscriber eventsource websocket;
            nchan_channel_id $arg_topic;
            nchan_store_messages off;
        }}
    }}
}}
"""

SLUICE = """
threads: 1
sys_interval: 0
listeners: [{{ protocol: http, bind: "127.0.0.1:{port}" }}]
storage: {{ backend: memory }}
log: {{ level: warning }}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A server under test; the `with` statement starts and stops it."""

    def __init__(self, name, configuration, command, publish):
        self.name, self.configuration, self.command, self.target = name, configuration, command, publish

    def __enter__(self):
        self.folder, self.port = tempfile.mkdtemp(prefix="nchan-"), free_port()
        # nginx's worker gives its rights up.
        os.chmod(self.folder, 0o755)
        path = f"{self.folder}/configuration"
        with open(path, "w") as file:
            file.write(self.configuration.format(folder=self.folder, port=self.port))
        self.process = subprocess.Popen([*self.command, path])
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, f"{self.name} does not start"
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu(self):
        """Seconds of CPU time that its processes have used."""
        total = 0
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat") as file:
                        fields = file.read().rpartition(")")[2].split()
                except OSError:
                    continue
                if self.process.pid in (int(entry), int(fields[1])):
                    total += int(fields[11]) + int(fields[12])
        return total / TICKS


class Subscriber:
    """One connection, and the number of messages that have come."""

    def __init__(self, port, opening):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(opening)
        self.rest, self.count = b"", 0

    def wait(self, text):
        """Until the server has said so."""
        self.socket.settimeout(PATIENCE)
        seen = b""
        while text not in seen:
            part = self.socket.recv(65_536)
            assert part, seen
            seen += part
        self.socket.setblocking(False)

    def read(self):
        part = self.socket.recv(65_536)
        assert part, "the server has closed a subscriber's connection"
        seen = self.rest + part
        found = seen.count(MARK)
        self.count += found
        self.rest = seen[-1:] if seen.endswith(MARK[:1]) and not seen.endswith(MARK) else b""
        return found


def get(target, *fields):
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode()


def upgrade(target, *fields):
    key = base64.b64encode(b"0123456789abcdef").decode()
    return get(
        target, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *fields
    )


def frame(opcode, payload):
    """A frame with a masking key of zeros."""
    assert len(payload) < 126
    return struct.pack("!BBI", 0x80 | opcode, 0x80 | len(payload), 0) + payload


def sse(target):
    return lambda _: [(get(target, "Accept: text/event-stream"), b"\r\n\r\n")]


def websocket(target):
    return lambda _: [(upgrade(target), b"\r\n\r\n")]


def json_socket(_):
    subscribe = frame(1, b'{"op":"connect"}') + frame(1, b'{"op":"subscribe","topic":"bench"}')
    return [(upgrade("/mqtt", "Sec-WebSocket-Protocol: sluice.json"), b"\r\n\r\n"), (subscribe, b"subscribed")]


def mqtt_socket(number):
    name = b"s%d" % number
    connect = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(name)) + name
    packets = bytes([0x10, len(connect)]) + connect + b"\x82\x0a\x00\x01\x00\x05bench\x00"
    return [(upgrade("/mqtt", "Sec-WebSocket-Protocol: mqtt"), b"\r\n\r\n"), (frame(2, packets), b"\x90\x03\x00\x01\x00")]


def fan_out(server, steps, subscribers, messages):
    """Publishes messages to so many subscribers.

    Returns: seconds of CPU time, and seconds.
    """
    selector, everybody = selectors.DefaultSelector(), []
    for number in range(subscribers):
        (opening, answer), *rest = steps(number)
        subscriber = Subscriber(server.port, opening)
        subscriber.wait(answer)
        for text, answer in rest:
            subscriber.socket.sendall(text)
            subscriber.wait(answer)
        selector.register(subscriber.socket, selectors.EVENT_READ, subscriber)
        everybody.append(subscriber)
    publisher = socket.create_connection(("127.0.0.1", server.port))
    publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = MARK + b"x" * (PAYLOAD - len(MARK))
    request = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (server.target.encode(), len(body), body)

    def publish():
        publisher.sendall(request)
        left, deadline = subscribers, time.monotonic() + PATIENCE
        while left:
            for key, _ in selector.select(1):
                left -= key.data.read()
            assert time.monotonic() < deadline, f"{left} subscribers wait"
        answer = publisher.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 20"), answer

    # Everything is there, and warm.
    for _ in range(5):
        publish()
    cpu, began = server.cpu(), time.monotonic()
    for _ in range(messages):
        publish()
    figures = server.cpu() - cpu, time.monotonic() - began
    assert all(subscriber.count == messages + 5 for subscriber in everybody)
    for subscriber in everybody:
        subscriber.socket.close()
    publisher.close()
    return figures


def post(server, seconds):
    """Publishes with wrk.

    Returns: requests, seconds of CPU time, and seconds.
    """
    script = f"{server.folder}/post.lua"
    with open(script, "w") as file:
        file.write(f'wrk.method = "POST"\nwrk.body = string.rep("x", {PAYLOAD})\n')
    url = f"http://127.0.0.1:{server.port}{server.target}"
    cpu = server.cpu()
    done = subprocess.run(["wrk", "-t1", "-c50", f"-d{seconds}s", "-s", script, url], capture_output=True, text=True, check=True)
    spent = server.cpu() - cpu
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    requests, took = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout).groups()
    return int(requests), spent, float(took)


def main():
    parser = argparse.ArgumentParser(description="Sluice and Nchan side by side")
    parser.add_argument("executable", nargs="?", default=".build/release/sluice")
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    sluice = Server("sluice", SLUICE, [options.executable, "serve", "--config"], "/publish?topic=bench")
    nchan = Server("nchan", NGINX, ["nginx", "-c"], "/pub?topic=bench")
    print(f"load average {os.getloadavg()[0]:.2f}; {options.subscribers} subscribers, {options.messages} messages, {PAYLOAD} bytes")
    for server, name, steps in [
        (sluice, "SSE", sse("/v1/subscribe?topic=bench")),
        (nchan, "SSE", sse("/sub?topic=bench")),
        (sluice, "WebSocket, MQTT", mqtt_socket),
        (sluice, "WebSocket, sluice.json", json_socket),
        (nchan, "WebSocket", websocket("/sub?topic=bench")),
    ]:
        with server:
            spent, took = fan_out(server, steps, options.subscribers, options.messages)
        deliveries = options.subscribers * options.messages
        print(
            f"{server.name:7} fan-out to {name:23} {spent * 1e6 / deliveries:7.2f} CPU s per million deliveries,"
            f" {deliveries / took:9.0f} deliveries/s"
        )
    for server in (sluice, nchan):
        with server:
            # Warm.
            post(server, 1)
            requests, spent, took = post(server, options.seconds)
        print(
            f"{server.name:7} POST{'':27} {spent * 1e6 / requests:7.2f} CPU s per million requests,  "
            f" {requests / took:9.0f} requests/s"
        )
    print(f"load average {os.getloadavg()[0]:.2f}")


main()
