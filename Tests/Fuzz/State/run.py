"""Random work for a broker that is killed now and then: real records, real sockets, all protocols at a time.

usage: run.py [--seconds 60] [--seed N] [--executable .build/release/sluice] [--keep]

Every operation is one that a client may do; what its clients are told and not told says what must hold afterwards, however
often the broker is killed: nothing that was acknowledged is lost, QoS 2 comes once, publishers' orders are kept, sessions and
retained messages are what they must be, and the process ends by nobody's hand but ours. Only shared subscriptions, the end
of sessions and the store's answers in all orders are more likely than in life.

Exits with 1 at the first finding. The same seed does the same things, as far as two processes and a network can.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from ledger import Finding
from process import Broker, Crash
from world import World

# Seconds with one store, before the next one begins from nothing.
SPAN = 30


class Totals:
    def __init__(self):
        self.operations = self.kills = self.checks = self.acknowledged = self.delivered = self.repeated = 0
        self.crashes = self.differences = self.lost = 0

    def add(self, world):
        self.operations += world.operations
        self.kills += world.kills
        self.checks += world.checks
        self.acknowledged += world.ledger.acknowledged
        self.delivered += world.ledger.delivered
        self.repeated += world.ledger.duplicates

    def __str__(self):
        return " ".join(f"{name} {value}" for name, value in vars(self).items())


def work(world, until):
    """Operations, with a kill or a check after some."""
    while time.monotonic() < until:
        for _ in range(world.random.randint(20, 300)):
            world.operate()
        world.broker.check()
        if world.random.random() < 0.6:
            world.restart()
        if world.random.random() < 0.6:
            world.check()
    world.check()
    world.restart()
    world.check()


def span(executable, seed, until, totals, keeps):
    """One store from its beginning to its end. Returns whether all held."""
    chance = random.Random(seed)
    folder = tempfile.mkdtemp(prefix="sluice-fuzz-state-")
    broker = Broker(executable, folder, threads=chance.choice([1, 1, 2]))
    world = World(broker, chance)
    try:
        broker.start()
        work(world, until)
        broker.end()
    except Finding as finding:
        try:
            broker.check()
        except Crash as crash:
            finding = crash
        kind = "crashes" if isinstance(finding, Crash) else "lost" if " lost: " in str(finding) else "differences"
        setattr(totals, kind, getattr(totals, kind) + 1)
        with open(os.path.join(folder, "story"), "w") as story:
            story.write("\n".join([*world.ledger.story, str(finding)]))
        print(f"seed {seed}: {finding}\n{folder} has the store, the log and the story", flush=True)
        keeps = True
        return False
    finally:
        totals.add(world)
        if broker.process and broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait()
        if not keeps:
            shutil.rmtree(folder, ignore_errors=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--executable", default=".build/release/sluice")
    parser.add_argument("--keep", action="store_true", help="leave the stores where they are")
    parser.add_argument("--only-crashes", action="store_true", help="print other findings, and judge by crashes alone")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if arguments.seed is None else arguments.seed
    totals, end = Totals(), time.monotonic() + arguments.seconds
    print(f"seed {seed}", flush=True)
    holds = True
    while holds and time.monotonic() < end:
        holds = span(arguments.executable, seed, min(end, time.monotonic() + SPAN), totals, arguments.keep)
        holds |= arguments.only_crashes and totals.crashes == 0
        seed += 1
    print(totals, flush=True)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
