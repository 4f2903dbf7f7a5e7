#!/usr/bin/env python3
"""Attacks the memory of a broker in every way known, one after the other on the same process, and holds it to its bound.

Usage: memory_attacks.py [EXECUTABLE]   (default .build/release/sluice; SCALE=0.1 takes a tenth of the time)

Prints for each attack what was sent, what the broker counts under $SYS/broker/limits/, and its resident memory; in the end
the bound that `sluice check` has computed, and the largest memory measured (VmHWM). Exits with 1 when that is more.
The attacks come from 127.0.0.1 to 127.0.0.16, so that shares alone don't stop them.
"""
import os, pathlib, re, socket, struct, subprocess, sys, tempfile, time

EXE = sys.argv[1] if len(sys.argv) > 1 else ".build/release/sluice"
SCALE = float(os.environ.get("SCALE", "1"))
MiB = 1 << 20
LIMITS = {"retained_bytes": 64 * MiB, "queued_bytes": 64 * MiB, "session_bytes": 64 * MiB, "buffer_bytes": 64 * MiB,
          "connections": 4000, "sessions": 100_000, "subscriptions_per_session": 1000}


def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def number(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def text(t):
    t = t if isinstance(t, bytes) else t.encode()
    return struct.pack(">H", len(t)) + t


def packet(first, body):
    return bytes([first]) + number(len(body)) + body


def user_properties(count, name=b"", value=b""):
    return (b"\x26" + text(name) + text(value)) * count


def publish(topic, payload=b"x", qos=0, pid=1, retain=False, props=b""):
    body = text(topic) + (struct.pack(">H", pid) if qos else b"") + number(len(props)) + props + payload
    return packet(0x30 | qos << 1 | retain, body)


class Client:
    def __init__(self, port, name, source=1, expiry=0, will=None, wait=True, receive=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 30, source_address=(f"127.0.0.{source}", 0))
        props = (b"\x11" + struct.pack(">I", expiry) if expiry else b"") + (b"\x21" + struct.pack(">H", receive) if receive else b"")
        flags, rest = 2, b""
        if will:
            flags |= 4
            rest = number(len(will[0])) + will[0] + text(will[1]) + text(will[2])
        self.buffer = b""
        self.send(packet(0x10, text(b"MQTT") + bytes([5, flags, 0, 0]) + number(len(props)) + props + text(name) + rest))
        self.connack = self.read() if wait else None

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        while True:
            end = next((i for i in range(2, 6) if len(self.buffer) >= i and self.buffer[i - 1] < 128), 0)
            size = sum((x & 127) << 7 * i for i, x in enumerate(self.buffer[1:end]))
            if end and len(self.buffer) >= end + size:
                found, self.buffer = (self.buffer[0], self.buffer[end:end + size]), self.buffer[end + size:]
                return found
            try:
                more = self.socket.recv(1 << 20)
            except OSError:
                return None
            if not more:
                return None
            self.buffer += more

    def ping(self):
        self.send(b"\xc0\0")
        while (found := self.read()) and found[0] != 0xd0:
            pass
        return found is not None

    def subscribe(self, filters, qos=0, read=True):
        body = b"\0\7\0" + b"".join(text(f) + bytes([qos]) for f in filters)
        self.send(packet(0x82, body))
        return self.read() if read else None

    def close(self):
        self.socket.close()


def status(pid, field):
    line = next(l for l in open(f"/proc/{pid}/status") if l.startswith(field))
    return int(line.split()[1]) / 1024


class Broker:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="memory-"))
        self.port = free()
        limits = "".join(f"  {k}: {v}\n" for k, v in LIMITS.items())
        self.config = self.dir / "sluice.yaml"
        self.config.write_text(
            f'threads: 2\nsys_interval: 1\nlisteners:\n  - {{ protocol: mqtt, bind: "127.0.0.1:{self.port}" }}\n'
            f'access: {{ anonymous: true }}\nstorage: {{ path: "{self.dir}/data", durability: process }}\nlimits:\n{limits}')
        check = subprocess.run([EXE, "check", "--config", str(self.config)], capture_output=True, text=True).stdout
        print(check)
        self.bound = float(re.search(r"at most ([0-9.]+) GiB", check).group(1)) * 1024
        self.log = open(self.dir / "log", "w")
        self.process = subprocess.Popen([EXE, "serve", "--config", str(self.config)], stderr=self.log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)

    def counted(self):
        watcher, found, end = Client(self.port, b"watcher", source=99), {}, time.time() + 2.5
        watcher.subscribe(["$SYS/broker/limits/#"])
        watcher.socket.settimeout(0.5)
        while time.time() < end:
            p = watcher.read()
            if p and p[0] >> 4 == 3:
                n = struct.unpack(">H", p[1][:2])[0]
                found[p[1][2 + 20:2 + n].decode()] = p[1][2 + n + 1:].decode()
        watcher.close()
        return {k: v for k, v in found.items() if v != "0"}


def many(count):
    return range(max(1, int(count * SCALE)))


def user_properties_retained(b):
    """Retained messages of a byte, with 200,000 empty User Properties each"""
    props = user_properties(200_000)
    for i in many(60):
        c = Client(b.port, b"p%d" % i, source=1 + i % 16)
        c.send(publish("q/%d" % i, qos=1, retain=True, props=props))
        c.read()
        c.close()


def deep_topics(b):
    """Retained topics of 200 levels"""
    for source in range(1, 9):
        c = Client(b.port, b"d%d" % source, source=source)
        for i in many(2_000):
            c.send(publish("%d-%x" % (source, i) + "/" * 199, retain=True))
        c.ping()
        c.close()


def queues(b):
    """Queues of sessions that are away, User Properties in them"""
    for i in many(200):
        c = Client(b.port, b"away%d" % i, source=1 + i % 16, expiry=0xffffffff)
        c.subscribe(["away/#"], qos=1)
        c.close()
    c, props = Client(b.port, b"filler", source=20), user_properties(1_000, b"k" * 16, b"v" * 16)
    for i in many(300):
        c.send(publish("away/t", b"x" * 100, qos=1, pid=1 + i % 60_000, props=props))
        c.read()
    c.close()


def windows(b):
    """Clients that acknowledge nothing"""
    kept = []
    for i in many(100):
        c = Client(b.port, b"window%d" % i, source=1 + i % 16)
        c.subscribe(["window/#"], qos=1)
        kept.append(c)
    p = Client(b.port, b"sender", source=20)
    for i in many(200):
        p.send(publish("window/t", b"x" * 50_000, qos=1, pid=1 + i))
        p.read()
    p.close()
    for c in kept:
        c.close()


def stalled(b):
    """Subscribers that read nothing"""
    kept = []
    for i in many(300):
        c = Client(b.port, b"stalled%d" % i, source=1 + i % 16)
        c.subscribe(["flood/#"])
        kept.append(c)
    p = Client(b.port, b"flood", source=20)
    for i in many(400):
        p.send(publish("flood/t", b"x" * 60_000))
    p.ping()
    b.note()
    p.close()
    for c in kept:
        c.close()


def filters(b):
    """Topic Filters of 65 kB, and of 200 levels"""
    for k in many(16):
        c = Client(b.port, b"f%d" % k, source=1 + k % 16, expiry=0xffffffff)
        for i in range(20):
            c.subscribe(["%d/%d/%d/" % (k, i, j) + "a" * 65_000 for j in range(15)])
        for i in range(200):
            c.subscribe(["%d/%d/" % (k, i) + "+/" * 190 + "+"])
        c.close()


def wills(b):
    """Wills with a megabyte of User Properties, to come in 136 years"""
    props = b"\x18\xff\xff\xff\xff" + user_properties(150_000)
    for i in many(60):
        Client(b.port, b"will%d" % i, source=1 + i % 16, expiry=0xffffffff, will=(props, b"w", b"gone")).close()


def names(b):
    """Sessions with Client Identifiers of 65 kB"""
    for i in many(3_000):
        Client(b.port, b"%d" % i + b"n" * 65_000, source=1 + i % 16, expiry=0xffffffff).close()


def timers(b):
    """One Client Identifier of 65 kB, with a session for a century, over and over"""
    for _ in many(3_000):
        Client(b.port, b"x" * 65_000, expiry=0xfffffffe).close()


def halves(b):
    """CONNECT packets that never end, of almost a megabyte"""
    kept, head = [], b"\x10" + number(1_000_000) + text(b"MQTT") + bytes([5, 2, 0, 0])
    for i in many(400):
        s = socket.create_connection(("127.0.0.1", b.port), 5, source_address=(f"127.0.0.{1 + i % 16}", 0))
        s.settimeout(5)
        try:
            s.sendall(head + b"\0" * 900_000)
        except OSError:
            pass
        kept.append(s)
    b.note()
    for s in kept:
        s.close()


def fan_out(b):
    """A megabyte for a thousand subscribers that read it late"""
    kept = []
    for i in many(600):
        c = Client(b.port, b"fan%d" % i, source=1 + i % 16)
        c.subscribe(["fan"])
        kept.append(c)
    p = Client(b.port, b"fan-in", source=20)
    for _ in range(3):
        p.send(publish("fan", b"x" * 1_000_000))
    p.ping()
    b.note()
    for c in kept:
        c.close()


def connections(b):
    """As many connections as there may be"""
    kept = []
    for i in many(LIMITS["connections"]):
        c = Client(b.port, b"c%d" % i, source=1 + i % 16)
        kept.append(c)
    for c in kept:
        c.close()


def main():
    b = Broker()
    b.note = lambda: None
    start = status(b.process.pid, "VmRSS")
    print(f"at the start: {start:.0f} MiB")
    failed = False
    for attack in [user_properties_retained, deep_topics, queues, windows, stalled, filters, wills, names, timers, halves,
                   fan_out, connections]:
        before, t = status(b.process.pid, "VmRSS"), time.time()
        marks = []
        b.note = lambda: marks.append(b.counted())
        try:
            attack(b)
            words = ""
        except OSError as error:
            words = f" ({error})"
        counted = marks[-1] if marks else b.counted()
        if b.process.poll() is not None:
            print(f"{attack.__name__}: the broker has ended: {b.process.returncode}")
            return 1
        now, peak = status(b.process.pid, "VmRSS"), status(b.process.pid, "VmHWM")
        print(f"{attack.__doc__}: {time.time() - t:.1f} s, {before:.0f} -> {now:.0f} MiB, highest so far {peak:.0f}{words}\n    {counted}",
              flush=True)
    peak = status(b.process.pid, "VmHWM")
    failed = peak > b.bound
    print(f"bound {b.bound:.0f} MiB, highest measured {peak:.0f} MiB: {'MORE' if failed else 'good'}")
    b.process.terminate()
    b.process.wait(20)
    return failed


sys.exit(main())
