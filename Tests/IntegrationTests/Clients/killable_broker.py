"""The broker's executable, to be killed and started again on the same data directory."""

import shutil
import signal
import socket
import subprocess
import tempfile


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Broker:
    """The executable, with a data directory `data` that outlives it."""

    def __init__(self, executable, configuration):
        self.executable, self.process = executable, None
        self.folder = tempfile.mkdtemp(prefix="sluice-crash-")
        with open(f"{self.folder}/sluice.yaml", "w") as file:
            file.write(configuration)
        self.log = open(f"{self.folder}/log", "w+b")

    def start(self):
        self.process = subprocess.Popen(
            [self.executable, "serve", "--config", f"{self.folder}/sluice.yaml"], stdout=self.log, stderr=self.log
        )

    def kill(self):
        assert self.process.poll() is None, f"the broker ended by itself with {self.process.returncode}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)

    def store(self, command):
        """What `sluice store` says of the directory: the exit status, and the words without the path."""
        done = subprocess.run(
            [self.executable, "store", command, "--path", f"{self.folder}/data"], capture_output=True, text=True
        )
        return done.returncode, (done.stdout + done.stderr).strip().removeprefix(f"{self.folder}/data: ")

    def last_words(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]

    def remove(self):
        """Ends it if it still runs, and its folder with it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
