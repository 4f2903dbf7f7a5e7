"""The broker as a process, with RocksDB, that is killed now and then."""

import os
import signal
import socket
import subprocess
import time

from ledger import Finding


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, executable, folder, threads):
        self.executable, self.folder = executable, folder
        self.mqtt, self.http = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
        self.coap = free_port(socket.SOCK_DGRAM)
        self.process = None
        self.log = os.path.join(folder, "log")
        self.configuration = os.path.join(folder, "sluice.yaml")
        with open(self.configuration, "w") as file:
            file.write(
                f"""node: fuzz-state
threads: {threads}
listeners:
  - {{ protocol: mqtt, bind: "127.0.0.1:{self.mqtt}" }}
  - {{ protocol: http, bind: "127.0.0.1:{self.http}" }}
  - {{ protocol: coap, bind: "127.0.0.1:{self.coap}" }}
access: {{ anonymous: true }}
storage: {{ backend: rocksdb, path: "{folder}/data", durability: strict }}
sessions: {{ queue: {{ messages: 100000 }} }}
"""
            )

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.executable, "serve", "--config", self.configuration],
                stdout=log,
                stderr=log,
                env={**os.environ, "SWIFT_BACKTRACE": "enable=no"},
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.check()
            try:
                for port in (self.http, self.mqtt):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Finding("the broker does not listen")

    def check(self):
        """It only ever ends by our hand."""
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as log:
                words = log.read()[-2000:]
            raise Crash(f"the broker has ended by itself: {self.process.returncode}\n{words}")

    def kill(self):
        self.check()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        """SIGTERM: it must end by itself, too."""
        self.check()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Finding("SIGTERM does not end the broker") from None
        if self.process.returncode != 0:
            raise Crash(f"after SIGTERM the broker has ended with {self.process.returncode}")


class Crash(Finding):
    """The broker is gone, and nobody has killed it."""
