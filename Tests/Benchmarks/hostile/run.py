#!/usr/bin/env python3
"""Sends the worst packets known, each to a broker of its own, and prints how long another client waits meanwhile.

Exits 1 when that is longer than --limit for any of them. Give parts of names to run only those.
"""

import argparse
import sys
import time

from broker import Broker, Watcher
from scenarios import SCENARIOS


def run(name, attack, arguments):
    broker = Broker(arguments.executable, getattr(attack, "configuration", ""))
    try:
        steps = attack(broker, arguments.scale)
        next(steps)
        broker.settle(10)
        watcher = Watcher(broker)
        time.sleep(0.3)
        cpu = broker.cpu()
        try:
            next(steps, None)
        except (OSError, TimeoutError) as error:
            print(f"  {name}: {error}", file=sys.stderr)
        broker.settle()
        used, memory = broker.cpu() - cpu, broker.memory()
        waited, busy = watcher.longest()
        if not broker.is_alive:
            waited = busy = float("inf")
        return waited, busy, used, memory
    finally:
        broker.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--executable", default=".build/release/sluice")
    parser.add_argument("--limit", type=float, default=50, help="milliseconds")
    parser.add_argument("--busy", action="store_true", help="judge by what the broker computes: the machine is not quiet")
    parser.add_argument("--scale", type=float, default=1, help="of the numbers of things sent")
    arguments = parser.parse_args()
    failed = False
    print(f"{'another waits':>13} {'of it busy':>11} {'CPU':>8} {'memory':>8}  what is sent")
    for name, attack in SCENARIOS.items():
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        waited, busy, used, memory = run(name, attack, arguments)
        is_bad = (busy if arguments.busy else waited) > arguments.limit
        failed = failed or is_bad
        figures = f"{waited:10.1f} ms {busy:8.1f} ms {used:6.2f} s {memory:5} MB"
        print(f"{figures}  {name}{'  TOO LONG' if is_bad else ''}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
