"""A broker with its limits as they are by default, and a client beside it that measures how long it waits."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from wire import PING, Client


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, executable, extra=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hostile-"))
        self.mqtt, self.http = free_port(), free_port()
        (self.folder / "sluice.yaml").write_text(
            f"""listeners:
  - {{ protocol: mqtt, bind: "127.0.0.1:{self.mqtt}" }}
  - {{ protocol: http, bind: "127.0.0.1:{self.http}" }}
storage: {{ path: "{self.folder}/data" }}
{extra}"""
        )
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            [executable, "serve", "--config", self.folder / "sluice.yaml"], stdout=self.log, stderr=self.log
        )
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.mqtt), 1).close()
                return
            except OSError:
                time.sleep(0.05)
                if self.process.poll() is not None:
                    break
        raise SystemExit("the broker does not start:\n" + (self.folder / "log").read_text())

    def client(self, client_id="", **options):
        return Client(self.mqtt, client_id, **options)

    @property
    def is_alive(self):
        return self.process.poll() is None

    def cpu(self):
        """Seconds of CPU so far."""
        if not self.is_alive:
            return 0
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """MB in memory at most so far."""
        if not self.is_alive:
            return 0
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
        return 0

    def settle(self, seconds=30):
        """Waits until it has nothing to do any more."""
        end = time.time() + seconds
        while self.is_alive and time.time() < end:
            before = self.cpu()
            time.sleep(0.5)
            if self.cpu() - before < 0.05:
                return

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Watcher:
    """Another client, in a process of its own, that measures how long it waits for an answer."""

    def __init__(self, broker):
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, str(broker.mqtt), str(broker.process.pid)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.process.stdout.readline()

    def longest(self):
        """The longest wait, and the most that one thread of the broker has computed during a wait; in milliseconds."""
        self.process.send_signal(signal.SIGTERM)
        try:
            waited, computed = self.process.communicate(timeout=90)[0].split()
            return float(waited), float(computed)
        except (subprocess.TimeoutExpired, ValueError):
            self.process.kill()
            return float("inf"), float("inf")


def computed(process):
    """Nanoseconds that each thread has been on a CPU."""
    times = {}
    for thread in pathlib.Path(f"/proc/{process}/task").iterdir():
        try:
            times[thread.name] = int((thread / "schedstat").read_text().split()[0])
        except OSError:
            pass
    return times


def watch(port, process):
    try:
        os.nice(-20)
    except PermissionError:
        pass
    client = Client(port, "watcher")
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    print("ready", flush=True)
    waited = busiest = 0.0
    while not stopping:
        try:
            before = computed(process)
            begin = time.perf_counter()
            client.socket.sendall(PING)
            if client.packet(0xD0) is None:
                raise ConnectionError
            waited = max(waited, time.perf_counter() - begin)
            after = computed(process)
            busiest = max(busiest, max(after[thread] - before.get(thread, after[thread]) for thread in after))
        except OSError:
            waited = busiest = float("inf")
            break
        time.sleep(0.003)
    print(waited * 1e3, busiest / 1e6)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
