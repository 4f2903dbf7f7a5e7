"""Reads a persistent session's event stream that is cut off again and again, at random, while messages are published and
the broker is killed.

usage: sse_resume.py EXECUTABLE MESSAGES CUTS KILLS SEED

Each time the reader comes back with the last event it has. A message that was acknowledged must come, none may come twice,
and all in order; no message is published twice, so that one whose publisher has lost the answer may come once or not at
all. Prints one line of JSON; the exit status is 1 when something is wrong.
"""

import contextlib
import http.client
import json
import random
import socket
import struct
import sys
import threading
import time

from killable_broker import Broker, free_port

# Messages of one request, at most.
BATCH = 200
# Messages that the publisher may be ahead of the reader: fewer than can be had again by Last-Event-ID.
AHEAD = 8_000
# Seconds without any progress after which the test has failed.
PATIENCE = 30
TARGET = "/v1/subscribe?topic=resume&qos=1&clientid=resume&clean=0&se=600"


class HTTPBroker(Broker):
    def __init__(self, executable):
        self.port = free_port()
        super().__init__(
            executable,
            f"listeners: [{{ protocol: http, bind: '127.0.0.1:{self.port}' }}]\n"
            "sessions: { queue: { messages: 1000000, bytes: 1000000000 } }\n"
            "storage: { path: data, durability: strict }\n",
        )

    def connect(self):
        """A connection, as soon as the broker listens."""
        deadline = time.monotonic() + PATIENCE
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                connection.connect()
                return connection
            except OSError:
                assert time.monotonic() < deadline, "the broker does not come back"
                time.sleep(0.01)


class Run:
    def __init__(self, executable, messages, cuts, kills, seed):
        self.random, self.broker = random.Random(seed), HTTPBroker(executable)
        self.messages, self.kills, self.killed = messages, kills, 0
        self.cut_after = sorted(self.random.sample(range(1, messages), cuts))
        self.kill_after = sorted(self.random.sample(range(1, messages), kills))
        # Numbers that were sent, and those of them whose request was answered.
        self.published, self.acknowledged, self.is_over = 0, set(), False
        self.received, self.again, self.cuts, self.breaks, self.resets = [], 0, 0, 0, 0
        self.repeated, self.disorder, self.last = 0, 0, None
        self.moved, self.failures = threading.Condition(), []

    # MARK: The publisher

    def publish(self):
        connection = self.broker.connect()
        chance = random.Random(self.random.random())
        while self.published < self.messages:
            with self.moved:
                if not self.moved.wait_for(lambda: self.published - self.reached() < AHEAD, PATIENCE):
                    raise TimeoutError(f"the reader stays at {self.reached()}")
            numbers = range(self.published, min(self.published + chance.randint(1, BATCH), self.messages))
            connection = self.post(connection, numbers)
        # Behind it nothing comes.
        while self.messages not in self.acknowledged:
            connection = self.post(connection, [self.messages])
            self.messages += self.messages not in self.acknowledged
        self.is_over = True
        # The reader may have everything, and wait for more.
        with contextlib.suppress(OSError):
            self.network.shutdown(socket.SHUT_RDWR)

    def post(self, connection, numbers):
        """Publishes once, whatever comes of it.

        Returns: a connection for the next time.
        """
        many = [{"topic": "resume", "payload": str(number), "qos": 1} for number in numbers]
        self.published = numbers[-1] + 1
        try:
            fields = {"Content-Type": "application/json", "Prefer": "return=minimal"}
            connection.request("POST", "/publish", json.dumps(many), fields)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204, answer.status
            self.acknowledged.update(numbers)
            return connection
        except (OSError, http.client.HTTPException):
            connection.close()
            return self.broker.connect()

    # MARK: The reader

    def reached(self):
        return self.received[-1] + 1 if self.received else 0

    def is_complete(self):
        return self.is_over and self.reached() > self.messages

    def read(self):
        while not self.is_complete():
            answer = self.open()
            if answer is None:
                continue
            network = self.network
            try:
                if self.follow(answer):
                    self.cuts += 1
                    # As a phone that loses its network: what was read ahead, and what is under way, is lost.
                    network.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    self.breaks += not self.is_complete()
            except (OSError, http.client.HTTPException):
                self.breaks += 1
            network.close()
            answer.close()

    def open(self):
        connection = self.broker.connect()
        fields = {"Accept": "text/event-stream", **({"Last-Event-ID": self.last} if self.last else {})}
        try:
            connection.request("GET", TARGET, headers=fields)
            # The response takes it over.
            self.network = connection.sock
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException):
            self.breaks += 1
            return None
        assert answer.status == 200, (answer.status, answer.read())
        return answer

    def follow(self, answer):
        """Returns: whether the connection is to be cut; else it has ended, or everything has come."""
        event, text = None, None
        while not self.is_complete():
            line = answer.readline().decode()
            if not line:
                return False
            # Only whole lines count.
            if not line.endswith("\n"):
                continue
            line = line.rstrip("\n")
            if line.startswith("event:"):
                self.resets += line == "event: reset"
            elif line.startswith("id: "):
                event = line[4:]
            elif line.startswith("data: "):
                text = line[6:]
            elif not line:
                if event and text:
                    self.take(event, json.loads(text))
                event, text = None, None
                if self.cuts < len(self.cut_after) and self.reached() >= self.cut_after[self.cuts]:
                    return True
        return False

    def take(self, event, message):
        number = int(message["payload"])
        self.again += message.get("dup", False)
        if self.last:
            (epoch, sequence), (former, place) = event.split("."), self.last.split(".")
            # An event that the client has already, by its name.
            self.repeated += epoch == former and int(sequence) <= int(place)
        if self.received and number <= self.received[-1]:
            self.disorder += 1
        with self.moved:
            self.received.append(number)
            self.last = event
            self.moved.notify_all()

    # MARK: The killer

    def kill(self):
        for after in self.kill_after:
            while self.published < after and not self.is_over:
                time.sleep(0.001)
            time.sleep(self.random.uniform(0, 0.02))
            self.broker.kill()
            self.killed += 1
            self.broker.start()

    # MARK: All of them

    def run(self):
        began = time.monotonic()
        self.broker.start()
        # The session is there before the first message.
        answer = self.open()
        answer.readline()
        self.network.close()
        answer.close()
        threads = [threading.Thread(target=self.guarded, args=(work,), daemon=True) for work in (self.publish, self.kill)]
        for thread in threads:
            thread.start()
        self.guarded(self.read)
        if self.failures:
            raise self.failures[0]
        for thread in threads:
            thread.join()
        seen = set(self.received)
        return {
            "messages": self.messages,
            "acknowledged": len(self.acknowledged),
            "received": len(self.received),
            "cuts": self.cuts,
            "kills": self.killed,
            "otherBreaks": self.breaks,
            "sentAgain": self.again,
            "missing": len(self.acknowledged - seen),
            "repeated": self.repeated + len(self.received) - len(seen),
            "outOfOrder": self.disorder,
            "resets": self.resets,
            "seconds": round(time.monotonic() - began, 1),
        }

    def guarded(self, work):
        try:
            work()
        except BaseException as problem:
            self.failures.append(problem)
            # Ends the others.
            self.is_over = True
            if self.broker.process.poll() is None:
                self.broker.process.kill()
            raise


def main():
    executable, messages, cuts, kills, seed = sys.argv[1], *map(int, sys.argv[2:6])
    run = Run(executable, messages, cuts, kills, seed)
    try:
        figures = run.run()
    except BaseException:
        print(run.broker.last_words(), file=sys.stderr)
        raise
    finally:
        run.broker.remove()
    print(json.dumps(figures))
    sys.exit(1 if any(figures[name] for name in ("missing", "repeated", "outOfOrder", "resets")) else 0)


main()
