"""CoAP requests a CPU second answers: Sluice, libcoap's example server, and a bare UDP echo, one after the other.

usage: coap_compare.py [--seconds 3] [--peers 100,1000,10000,50000] [--skip plain,dtls,fan] [--sluice PATH]

Takes about eight minutes, most of them for libcoap's example server to get to know 50,000 peers. Needs a C compiler,
libgnutls28-dev, libcoap3-bin, and a release build of Sluice. The machine should have nothing else to do: the load before
each table is printed with it.

Plain: POSTs of 16 bytes (PUTs to /example_data at libcoap's server) from so many loopback addresses, 64 under way at any
time. DTLS: the same from 1,000 sessions with a pre-shared key. Fan-out: one message to 10,000 observers.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
EXAMPLE = "/example_data"
KEY = "sesame"


def compiled(folder, name, *libraries):
    path = os.path.join(folder, name)
    subprocess.run(["cc", "-O2", "-o", path, os.path.join(HERE, name + ".c"), *libraries], check=True)
    return path


def free_port():
    """A port that is free, and the one after it, too: libcoap's server has DTLS there."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as probe, socket.socket(type=socket.SOCK_DGRAM) as next_one:
            probe.bind(("0.0.0.0", 0))
            port = probe.getsockname()[1]
            try:
                next_one.bind(("0.0.0.0", port + 1))
            except OSError:
                continue
            return port


class Server:
    """A server process; `port` is where it listens."""

    def __init__(self, arguments, port):
        self.port = port
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while f":{port:04X} " not in open("/proc/net/udp").read() + open("/proc/net/udp6").read():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{arguments[0]} does not listen")
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.load, self.echo, self.fan = (compiled(folder, name) for name in ("coapload", "coapecho", "coapfan"))
        self.load_dtls = compiled(folder, "coapload_dtls", "-lgnutls")

    def sluice(self, dtls=False):
        port = free_port()
        keys = os.path.join(self.folder, "keys.psk")
        with open(keys, "w") as file:
            file.write(f"bench:{KEY.encode().hex()}\n")
        path = os.path.join(self.folder, "sluice.yaml")
        with open(path, "w") as file:
            file.write(
                f"listeners:\n  - protocol: coap\n    bind: 0.0.0.0:{port}\n"
                + (f"    dtls: {{ psk_file: {keys} }}\n" if dtls else "")
                + "access: { anonymous: true }\nstorage: { backend: memory }\nlog: { level: error }\n"
            )
        return Server([self.options.sluice, "serve", "--config", path], port)

    def libcoap(self, *more):
        port = free_port()
        return Server(["coap-server-gnutls", "-A", "0.0.0.0", "-p", str(port), "-v", "0", *more], port)

    def bare(self, how):
        port = free_port()
        return Server([self.echo, str(port), how], port)

    def measure(self, arguments):
        """Requests or notifications, and CPU seconds, of a load generator's last line."""
        run = subprocess.run(arguments, capture_output=True, text=True, check=False)
        lines = run.stdout.strip().splitlines()
        for line in lines[:-1]:
            print("   ", line, flush=True)
        if run.returncode != 0:
            print("   ", run.stderr.strip(), flush=True)
            return None
        done, cpu, _ = lines[-1].split()
        return int(done), float(cpu)

    def rate(self, arguments):
        result = self.measure(arguments)
        return f"{result[0] / result[1]:,.0f}" if result and result[1] else "-"

    def plain(self):
        servers = [
            ("UDP echo, recvmsg and sendmsg", lambda: self.bare("single"), []),
            ("UDP echo, recvmmsg and sendmmsg", lambda: self.bare("batch"), []),
            ("libcoap's coap-server", self.libcoap, [EXAMPLE, "put"]),
            ("Sluice", self.sluice, []),
        ]
        rows = []
        for name, start, target in servers:
            row = [name]
            for peers in self.options.peers:
                with start() as server:
                    for kind in ("con", "non"):
                        print(f"{name}, {peers} peers", flush=True)
                        row.append(
                            self.rate(
                                [self.load, str(server.port), str(server.process.pid), str(peers),
                                 str(self.options.seconds), kind, "64", *(target or ["/ps/a"])]
                            )
                        )
            rows.append(row)
        table("requests a CPU second", ["", *(f"{p:,} {k}" for p in self.options.peers for k in ("CON", "NON"))], rows)

    def dtls(self):
        rows = []
        for name, start, offset, target in [
            ("libcoap's coap-server", lambda: self.libcoap("-k", KEY), 1, [EXAMPLE, "put"]),
            ("Sluice", lambda: self.sluice(dtls=True), 0, ["/ps/a"]),
        ]:
            row = [name]
            for kind in ("con", "non"):
                print(f"{name}, DTLS", flush=True)
                with start() as server:
                    row.append(
                        self.rate(
                            [self.load_dtls, str(server.port + offset), str(server.process.pid), "1000",
                             str(self.options.seconds), "bench", KEY, kind, *target]
                        )
                    )
            rows.append(row)
        table("DTLS, requests a CPU second", ["", "1,000 CON", "1,000 NON"], rows)

    def fan_out(self):
        rows = []
        for name, start, uris, messages, target in [
            ("libcoap's coap-server", lambda how: self.libcoap(*how), [(EXAMPLE, ["-N"]), (EXAMPLE, [])], 2, ["put"]),
            ("Sluice", lambda _: self.sluice(), [("/ps/fan?q=0", []), ("/ps/fan?q=1", [])], 20, []),
        ]:
            row = [name]
            for uri, how in uris:
                print(f"{name}, {uri}", flush=True)
                with start(how) as server:
                    result = self.measure(
                        [self.fan, str(server.port), str(server.process.pid), "10000", str(messages), uri, *target]
                    )
                row.append(f"{1e6 * result[1] / result[0]:.1f}" if result and result[0] else "-")
            rows.append(row)
        table("fan-out to 10,000 observers, CPU seconds a million notifications", ["", "NON", "CON"], rows)


def table(title, heads, rows):
    print(f"\n{title} (load {os.getloadavg()[0]:.1f})\n")
    for row in [heads, ["---"] * len(heads), *rows]:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--peers", type=lambda text: [int(part) for part in text.split(",")], default=[100, 1000, 10000, 50000])
    parser.add_argument("--skip", default="", help="of plain, dtls, fan")
    parser.add_argument("--sluice", default=os.path.join(ROOT, ".build/release/sluice"))
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        for name, part in (("plain", bench.plain), ("dtls", bench.dtls), ("fan", bench.fan_out)):
            if name not in options.skip.split(","):
                part()


if __name__ == "__main__":
    main()
